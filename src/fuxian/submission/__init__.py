"""What an entrant hands in: the manifest, the official checklist, a new reproduction, the package."""

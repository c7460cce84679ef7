"""What the official implementation computed, recorded."""

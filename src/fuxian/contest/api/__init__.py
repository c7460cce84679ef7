"""The REST API: every action of the service behind a token, and the public views."""

"""Where a contest is kept: one SQLite file, or PostgreSQL by its address. One database holds one contest."""

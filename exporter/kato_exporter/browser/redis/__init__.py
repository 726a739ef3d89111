"""Pages of Redis: its server, its keys and their values."""

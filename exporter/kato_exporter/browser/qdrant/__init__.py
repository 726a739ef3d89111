"""Pages of Qdrant: its collections, points and their neighbours."""

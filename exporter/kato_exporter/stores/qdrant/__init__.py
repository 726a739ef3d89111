"""Qdrant by its HTTP API: what is asked and changed."""

"""Writes: what is changed is kept first, on condition that it still is what was shown."""

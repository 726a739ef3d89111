"""Pages of KATO's sessions."""

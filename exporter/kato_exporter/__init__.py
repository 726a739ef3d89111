"""Watches KATO: sessions, patterns, stores and containers as Prometheus metrics."""

__version__ = "1.0.0"

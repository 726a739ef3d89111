"""Watches KATO: sessions, patterns, stores and containers as Prometheus metrics."""

__version__ = "0.1.0"

"""KATO's stores and its work in miniature: what `kato-exporter demo` runs, and what tests build on.

Needs the extra `demo`.
"""

"""Lets `python -m kato_exporter` do what the command `kato-exporter` does."""

from kato_exporter.cli import main

if __name__ == "__main__":
    main()

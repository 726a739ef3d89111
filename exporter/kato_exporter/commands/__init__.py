"""The commands of `kato-exporter`, a module each; one that is not asked for is not imported."""

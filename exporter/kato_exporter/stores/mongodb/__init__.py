"""MongoDB: what the exporter and the browser ask it and change in it."""

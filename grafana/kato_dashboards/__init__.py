"""The Grafana dashboards, as a description that `python -m kato_dashboards` turns into JSON."""

"""The web configuration file of Prometheus's exporter-toolkit: TLS, users and headers."""

from kato_exporter.runtime.web_config.config import WebConfig, load_web_config
from kato_exporter.runtime.web_config.sections import WebConfigError

__all__ = ["WebConfig", "WebConfigError", "load_web_config"]

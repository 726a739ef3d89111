"""What several commands ask of their settings before they start."""

from collections.abc import Mapping
from typing import Any

import click

from kato_exporter.runtime.web_config import WebConfig, WebConfigError, load_web_config
from kato_exporter.settings import ExporterSettings, Settings


def exporter_settings(given: Mapping[str, Any]) -> ExporterSettings:
    """Complete the exporter's settings; click.UsageError where none of them names a store."""
    settings = ExporterSettings.of(given)
    if {
        settings.redis_url,
        settings.mongo_url,
        settings.qdrant_url,
        settings.api_url,
        settings.docker_host,
    } == {None}:
        raise click.UsageError(
            "no store is configured: set KATO_HOST (--host) to the host of your KATO, "
            "or KATO_REDIS_URL, KATO_MONGO_URL, KATO_QDRANT_URL, KATO_API_URL and KATO_DOCKER_HOST"
        )
    return settings


def web_config(settings: Settings) -> WebConfig:
    """Read the web configuration file, if there is one; click.UsageError where it is wrong."""
    if settings.web_config_file is None:
        return WebConfig()
    try:
        return load_web_config(settings.web_config_file)
    except WebConfigError as error:
        raise click.UsageError(f"KATO_WEB_CONFIG_FILE (--web-config-file): {error}") from error

"""All dashboards, in the order of their links."""

from kato_dashboards.containers import CONTAINERS
from kato_dashboards.exporter import EXPORTER
from kato_dashboards.knowledge import KNOWLEDGE
from kato_dashboards.overview import OVERVIEW
from kato_dashboards.sessions import SESSIONS
from kato_dashboards.stores import STORES

PAGES = (OVERVIEW, SESSIONS, KNOWLEDGE, CONTAINERS, STORES, EXPORTER)

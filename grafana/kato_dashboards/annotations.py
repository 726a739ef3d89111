"""What happened, as marks on every graph: restarts, outages, losses, and what people changed."""

from dataclasses import dataclass

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import AnnotationQuery

from kato_dashboards import palette
from kato_dashboards.promql import increase, scoped
from kato_dashboards.variables import DATASOURCE


class _Mark(AnnotationQuery):
    """An annotation from Prometheus, with the text that the SDK has no field for."""

    text = ""

    def to_json(self) -> dict[str, object]:
        """Give what Grafana reads."""
        return super().to_json() | {"titleFormat": self.name, "textFormat": self.text}


@dataclass(frozen=True, slots=True)
class Annotation(Builder[AnnotationQuery]):
    """A mark where the expression is above 0; the text may name labels."""

    name: str
    expression: str
    text: str
    colour: str

    def build(self) -> AnnotationQuery:
        """Give it for Grafana."""
        mark = _Mark(
            name=self.name,
            datasource=DATASOURCE,
            icon_color=self.colour,
            expr=scoped(self.expression),
        )
        mark.text = self.text
        return mark


ANNOTATIONS = (
    Annotation(
        "Container restarts",
        increase("kato_container_restarts_total", "name").expression,
        "{{name}} was started again",
        palette.WARNING,
    ),
    Annotation(
        "Deploys",
        "changes(kato_container_creation_time_seconds[$__rate_interval])",
        "{{name}} was created anew",
        palette.INFO,
    ),
    Annotation(
        "Store outages",
        "max by (store) (kato_store_up == bool 0)",
        "{{store}} does not answer",
        palette.CRITICAL,
    ),
    Annotation(
        "Patterns lost",
        increase("kato_patterns_lost_total", "kb").expression,
        "{{kb}} has lost patterns",
        palette.CRITICAL,
    ),
    Annotation(
        "Vectors lost",
        increase("kato_qdrant_points_lost_total", "collection").expression,
        "{{collection}} has lost points",
        palette.CRITICAL,
    ),
    Annotation(
        "Records changed",
        increase('kato_browser_writes_total{result="done"}', "store", "action").expression,
        "Records of {{store}}: {{action}}, by people in the record browser",
        palette.INFO,
    ),
    Annotation(
        "Sessions evicted",
        increase('kato_sessions_ended_total{reason="evicted"}').expression,
        "Redis evicted sessions for want of memory",
        palette.CRITICAL,
    ),
)

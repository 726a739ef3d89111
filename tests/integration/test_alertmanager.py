"""Alertmanager's routes and texts, as its own tool sees them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.alerting import ALERTMANAGER
from support.servers import missing

TEMPLATES = ALERTMANAGER.parent / "templates" / "*.tmpl"


def amtool(*arguments: str) -> str:
    """Run amtool; give what it prints."""
    program = shutil.which("amtool")
    if program is None:
        missing("no amtool on the PATH")
    ended = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    return ended.stdout


def in_use(text: str) -> str:
    """Take away the `#` at the beginning of what is commented out; text has one space behind it."""
    return re.sub(r"(?m)^#(?=  )", "", text)


def test_the_routes_are_sound_with_every_receiver_in_use(tmp_path: Path) -> None:
    """As they stand, and with all that is commented out put to use, there is no fault in them."""
    amtool("check-config", str(ALERTMANAGER))
    whole = in_use(ALERTMANAGER.read_text(encoding="utf-8"))
    file = tmp_path / "alertmanager.yml"
    file.write_text(whole.replace("templates/*", str(TEMPLATES)), encoding="utf-8")
    printed = amtool("check-config", str(file))

    assert "4 receivers" in printed
    assert "1 templates" in printed
    for way in ("email_configs", "slack_configs", "webhook_configs"):
        assert f"\n    {way}:" in whole


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "KatoWatchdog", "severity": "none"}, "watchdog"),
        ({"alertname": "KatoStoreDown", "severity": "critical"}, "urgent"),
        ({"alertname": "KatoContainerCpuHigh", "severity": "warning"}, "daytime"),
        ({"alertname": "KatoSeriesDropped", "severity": "info"}, "notes"),
    ],
)
def test_each_severity_has_its_receiver(labels: dict[str, str], receiver: str) -> None:
    """Critical alerts are urgent, warnings for the day, the rest notes."""
    amtool(
        *("config", "routes", "test", f"--config.file={ALERTMANAGER}"),
        f"--verify.receivers={receiver}",
        *(f"{name}={value}" for name, value in labels.items()),
    )


def alert(status: str = "firing", **annotations: str) -> dict[str, Any]:
    """Make an alert of a message."""
    return {
        "status": status,
        "labels": {"alertname": "KatoStoreDown", "severity": "critical", "instance": "lab:9898"},
        "annotations": {
            "summary": "MongoDB does not answer",
            "description": "No answer for a minute.",
            "dashboard_url": "http://grafana/d/kato-stores",
            "runbook_url": "http://docs/KatoStoreDown.md",
            **annotations,
        },
        "startsAt": "2026-11-23T01:00:00Z",
        "endsAt": "2026-11-23T01:05:00Z" if status == "resolved" else "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "1",
    }


def rendered(template: str, directory: Path, *alerts: dict[str, Any], kind: str = "text") -> str:
    """Render one of our templates for a message of these alerts."""
    firing = any(each["status"] == "firing" for each in alerts)
    message = {
        "receiver": "urgent",
        "status": "firing" if firing else "resolved",
        "alerts": alerts,
        "groupLabels": {},
        "commonLabels": {"severity": "critical", "kato": "lab"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
    }
    file = directory / "message.json"
    file.write_text(json.dumps(message), encoding="utf-8")
    return amtool(
        *("template", "render", f"--template.glob={TEMPLATES}", f"--template.data={file}"),
        *(f"--template.type={kind}", f'--template.text={{{{ template "{template}" . }}}}'),
    ).strip()


def test_the_title_says_what_and_where_in_a_line(tmp_path: Path) -> None:
    """It begins with how bad it is, names the first and counts the others."""
    one = rendered("kato.title", tmp_path, alert())
    three = rendered("kato.title", tmp_path, alert(), alert(), alert(status="resolved"))
    over = rendered("kato.title", tmp_path, alert(status="resolved"))

    assert "[CRITICAL] MongoDB does not answer (lab)" == one
    assert "[CRITICAL] MongoDB does not answer and 1 more (lab)" == three
    assert "[OK] MongoDB does not answer (lab)" == over


@pytest.mark.parametrize(
    ("template", "kind"), [("kato.slack", "text"), ("kato.text", "text"), ("kato.html", "html")]
)
def test_each_text_has_all_links(tmp_path: Path, template: str, kind: str) -> None:
    """What is wrong, where to look, the records if there are any, and what to do about it."""
    told = rendered(template, tmp_path, alert(records_url="http://browser/kb/a"), kind=kind)
    without = rendered(template, tmp_path, alert(), kind=kind)

    for part in (
        *("MongoDB does not answer", "No answer for a minute.", "http://grafana/d/kato-stores"),
        *("http://docs/KatoStoreDown.md", "http://browser/kb/a", "http://alertmanager"),
    ):
        assert part in told
    assert "Records" in told
    assert "Records" not in without


def test_what_is_over_is_told_with_its_time(tmp_path: Path) -> None:
    """A message may hold alerts of both kinds."""
    told = rendered("kato.text", tmp_path, alert(status="resolved"))

    assert "Over: MongoDB does not answer" in told
    assert "from 2026-11-23 01:00:00 to 2026-11-23 01:05:00 UTC" in told


@pytest.mark.parametrize(("template", "kind"), [("kato.slack", "text"), ("kato.html", "html")])
def test_names_from_the_stores_make_no_links(tmp_path: Path, template: str, kind: str) -> None:
    """A knowledge base may be called whatever it likes; it stays text."""
    told = rendered(
        *(template, tmp_path, alert(summary="<http://evil|lost>", description="<b>x</b>")),
        kind=kind,
    )

    assert "<http://evil" not in told
    assert "<b>" not in told

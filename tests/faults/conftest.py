"""What the tests of faults have in common."""

import pytest


@pytest.fixture
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tracker come back without the long pauses that a real outage may cost."""
    monkeypatch.setattr(
        "kato_exporter.collectors.session_tracker.reconnect_pause",
        lambda failures: min(0.1 * failures, 0.3),
    )

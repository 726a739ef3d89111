"""A reader of the record browser."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx

from soak.weather import Weather
from support.browsing import PASSWORD, READER, RunningBrowser

_PATIENCE = 60.0
_WELL = frozenset({httpx.codes.OK, httpx.codes.NOT_FOUND})
"""A session may have ended since it was listed."""
_STORE_FAILS = frozenset({httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE})


class PageReader:
    """Reads pages, signed in by the form; none may be a fault of the browser's own.

    `late_failures` counts the pages that a store has failed when all had recovered: the first ones
    that have met connections which a fault had left open and silent.
    """

    def __init__(self, browser: RunningBrowser, weather: Weather, *, seed: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.late_failures = 0
        self._weather = weather
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._client = httpx.Client(base_url=browser.url, timeout=_PATIENCE, trust_env=False)
        self._sessions: list[str] = []
        self._sign_in()

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def read_one(self) -> None:
        """Read one page, whichever."""
        self.read(self._random.choice(list(self._paths())))

    def read_all(self) -> None:
        """Read each kind of page once."""
        for path in list(self._paths()):
            self.read(path)

    def read(self, path: str) -> None:
        """Read a page."""
        season = self._weather.season
        answer = self._client.get(path)
        self.statuses[answer.status_code] += 1
        assert answer.status_code in _WELL | _STORE_FAILS, f"{path}: {answer.text}"
        if season.is_clear and season is self._weather.season:
            self.late_failures += answer.status_code not in _WELL
        if path == "/sessions":
            self._sessions = re.findall(r'href="(/sessions/session-[^"?]+)"', answer.text)

    def facts(self, path: str) -> Any:
        """Give the facts of a page, None where a store fails it."""
        answer = self._client.get(path, params={"format": "json"})
        assert answer.status_code in {httpx.codes.OK} | _STORE_FAILS, f"{path}: {answer.text}"
        return answer.json() if answer.is_success else None

    def _paths(self) -> Iterator[str]:
        yield from ("/", "/sessions", "/redis", "/redis/keys", "/kb", "/qdrant")
        yield from self._random.sample(self._sessions, min(1, len(self._sessions)))
        for kb in ("alice_kato", "bob_kato"):
            yield from (f"/kb/{kb}", f"/kb/{kb}/patterns", f"/qdrant/vectors_{kb}")
            yield from (f"/kb/{kb}/collections/{name}" for name in ("symbols_kb", "predictions_kb"))

    def _sign_in(self) -> None:
        page = self._client.get("/login").text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token is not None, page
        form = {"name": READER, "password": PASSWORD, "csrf_token": token[1]}
        assert httpx.codes.SEE_OTHER == self._client.post("/login", data=form).status_code

"""Container engines that speak Docker's API: containers, their statistics and their events.

Five requests are made and no others, so that a proxy in front of the engine's socket can refuse the
rest: `GET /_ping`, `/version`, `/containers/json`, `/containers/ID/stats` and `/events`. None of
their answers holds an environment variable of a container.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from docker import APIClient
from docker.tls import TLSConfig
from requests.adapters import HTTPAdapter

from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.docker.errors import (
    EmptyAnswerError,
    NoSuchContainerError,
    engine_errors,
    one_line,
    refusal,
)
from kato_exporter.stores.docker.event_feed import ContainerEventFeed
from kato_exporter.stores.docker.stats import (
    EVENT_ACTIONS,
    Container,
    ContainerStats,
    container_stats,
    containers,
    memory_total,
)
from kato_exporter.stores.errors import QueryError, StoreError
from kato_exporter.stores.json_values import parse_json
from kato_exporter.stores.store import StoreReport

_OLDEST_API = (1, 41)
_NEWEST_API = (1, 52)
_MOST_BYTES = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_LEAST_PATIENCE = 0.01
_ALMOST_A_SECOND = 0.999
_MARGIN = 0.25  # so that one silent container does not make the answers of the others late
_SPARE_CONNECTIONS = 4
_MOST_SSH_SESSIONS = 7  # sshd allows 10 on a connection; the list, a probe and the events take 3
_MEMINFO = Path("/proc/meminfo")
_NO_CONTAINER = "0" * 64
_EVENT_FILTERS = json.dumps({"type": ["container"], "event": [*EVENT_ACTIONS, "remove"]})


class DockerStore:
    """A Docker Engine or a Podman, at `unix:///PATH`, `tcp://HOST:PORT` or `ssh://[USER@]HOST`.

    `timeout` in seconds bounds every connection attempt and every cheap answer; `most_at_once`
    bounds the containers that are asked at the same time. `cert_path` is a directory with `ca.pem`,
    and `cert.pem` and `key.pem` where the engine wants them: tcp is then TLS, and verified.
    """

    name = "docker"

    def __init__(
        self, host: str, *, timeout: float, most_at_once: int, cert_path: Path | None = None
    ) -> None:
        self._host = host
        self._timeout = timeout
        self._most_at_once = (
            min(most_at_once, _MOST_SSH_SESSIONS) if _is_ssh(host) else most_at_once
        )
        self._cert_path = cert_path
        self._lock = threading.Lock()
        self._client: APIClient | None = None
        self._api: str | None = None
        self._pool = ThreadPoolExecutor(
            max_workers=self._most_at_once, thread_name_prefix="containers"
        )

    @property
    def address(self) -> str:
        """Where it is, without user name, password or options."""
        parts = urlsplit(self._host)
        if parts.scheme == "unix":
            return f"unix://{parts.path}"
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}"

    def probe(self, deadline: Deadline) -> None:
        """Ask `/_ping`; raise StoreError where no answer comes or the API is too old for us."""
        self._ping(deadline)

    def report(self) -> StoreReport:
        """Ask `/version` and try each kind of question once; raise StoreError."""
        deadline = Deadline.after(self._timeout)
        self._ping(deadline)
        lacking = []
        product = "a container engine of unknown version"
        try:
            product = _product(self._json("/version", {}, deadline))
        except QueryError as error:
            lacking.append(f"GET /version is refused ({error}): only the version is unknown")
        try:
            self.containers(deadline)
        except QueryError as error:
            lacking.append(f"GET /containers/json is refused ({error}): nothing can be collected")
        try:
            self._one(_NO_CONTAINER, deadline, host_memory=None)
        except QueryError as error:
            lacking.append(f"GET /containers/*/stats is refused ({error}): states only")
        try:
            with self.events(since=0, until=1):
                pass
        except QueryError as error:
            lacking.append(
                f"GET /events is refused ({error}): no restarts, OOM kills and start times"
            )
        return StoreReport(version=f"{product}, API {self._api}", lacking=tuple(lacking))

    def containers(self, deadline: Deadline) -> list[Container]:
        """List all containers, the stopped ones too (`/containers/json`)."""
        answer = self._json("/containers/json", {"all": "1"}, self._sooner(deadline))
        if not isinstance(answer, list):  # else all containers would look as if they were gone
            raise QueryError("/containers/json: not a list of containers")
        return list(containers(answer))

    def stats(
        self, ids: Sequence[str], deadline: Deadline
    ) -> Mapping[str, ContainerStats | StoreError]:
        """Ask for the statistics of all these containers at once (`/containers/ID/stats`).

        A container that has ended or gone meanwhile is not in the answer; one whose statistics did
        not come before the deadline has the error in their place.
        """
        host_memory = _host_memory()
        deadline = Deadline(deadline.at - min(_MARGIN, deadline.remaining / 10))
        asked = {
            self._pool.submit(self._one, identity, deadline, host_memory=host_memory): identity
            for identity in ids
        }
        wait(asked, timeout=deadline.remaining)
        found: dict[str, ContainerStats | StoreError] = {}
        for future, identity in asked.items():
            if future.cancel() or not future.done():
                found[identity] = StoreError("no statistics before the deadline")
                continue
            try:
                stats = future.result()
            except StoreError as error:
                found[identity] = error
            else:
                if stats is not None:
                    found[identity] = stats
        return found

    def clock(self) -> float:
        """Give the time on the engine's clock, in epoch seconds.

        The `Date` of `/_ping` tells its second; our own clock, where it agrees, the fraction.
        """
        date = self._ping(Deadline.after(self._timeout)).get("Date", "")
        ours = time.time()
        with suppress(ValueError, TypeError, OverflowError):
            second = parsedate_to_datetime(date).timestamp()
            return min(max(ours, second), second + _ALMOST_A_SECOND)
        return ours

    def events(self, *, since: int, until: int | None = None) -> ContainerEventFeed:
        """Open `/events`: what the engine still remembers since then, and what comes.

        Times are whole epoch seconds on the engine's clock. With an `until` that has passed the
        feed ends behind the last event, else it goes on.
        """
        params = {"since": str(since), "filters": _EVENT_FILTERS}
        if until is not None:
            params["until"] = str(until)
        url = self._url("/events", Deadline.after(self._timeout))
        return ContainerEventFeed(self._open(url, params, (self._timeout, self._timeout)))

    def close(self) -> None:
        """Give back every connection."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _one(
        self, identity: str, deadline: Deadline, *, host_memory: int | None
    ) -> ContainerStats | None:
        """Ask for one sample, without the second one that only percentages need."""
        params = {"stream": "0", "one-shot": "1"}
        try:
            answer = self._json(f"/containers/{identity}/stats", params, deadline)
        except (NoSuchContainerError, EmptyAnswerError):
            return None
        return container_stats(answer, host_memory=host_memory)

    def _ping(self, deadline: Deadline) -> Mapping[str, str]:
        """Ask `/_ping`, learn which API the engine speaks, and give the headers of its answer."""
        deadline = self._sooner(deadline)
        with self._asked(f"{self._base_url()}/_ping", {}, deadline) as response:
            _whole(response, deadline)
            headers = response.headers
        spoken = headers.get("Api-Version")
        if spoken is None:
            version = self._asked_json(f"{self._base_url()}/version", {}, deadline)
            spoken = str(version.get("ApiVersion")) if isinstance(version, Mapping) else ""
        self._api = _usable_api(spoken)
        return headers

    def _json(self, path: str, params: Mapping[str, str], deadline: Deadline) -> Any:
        return self._asked_json(self._url(path, deadline), params, deadline)

    def _asked_json(self, url: str, params: Mapping[str, str], deadline: Deadline) -> Any:
        with self._asked(url, params, deadline) as response, engine_errors(deadline.remaining):
            body = _whole(response, deadline)
            if not body:
                raise EmptyAnswerError("an empty answer")
            return parse_json(body)

    def _asked(self, url: str, params: Mapping[str, str], deadline: Deadline) -> requests.Response:
        patience = max(_LEAST_PATIENCE, deadline.remaining)
        return self._open(url, params, (min(patience, self._timeout), patience))

    def _open(
        self, url: str, params: Mapping[str, str], timeouts: tuple[float, float]
    ) -> requests.Response:
        """Send a GET and give its answer, the body still to be read; raise for what is not 200."""
        client = self._connected()
        try:
            with engine_errors(timeouts[1]):
                response = client.get(
                    url, params=params, timeout=timeouts, stream=True, allow_redirects=False
                )
        except StoreError:
            self._drop_broken_ssh(client)
            raise
        if response.status_code != requests.codes.ok:
            with response:
                raise refusal(response)
        return response

    def _url(self, path: str, deadline: Deadline) -> str:
        if self._api is None:
            self._ping(deadline)
        return f"{self._base_url()}/v{self._api}{path}"

    def _base_url(self) -> str:
        return str(self._connected().base_url)

    def _sooner(self, deadline: Deadline) -> Deadline:
        return Deadline(min(deadline.at, Deadline.after(self._timeout).at))

    def _connected(self) -> APIClient:
        """Give the client, made on first use: over SSH, making it connects."""
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> APIClient:
        tls = _tls(self._cert_path) if self._cert_path and self._host.startswith("tcp:") else False
        connections = self._most_at_once + _SPARE_CONNECTIONS
        with engine_errors(self._timeout):
            client = APIClient(
                base_url=self._host,
                version=".".join(map(str, _OLDEST_API)),
                timeout=int(self._timeout) or 1,
                tls=tls,
                user_agent="kato-exporter",
                max_pool_size=connections,
            )
        client.trust_env = False  # no proxy and no other list of authorities than the given one
        for scheme in ("http://", "https://"):
            if self._host.startswith("tcp://"):
                client.mount(scheme, HTTPAdapter(pool_maxsize=connections))
        return client

    def _drop_broken_ssh(self, client: APIClient) -> None:
        """Have the next request connect anew: a client over SSH does not do so by itself."""
        with self._lock:
            if _is_ssh(self._host) and self._client is client:
                self._client = None
                client.close()


def _whole(response: requests.Response, deadline: Deadline) -> bytes:
    """Read a body to its end; StoreError where it is cut off, too large or too late."""
    body = bytearray()
    with engine_errors(deadline.remaining):
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > _MOST_BYTES:
                raise StoreError(f"an answer of more than {_MOST_BYTES} bytes")
            if deadline.expired:
                raise StoreError("the answer was not through before the deadline")
    return bytes(body)


def _usable_api(spoken: str) -> str:
    """Choose the API version to ask in; StoreError where the engine's is too old."""
    try:
        major, minor = map(int, spoken.split("."))
    except ValueError as error:
        raise StoreError(f"does not name its API version but {spoken[:40]!r}") from error
    if (major, minor) < _OLDEST_API:
        oldest = ".".join(map(str, _OLDEST_API))
        raise StoreError(
            f"the engine speaks Docker API {spoken}, which is too old: {oldest} "
            "(Docker Engine 20.10, Podman 4) or newer is needed"
        )
    return ".".join(map(str, min((major, minor), _NEWEST_API)))


def _product(version: Any) -> str:
    """Name product and version from the answer to /version."""
    if not isinstance(version, Mapping):
        return "a container engine of unknown version"
    components = version.get("Components")
    names = (
        [each.get("Name") for each in components if isinstance(each, Mapping)]
        if isinstance(components, list)
        else []
    )
    product = "Podman" if "Podman Engine" in names else "Docker Engine"
    return one_line(f"{product} {version.get('Version', 'of unknown version')}")


def _is_ssh(host: str) -> bool:
    return host.startswith("ssh://")


def _tls(cert_path: Path) -> TLSConfig:
    """Read the files as `docker --tlsverify` names them; StoreError where one is missing."""
    authority, certificate, key = (cert_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    own = (str(certificate), str(key)) if certificate.exists() or key.exists() else None
    with engine_errors(0):
        return TLSConfig(client_cert=own, ca_cert=str(authority), verify=True)


def _host_memory() -> int | None:
    """Read this machine's memory in bytes; None where the system does not tell."""
    try:
        with _MEMINFO.open(encoding="ascii") as lines:
            return memory_total(lines)
    except (OSError, ValueError):
        return None

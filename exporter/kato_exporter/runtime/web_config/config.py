"""A whole web config file, and what it does to a server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from cheroot.ssl import Adapter

from kato_exporter.runtime.web_config import headers, tls_options
from kato_exporter.runtime.web_config.adapter import TlsAdapter
from kato_exporter.runtime.web_config.basic_auth import read_users, require_basic_auth
from kato_exporter.runtime.web_config.sections import read_sections
from kato_exporter.runtime.web_config.tls import ServerTls

_KEYS = ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")


@dataclass(frozen=True, kw_only=True, slots=True)
class WebConfig:
    """What a good file asks for; without a file it is plain HTTP for everyone.

    `headers` maps names to values, `users` maps users to bcrypt hashes. `guarded` are the paths
    that ask for a user, all where it is None.
    """

    tls: ServerTls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    guarded: frozenset[str] | None = None

    @property
    def scheme(self) -> str:
        """The scheme of the server's URLs."""
        return "http" if self.tls is None else "https"

    def ssl_adapter(self) -> Adapter | None:
        """Make the `ssl_adapter` of a cheroot server; None where the file asks for no TLS."""
        return None if self.tls is None else TlsAdapter(self.tls)

    def certificate_expiry(self) -> float | None:
        """Return notAfter of the certificate served now, in epoch seconds; None without TLS."""
        return None if self.tls is None else self.tls.current().expiry

    def protect(self, app: WSGIApplication) -> WSGIApplication:
        """Put users and headers, where the file has them, in front of all of an application.

        As in the toolkit the health pages ask for a user too, and a refusal has the headers.
        """
        if self.users:
            app = self._ask_for_user(app)
        return headers.add_headers(app, self.headers) if self.headers else app

    def _ask_for_user(self, app: WSGIApplication) -> WSGIApplication:
        asking = require_basic_auth(app, self.users)
        if self.guarded is None:
            return asking
        guarded = self.guarded

        def choosing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            chosen = asking if environ["PATH_INFO"] in guarded else app
            return chosen(environ, start_response)

        return choosing


def load_web_config(path: Path) -> WebConfig:
    """Read and check a web config file, and each file that it names.

    A change of the file itself needs a restart; certificates, keys and client CAs that are renewed
    on disk are taken up with the next connection. Raises WebConfigError, whose message is one line
    and holds no secret.
    """
    top = read_sections(path)
    top.check_keys(_KEYS)
    if "rate_limit" in top.values:
        raise top.error("rate_limit", "is not supported; remove it and limit requests in a proxy")
    tls = top.section("tls_server_config", tls_options.KEYS)
    return WebConfig(
        tls=ServerTls(tls) if tls.values else None,
        headers=headers.read_headers(top.section("http_server_config", headers.KEYS)),
        users=read_users(top.section("basic_auth_users")),
    )

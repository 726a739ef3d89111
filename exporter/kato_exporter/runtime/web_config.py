"""The web config file: TLS, users and response headers, in the format of Prometheus.

The format is that of https://github.com/prometheus/exporter-toolkit (docs/web-configuration.md),
so that one file serves all exporters of a host. Certificates, keys and client CAs that are renewed
on disk are taken up with the next connection; a change of the file itself needs a restart.

Where a Python server cannot do what a Go server does:

- `client_auth_type`: `RequestClientCert` is `NoClientCert`, as neither looks at a certificate;
  `RequireAnyClientCert` is refused, and a type that verifies needs a client CA.
- `min_version`, `max_version`: TLS 1.0 and 1.1 are refused.
- `curve_preferences`: one curve at most.
- `http2`: accepted, as it permits and does not demand; HTTP/1.1 is spoken.
- `rate_limit`: refused.
"""

import base64
import calendar
import hashlib
import ipaddress
import os
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any, TypeVar
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import bcrypt
import structlog
import yaml
from cheroot.errors import FatalSSLAlert
from cheroot.makefile import StreamReader, StreamWriter
from cheroot.ssl import Adapter

if TYPE_CHECKING:
    from _typeshed import OptExcInfo, WriteableBuffer

_log = structlog.get_logger("web")

_Choice = TypeVar("_Choice")

_TLS_KEYS = (
    "cert",
    "cert_file",
    "key",
    "key_file",
    "client_ca",
    "client_ca_file",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
)
_VERIFY_MODES = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = ("RequireAnyClientCert", "RequireClientCert")
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_RETIRED_VERSIONS = ("TLS10", "TLS11")
_CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    # Of TLS 1.3, where neither Go nor Python lets a server choose: permitted, without effect.
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_BCRYPT_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_BCRYPT_READS = 72
"""Bytes of a password that bcrypt looks at; htpasswd and Go pass over the rest without a word."""

_REMEMBERED = 1_000
_QUOTED_WORD = re.compile(r"'[^'<][^']+'")
_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----",
    re.DOTALL,
)
_NO_CERTIFICATE = "has no certificate in PEM; give one or more"
_DER_VERSION = 0xA0
_DER_UTC_TIME = 0x17
_DER_LONG_LENGTH = 0x80
_UNAUTHORIZED = f"{HTTPStatus.UNAUTHORIZED.value} {HTTPStatus.UNAUTHORIZED.phrase}"
_PLAIN_HTTP_ANSWER = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"This port speaks HTTPS only.\n"
)


class WebConfigError(ValueError):
    """The web config file cannot be used: one line with file, key, value and what is right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PemSource:
    """Where PEM text comes from: a file beside the web config file, or the config file itself.

    `origin` opens every complaint about it.
    """

    origin: str
    path: Path | None
    text: bytes = field(repr=False)

    def read(self) -> bytes:
        """Return the text as it is now; raise WebConfigError when its file cannot be read."""
        if self.path is None:
            return self.text
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror}; name a readable file") from error

    def error(self, problem: str) -> WebConfigError:
        """Make the complaint about this text."""
        return WebConfigError(f"{self.origin} {problem}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsServerConfig:
    """The section `tls_server_config`, in the terms of Python's ssl.

    `ciphers` (an OpenSSL list) and `curve` are empty where OpenSSL's defaults hold.
    """

    file: Path
    cert: PemSource
    key: PemSource
    client_ca: PemSource | None
    verify_mode: ssl.VerifyMode
    client_allowed_sans: frozenset[str]
    min_version: ssl.TLSVersion
    max_version: ssl.TLSVersion
    ciphers: str
    prefer_server_cipher_suites: bool
    curve: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedTls:
    """A context for connections, and notAfter of its certificate in epoch seconds."""

    context: ssl.SSLContext
    expiry: float


class ServerTls:
    """The TLS of what is on disk now, or the last good one where that cannot be used.

    The files are compared at each connection: a few kilobytes, beside which the handshake is dear.
    Raises WebConfigError where there is no good one to begin with.
    """

    def __init__(self, config: TlsServerConfig) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._material = _read_material(config)
        self._served = _serve(config, self._material)
        self._complaint = ""

    def current(self) -> ServedTls:
        """Return what serves the next connection; a failed renewal is logged, once."""
        with self._lock:
            try:
                self._renew()
                self._complaint = ""
            except WebConfigError as error:
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    _log.warning("keeps the certificate from before", error=self._complaint)
            return self._served

    def _renew(self) -> None:
        material = _read_material(self.config)
        if material != self._material:
            self._served = _serve(self.config, material)
            self._material = material
            _log.info("took up a renewed certificate", expiry=self._served.expiry)


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpServerConfig:
    """The section `http_server_config`: headers of every response that does not set its own."""

    http2: bool
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class WebConfig:
    """A web config file that was found good. `basic_auth_users` gives each user's bcrypt hash."""

    file: Path
    tls: ServerTls | None
    http_server_config: HttpServerConfig
    basic_auth_users: Mapping[str, bytes] = field(repr=False)

    def ssl_adapter(self) -> Adapter | None:
        """Make the `ssl_adapter` of a cheroot server; None where the file asks for no TLS."""
        return None if self.tls is None else _LiveAdapter(self.tls)

    def certificate_expiry(self) -> float | None:
        """Return notAfter of the certificate served now, in epoch seconds; None without TLS."""
        return None if self.tls is None else self.tls.current().expiry

    def protect(self, app: WSGIApplication) -> WSGIApplication:
        """Put users and headers, where the file has them, in front of all of an application.

        As in the toolkit the health pages ask for a user too, and a refusal has the headers.
        """
        if self.basic_auth_users:
            app = require_basic_auth(app, self.basic_auth_users)
        if self.http_server_config.headers:
            app = add_headers(app, self.http_server_config.headers)
        return app


def load_web_config(path: Path) -> WebConfig:
    """Read and check a web config file, and each file that it names.

    Raises WebConfigError, whose message is one line and holds no secret.
    """
    top = _Section(file=path, name="", values=_parse(path))
    top.check_keys(("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"))
    if "rate_limit" in top.values:
        raise top.error("rate_limit", "is not supported; remove it and limit requests in a proxy")
    tls = _tls_server_config(top.section("tls_server_config", _TLS_KEYS))
    return WebConfig(
        file=path,
        tls=None if tls is None else ServerTls(tls),
        http_server_config=_http_server_config(
            top.section("http_server_config", ("http2", "headers")),
        ),
        basic_auth_users=_basic_auth_users(top.section("basic_auth_users")),
    )


def require_basic_auth(app: WSGIApplication, users: Mapping[str, bytes]) -> WSGIApplication:
    """Let requests through that name one of `users` (user to bcrypt hash) with the password.

    All others get 401 after the same work, whether the user exists or not. A success is remembered
    by a keyed hash, as bcrypt is slow by design and Prometheus asks every few seconds.
    Raises ValueError where there are no users, since nobody could ever pass.
    """
    door = _Doorkeeper(users)

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        credentials = _credentials(environ.get("HTTP_AUTHORIZATION", ""))
        if credentials is not None and door.admits(*credentials):
            return app(environ, start_response)
        body = f"{HTTPStatus.UNAUTHORIZED.phrase}\n".encode()
        headers = [
            ("WWW-Authenticate", 'Basic realm="kato-exporter"'),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
        ]
        start_response(_UNAUTHORIZED, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return guarded


def add_headers(app: WSGIApplication, headers: Mapping[str, str]) -> WSGIApplication:
    """Add headers to each response of an application; one that it sets itself stays as it is."""

    def extended(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(
            status: str,
            given: list[tuple[str, str]],
            exc_info: "OptExcInfo | None" = None,
            /,
        ) -> Callable[[bytes], object]:
            own = {name.lower() for name, _ in given}
            added = [(name, value) for name, value in headers.items() if name.lower() not in own]
            return start_response(status, given + added, exc_info)

        return app(environ, start)

    return extended


class _DuplicateKeyError(yaml.MarkedYAMLError):
    """A key stands twice in one mapping."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key given twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"{key.value!r} is given twice; keep one"
                    raise _DuplicateKeyError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Section:
    """One mapping of the file; each complaint names the file and the key."""

    file: Path
    name: str
    values: dict[Any, object]

    def error(self, key: str, problem: str) -> WebConfigError:
        where = f"{self.name}.{key}" if self.name else key
        return WebConfigError(f"{self.file}: {where}: {problem}")

    def check_keys(self, known: Iterable[str]) -> None:
        for key in self.values:
            if key not in known:
                where = f"{self.name}: " if self.name else ""
                message = f"unknown key {key!r}; known are {', '.join(known)}"
                raise WebConfigError(f"{self.file}: {where}{message}")

    def section(self, key: str, known: Iterable[str] = ()) -> "_Section":
        value = {} if self.values.get(key) is None else self.values[key]
        if not isinstance(value, dict):
            raise self.error(key, f"is of type {type(value).__name__}; it needs a mapping")
        name = f"{self.name}.{key}" if self.name else key
        section = _Section(file=self.file, name=name, values=value)
        if known:
            section.check_keys(known)
        return section

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(key, f"is of type {type(value).__name__}; it needs text, in quotes")
        return value

    def flag(self, key: str) -> bool:
        value = self.values.get(key, True)
        if not isinstance(value, bool):
            raise self.error(key, f"{value!r} is not a boolean; use true or false")
        return value

    def texts(self, key: str) -> list[str]:
        value = [] if self.values.get(key) is None else self.values[key]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, f"{value!r} is not a list of texts; begin each with a dash")
        return value

    def choose(self, key: str, name: str, choices: Mapping[str, _Choice]) -> _Choice:
        if name not in choices:
            raise self.error(key, f"{name!r} is not known; use {', '.join(choices)}")
        return choices[name]


def _parse(path: Path) -> dict[Any, object]:
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror}; name a readable file"
        raise WebConfigError(f"{path}: {problem}") from error
    try:
        document = _load_yaml(content)
    except (yaml.YAMLError, ValueError) as error:
        raise WebConfigError(f"{path}: {_yaml_problem(error)}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise WebConfigError(f"{path}: is of type {type(document).__name__}; it needs a mapping")
    return document


def _load_yaml(content: bytes) -> object:
    loader = _StrictLoader(content)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _yaml_problem(error: Exception) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "is not YAML in UTF-8"
    problem = str(error.problem)
    if not isinstance(error, _DuplicateKeyError):
        # PyYAML quotes what it stumbled over, which may be a password.
        problem = _QUOTED_WORD.sub("(not shown)", problem)
    return f"line {error.problem_mark.line + 1}: {problem}"


def _tls_server_config(section: _Section) -> TlsServerConfig | None:
    if not section.values:
        return None
    client_ca = _pem_source(section, "client_ca")
    verify_mode = _verify_mode(section, has_ca=client_ca is not None)
    min_version, max_version = _versions(section)
    return TlsServerConfig(
        file=section.file,
        cert=_needed_pem_source(section, "cert"),
        key=_needed_pem_source(section, "key"),
        client_ca=client_ca,
        verify_mode=verify_mode,
        client_allowed_sans=_client_allowed_sans(section, verify_mode),
        min_version=min_version,
        max_version=max_version,
        ciphers=_ciphers(section, min_version),
        prefer_server_cipher_suites=section.flag("prefer_server_cipher_suites"),
        curve=_curve(section),
    )


def _needed_pem_source(section: _Section, key: str) -> PemSource:
    source = _pem_source(section, key)
    if source is None:
        raise section.error(f"{key}_file", f"is missing; name a file in PEM, or give {key}")
    return source


def _pem_source(section: _Section, key: str) -> PemSource | None:
    inline, name = section.text(key), section.text(f"{key}_file")
    if inline and name:
        raise section.error(f"{key}_file", f"{name!r} is given beside {key}; keep one of them")
    where = f"{section.file}: {section.name}.{key}"
    if inline:
        return PemSource(origin=f"{where}: the text", path=None, text=inline.encode())
    if name:
        path = section.file.parent / name
        return PemSource(origin=f"{where}_file: {str(path)!r}", path=path, text=b"")
    return None


def _verify_mode(section: _Section, *, has_ca: bool) -> ssl.VerifyMode:
    key = "client_auth_type"
    name = section.text(key) or "NoClientCert"
    if name in _UNVERIFIED:
        problem = f"{name!r} admits unverified certificates, which Python's ssl cannot"
        raise section.error(key, f"{problem}; use RequireAndVerifyClientCert")
    mode = section.choose(key, name, _VERIFY_MODES)
    if mode is not ssl.CERT_NONE and not has_ca:
        raise section.error(key, f"{name!r} needs client_ca_file")
    if has_ca and name == "NoClientCert":
        raise section.error(
            key, f"{name!r} has no use for a client CA; use RequireAndVerifyClientCert"
        )
    return mode


def _client_allowed_sans(section: _Section, mode: ssl.VerifyMode) -> frozenset[str]:
    key = "client_allowed_sans"
    sans = frozenset(section.texts(key))
    if section.values.get(key) == []:
        raise section.error(key, "[] admits nobody; name somebody, or remove it")
    if sans and mode is not ssl.CERT_REQUIRED:
        problem = f"{sorted(sans)!r} needs client_auth_type: RequireAndVerifyClientCert"
        raise section.error(key, problem)
    return sans


def _versions(section: _Section) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    lowest = _version(section, "min_version", "TLS12")
    highest = _version(section, "max_version", "TLS13")
    if highest < lowest:
        problem = f"{section.text('max_version')!r} is below min_version; use TLS13"
        raise section.error("max_version", problem)
    return lowest, highest


def _version(section: _Section, key: str, default: str) -> ssl.TLSVersion:
    name = section.text(key) or default
    if name in _RETIRED_VERSIONS:
        problem = f"{name!r} is retired (RFC 8996) and not spoken; use {' or '.join(_VERSIONS)}"
        raise section.error(key, problem)
    return section.choose(key, name, _VERSIONS)


def _ciphers(section: _Section, min_version: ssl.TLSVersion) -> str:
    key = "cipher_suites"
    names = section.texts(key)
    ciphers = ":".join(filter(None, [section.choose(key, name, _SUITES) for name in names]))
    if names and not ciphers and min_version is not ssl.TLSVersion.TLSv1_3:
        problem = f"{names!r} leaves TLS 1.2 without a suite; add one, or set min_version: TLS13"
        raise section.error(key, problem)
    return ciphers


def _curve(section: _Section) -> str:
    key = "curve_preferences"
    curves = [section.choose(key, name, _CURVES) for name in section.texts(key)]
    if len(curves) > 1:
        problem = f"{section.texts(key)!r} has more than Python's ssl takes; keep one"
        raise section.error(key, problem)
    return "".join(curves)


def _http_server_config(section: _Section) -> HttpServerConfig:
    given = section.section("headers", _HEADERS)
    headers = {name: _header(given, name) for name in given.values}
    return HttpServerConfig(
        http2=section.flag("http2"),
        headers={name: value for name, value in headers.items() if value},
    )


def _header(section: _Section, name: str) -> str:
    value = section.text(name).strip()
    permitted = _HEADERS[name]
    if value and permitted and value not in permitted:
        raise section.error(name, f"{value!r} is not permitted; use {' or '.join(permitted)}")
    if not _HEADER_VALUE.fullmatch(value):
        raise section.error(name, f"{value!r} is not one line of ASCII; write it as one")
    return value


def _basic_auth_users(section: _Section) -> dict[str, bytes]:
    return {user: _bcrypt_hash(section, user) for user in section.values}


def _bcrypt_hash(section: _Section, user: object) -> bytes:
    if not isinstance(user, str):
        raise section.error(repr(user), "is no text; put the name in quotes")
    if ":" in user:
        raise section.error(repr(user), "has a colon, which ends a name in HTTP; choose another")
    value = section.values[user]
    if not isinstance(value, str) or not _BCRYPT_HASH.fullmatch(value):
        problem = "the value (not shown) is no bcrypt hash; make one with `htpasswd -nBC 10 USER`"
        raise section.error(repr(user), problem)
    return value.encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Material:
    cert: bytes
    key: bytes = field(repr=False)
    client_ca: bytes


def _read_material(config: TlsServerConfig) -> _Material:
    return _Material(
        cert=config.cert.read(),
        key=config.key.read(),
        client_ca=b"" if config.client_ca is None else config.client_ca.read(),
    )


def _serve(config: TlsServerConfig, material: _Material) -> ServedTls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = _ServerSocket
    context.minimum_version = config.min_version
    context.maximum_version = config.max_version
    context.verify_mode = config.verify_mode
    # Any certificate in the client CA's file is an anchor, as in Go, and not only a root.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.Options.OP_CIPHER_SERVER_PREFERENCE
    _choose_algorithms(context, config)
    if config.client_ca is not None:
        _trust(context, config.client_ca, material.client_ca)
    _load_chain(context, config, material)
    return ServedTls(context=context, expiry=_not_after(config.cert, material.cert))


def _choose_algorithms(context: ssl.SSLContext, config: TlsServerConfig) -> None:
    try:
        if config.ciphers:
            context.set_ciphers(config.ciphers)
        if config.curve:
            context.set_ecdh_curve(config.curve)
    except (ssl.SSLError, ValueError) as error:
        problem = f"{config.ciphers or config.curve} is not in {ssl.OPENSSL_VERSION}; remove it"
        raise WebConfigError(f"{config.file}: tls_server_config: {problem}") from error


def _trust(context: ssl.SSLContext, source: PemSource, pem: bytes) -> None:
    try:
        context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise source.error(_NO_CERTIFICATE) from error


def _load_chain(context: ssl.SSLContext, config: TlsServerConfig, material: _Material) -> None:
    # OpenSSL does not say which of two files it could not read, so the first is read by itself.
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), config.cert, material.cert)
    try:
        with _in_memory(material.cert) as cert, _in_memory(material.key) as key:
            # With an empty password an encrypted key fails; with none OpenSSL asks the terminal.
            context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise config.key.error(_key_problem(error, material.key)) from error


def _key_problem(error: ssl.SSLError, key: bytes) -> str:
    if error.reason in {"KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}:
        return "does not belong to the certificate; give the key that it was made with"
    if b"ENCRYPTED" in key:
        return "is encrypted; give the key without a password"
    reason = f" ({error.reason})" if error.reason else ""
    return f"cannot be used{reason}; give a private key in PEM"


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Lend a path to bytes: `load_cert_chain` takes nothing else, and no key shall go to a disk."""
    with os.fdopen(os.memfd_create("pem"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _not_after(source: PemSource, pem: bytes) -> float:
    """Read the end of validity of the first certificate, which OpenSSL has found well-formed.

    Python decodes no certificate but a verified peer's. RFC 5280, 4.1:
    Certificate { TBSCertificate { [0] version, serial, algorithm, issuer, { notBefore, notAfter
    """
    block = _CERTIFICATE.search(pem)
    if block is None:
        raise source.error(_NO_CERTIFICATE)
    der = ssl.PEM_cert_to_DER_cert(block[0].decode())
    _, certificate = next(_elements(der))
    _, tbs_certificate = next(_elements(certificate))
    values = [value for tag, value in _elements(tbs_certificate) if tag != _DER_VERSION]
    _, (tag, not_after) = _elements(values[3])
    moment = not_after.decode()
    if tag == _DER_UTC_TIME:
        moment = ("19" if moment >= "50" else "20") + moment
    return float(calendar.timegm(time.strptime(moment, "%Y%m%d%H%M%SZ")))


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Split DER into tags and contents."""
    position = 0
    while position < len(der):
        tag, length = der[position : position + 2]
        position += 2
        if length & _DER_LONG_LENGTH:
            start, position = position, position + (length ^ _DER_LONG_LENGTH)
            length = int.from_bytes(der[start:position])
        yield tag, der[position : position + length]
        position += length


class _LiveAdapter(Adapter):
    """Gives each connection the TLS of that moment."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls

    def bind(self, sock: socket) -> socket:
        return sock

    def wrap(self, sock: socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        context = self._tls.current().context
        try:
            client = sock.getpeername()[0]
            wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError as error:
            raise FatalSSLAlert(*error.args) from error
        if isinstance(wrapped, _ServerSocket):
            wrapped.client = client
            wrapped.allowed_sans = self._tls.config.client_allowed_sans
        return wrapped, self.get_environ()

    def get_environ(self) -> dict[str, str]:
        return {}

    def makefile(
        self,
        sock: socket,
        mode: str = "r",
        bufsize: int = -1,
    ) -> StreamReader | StreamWriter:
        return (
            StreamReader(sock, mode, bufsize) if "r" in mode else StreamWriter(sock, mode, bufsize)
        )


class _ServerSocket(ssl.SSLSocket):
    """Shakes hands when it is first read, by a worker.

    cheroot would do so in its one thread that accepts, where a mute client stops all others.
    """

    client: str
    allowed_sans: frozenset[str]
    _greeted = False

    def recv_into(
        self,
        buffer: "WriteableBuffer",
        nbytes: int | None = None,
        flags: int = 0,
    ) -> int:
        if not self._greeted:
            self._greet()
            self._greeted = True
        return super().recv_into(buffer, nbytes, flags)

    def _greet(self) -> None:
        try:
            self.do_handshake()
        except OSError as error:
            _log.info("refused a TLS client", client=self.client, error=str(error))
            if isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST":
                self._answer_plain_http()
            raise FatalSSLAlert(*error.args) from error
        if self.allowed_sans and self.allowed_sans.isdisjoint(_sans(self.getpeercert())):
            _log.info(
                "refused a TLS client", client=self.client, error="not in client_allowed_sans"
            )
            raise FatalSSLAlert("client_allowed_sans")

    def _answer_plain_http(self) -> None:
        with suppress(OSError):
            socket.sendall(self, _PLAIN_HTTP_ANSWER)


def _sans(certificate: Any) -> Iterator[str]:
    """Yield the names of a client as Go writes them: DNS, e-mail and IP addresses, and URIs."""
    for kind, name in (certificate or {}).get("subjectAltName", ()):
        if kind == "IP Address":
            yield str(ipaddress.ip_address(name.strip()))
        elif kind in {"DNS", "email", "URI"}:
            yield name


class _Doorkeeper:
    """Checks passwords, one at a time: bcrypt must not take every core of the host."""

    def __init__(self, users: Mapping[str, bytes]) -> None:
        if not users:
            raise ValueError("basic_auth_users is empty; nobody could pass")
        self._users = {user.encode(): stored for user, stored in users.items()}
        # For users who do not exist; the dearest, as unequal costs would tell users from others.
        self._decoy = max(users.values(), key=_cost)
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[bytes, None] = {}
        self._lock = threading.Lock()

    def admits(self, user: bytes, password: bytes) -> bool:
        digest = self._digest(user, password)
        if digest in self._remembered:
            return True
        with self._lock:
            return digest in self._remembered or self._check(user, password, digest)

    def _digest(self, user: bytes, password: bytes) -> bytes:
        # The length keeps "a", "bc" apart from "ab", "c".
        pair = b"%d:%b%b" % (len(user), user, password)
        return hashlib.blake2b(pair, key=self._secret, digest_size=32).digest()

    def _check(self, user: bytes, password: bytes, digest: bytes) -> bool:
        stored = self._users.get(user, self._decoy)
        if not bcrypt.checkpw(password[:_BCRYPT_READS], stored) or user not in self._users:
            return False
        if len(self._remembered) >= _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = None
        return True


def _cost(stored: bytes) -> int:
    return int(stored.split(b"$")[2])


def _credentials(header: str) -> tuple[bytes, bytes] | None:
    """Read user and password from a header `Authorization` (RFC 7617); None where it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except ValueError:
        return None
    return (user, password) if colon else None

"""The web config file, by a cheroot server that speaks as the file says."""

import base64
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.util import setup_testing_defaults

import bcrypt
import httpx
import pytest
import trustme
from cheroot.wsgi import Server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from structlog.testing import capture_logs

from kato_exporter.runtime.web_config import WebConfig, WebConfigError, load_web_config
from kato_exporter.runtime.web_config.basic_auth import require_basic_auth
from kato_exporter.runtime.web_config.sections import read_sections

PASSWORD = "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
CLIENTS = f"{TLS}  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
ALICE = f"alice:{PASSWORD}".encode()
USERS = f"basic_auth_users:\n  alice: {HASH}\n"
AUTHORITY = trustme.CA()
EC_PARAMETERS = b"""\
-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
"""


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the scheme that the request came by."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-XSS-Protection", "own")])
    return [environ["wsgi.url_scheme"].encode()]


class Site:
    """A folder with a web config file, a certificate, its key and the authority that signed it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "web.yml"
        self.install(AUTHORITY.issue_cert("127.0.0.1"))
        AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")

    def install(self, certificate: trustme.LeafCert) -> None:
        """Put a certificate and its key where the file names them."""
        certificate.private_key_pem.write_to_path(self.folder / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(self.folder / "cert.pem")

    def load(self, text: str) -> WebConfig:
        """Write the web config file and load it."""
        self.file.write_text(text)
        return load_web_config(self.file)

    def problem(self, text: str) -> str:
        """Return the message about a file that must not load, without the file's name."""
        with pytest.raises(WebConfigError) as caught:
            self.load(text)
        return str(caught.value).removeprefix(f"{self.file}: ").replace(str(self.folder), "DIR")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a folder with all that a web config file names."""
    return Site(tmp_path)


@contextmanager
def serving(config: WebConfig) -> Iterator[str]:
    """Serve `hello` as a web config says, and give the address as host:port."""
    server = Server(("127.0.0.1", 0), config.protect(hello), numthreads=3)
    server.ssl_adapter = config.ssl_adapter()
    server.expiration_interval = 0.02
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield f"127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join()


def trusting(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """Make a client's context that trusts the authority, and may have a certificate to show."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    return context


def get(address: str, context: ssl.SSLContext) -> httpx.Response:
    """Get the root page over TLS, by a new connection."""
    with httpx.Client(verify=context, trust_env=False) as client:
        return client.get(f"https://{address}/")


def login(address: str, user: str, password: str, path: str = "/") -> int:
    """Return the status of a page asked for as a user."""
    with httpx.Client(trust_env=False) as client:
        return client.get(f"http://{address}{path}", auth=(user, password)).status_code


@contextmanager
def connected(address: str, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """Give a connection whose handshake is done."""
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        yield connection


def served_serial(address: str) -> int:
    """Return the serial number of the certificate that a new connection shows."""
    with connected(address, trusting()) as connection:
        certificate = connection.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate).serial_number


def serial(certificate: trustme.LeafCert) -> int:
    """Return the serial number of a certificate."""
    return x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes()).serial_number


def builder_of(
    issuer: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
) -> x509.CertificateBuilder:
    """Begin a certificate of a key, valid now."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Encode a private key without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def make_uri_certificate(uri: str, folder: Path) -> ssl.SSLContext:
    """Make a client's context with a certificate for a URI, which trustme does not issue."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(AUTHORITY.cert_pem.bytes())
    signer = serialization.load_pem_private_key(AUTHORITY.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    certificate = (
        builder_of(issuer.subject, key.public_key())
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]),
            critical=True,
        )
        .sign(signer, hashes.SHA256())
    )
    path = folder / "uri.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + pem_of(key))
    context = trusting()
    context.load_cert_chain(path)
    return context


def call(app: Callable[..., Iterable[bytes]], credentials: bytes) -> str:
    """Ask a WSGI application without a server; return the status."""
    environ: WSGIEnvironment = {
        "HTTP_AUTHORIZATION": f"Basic {base64.b64encode(credentials).decode()}",
    }
    setup_testing_defaults(environ)
    statuses: list[str] = []
    app(environ, lambda status, *_: statuses.append(status))
    return statuses[0]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the hashes that bcrypt was asked to compare with, as they come."""
    hashes: list[bytes] = []
    check = bcrypt.checkpw

    def recorded(password: bytes, stored: bytes) -> bool:
        hashes.append(stored)
        return check(password, stored)

    monkeypatch.setattr(bcrypt, "checkpw", recorded)
    return hashes


def test_empty_file_asks_for_nothing(site: Site) -> None:
    """An empty file is plain HTTP for everyone, as in the toolkit."""
    config = site.load("")

    with serving(config) as address:
        response = httpx.get(f"http://{address}/", trust_env=False)

    assert (response.status_code, response.text) == (200, "http")
    assert config.ssl_adapter() is None
    assert config.certificate_expiry() is None


def test_all_that_the_format_has(site: Site) -> None:
    """A file with every key that a Python server can follow loads, and serves."""
    text = f"""\
{CLIENTS}  client_allowed_sans: [prometheus.example]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP384]
http_server_config:
  http2: true
  headers: {{X-Frame-Options: deny}}
"""
    with serving(site.load(text + USERS)) as address:
        context = trusting(AUTHORITY.issue_cert("prometheus.example"))
        with httpx.Client(verify=context, trust_env=False, auth=("alice", PASSWORD)) as client:
            response = client.get(f"https://{address}/")

    assert (response.status_code, response.text) == (200, "https")


def test_tls(site: Site) -> None:
    """With a certificate the server speaks TLS, with the newest version by default."""
    with serving(site.load(TLS)) as address:
        response = get(address, trusting())
        with connected(address, trusting()) as connection:
            version = connection.version()

    assert response.text == "https"
    assert version == "TLSv1.3"


def test_inline_pem(site: Site) -> None:
    """Certificate, key and client CA may stand in the file itself."""
    certificate = AUTHORITY.issue_cert("127.0.0.1")
    section = {
        "cert": certificate.cert_chain_pems[0].bytes().decode(),
        "key": certificate.private_key_pem.bytes().decode(),
        "client_ca": AUTHORITY.cert_pem.bytes().decode(),
        "client_auth_type": "VerifyClientCertIfGiven",
    }

    with serving(site.load(json.dumps({"tls_server_config": section}))) as address:
        actual = served_serial(address)

    assert serial(certificate) == actual


def test_absolute_path(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A path that begins at the root is taken as it is, not as relative to the file."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "cert.pem"
    (site.folder / "cert.pem").rename(elsewhere)

    assert site.load(TLS.replace("cert.pem", str(elsewhere))).ssl_adapter() is not None


def test_plain_http_is_told_of_tls(site: Site) -> None:
    """A client that speaks plain HTTP to a TLS port is told so, and not cut off."""
    with serving(site.load(TLS)) as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: kato.example\r\n\r\n")
            time.sleep(0.2)
            answer = b"".join(iter(lambda: client.recv(65_536), b""))

    assert answer.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert answer.endswith(b"\r\n\r\nThis port speaks HTTPS only.\n")


def test_reset_in_the_handshake(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that resets the connection instead of shaking hands is one line in the log."""
    tracebacks: list[str] = []
    monkeypatch.setattr(Server, "error_log", lambda _server, text, **_: tracebacks.append(text))
    with capture_logs() as logs, serving(site.load(TLS)) as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port))) as client:
            time.sleep(0.2)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.2)

    assert [(line["event"], line["client"]) for line in logs] == [("refused a TLS client", host)]
    assert tracebacks == []


def test_mute_client_stops_nobody(site: Site) -> None:
    """A client that connects and says nothing delays no other."""
    with serving(site.load(TLS)) as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port))):
            time.sleep(0.2)
            started = time.monotonic()
            get(address, trusting())
            elapsed = time.monotonic() - started

    assert elapsed < 3


def test_min_version(site: Site) -> None:
    """A client below min_version is refused, and one at it is served."""
    with serving(site.load(TLS + "  min_version: TLS13\n")) as address:
        old = trusting()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx.ConnectError, match="PROTOCOL_VERSION"):
            get(address, old)

        assert get(address, trusting()).status_code == 200


def test_max_version(site: Site) -> None:
    """No version above max_version is spoken."""
    with (
        serving(site.load(TLS + "  max_version: TLS12\n")) as address,
        connected(address, trusting()) as connection,
    ):
        version = connection.version()

    assert version == "TLSv1.2"


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("true", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("false", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ],
)
def test_cipher_suites(site: Site, prefer: str, expected: str) -> None:
    """TLS 1.2 uses the suites listed, in the server's order or in the client's."""
    suite = "TLS_ECDHE_ECDSA_WITH_AES_{}"
    names = f"[{suite.format('256_GCM_SHA384')}, {suite.format('128_GCM_SHA256')}]"
    text = f"{TLS}  cipher_suites: {names}\n  prefer_server_cipher_suites: {prefer}\n"
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")

    with serving(site.load(text)) as address, connected(address, context) as connection:
        cipher = connection.cipher()

    assert cipher is not None
    assert expected == cipher[0]


def test_unlisted_cipher_suite(site: Site) -> None:
    """A client of TLS 1.2 that has none of the suites listed is refused."""
    text = f"{TLS}  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n"
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")

    with serving(site.load(text)) as address, pytest.raises(httpx.ConnectError, match="HANDSHAKE"):
        get(address, context)


@pytest.mark.parametrize(
    ("name", "curve", "other"),
    [
        ("CurveP256", "prime256v1", "X25519"),
        ("CurveP384", "secp384r1", "prime256v1"),
        ("CurveP521", "secp521r1", "prime256v1"),
        ("X25519", "X25519", "prime256v1"),
    ],
)
def test_curve_preferences(site: Site, name: str, curve: str, other: str) -> None:
    """The one curve named is spoken, and no other."""
    fitting, unfitting = trusting(), trusting()
    fitting.set_ecdh_curve(curve)
    unfitting.set_ecdh_curve(other)

    with serving(site.load(f"{TLS}  curve_preferences: [{name}]\n")) as address:
        with pytest.raises(httpx.ConnectError, match="HANDSHAKE"):
            get(address, unfitting)

        assert get(address, fitting).status_code == 200


@pytest.mark.parametrize("issuer", [None, trustme.CA()], ids=["none", "stranger"])
def test_client_certificate_is_required(site: Site, issuer: trustme.CA | None) -> None:
    """RequireAndVerifyClientCert refuses a client without a certificate of the client CA."""
    certificate = issuer.issue_cert("prometheus.example") if issuer else None

    with serving(site.load(CLIENTS)) as address, pytest.raises(httpx.ReadError, match="alert"):
        get(address, trusting(certificate))


def test_client_certificate_is_accepted(site: Site) -> None:
    """RequireAndVerifyClientCert serves a client with a certificate of the client CA."""
    with serving(site.load(CLIENTS)) as address:
        response = get(address, trusting(AUTHORITY.issue_cert("prometheus.example")))

    assert response.status_code == 200


def test_intermediate_client_ca(site: Site) -> None:
    """A client CA needs no root above it in the file."""
    intermediate = AUTHORITY.create_child_ca()
    intermediate.cert_pem.write_to_path(site.folder / "ca.pem")

    with serving(site.load(CLIENTS)) as address:
        response = get(address, trusting(intermediate.issue_cert("prometheus.example")))

    assert response.status_code == 200


def test_comments_in_client_ca(site: Site) -> None:
    """Text between certificates, as in bundles of many authorities, is passed over."""
    path = site.folder / "ca.pem"
    path.write_text(f"# Z\u00fcrich\n{path.read_text()}")

    with serving(site.load(CLIENTS)) as address:
        response = get(address, trusting(AUTHORITY.issue_cert("prometheus.example")))

    assert response.status_code == 200


def test_client_certificate_if_given(site: Site) -> None:
    """VerifyClientCertIfGiven serves a client without a certificate, and none with a wrong one."""
    text = CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    with serving(site.load(text)) as address:
        assert get(address, trusting()).status_code == 200

        with pytest.raises(httpx.ReadError, match="alert"):
            get(address, trusting(trustme.CA().issue_cert("prometheus.example")))


def test_request_client_certificate(site: Site) -> None:
    """RequestClientCert serves every client, whatever certificate it shows."""
    text = CLIENTS.replace("RequireAndVerifyClientCert", "RequestClientCert")
    with serving(site.load(text)) as address:
        assert get(address, trusting()).status_code == 200
        assert get(address, trusting(trustme.CA().issue_cert("a.example"))).status_code == 200


@pytest.mark.parametrize(
    "san",
    ["prometheus.example", "192.0.2.1", "2001:db8::1", "prometheus@example.org"],
)
def test_allowed_san(site: Site, san: str) -> None:
    """A client with an allowed name in its certificate is served: DNS, IP or e-mail address."""
    with serving(site.load(f"{CLIENTS}  client_allowed_sans: ['{san}', other]\n")) as address:
        response = get(address, trusting(AUTHORITY.issue_cert("more.example", san)))

    assert response.status_code == 200


def test_allowed_san_uri(site: Site) -> None:
    """A client with an allowed URI in its certificate is served."""
    uri = "spiffe://example.org/prometheus"

    with serving(site.load(f"{CLIENTS}  client_allowed_sans: ['{uri}']\n")) as address:
        response = get(address, make_uri_certificate(uri, site.folder))

    assert response.status_code == 200


def test_san_that_is_not_allowed(site: Site) -> None:
    """A client with a good certificate but for another name gets no answer, and is logged."""
    text = f"{CLIENTS}  client_allowed_sans: [prometheus.example]\n"
    with (
        capture_logs() as logs,
        serving(site.load(text)) as address,
        pytest.raises(httpx.TransportError),
    ):
        get(address, trusting(AUTHORITY.issue_cert("sub.prometheus.example")))

    expected = ("refused a TLS client", "127.0.0.1", "not in client_allowed_sans")
    assert [expected] == [(line["event"], line["client"], line["error"]) for line in logs]


def test_renewed_certificate(site: Site) -> None:
    """A certificate renewed on disk is served to the next connection, and its expiry is given."""
    config = site.load(TLS)
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(days=90)
    renewed = AUTHORITY.issue_cert("127.0.0.1", not_after=moment)

    with serving(config) as address:
        before = served_serial(address)
        site.install(renewed)
        after = served_serial(address)

    assert serial(renewed) != before
    assert serial(renewed) == after
    assert moment.timestamp() == config.certificate_expiry()


def test_half_renewed_certificate(site: Site) -> None:
    """Until the key is renewed too, the old pair is served; the log has one line of it."""
    renewed = AUTHORITY.issue_cert("127.0.0.1")
    with capture_logs() as logs, serving(site.load(TLS)) as address:
        before = served_serial(address)
        renewed.cert_chain_pems[0].write_to_path(site.folder / "cert.pem")
        between = [served_serial(address), served_serial(address)]
        renewed.private_key_pem.write_to_path(site.folder / "key.pem")
        after = [served_serial(address), served_serial(address)]

    assert [before, before] == between
    assert [serial(renewed), serial(renewed)] == after
    expected = ["keeps the certificate from before", "took up a renewed certificate"]
    assert expected == [line["event"] for line in logs]


def test_vanished_certificate(site: Site) -> None:
    """While a file is gone, what was read last is served; each such time has a line in the log."""
    config = site.load(TLS)
    expiry = config.certificate_expiry()
    key = site.folder / "key.pem"
    aside = site.folder / "aside.pem"
    with capture_logs() as logs, serving(config) as address:
        key.rename(aside)
        statuses = [get(address, trusting()).status_code for _ in range(2)]
        aside.rename(key)
        get(address, trusting())
        key.rename(aside)
        get(address, trusting())

    assert statuses == [200, 200]
    assert expiry is not None
    assert expiry == config.certificate_expiry()
    assert [line["event"] for line in logs] == ["keeps the certificate from before"] * 2


def test_renewed_client_ca(site: Site) -> None:
    """A client CA replaced on disk admits its own clients, and no longer those of the old one."""
    other = trustme.CA()
    with serving(site.load(CLIENTS)) as address:
        other.cert_pem.write_to_path(site.folder / "ca.pem")

        assert get(address, trusting(other.issue_cert("a.example"))).status_code == 200
        with pytest.raises(httpx.ReadError, match="alert"):
            get(address, trusting(AUTHORITY.issue_cert("a.example")))


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1999, 2, 3, 4, 5, 6, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
    ],
)
def test_certificate_expiry(site: Site, moment: datetime) -> None:
    """The expiry is notAfter, gone by or to come, in X.509's short form and in its long one."""
    before = moment - timedelta(days=1)
    site.install(AUTHORITY.issue_cert("127.0.0.1", not_before=before, not_after=moment))

    assert moment.timestamp() == site.load(TLS).certificate_expiry()


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
def test_right_password(site: Site, path: str) -> None:
    """A user with the right password sees every page."""
    with serving(site.load(USERS)) as address:
        assert login(address, "alice", PASSWORD, path) == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
def test_missing_credentials(site: Site, path: str) -> None:
    """Without credentials no page is shown, those of health among them, as in the toolkit."""
    with serving(site.load(USERS)) as address:
        response = httpx.get(f"http://{address}{path}", trust_env=False)

    assert (response.status_code, response.text) == (401, "Unauthorized\n")
    assert response.headers["WWW-Authenticate"] == 'Basic realm="kato-exporter"'


def test_refused_head(site: Site) -> None:
    """A refusal of HEAD has no body, so that the connection stays of use."""
    with serving(site.load(USERS)) as address, httpx.Client(trust_env=False) as client:
        statuses = [client.head(f"http://{address}/").status_code for _ in range(2)]
        after = client.get(f"http://{address}/", auth=("alice", PASSWORD)).status_code

    assert (statuses, after) == ([401, 401], 200)


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("alice", "wrong"),
        ("alice", ""),
        ("mallory", PASSWORD),
        ("", PASSWORD),
        ("Alice", PASSWORD),
        ("alice", PASSWORD + "\0"),
    ],
)
def test_wrong_credentials(site: Site, user: str, password: str) -> None:
    """A wrong password or a user who does not exist gets 401, again and again."""
    with serving(site.load(USERS)) as address:
        assert [login(address, user, password) for _ in range(2)] == [401, 401]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic \u00e9",
        "Basic YWxpY2U=",
        f"Bearer {base64.b64encode(ALICE).decode()}",
        f"Basic {base64.b64encode(ALICE).decode()} x",
    ],
)
def test_malformed_header(site: Site, header: str) -> None:
    """A header that is not of the form in RFC 7617 gets 401, and no error."""
    with serving(site.load(USERS)) as address:
        response = httpx.get(
            f"http://{address}/",
            headers={b"Authorization": header.encode("latin-1")},
            trust_env=False,
        )

    assert response.status_code == 401


def test_empty_password_needs_its_colon() -> None:
    """Even where the password is empty, a user's name alone is no credentials."""
    app = require_basic_auth(hello, {"alice": bcrypt.hashpw(b"", bcrypt.gensalt(4))})

    assert call(app, b"alice:") == "200 OK"
    assert call(app, b"alice") == "401 Unauthorized"


def test_scheme_in_any_case(site: Site) -> None:
    """The word Basic may be written in any case."""
    credentials = base64.b64encode(ALICE).decode()
    with serving(site.load(USERS)) as address:
        header = {"Authorization": f"bASIC {credentials}"}
        response = httpx.get(f"http://{address}/", headers=header, trust_env=False)

    assert response.status_code == 200


@pytest.mark.parametrize("password", ["p\u00e4ss:w\u00f6rd", "x" * 100])
def test_unusual_password(site: Site, password: str) -> None:
    """A password may have colons, letters outside ASCII, and more bytes than bcrypt reads."""
    stored = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    with serving(site.load(f"basic_auth_users:\n  \u00e5sa: {stored}\n")) as address:
        assert login(address, "\u00e5sa", password) == 200


@pytest.mark.parametrize("variant", ["2a", "2b", "2y"])
def test_hash_variants(site: Site, variant: str) -> None:
    """Hashes by htpasswd ($2y$) and by other tools work alike."""
    with serving(site.load(USERS.replace("$2b$", f"${variant}$"))) as address:
        assert login(address, "alice", PASSWORD) == 200


def test_second_request_is_quick(site: Site, compared: list[bytes]) -> None:
    """A password found right once is not given to bcrypt again."""
    with serving(site.load(USERS)) as address:
        statuses = [login(address, "alice", PASSWORD) for _ in range(3)]

    assert statuses == [200, 200, 200]
    assert [HASH.encode()] == compared


def test_simultaneous_first_requests(compared: list[bytes]) -> None:
    """Requests that come while the first is being checked wait for its result."""
    app = require_basic_auth(hello, {"alice": HASH.encode()})
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        call(app, ALICE)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(compared) == 1


def test_remembered_user_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a stranger's password is being checked, a user who is remembered gets in."""
    app = require_basic_auth(hello, {"alice": HASH.encode()})
    call(app, ALICE)
    checking, checked = threading.Event(), threading.Event()

    def slow(_password: bytes, _stored: bytes) -> bool:
        checking.set()
        return not checked.wait(10)

    monkeypatch.setattr(bcrypt, "checkpw", slow)
    stranger = threading.Thread(target=call, args=(app, b"mallory:x"))
    stranger.start()
    checking.wait(10)
    started = time.monotonic()
    status = call(app, ALICE)
    elapsed = time.monotonic() - started
    checked.set()
    stranger.join()

    assert status == "200 OK"
    assert elapsed < 3


def test_success_of_one_pair_opens_no_other(compared: list[bytes]) -> None:
    """A remembered success is of that user and password, and not of their letters in a row."""
    users = {user: bcrypt.hashpw(b"bc", bcrypt.gensalt(4)) for user in ("a", "ab")}
    app = require_basic_auth(hello, users)

    statuses = [call(app, b"a:bc"), call(app, b"ab:c")]

    assert statuses == ["200 OK", "401 Unauthorized"]
    assert len(compared) == 2


def test_remembered_successes_are_bounded(compared: list[bytes]) -> None:
    """A thousand successes are remembered, the oldest forgotten first."""
    credentials = b"alice:" + b"x" * 72
    app = require_basic_auth(hello, {"alice": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))})
    for number in range(1_001):
        call(app, credentials + b"%d" % number)

    call(app, credentials + b"1000")
    assert len(compared) == 1_001
    call(app, credentials + b"0")
    assert len(compared) == 1_002


def test_unknown_user_costs_as_much(compared: list[bytes]) -> None:
    """A user who does not exist is checked against the dearest hash, and refused."""
    dear = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5))
    app = require_basic_auth(hello, {"alice": HASH.encode(), "bob": dear})

    assert call(app, b"mallory:x") == "401 Unauthorized"
    assert [dear] == compared


def test_no_users() -> None:
    """To ask for a user where there is none is an error, and not an open door."""
    with pytest.raises(ValueError, match="empty"):
        require_basic_auth(hello, {})


def test_headers(site: Site) -> None:
    """The headers of the file are in each response, but the application's own win."""
    text = """\
http_server_config:
  headers:
    Content-Security-Policy: >
      default-src 'self';
      img-src *
    Strict-Transport-Security: max-age=31536000
    X-Content-Type-Options: nosniff
    X-Frame-Options: sameorigin
    X-XSS-Protection: from the file
"""
    with serving(site.load(text)) as address:
        headers = httpx.get(f"http://{address}/", trust_env=False).headers

    assert headers["Content-Security-Policy"] == "default-src 'self'; img-src *"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "sameorigin"
    assert headers["X-XSS-Protection"] == "own"


def test_headers_of_a_refusal(site: Site) -> None:
    """A 401 has the headers too, as in the toolkit."""
    text = f"http_server_config: {{headers: {{X-Frame-Options: deny}}}}\n{USERS}"
    with serving(site.load(text)) as address:
        response = httpx.get(f"http://{address}/", trust_env=False)

    assert (response.status_code, response.headers["X-Frame-Options"]) == (401, "deny")


def test_blank_header(site: Site) -> None:
    """A blank header is not sent."""
    config = site.load("http_server_config: {headers: {X-Frame-Options: ''}}")

    assert config.headers == {}


def test_no_secret_is_shown(site: Site) -> None:
    """Neither a hash nor a key is in the text form of a configuration, or of its sections."""
    section = {"cert_file": "cert.pem", "key": (site.folder / "key.pem").read_text()}
    users = {"alice": HASH}
    config = site.load(json.dumps({"tls_server_config": section, "basic_auth_users": users}))

    shown = repr([config, read_sections(site.file)])
    assert "WebConfig(" in shown
    assert HASH not in shown
    assert "PRIVATE KEY" not in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "is of type list; it needs a mapping"),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("\0", "is not YAML in UTF-8"),
        ("a: " + "[" * 5_000, "is nested too deeply"),
        (f"{USERS}  alice: {HASH}\n", 'line 3: "alice" is given twice; keep one'),
        ("rate_limit: {}", "rate_limit: is not supported; remove it and limit requests in a proxy"),
        ("tls_server_config: x", "tls_server_config: is of type str; it needs a mapping"),
        ("http_server_config: 0", "http_server_config: is of type int; it needs a mapping"),
        ("basic_auth_users: []", "basic_auth_users: is of type list; it needs a mapping"),
    ],
)
def test_bad_shape(site: Site, text: str, expected: str) -> None:
    """A file that is no mapping of known sections is refused with one line."""
    assert expected == site.problem(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "tls: {}",
            (
                "'tls': is unknown; known are "
                "tls_server_config, http_server_config, basic_auth_users, rate_limit"
            ),
        ),
        (
            "tls_server_config: {certfile: x}",
            (
                "tls_server_config.'certfile': is unknown; known are cert, cert_file, key, "
                "key_file, client_ca, client_ca_file, client_auth_type, "
                "client_allowed_sans, min_version, max_version, cipher_suites, "
                "prefer_server_cipher_suites, curve_preferences"
            ),
        ),
        (
            "http_server_config: {http3: true}",
            "http_server_config.'http3': is unknown; known are http2, headers",
        ),
        (
            "http_server_config: {headers: {Server: x}}",
            (
                "http_server_config.headers.'Server': is unknown; known are "
                "Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, "
                "X-Frame-Options, X-XSS-Protection"
            ),
        ),
    ],
)
def test_unknown_key(site: Site, text: str, expected: str) -> None:
    """A key that the format does not have is named, and so are those that it has."""
    assert expected == site.problem(text)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["min_version: TLS13"], "cert_file: is missing; name a file in PEM, or give cert"),
        (["cert_file: cert.pem"], "key_file: is missing; name a file in PEM, or give key"),
        (
            ["cert_file: cert.pem", "cert: x"],
            "cert_file: 'cert.pem' is given beside cert; keep one of them",
        ),
        (
            ["cert_file: no.pem", "key_file: key.pem"],
            (
                "cert_file: 'DIR/no.pem' cannot be read: No such file or directory; "
                "name a readable file"
            ),
        ),
        (
            ["cert_file: cert.pem", "key_file: ."],
            "key_file: 'DIR' cannot be read: Is a directory; name a readable file",
        ),
        (
            ["cert_file: key.pem", "key_file: key.pem"],
            "cert_file: 'DIR/key.pem' has no certificate in PEM; give one or more",
        ),
        (
            ["cert_file: cert.pem", "key_file: cert.pem"],
            "key_file: 'DIR/cert.pem' cannot be used; give a private key in PEM",
        ),
        (
            ["cert_file: cert.pem", "key: secret"],
            "key: the text cannot be used; give a private key in PEM",
        ),
        (
            ["cert_file: cert.pem", "key: [secret]"],
            "key: is of type list; it needs text, in quotes",
        ),
    ],
)
def test_bad_certificate_or_key(site: Site, lines: list[str], expected: str) -> None:
    """A certificate or key that is missing or is something else is found when loading."""
    text = "\n  ".join(["tls_server_config:", *lines])

    assert f"tls_server_config.{expected}" == site.problem(text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("min_version: TLS9", "'TLS9' is not supported; use TLS12, TLS13"),
        ("min_version: TLS10", "'TLS10' is not supported; use TLS12, TLS13"),
        ("max_version: TLS11", "'TLS11' is not supported; use TLS12, TLS13"),
        ("max_version: TLS12\n  min_version: TLS13", "'TLS12' is below min_version; use TLS13"),
        (
            "cipher_suites: TLS_AES_128_GCM_SHA256",
            "is of type str; it needs a list",
        ),
        (
            "cipher_suites: [TLS_AES_128_GCM_SHA256]",
            (
                "['TLS_AES_128_GCM_SHA256'] leaves TLS 1.2 without a suite; "
                "add one, or set min_version: TLS13"
            ),
        ),
        ("prefer_server_cipher_suites: 1", "is of type int; it needs true or false"),
        (
            "curve_preferences: [P256]",
            "'P256' is not supported; use CurveP256, CurveP384, CurveP521, X25519",
        ),
        (
            "curve_preferences: [X25519, CurveP256]",
            "['X25519', 'CurveP256'] has more than Python's ssl takes; keep one",
        ),
        (
            "client_auth_type: Always",
            (
                "'Always' is not supported; use NoClientCert, RequestClientCert, "
                "VerifyClientCertIfGiven, RequireAndVerifyClientCert"
            ),
        ),
        (
            "client_auth_type: RequireAnyClientCert",
            (
                "'RequireAnyClientCert' is not supported; use NoClientCert, RequestClientCert, "
                "VerifyClientCertIfGiven, RequireAndVerifyClientCert"
            ),
        ),
        (
            "client_auth_type: VerifyClientCertIfGiven",
            "'VerifyClientCertIfGiven' needs client_ca_file",
        ),
        (
            "curve_preferences: [1]",
            "1 is not supported; use CurveP256, CurveP384, CurveP521, X25519",
        ),
        (
            "client_allowed_sans: []",
            "[] is no list of names; give one or more, or remove it",
        ),
        (
            "client_allowed_sans: [1]",
            "[1] is no list of names; give one or more, or remove it",
        ),
        (
            "client_allowed_sans: [a]",
            "['a'] needs client_auth_type: RequireAndVerifyClientCert",
        ),
    ],
)
def test_bad_tls_value(site: Site, line: str, expected: str) -> None:
    """A value that the format or Python's ssl does not have is refused with what to write."""
    key = line.partition(":")[0]

    assert f"tls_server_config.{key}: {expected}" == site.problem(f"{TLS}  {line}\n")


@pytest.mark.parametrize(
    ("client_ca", "client_auth", "expected"),
    [
        (
            "no.pem",
            "RequireAndVerifyClientCert",
            (
                "client_ca_file: 'DIR/no.pem' cannot be read: No such file or directory; "
                "name a readable file"
            ),
        ),
        (
            "key.pem",
            "RequireAndVerifyClientCert",
            "client_ca_file: 'DIR/key.pem' has no certificate in PEM; give one or more",
        ),
        (
            "empty.pem",
            "RequireAndVerifyClientCert",
            "client_ca_file: 'DIR/empty.pem' has no certificate in PEM; give one or more",
        ),
        (
            "ca.pem",
            "NoClientCert",
            (
                "client_auth_type: 'NoClientCert' has no use for a client CA; "
                "use RequireAndVerifyClientCert"
            ),
        ),
    ],
)
def test_bad_client_ca(site: Site, client_ca: str, client_auth: str, expected: str) -> None:
    """A client CA that cannot be read, or that nothing would use, is refused."""
    (site.folder / "empty.pem").touch()
    text = f"{TLS}  client_ca_file: {client_ca}\n  client_auth_type: {client_auth}\n"

    assert f"tls_server_config.{expected}" == site.problem(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http2: maybe", "http2: is of type str; it needs true or false"),
        (
            "headers: {X-Frame-Options: never}",
            "headers.X-Frame-Options: 'never' is not permitted; use deny or sameorigin",
        ),
        (
            'headers: {X-XSS-Protection: "1\\r\\nX: y"}',
            "headers.X-XSS-Protection: '1\\r\\nX: y' is not one line of ASCII; write it as one",
        ),
    ],
)
def test_bad_http_value(site: Site, text: str, expected: str) -> None:
    """A header that the toolkit would refuse, or that would end early, is refused."""
    assert f"http_server_config.{expected}" == site.problem(f"http_server_config: {{{text}}}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("*secret", "line 2: found undefined alias (not shown)"),
        ("!secret x", "line 2: could not determine a constructor for the tag (not shown)"),
        ("!secret!x y", "line 2: found undefined tag handle (not shown)"),
        ("@secret", "line 2: found character '@' that cannot start any token"),
    ],
)
def test_password_that_is_no_yaml(site: Site, value: str, expected: str) -> None:
    """A password that YAML stumbles over is not in the message."""
    assert expected == site.problem(f"basic_auth_users:\n  alice: {value}\n")


@pytest.mark.parametrize(
    "value",
    ["secret", "1", f"' {HASH}'", HASH.replace("$04$", "$32$")],
    ids=["a word", "a number", "a space before", "a cost that is none"],
)
def test_bad_hash(site: Site, value: str) -> None:
    """What is no bcrypt hash is refused when loading, and not shown, as it may be a password."""
    expected = (
        "basic_auth_users.'alice': the value (not shown) is no bcrypt hash; "
        "make one with `htpasswd -nBC 10 USER`"
    )
    assert expected == site.problem(f"basic_auth_users:\n  alice: {value}\n")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("1", "1: is no text; put the name in quotes"),
        ("'a:b'", "'a:b': has a colon, which ends a name in HTTP; choose another"),
    ],
)
def test_bad_user(site: Site, user: str, expected: str) -> None:
    """A name that could never log in is refused."""
    text = f"basic_auth_users:\n  {user}: {HASH}\n"

    assert f"basic_auth_users.{expected}" == site.problem(text)


@pytest.mark.parametrize("kind", [trustme.KeyType.ECDSA, trustme.KeyType.RSA])
def test_key_of_another_certificate(site: Site, kind: trustme.KeyType) -> None:
    """A key that does not belong to the certificate is found when the file is loaded."""
    other = AUTHORITY.issue_cert("127.0.0.1", key_type=kind)
    other.private_key_pem.write_to_path(site.folder / "key.pem")

    expected = (
        "tls_server_config.key_file: 'DIR/key.pem' does not belong to the certificate; "
        "give the key that it was made with"
    )
    assert expected == site.problem(TLS)


def test_encrypted_key(site: Site) -> None:
    """A key with a password is refused, and nobody is asked for the password."""
    path = site.folder / "key.pem"
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        ),
    )

    expected = (
        "tls_server_config.key_file: 'DIR/key.pem' is encrypted; give the key without a password"
    )
    assert expected == site.problem(TLS)


def test_weak_key(site: Site) -> None:
    """A certificate that OpenSSL holds for too weak is found when the file is loaded."""
    key = rsa.generate_private_key(65_537, 1024)  # noqa: S505 - must be refused
    certificate = builder_of(x509.Name([]), key.public_key()).sign(key, hashes.SHA256())
    (site.folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (site.folder / "key.pem").write_bytes(pem_of(key))

    assert site.problem(TLS) == "tls_server_config: OpenSSL refuses it: EE_KEY_TOO_SMALL"


def test_key_as_openssl_writes_it(site: Site) -> None:
    """Before the key its file may have other PEM blocks, such as the parameters of a curve."""
    path = site.folder / "key.pem"
    path.write_bytes((site.folder / "cert.pem").read_bytes() + EC_PARAMETERS + path.read_bytes())

    with serving(site.load(TLS)) as address:
        assert get(address, trusting()).status_code == 200


def test_key_beside_the_certificate(site: Site) -> None:
    """One file may hold both; the chain is served, and a strange key in it is passed over."""
    own = (site.folder / "cert.pem").read_bytes() + (site.folder / "key.pem").read_bytes()
    (site.folder / "both.pem").write_bytes(own)
    stranger = AUTHORITY.issue_cert("127.0.0.1").private_key_pem.bytes()
    (site.folder / "cert.pem").write_bytes(stranger + own)

    with serving(site.load(TLS.replace("key.pem", "both.pem"))) as address:
        assert get(address, trusting()).status_code == 200


def test_chain(site: Site) -> None:
    """Intermediate certificates after the first are sent to the client."""
    leaf = AUTHORITY.create_child_ca().issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(site.folder / "key.pem")
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    (site.folder / "cert.pem").write_bytes(chain)

    with serving(site.load(TLS)) as address:
        assert get(address, trusting()).status_code == 200


def test_missing_file(site: Site) -> None:
    """A web config file that does not exist is named."""
    with pytest.raises(WebConfigError) as caught:
        load_web_config(site.file)

    expected = f"{site.file}: cannot be read: No such file or directory; name a readable file"
    assert expected == str(caught.value)

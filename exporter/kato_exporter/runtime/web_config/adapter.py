"""The door between cheroot and TLS: handshakes, and the clients that are refused in them."""

import ssl
from contextlib import suppress
from socket import socket
from typing import TYPE_CHECKING

import structlog
from cheroot.errors import FatalSSLAlert
from cheroot.makefile import StreamReader, StreamWriter
from cheroot.ssl import Adapter
from cryptography import x509

from kato_exporter.runtime.web_config.tls import ServerTls

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_log = structlog.get_logger("web")

_PLAIN_HTTP_ANSWER = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"This port speaks HTTPS only.\n"
)
_COMPARED_NAMES = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier, x509.IPAddress


class TlsAdapter(Adapter):
    """Gives each connection the TLS of that moment."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls

    def bind(self, sock: socket) -> socket:
        """Leave the listening socket as it is."""
        return sock

    def wrap(self, sock: socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """Put TLS around a new connection; raise FatalSSLAlert where it is gone already."""
        context = self._tls.current().context
        context.sslsocket_class = _ServerSocket
        try:
            client = sock.getpeername()[0]
            wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError as error:
            raise FatalSSLAlert(*error.args) from error
        if isinstance(wrapped, _ServerSocket):
            wrapped.client = client
            wrapped.allowed_sans = self._tls.allowed_sans
        return wrapped, self.get_environ()

    def get_environ(self) -> dict[str, str]:
        """Add nothing to the environment of a request."""
        return {}

    def makefile(
        self, sock: socket, mode: str = "r", bufsize: int = -1
    ) -> StreamReader | StreamWriter:
        """Make cheroot's reader or writer of a connection."""
        return (StreamReader if "r" in mode else StreamWriter)(sock, mode, bufsize)


class _ServerSocket(ssl.SSLSocket):
    """Shakes hands when it is first read, by a worker.

    cheroot would do so in its one thread that accepts, where a mute client stops all others.
    """

    client: str
    allowed_sans: frozenset[str]
    _greeted = False

    def recv_into(
        self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0
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
                with suppress(OSError):
                    socket.sendall(self, _PLAIN_HTTP_ANSWER)
            raise FatalSSLAlert(*error.args) from error
        if self.allowed_sans and self.allowed_sans.isdisjoint(
            _names(self.getpeercert(binary_form=True))
        ):
            problem = "not in client_allowed_sans"
            _log.info("refused a TLS client", client=self.client, error=problem)
            raise FatalSSLAlert(problem)


def _names(der: bytes | None) -> set[str]:
    """Give the alternative names of a certificate as Go writes them; none if it has none."""
    try:
        extensions = x509.load_der_x509_certificate(der or b"").extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return set()
    return {str(name.value) for name in names if isinstance(name, _COMPARED_NAMES)}

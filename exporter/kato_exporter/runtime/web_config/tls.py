"""The certificate that is served, renewed from disk."""

import os
import ssl
import threading
from dataclasses import dataclass

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from kato_exporter.runtime.web_config.sections import Section, WebConfigError
from kato_exporter.runtime.web_config.tls_options import allowed_sans, new_context

_log = structlog.get_logger("web")


@dataclass(frozen=True, slots=True)
class ServedTls:
    """A context for connections, and notAfter of its certificate in epoch seconds."""

    context: ssl.SSLContext
    expiry: float


class ServerTls:
    """The TLS of what is on disk now, or the last good one where that cannot be used.

    The files are compared at each connection: a few kilobytes, beside which the handshake is dear.
    Raises WebConfigError where there is no good one to begin with.
    """

    def __init__(self, section: Section) -> None:
        self.allowed_sans = allowed_sans(section)
        self._section = section
        self._pems = [_Pem(section, key) for key in ("cert", "key", "client_ca")]
        self._lock = threading.Lock()
        self._content: list[bytes] = []
        self._renew()
        self._complaint = ""

    def current(self) -> ServedTls:
        """Return what serves the next connection; a failed renewal is logged, once."""
        with self._lock:
            try:
                if self._renew():
                    _log.info("took up a renewed certificate", expiry=self._served.expiry)
                self._complaint = ""
            except WebConfigError as error:
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    _log.warning("keeps the certificate from before", error=self._complaint)
            return self._served

    def _renew(self) -> bool:
        content = [pem.read() for pem in self._pems]
        changed = content != self._content
        if changed:
            self._served = self._serve(*content)
            self._content = content
        return changed

    def _serve(self, cert: bytes, key: bytes, client_ca: bytes) -> ServedTls:
        cert_pem, key_pem, client_ca_pem = self._pems
        chain = cert_pem.certificates(cert)
        key_pem.check_key(key, chain[0])
        try:
            context = new_context(self._section)
            if client_ca_pem.given:
                anchors = client_ca_pem.certificates(client_ca)
                context.load_verify_locations(cadata=_encoded(anchors, Encoding.DER))
            # It takes nothing but a path, and no key shall go to a disk.
            with os.fdopen(os.memfd_create("pem"), "wb") as file:
                file.write(_encoded(chain, Encoding.PEM) + key)
                file.flush()
                context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        except ssl.SSLError as error:
            problem = f"tls_server_config: OpenSSL refuses it: {error.reason or error}"
            raise WebConfigError(f"{self._section.file}: {problem}") from error
        return ServedTls(context, chain[0].not_valid_after_utc.timestamp())


class _Pem:
    """PEM text in the web config file, or in a file that it names."""

    def __init__(self, section: Section, key: str) -> None:
        self._text, name = section.get(key, ""), section.get(f"{key}_file", "")
        if self._text and name:
            problem = f"{name!r} is given beside {key}; keep one of them"
            raise section.error(f"{key}_file", problem)
        self.given = bool(self._text or name)
        if key != "client_ca" and not self.given:
            raise section.error(f"{key}_file", f"is missing; name a file in PEM, or give {key}")
        self._path = section.file.parent / name if name else None
        self._section, self._key = section, f"{key}_file" if name else key

    def error(self, problem: str) -> WebConfigError:
        what = "the text" if self._path is None else repr(str(self._path))
        return self._section.error(self._key, f"{what} {problem}")

    def read(self) -> bytes:
        """Give the text as it is now, empty where there is none."""
        try:
            return self._text.encode() if self._path is None else self._path.read_bytes()
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror}; name a readable file") from error

    def certificates(self, pem: bytes) -> list[x509.Certificate]:
        try:
            return x509.load_pem_x509_certificates(pem)
        except ValueError as error:
            raise self.error("has no certificate in PEM; give one or more") from error

    def check_key(self, pem: bytes, certificate: x509.Certificate) -> None:
        try:
            fits = load_pem_private_key(pem, None).public_key() == certificate.public_key()
        except TypeError as error:
            raise self.error("is encrypted; give the key without a password") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise self.error("cannot be used; give a private key in PEM") from error
        if not fits:
            problem = "does not belong to the certificate; give the key that it was made with"
            raise self.error(problem)


def _encoded(certificates: list[x509.Certificate], encoding: Encoding) -> bytes:
    return b"".join(certificate.public_bytes(encoding) for certificate in certificates)

"""Reads the headers of a request so that none can pass for another, and its end is beyond doubt.

WSGI knows `X-Forwarded-User` and `X_Forwarded_User` by one name, and the latter passes a proxy that
sets the former. cheroot would take both, and cut the space off `X-Forwarded-User :`, too.

It would also take the last of several lengths, a length with a sign, and leave a body in chunks
that nobody has read to the next request; a proxy before it may see another end than that.
"""

import re
from http import HTTPStatus

from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest

_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LENGTH = re.compile(rb"[0-9]+")
_GIVEN_ONCE = frozenset({b"Content-Length", b"Host", b"Transfer-Encoding"})
_NOT_IN_VALUES = re.compile(rb"[\0\r\n]")


class _PlainHeaderReader(HeaderReader):
    """Refuses names that have other signs than RFC 9110 allows, and leaves out those with `_`."""

    def _transform_key(self, key_name: bytes) -> bytes:
        if _NAME.fullmatch(key_name) is None:
            raise ValueError("A name of a header has signs that are not allowed.")
        return key_name.title()

    def _allow_header(self, key_name: bytes) -> bool:
        return b"_" not in key_name


class _Headers(dict[bytes, bytes]):
    """Headers by name; refuses what two readers may understand in two ways."""

    def __setitem__(self, name: bytes, value: bytes) -> None:
        if name in self and name in _GIVEN_ONCE:
            raise ValueError(f"The header {name.decode()} is given twice.")
        if _NOT_IN_VALUES.search(value):
            raise ValueError("A value of a header has signs that are not allowed.")
        super().__setitem__(name, value)


class _PlainRequest(HTTPRequest):
    header_reader = _PlainHeaderReader()

    def read_request_headers(self) -> bool:
        """Read the headers; what follows is as long as `Content-Length` says, and never chunked."""
        self.inheaders = _Headers()
        if not super().read_request_headers():  # type: ignore[no-untyped-call] # cheroot has no types
            return False
        if b"Transfer-Encoding" in self.inheaders:
            return self._refuse(HTTPStatus.LENGTH_REQUIRED)
        if _LENGTH.fullmatch(self.inheaders.get(b"Content-Length", b"0")) is None:
            return self._refuse(HTTPStatus.BAD_REQUEST)
        return True

    def _refuse(self, status: HTTPStatus) -> bool:
        """Answer, and let the connection be closed."""
        self.simple_response(f"{status.value} {status.phrase}")
        return False


class PlainHeadersConnection(HTTPConnection):
    """What a cheroot server takes as its `ConnectionClass`."""

    RequestHandlerClass = _PlainRequest

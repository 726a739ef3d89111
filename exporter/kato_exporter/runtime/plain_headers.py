"""Reads the headers of a request so that none can pass for another.

WSGI knows `X-Forwarded-User` and `X_Forwarded_User` by one name, and the latter passes a proxy that
sets the former. cheroot would take both, and cut the space off `X-Forwarded-User :`, too.
"""

import re

from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest

_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^`|~-]+")


class _PlainHeaderReader(HeaderReader):
    """Leaves out each header whose name has anything but the signs of RFC 9110, without `_`."""

    def _transform_key(self, key_name: bytes) -> bytes:
        return key_name.title()

    def _allow_header(self, key_name: bytes) -> bool:
        return _NAME.fullmatch(key_name) is not None


class _PlainRequest(HTTPRequest):
    header_reader = _PlainHeaderReader()


class PlainHeadersConnection(HTTPConnection):
    """What a cheroot server takes as its `ConnectionClass`."""

    RequestHandlerClass = _PlainRequest

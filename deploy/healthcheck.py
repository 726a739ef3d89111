"""Tell by the exit status whether the server in this container answers: a HEALTHCHECK.

The argument names the environment variable with the server's HOST:PORT. With a web configuration
(KATO_WEB_CONFIG_FILE) any answer is a good one: it may ask for TLS or for a password.
"""  # noqa: INP001 - a program by itself

import os
import socket
import sys

_SECONDS = 4
_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104 - where it listens, not we
_REQUEST = b"GET /-/healthy HTTP/1.0\r\n\r\n"


def _is_healthy(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.create_connection((_ANY.get(host, host.strip("[]")), int(port)), _SECONDS) as peer:
        peer.sendall(_REQUEST)
        protocol, _, status = peer.recv(12).partition(b" ")
    return protocol.startswith(b"HTTP/1.") and (
        status == b"200" or "KATO_WEB_CONFIG_FILE" in os.environ
    )


if __name__ == "__main__":
    try:
        sys.exit(not _is_healthy(os.environ[sys.argv[1]]))
    except OSError as error:
        sys.exit(str(error))

"""What the headers of a reverse proxy say, where the proxy is one that is trusted."""

import ipaddress
from dataclasses import dataclass

from werkzeug import Request

from kato_exporter.setting_kinds import Networks

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The networks whose hosts are believed, and the header that names the user, if there is one.

    A header from elsewhere is as if it were not there.
    """

    networks: Networks = ()
    user_header: str | None = None

    def __post_init__(self) -> None:
        if self.user_header is not None and not self.networks:
            raise ValueError(
                "KATO_BROWSER_USER_HEADER is set, and KATO_BROWSER_TRUSTED_PROXIES is not; "
                "name the proxies that may tell the user"
            )

    def user_name(self, request: Request) -> str | None:
        """Give the user that a trusted proxy names, None where it names none."""
        if self.user_header is None or not self._trusts(_address(request.remote_addr or "")):
            return None
        return request.headers.get(self.user_header, "").strip() or None

    def client(self, request: Request) -> str:
        """Give the address of the client, from `X-Forwarded-For` as far as proxies are trusted."""
        peer = request.remote_addr or ""
        address = _address(peer)
        for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
            if not self._trusts(address):
                break
            before = _address(hop.strip())
            if before is None:
                break
            address = before
        return peer if address is None else str(address)

    def _trusts(self, address: _Address | None) -> bool:
        return address is not None and any(
            address.version == network.version and address in network for network in self.networks
        )


def _address(text: str) -> _Address | None:
    """Read an address, with a port or without; None where it is none."""
    bare = text
    if text.startswith("["):
        bare = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        bare = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

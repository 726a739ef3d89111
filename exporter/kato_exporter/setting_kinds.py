"""The kinds of values that settings take: what is right, and how to say so."""

import math
import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlsplit

import click
from click.shell_completion import CompletionItem
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri
from redis.connection import parse_url as parse_redis_url

from kato_exporter.collectors.container_choice import ContainerChoice, is_container_name
from kato_exporter.stores.redis.sentinel import SentinelUrl

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_SHORTEST, _LONGEST = 0.1, 86_400.0
_HIGHEST_PORT = 65_535
_PLAIN_WORD = re.compile(r"[!-~]+")
_PLAIN_URL = re.compile(r"[A-Za-z0-9:/._~%\[\]-]+")
_SECRETS_OF_URL = re.compile(r"(?s)^([^:/?#]*://)?(.*)@|\?.*")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Kind(click.ParamType[Any]):
    """A kind of value. `expected` completes the sentence "VALUE is not ...; give ...".

    A value that is not right ends in click.BadParameter with one line that says what is.
    """

    expected: str

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse what was given; an empty text is kept, it means "none"."""
        if value == "":
            return ""
        try:
            return self._parse(value)
        except (ValueError, TypeError, PyMongoError):
            self.fail(f"{self._shown(value)} is not {self.expected}", param, ctx)

    def _parse(self, value: Any) -> Any:
        """Turn what was given into the setting's value; raise ValueError or TypeError."""
        raise NotImplementedError

    def _shown(self, value: object) -> str:
        """Spell a wrong value for the message."""
        return repr(value)


class _StoreUrl(Kind):
    """A URL that may carry a user name and a password, which are never shown."""

    name = "url"

    def _shown(self, value: object) -> str:
        return repr(hide_secrets(str(value)))


class RedisUrl(_StoreUrl):
    """The address of a Redis or Valkey server."""

    expected = (
        "a Redis URL; give redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss://... for TLS, "
        "unix:///PATH, or redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST...]/SERVICE[/DATABASE]"
    )

    def _parse(self, value: Any) -> str:
        text = str(value)
        if SentinelUrl.speaks(text):
            SentinelUrl.parse(text)
            return text
        parts = urlsplit(text)
        options: dict[str, Any] = parse_redis_url(text)  # type: ignore[no-untyped-call]
        if parts.scheme == "unix" and not options.get("path"):
            raise ValueError("no path")
        if parts.scheme != "unix" and not options.get("host"):
            raise ValueError("no host")
        if parts.scheme != "unix" and not re.fullmatch(r"/?|/\d+", parts.path, re.ASCII):
            raise ValueError("no database number")
        return text


class MongoUrl(_StoreUrl):
    """The address of a mongod, a replica set or a mongos."""

    expected = (
        "a MongoDB URL; give mongodb://[USER:PASSWORD@]HOST[:PORT][,HOST...][/?OPTIONS] "
        "or mongodb+srv://HOST"
    )

    def _parse(self, value: Any) -> str:
        text = str(value)
        if text.startswith("mongodb+srv://"):  # parsing it would ask the DNS
            if not urlsplit(text).hostname:
                raise ValueError("no host")
        else:
            parse_uri(text)
        return text


class HttpUrl(_StoreUrl):
    """The address of an HTTP API."""

    expected = "the address of an HTTP API; give http://HOST:PORT[/PREFIX] or https://..."

    def _parse(self, value: Any) -> str:
        text = str(value)
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.port:
            raise ValueError("no scheme, host or port")
        if parts.username is not None or "?" in text or "#" in text:
            raise ValueError("not an address alone")
        if not _PLAIN_URL.fullmatch(text):
            raise ValueError("characters that must be escaped")
        return text


class WebUrl(_StoreUrl):
    """The address of a web application, which people open."""

    expected = "the address of a web application; give https://HOST[:PORT][/PREFIX] or http://..."

    def _parse(self, value: Any) -> str:
        text = str(value)
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("no scheme or host")
        if not _PLAIN_URL.fullmatch(text):
            raise ValueError("more than an address")
        return text.rstrip("/")


class ApiKey(Kind):
    """A secret that goes into a header, and is never shown."""

    name = "key"
    expected = "an API key; give printable ASCII without spaces"

    def _parse(self, value: Any) -> str:
        text = str(value)
        if not _PLAIN_WORD.fullmatch(text):
            raise ValueError("not printable")
        return text

    def _shown(self, value: object) -> str:
        del value
        return "what was given"


class DockerHost(_StoreUrl):
    """The address of a container engine that speaks Docker's API."""

    expected = (
        "the address of a container engine; give unix:///PATH, tcp://HOST:PORT "
        "or ssh://[USER@]HOST[:PORT]"
    )

    def _parse(self, value: Any) -> str:
        parts = urlsplit(str(value))
        port = parts.port
        if parts.query or parts.fragment or parts.password is not None:
            raise ValueError("more than an address")
        if parts.scheme == "unix":
            right = not parts.netloc and parts.path.startswith("/") and parts.path != "/"
        elif parts.scheme == "tcp":
            right = bool(parts.hostname and port) and parts.path in ("", "/") and not parts.username
        else:
            right = parts.scheme == "ssh" and bool(parts.hostname) and parts.path in ("", "/")
        if not right:
            raise ValueError(value)
        return str(value).rstrip("/")


class Containers(Kind):
    """Which containers are watched."""

    name = "containers"
    expected = (
        "a choice of containers; give names, patterns with * ? [...] and label=KEY or "
        "label=KEY=VALUE, with commas"
    )

    def _parse(self, value: Any) -> ContainerChoice:
        if isinstance(value, ContainerChoice):
            return value
        return ContainerChoice.parse(",".join(_texts(value)))


class ContainerNames(Kind):
    """Names of containers, without an order."""

    name = "names"
    expected = "a list of container names; give names of letters, digits, _ . and -, with commas"

    def _parse(self, value: Any) -> frozenset[str]:
        if isinstance(value, frozenset):
            return value
        names = frozenset(_texts(value))
        if not all(is_container_name(name) for name in names):
            raise ValueError(value)
        return names


class Host(Kind):
    """The name or the IP address of a host."""

    name = "host"
    expected = "a host name or an IP address; give one without a scheme, a port or a path"

    def _parse(self, value: Any) -> str:
        bare = str(value).strip("[]")
        if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.%]+", bare):
            raise ValueError(value)
        return f"[{bare}]" if ":" in bare else bare


class ListenAddress(Kind):
    """Where to listen."""

    name = "host:port"
    expected = "an address to listen on; give HOST:PORT, such as 127.0.0.1:9898 or [::]:9898"

    def _parse(self, value: Any) -> Address:
        if isinstance(value, Address):
            return value
        host, colon, port = str(value).rpartition(":")
        if not (colon and port.isascii() and port.isdecimal() and int(port) <= _HIGHEST_PORT):
            raise ValueError(value)
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise ValueError(value)
        host.encode("idna")  # as the system does; a label of it may be too long
        return Address(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - asked for


Networks = tuple[IPv4Network | IPv6Network, ...]
"""Some networks; one address is a network too."""


class NetworkList(Kind):
    """Addresses and networks."""

    name = "networks"
    expected = "a list of networks; give addresses and networks such as 10.0.0.0/8, with commas"

    def _parse(self, value: Any) -> Networks:
        return tuple(map(ip_network, _texts(value)))


class HeaderName(Kind):
    """The name of an HTTP header."""

    name = "header"
    expected = "the name of a header; give letters, digits and -, such as X-Forwarded-User"

    def _parse(self, value: Any) -> str:
        if not re.fullmatch(r"[A-Za-z0-9-]+", str(value), re.ASCII):
            raise ValueError(value)
        return str(value)


class Duration(Kind):
    """A time span, in seconds."""

    name = "duration"
    expected = "a duration from 100ms to 24h; give a number with ms, s, m or h, such as 30s"

    def _parse(self, value: Any) -> float:
        match = _DURATION.fullmatch(str(value).strip())
        if match is None:
            raise ValueError(value)
        seconds = float(match[1]) * _SECONDS[match[2] or "s"]
        if not _SHORTEST <= seconds <= _LONGEST:
            raise ValueError(value)
        return seconds


class Share(Kind):
    """A part of a whole."""

    name = "share"
    expected = "a share; give a number above 0 and at most 1, such as 0.1"

    def _parse(self, value: Any) -> float:
        share = float(str(value))  # which is no number for true
        if not (math.isfinite(share) and 0 < share <= 1):
            raise ValueError(value)
        return share


class FilePath(click.Path):
    """The path of a file or a directory; one that no system takes is there no more than others."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check it as click does."""
        if "\0" in str(value):
            self.fail(f"{value!r} is no path", param, ctx)
        return super().convert(value, param, ctx)


class Names(Kind):
    """One or several of a set of names, without an order."""

    name = "names"

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known
        self.expected = f"a list of known names; give some of {', '.join(known)}, with commas"

    def _parse(self, value: Any) -> frozenset[str]:
        if isinstance(value, frozenset):
            return value
        names = frozenset(_texts(value))
        if not names <= frozenset(self.known):
            raise ValueError(value)
        return names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Complete the last name of a list that has begun, with one that is not in it."""
        del ctx, param
        begun, comma, last = incomplete.rpartition(",")
        given = begun.split(",")
        return [
            CompletionItem(f"{begun}{comma}{name}")
            for name in self.known
            if name.startswith(last) and name not in given
        ]


def _texts(value: Any) -> list[str]:
    """Read a list, or a text with commas; raise TypeError for anything else."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise TypeError(value)
    return [each.strip() for each in given]


def hide_secrets(url: str) -> str:
    """Put `***` where a URL may carry a user name, a password or options."""
    return _SECRETS_OF_URL.sub(
        lambda match: f"{match[1] or ''}***@" if match[2] is not None else "?***", url
    )

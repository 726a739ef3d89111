"""Where a reader goes after the sign-in: to this site and to no other."""

from urllib.parse import urlsplit

_LONGEST = 4_000


def local_address(text: str) -> str:
    """Give a path and query of this site, `/` where the text is anything else.

    Web browsers take a backslash for a slash, drop tabs and line ends, and read `//host` as a host.
    """
    harmless = text.isascii() and text.isprintable() and not {" ", "\\"} & set(text)
    if not harmless or not text.startswith("/") or len(text) > _LONGEST:
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    return "/" if parts.netloc or text.startswith("//") else text

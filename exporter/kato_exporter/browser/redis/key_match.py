r"""What is looked for among the names of keys: a text within them, or a glob of Redis.

A glob has `*` (any text), `?` (one byte) or `[a-z]` (one byte of these) and matches whole names.
What has none of them is looked for anywhere in a name. In both `\*`, `\?`, `\[` and the like stand
for the characters themselves, `\\` for a backslash and `\xNN` for a byte, as in names of keys.
"""

import re
from dataclasses import dataclass

MOST_STARS = 5
"""Old servers compare a name with every way to spread it over the stars."""

_SPECIAL = b"*?[]^-\\"
_TOKEN = re.compile(
    rb"\\x(?P<byte>[0-9a-fA-F]{2})|\\(?P<escaped>[*?\[\]^\\-])|(?P<stars>\*+)|(?P<one>\?)"
    rb"|(?P<open>\[)|(?P<close>\])|(?P<plain>[^\\])",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class KeyMatch:
    """What SCAN is to match, None for all keys; and whether it was given as a glob."""

    pattern: bytes | None
    glob: bool


def parse_key_match(text: str) -> KeyMatch:
    """Read what a person looks for; raise ValueError, which says what is right."""
    if not text:
        return KeyMatch(None, glob=False)
    tokens = _tokens(text.encode())
    kinds = [kind for kind, _ in tokens]
    if kinds.count("stars") > MOST_STARS:
        raise ValueError(f"give at most {MOST_STARS} stars")
    pattern = b"".join(token for _, token in tokens)
    glob = not {"stars", "one", "open"}.isdisjoint(kinds)
    return KeyMatch(pattern if glob else b"*" + pattern + b"*", glob=glob)


def _tokens(written: bytes) -> list[tuple[str, bytes]]:
    """Split into tokens as Redis is to get them; the brackets that are there are in pairs."""
    tokens: list[tuple[str, bytes]] = []
    position, within = 0, False
    while position < len(written):
        found = _TOKEN.match(written, position)
        if found is None or found.lastgroup is None:
            raise ValueError(r"write \\ for a backslash, \xNN for a byte, \* for a star")
        kind = found.lastgroup
        if within and kind in ("stars", "one", "open"):
            kind = "plain"
        within = kind == "open" or (within and kind != "close")
        tokens.append((kind, _for_redis(kind, found[kind] if kind == "byte" else found[0])))
        position = found.end()
    if within:
        raise ValueError(r"a [ has no ]; write \[ for the character itself")
    return tokens


def _for_redis(kind: str, token: bytes) -> bytes:
    if kind == "stars":
        return b"*"
    if kind == "byte":
        byte = bytes.fromhex(token.decode())
        return b"\\" + byte if byte in _SPECIAL else byte
    return token

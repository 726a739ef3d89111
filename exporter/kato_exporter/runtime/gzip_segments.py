"""gzip in segments: one stream made of parts, each of which is compressed once and used again.

A gzip file may have several members (RFC 1952), but many HTTP clients read the first only: Chromium
and httpx drop the rest, curl breaks off. So the segments share one member: each is deflated by
itself and ends on a byte, and the checksum of the whole is reckoned from theirs.

A CRC-32 is a polynomial over two elements modulo a fixed one. That of two texts in a row is the
first's, times x to the number of the second's bits, plus the second's. Bit 31 stands for 1 and each
bit below for one more power of x, as in the checksums of gzip.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import Self

_LEVEL = 5
_NO_HEADER = -15
_HEADER = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
_LAST_BLOCK = b"\x03\x00"
_POLYNOMIAL = 0xEDB88320
_MASK = 2**32 - 1
_ONE = 1 << 31
_X_TO_THE_8 = _ONE >> 8


def _times(first: int, second: int) -> int:
    """Multiply two polynomials modulo that of CRC-32."""
    product = 0
    while first:
        if first & _ONE:
            product ^= second
        first = first << 1 & _MASK
        second = second >> 1 ^ (_POLYNOMIAL if second & 1 else 0)
    return product


_SQUARES = tuple(accumulate(repeat(_X_TO_THE_8, 64), lambda square, _: _times(square, square)))


@dataclass(frozen=True, slots=True)
class Segment:
    """A text, deflated; its checksum, its length in bytes, and x to the number of its bits."""

    deflated: bytes
    crc: int
    length: int
    power: int

    @classmethod
    def of(cls, text: bytes) -> Self:
        """Compress a text."""
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _NO_HEADER)
        power = _ONE
        for bit, square in enumerate(_SQUARES[: len(text).bit_length()]):
            if len(text) >> bit & 1:
                power = _times(power, square)
        return cls(
            deflated=compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH),
            crc=zlib.crc32(text),
            length=len(text),
            power=power,
        )


def gzip_of(segments: Iterable[Segment]) -> bytes:
    """Put segments together to a gzip file of one member, which holds their texts in a row."""
    deflated = [_HEADER]
    crc = length = 0
    for segment in segments:
        deflated.append(segment.deflated)
        crc = _times(crc, segment.power) ^ segment.crc
        length += segment.length
    return b"".join([*deflated, _LAST_BLOCK, struct.pack("<LL", crc, length & _MASK)])

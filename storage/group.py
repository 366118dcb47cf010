"""Several mutations as one record of the log, so that a crash leaves all of them or none.

    group := 2:u8 (length:uvarint mutation)*

A mutation alone begins with its version, which is 1; so what replay finds says itself what it is.
"""

from collections.abc import Sequence

GROUP = 2


def encode_group(mutations: Sequence[bytes]) -> bytes:
    """The record of several mutations."""
    parts = bytearray([GROUP])
    for data in mutations:
        length = len(data)
        while length >= 0x80:
            parts.append(length & 0x7F | 0x80)
            length >>= 7
        parts.append(length)
        parts += data
    return bytes(parts)

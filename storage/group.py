"""Several mutations as one record of the log, so that a crash leaves all of them or none.

    group := 2:u8 (length:uvarint mutation)*

A mutation alone begins with its version, which is 1; so what replay finds says itself what it is.
"""

from collections.abc import Sequence

from storage.errors import CorruptData

GROUP = 2
_GROUP_MARK = bytes([GROUP])


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


def split_record(record: bytes) -> list[bytes]:
    """The mutations of a record; CorruptData if it is a group which does not end at its end."""
    if record[:1] != _GROUP_MARK:
        return [record]
    mutations = []
    at = 1
    while at < len(record):
        length, at = _read_length(record, at)
        if at + length > len(record):
            raise CorruptData("a group of mutations leads beyond its record")
        mutations.append(record[at : at + length])
        at += length
    return mutations


def _read_length(record: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(record) and shift < 35:
        byte = record[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise CorruptData("a group of mutations has a malformed length")

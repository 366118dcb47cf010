"""Frames: the checked and compressed unit in which everything of an SSTable lies.

Invariant: a payload leaves `open_frame` only after its checksum, which covers the file's identity
and the frame's offset, was found right; nothing is decompressed before.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

import lz4.block

from storage.errors import CorruptData
from storage.sstable.format import FRAME_BYTES_MAX, FRAME_HEADER_BYTES, PAGE_BYTES

Buffer = bytes | memoryview

_HEAD = struct.Struct(">BBHII")
_CHECKSUM = struct.Struct(">I")
_PLACE = struct.Struct(">Q")


class Kind(IntEnum):
    """What a frame holds."""

    DATA = 1
    INDEX = 2
    FILTER = 3
    SUMMARY = 4
    STATISTICS = 5


class Compression(IntEnum):
    """How a payload is stored."""

    NONE = 0
    LZ4 = 1


COMPRESSIONS = {"none": Compression.NONE, "lz4": Compression.LZ4}
"""The compressors by the names which a table's layout uses."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A payload as it will be stored, before it is known where."""

    stored: bytes
    compression: Compression
    raw_bytes: int

    @property
    def frame_bytes(self) -> int:
        """How long its frame will be."""
        return FRAME_HEADER_BYTES + len(self.stored)


def pack(payload: bytes, compression: Compression) -> Packed:
    """Compress a payload if that makes it an eighth smaller."""
    raw = len(payload)
    assert 0 < raw <= FRAME_BYTES_MAX, "a frame's payload has a bound"
    if compression is Compression.LZ4:
        stored: bytes = lz4.block.compress(payload, store_size=False)
        if len(stored) <= raw - raw // 8:
            return Packed(stored, Compression.LZ4, raw)
    return Packed(payload, Compression.NONE, raw)


def seal(identity: bytes, offset: int, kind: Kind, packed: Packed) -> bytes:
    """The frame's header for this place; the stored payload follows it."""
    head = _HEAD.pack(kind, packed.compression, 0, len(packed.stored), packed.raw_bytes)
    return head + _CHECKSUM.pack(_checksum(identity, offset, head, packed.stored))


def open_frame(identity: bytes, offset: int, kind: Kind, frame: memoryview) -> bytes:
    """The payload of the frame which was read from `offset`; CorruptData if anything is wrong."""
    if len(frame) < FRAME_HEADER_BYTES:
        raise CorruptData("a frame that is cut off")
    head = frame[: _HEAD.size]
    found_kind, compression, zero, stored_bytes, raw_bytes = _HEAD.unpack(head)
    stored = frame[FRAME_HEADER_BYTES:]
    if len(stored) != stored_bytes:
        raise CorruptData("a frame of another length than the index says")
    (checksum,) = _CHECKSUM.unpack(frame[_HEAD.size : FRAME_HEADER_BYTES])
    if checksum != _checksum(identity, offset, head, stored):
        raise CorruptData("a frame whose checksum is wrong")
    if found_kind != kind or zero or not 0 < raw_bytes <= FRAME_BYTES_MAX:
        raise CorruptData(f"a frame of kind {found_kind} where {kind.name} is expected")
    return _unpack(stored, compression, raw_bytes)


def _unpack(stored: memoryview, compression: int, raw_bytes: int) -> bytes:
    if compression == Compression.NONE:
        payload = bytes(stored)
    elif compression == Compression.LZ4:
        try:
            payload = lz4.block.decompress(stored, uncompressed_size=raw_bytes)
        except lz4.block.LZ4BlockError as error:
            raise CorruptData("a frame that cannot be decompressed") from error
    else:
        raise CorruptData(f"a frame with compression {compression}, which is not known")
    if len(payload) != raw_bytes:
        raise CorruptData("a frame whose raw length is not what it says")
    return payload


def _checksum(identity: bytes, offset: int, head: Buffer, stored: Buffer) -> int:
    place = identity + _PLACE.pack(offset)
    return zlib.crc32(stored, zlib.crc32(head, zlib.crc32(place)))


def frame_offset(offset: int, size: int) -> int:
    """Where a frame of `size` bytes goes that could begin at `offset`.

    The next page is better if the frame then touches fewer pages and the gap is small beside it.
    """
    gap = -offset % PAGE_BYTES
    pages = (offset + size - 1) // PAGE_BYTES - offset // PAGE_BYTES + 1
    if gap and gap <= size // 8 and pages > (size + PAGE_BYTES - 1) // PAGE_BYTES:
        return offset + gap
    return offset

"""Frames: the checked and compressed unit in which everything of an SSTable lies.

Invariant: a payload leaves `open_frame` only after its checksum, which covers the file's identity
and the frame's offset, was found right; nothing is decompressed before.
"""

import struct
from enum import IntEnum

from storage.checksum import crc32c
from storage.errors import CorruptData
from storage.sstable.compressors import Buffer, Compression, Compressor, decompress
from storage.sstable.format import FRAME_BYTES_MAX, FRAME_HEADER_BYTES, PAGE_BYTES
from storage.values import value_class

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


@value_class
class Packed:
    """A payload as it will be stored, before it is known where."""

    stored: bytes
    compression: Compression
    raw_bytes: int

    @property
    def frame_bytes(self) -> int:
        """How long its frame will be."""
        return FRAME_HEADER_BYTES + len(self.stored)


def pack(payload: bytes, compressor: Compressor | None = None) -> Packed:
    """Compress a payload if that makes it as much smaller as it must."""
    raw = len(payload)
    assert 0 < raw <= FRAME_BYTES_MAX, "a frame's payload has a bound"
    if compressor is not None and compressor.compression is not Compression.NONE:
        stored = compressor.compress(payload)
        if len(stored) <= compressor.stored_max(raw):
            return Packed(stored, compressor.compression, raw)
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
    return decompress(compression, stored, raw_bytes)


def _checksum(identity: bytes, offset: int, head: Buffer, stored: Buffer) -> int:
    return crc32c(stored, crc32c(b"".join((identity, _PLACE.pack(offset), head))))


def frame_offset(offset: int, size: int) -> int:
    """Where a frame of `size` bytes goes that could begin at `offset`.

    The next page is better if the frame then touches fewer pages and the gap is small beside it.
    """
    gap = -offset % PAGE_BYTES
    pages = (offset + size - 1) // PAGE_BYTES - offset // PAGE_BYTES + 1
    if gap and gap <= size // 8 and pages > (size + PAGE_BYTES - 1) // PAGE_BYTES:
        return offset + gap
    return offset

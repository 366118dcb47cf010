"""Frames: the checked and compressed unit in which everything of an SSTable lies.

The checksum covers the file's identity and the frame's offset; `storage.sstable.opening` checks it.
"""

import struct
from enum import IntEnum
from typing import Final

from storage.checksum import crc32c
from storage.sstable.compressors import Buffer, Compression, Compressor
from storage.sstable.format import FRAME_BYTES_MAX, FRAME_HEADER_BYTES, PAGE_BYTES
from storage.values import value_class

TRIES_IN_VAIN: Final = 8
"""Blocks one after the other which compression did not make as much smaller as it must."""

UNTRIED_MAX: Final = 7
"""Blocks that are stored as they are after so many tries in vain, until another one is tried."""

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


class BlockPacker:
    """Compresses the blocks of one file; where none gets smaller it tries few of them.

    Noise costs as much to compress as text, and more than all else that a flush does with it.
    """

    __slots__ = ("_compressor", "_in_vain", "_untried")

    def __init__(self, compressor: Compressor) -> None:
        self._compressor = compressor
        self._in_vain = 0
        self._untried = 0

    def pack(self, payload: bytes) -> Packed:
        """A block as it will be stored."""
        if self._in_vain >= TRIES_IN_VAIN and self._untried < UNTRIED_MAX:
            self._untried += 1
            return pack(payload)
        packed = pack(payload, self._compressor)
        self._untried = 0
        self._in_vain = self._in_vain + 1 if packed.compression is Compression.NONE else 0
        return packed


def seal(identity: bytes, offset: int, kind: Kind, packed: Packed) -> bytes:
    """The frame's header for this place; the stored payload follows it."""
    head = _HEAD.pack(kind, packed.compression, 0, len(packed.stored), packed.raw_bytes)
    return head + _CHECKSUM.pack(_checksum(identity, offset, head, packed.stored))


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

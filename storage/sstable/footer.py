"""The last page of an SSTable: which file it is, and where filter, summary, statistics lie."""

import struct

from storage.checksum import crc32c
from storage.errors import CorruptData
from storage.sstable.compressors import Compression
from storage.sstable.fetch import Extent
from storage.sstable.format import PAGE_BYTES
from storage.values import value_class

MAGIC = b"PYTHIA-S"
VERSION = 1
_FIELDS = struct.Struct(">8sHHB3x16s16sQQQIQIQII")
_CHECKSUM = struct.Struct(">I")


@value_class
class Footer:
    """The footer's fields; `docs/formats/sstable.md` says what they mean."""

    compression: Compression
    identity: bytes
    table_id: bytes
    generation: int
    file_bytes: int
    filter: Extent
    summary: Extent
    statistics: Extent
    created_s: int = 0
    """When the file was begun; 0 if that is not known."""

    def encode(self) -> bytes:
        """The last page of the file."""
        fields = _FIELDS.pack(
            MAGIC,
            VERSION,
            0,
            self.compression,
            self.identity,
            self.table_id,
            self.generation,
            self.file_bytes,
            self.filter.offset,
            self.filter.size,
            self.summary.offset,
            self.summary.size,
            self.statistics.offset,
            self.statistics.size,
            self.created_s,
        )
        page = fields.ljust(PAGE_BYTES - _CHECKSUM.size, b"\0")
        return page + _CHECKSUM.pack(crc32c(page))

    @staticmethod
    def decode(page: bytes) -> "Footer":
        """The footer of a page; CorruptData if it is none."""
        if len(page) != PAGE_BYTES:
            raise CorruptData("the footer is cut off")
        if _CHECKSUM.pack(crc32c(page[: -_CHECKSUM.size])) != page[-_CHECKSUM.size :]:
            raise CorruptData("the footer's checksum is wrong")
        magic, version, zero, compression, *rest = _FIELDS.unpack_from(page)
        if magic != MAGIC or version != VERSION or zero:
            raise CorruptData(f"this is no SSTable of version {VERSION}")
        if compression not in set(Compression):
            raise CorruptData(f"compression {compression} is not known")
        identity, table_id, generation, file_bytes, *places = rest
        footer = Footer(
            Compression(compression),
            identity,
            table_id,
            generation,
            file_bytes,
            Extent(places[0], places[1]),
            Extent(places[2], places[3]),
            Extent(places[4], places[5]),
            places[6],
        )
        footer._check_extents()
        return footer

    def _check_extents(self) -> None:
        extents = (self.filter, self.summary, self.statistics)
        if not self.filter.end <= self.summary.offset <= self.statistics.offset:
            raise CorruptData("the footer's places do not follow each other")
        if any(extent.end > self.file_bytes - PAGE_BYTES for extent in extents):
            raise CorruptData("the footer names places outside the file")

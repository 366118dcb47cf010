"""Partitions in order -> the bytes of an SSTable, from front to back.

Pure: it does no I/O. Its owner feeds it, takes what has gathered and writes that at the end of the
file. Memory: the block being built, what was not taken, the summary, and the filter.
"""

from bisect import bisect_left
from dataclasses import dataclass

from storage.layout import Layout
from storage.sstable.block import BlockBuilder
from storage.sstable.bloom import BloomFilter, key_hash
from storage.sstable.compressors import compressor_of
from storage.sstable.fetch import Extent
from storage.sstable.footer import Footer
from storage.sstable.format import FRAME_HEADER_BYTES, PAGE_BYTES
from storage.sstable.frame import BlockPacker, Kind, Packed, frame_offset, pack, seal
from storage.sstable.index import IndexBuilder
from storage.sstable.splice import Sink
from storage.sstable.statistics import Statistics
from storage.values import value_class

FILTER_FRAME_BYTES = 256 * 1024
CHUNK_BYTES_MAX = 4 * 1024 * 1024

Deletion = tuple[int, int]
Tombstone = tuple[bytes, bytes, int, int]


@dataclass(slots=True)
class _Open:
    """The partition being written."""

    key: bytes
    deletion: Deletion | None
    static_row: bytes
    has_section: bool = False
    low: bytes = b""


@value_class
class PackedBlock:
    """A block that has ended and is to be written next."""

    start: tuple[bytes, bytes]
    """Key and clustering of its first row."""

    packed: Packed


class SSTableWriter:
    """Takes partitions in ascending order, each with its rows and tombstones in order."""

    def __init__(
        self,
        layout: Layout,
        identity: bytes,
        generation: int,
        partitions_expected: int,
        created_s: int = 0,
    ) -> None:
        assert len(identity) == 16, "an SSTable's identity has 16 bytes"
        self._table_id = layout.table_id
        self._identity = identity
        self._generation = generation
        self._compressor = compressor_of(layout.compression_options, layout.compression)
        self._packer = BlockPacker(self._compressor)
        self._created_s = created_s
        self._filter = BloomFilter.sized(partitions_expected, layout.bloom_fp_chance)
        self._blocks = BlockBuilder(min(layout.chunk_bytes, CHUNK_BYTES_MAX))
        self._index = IndexBuilder()
        self._summary = IndexBuilder()
        self._output = bytearray()
        self._taken = 0
        self._partition: _Open | None = None
        self.statistics = Statistics()
        self.sink = Sink(self._blocks, self.statistics, self._filter)
        """Takes whole partitions between those which `begin` and `end` enclose."""

    @property
    def pending_bytes(self) -> int:
        """How much has gathered since the last `take`."""
        return len(self._output)

    @property
    def file_bytes(self) -> int:
        """How long the file is by now."""
        return self._taken + len(self._output)

    def take(self) -> tuple[int, bytearray]:
        """Whole pages which have gathered, and the offset in the file where they belong."""
        offset, pages = self._taken, self._output
        whole = len(pages) - len(pages) % PAGE_BYTES
        self._output = pages[whole:]
        del pages[whole:]
        self._taken += whole
        return offset, pages

    def begin(self, key: bytes, deletion: Deletion | None, static_row: bytes) -> None:
        """Begin the partition of `key`, which is above all keys before."""
        assert self._partition is None, "one partition is written at a time"
        assert key > self.statistics.last_key or not self.statistics.partitions, "keys ascend"
        self._partition = _Open(key, deletion, static_row)
        if deletion is not None or static_row:
            self._open_section()

    def add(self, tombstones: list[Tombstone], clusterings: list[bytes], rows: list[bytes]) -> None:
        """Add rows and tombstones, all at or above what the partition has already."""
        position = 0
        for tombstone in tombstones:
            stop = bisect_left(clusterings, tombstone[0], position)
            self._add_rows(clusterings, rows, position, stop)
            self._add_tombstone(tombstone)
            position = stop
        self._add_rows(clusterings, rows, position, len(rows))
        self.statistics.add_rows(clusterings, rows)

    def end(self) -> None:
        """End the partition; one in which nothing was put leaves no trace."""
        assert self._partition is not None, "only what was begun can end"
        if self._partition.has_section:
            self._blocks.end(None)
        self._partition = None

    def finish(self) -> None:
        """End the file; `take` gives its last pages."""
        assert self._partition is None, "a file ends between partitions"
        assert self.statistics.partitions > 0, "an empty SSTable is never written"
        if not self._blocks.is_empty:
            self._close_block()
        self._close_index()
        filter_extent = self._put_filter()
        summary = self._put(Kind.SUMMARY, pack(self._summary.take(), self._compressor))
        statistics = self._put(Kind.STATISTICS, pack(self.statistics.encode()))
        self._pad_page()
        footer = Footer(
            self._compressor.compression,
            self._identity,
            self._table_id,
            self._generation,
            self.file_bytes + PAGE_BYTES,
            filter_extent,
            summary,
            statistics,
            self._created_s,
        )
        self._output += footer.encode()

    def _add_rows(self, clusterings: list[bytes], rows: list[bytes], first: int, stop: int) -> None:
        while first < stop:
            self._make_room(clusterings[first])
            first = self._blocks.add_rows(clusterings, rows, first, stop)

    def _add_tombstone(self, tombstone: Tombstone) -> None:
        self._make_room(tombstone[0])
        self._blocks.add_tombstone(*tombstone)
        self.statistics.add_tombstone(*tombstone)

    def _make_room(self, position: bytes) -> None:
        """See that a section is open in a block which takes something at `position`."""
        partition = self._partition
        assert partition is not None, "rows belong to a partition"
        if not partition.has_section:
            self._open_section()
        elif self._blocks.is_full and position > partition.low:
            rest = self._blocks.end(position)
            self._close_block()
            partition.low = position
            self._blocks.begin(partition.key, partition.deletion, b"", position)
            if rest is not None:
                self._blocks.add_tombstone(*rest)

    def _open_section(self) -> None:
        """Open the first section of the partition."""
        partition = self._partition
        assert partition is not None, "a section belongs to a partition"
        if self._blocks.is_full:
            self._close_block()
        self._blocks.begin(partition.key, partition.deletion, partition.static_row, None)
        partition.has_section = True
        self._filter.add(key_hash(partition.key))
        self.statistics.add_partition(partition.key, partition.deletion, partition.static_row)

    def take_block(self) -> PackedBlock:
        """End the block, which has partitions, although none has begun after it.

        It must be put before anything else is written. To compress it takes as long as all else
        that is done with it, so that others may have their turns in between.
        """
        assert self._partition is None, "a block is closed between partitions"
        return self._take_block()

    def _take_block(self) -> PackedBlock:
        start = (self._blocks.first_key or b"", self._blocks.first_clustering)
        payload = self._blocks.take()
        self.statistics.raw_bytes += len(payload)
        return PackedBlock(start, self._packer.pack(payload))

    def put_block(self, block: PackedBlock) -> None:
        """Write what `take_block` gave."""
        place = self._put(Kind.DATA, block.packed)
        start = block.start
        if not self._index.fits(*start, PAGE_BYTES - FRAME_HEADER_BYTES):
            self._close_index()
        self._index.add(*start, place.offset, place.size)

    def _close_block(self) -> None:
        self.put_block(self._take_block())

    def _close_index(self) -> None:
        if self._index.count == 0:
            return
        first = self._index.first
        self._pad_page()
        place = self._put(Kind.INDEX, pack(self._index.take()))
        self._summary.add(*first, place.offset, place.size)

    def _put_filter(self) -> Extent:
        """Write the filter in frames, so that no step takes long."""
        start = self.file_bytes
        data = self._filter.encode()
        for position in range(0, len(data), FILTER_FRAME_BYTES):
            piece = data[position : position + FILTER_FRAME_BYTES]
            self._put_at(self.file_bytes, Kind.FILTER, pack(piece))
        return Extent(start, self.file_bytes - start)

    def _put(self, kind: Kind, packed: Packed) -> Extent:
        offset = frame_offset(self.file_bytes, packed.frame_bytes)
        return self._put_at(offset, kind, packed)

    def _put_at(self, offset: int, kind: Kind, packed: Packed) -> Extent:
        self._output += bytes(offset - self.file_bytes)
        self._output += seal(self._identity, offset, kind, packed)
        self._output += packed.stored
        return Extent(offset, packed.frame_bytes)

    def _pad_page(self) -> None:
        self._output += bytes(-len(self._output) % PAGE_BYTES)

"""Blocks of SSTables which were read lately, parsed and checked, bounded in bytes.

It saves reads that would otherwise go to the disk for every lookup of an index block. It is no row
cache: it knows nothing of rows, and what is written never passes through it.

Data blocks go before index blocks, unless those have most of the room already: one index block
leads to hundreds of data blocks, so if data pushed it out, reads of rows anywhere would go to the
disk twice.
"""

from collections import OrderedDict

from storage.sstable.block import Block
from storage.sstable.fetch import Fetch
from storage.sstable.reader import Parsed, SSTable

ENTRY_OVERHEAD_BYTES = 200
INDEX_PART = 0.75
"""Of the room, which index blocks may take from data blocks."""

_Blocks = OrderedDict[tuple[SSTable, int], tuple[Parsed, int]]


class BlockCache:
    """Least recently used blocks go first, of data before those of indexes."""

    __slots__ = ("_data", "_index", "_index_bytes", "bytes_max", "hits", "misses", "used_bytes")

    def __init__(self, bytes_max: int) -> None:
        self._data: _Blocks = OrderedDict()
        self._index: _Blocks = OrderedDict()
        self._index_bytes = 0
        self.bytes_max = bytes_max
        self.used_bytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._data) + len(self._index)

    def find(self, fetch: Fetch) -> list[Parsed] | None:
        """All that is asked for, or None if some of it is not here."""
        found: list[Parsed] = []
        for place in fetch.places:
            block = self._get(fetch.table, place.offset)
            if block is None:
                self.misses += 1
                return None
            found.append(block)
        self.hits += 1
        return found

    def find_one(self, table: SSTable, offset: int) -> Parsed | None:
        """The block that a file has at an offset."""
        block = self._get(table, offset)
        if block is None:
            self.misses += 1
        else:
            self.hits += 1
        return block

    def put(self, fetch: Fetch, parsed: list[Parsed]) -> None:
        """Keep what was read; blocks that would take more than a part of the room are not kept."""
        for place, block in zip(fetch.places, parsed, strict=True):
            size = block.memory_bytes + ENTRY_OVERHEAD_BYTES
            if size > self.bytes_max // 8:
                continue
            key = fetch.table, place.offset
            self._drop(key)
            self.used_bytes += size
            if isinstance(block, Block):
                self._data[key] = block, size
            else:
                self._index[key] = block, size
                self._index_bytes += size
        self._shrink()

    def resize(self, bytes_max: int) -> None:
        """Another bound, as others need more or less of the memory."""
        self.bytes_max = bytes_max
        self._shrink()

    def forget(self, table: SSTable) -> None:
        """Drop all blocks of a file which is obsolete."""
        for blocks in (self._data, self._index):
            for key in [key for key in blocks if key[0] is table]:
                self._drop(key)

    def check(self) -> None:
        """Prove that the bytes are counted right and within their bound."""
        entries = [*self._data.values(), *self._index.values()]
        assert self.used_bytes == sum(size for _, size in entries)
        assert self._index_bytes == sum(size for _, size in self._index.values())
        assert self.used_bytes <= self.bytes_max
        assert not self._data.keys() & self._index.keys(), "a block is of one kind"

    def _get(self, table: SSTable, offset: int) -> Parsed | None:
        key = table, offset
        for blocks in (self._index, self._data):
            entry = blocks.get(key)
            if entry is not None:
                blocks.move_to_end(key)
                return entry[0]
        return None

    def _shrink(self) -> None:
        while self.used_bytes > self.bytes_max:
            takes_data = self._data and self._index_bytes <= self.bytes_max * INDEX_PART
            self._drop(next(iter(self._data if takes_data else self._index or self._data)))

    def _drop(self, key: tuple[SSTable, int]) -> None:
        entry = self._data.pop(key, None)
        if entry is None:
            entry = self._index.pop(key, None)
            if entry is None:
                return
            self._index_bytes -= entry[1]
        self.used_bytes -= entry[1]

"""Blocks of SSTables which were read lately, parsed and checked, bounded in bytes.

It saves reads that would otherwise go to the disk for every lookup of an index block. It is no row
cache: it knows nothing of rows, and what is written never passes through it.
"""

from collections import OrderedDict

from storage.sstable.reader import Fetch, Parsed, SSTable

ENTRY_OVERHEAD_BYTES = 200


class BlockCache:
    """Least recently used blocks go first."""

    __slots__ = ("_blocks", "bytes_max", "hits", "misses", "used_bytes")

    def __init__(self, bytes_max: int) -> None:
        self._blocks: OrderedDict[tuple[SSTable, int], tuple[Parsed, int]] = OrderedDict()
        self.bytes_max = bytes_max
        self.used_bytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def find(self, fetch: Fetch) -> list[Parsed] | None:
        """All that is asked for, or None if some of it is not here."""
        found = []
        for place in fetch.places:
            entry = self._blocks.get((fetch.table, place.offset))
            if entry is None:
                self.misses += 1
                return None
            found.append(entry[0])
        for place in fetch.places:
            self._blocks.move_to_end((fetch.table, place.offset))
        self.hits += 1
        return found

    def find_one(self, table: SSTable, offset: int) -> Parsed | None:
        """The block that a file has at an offset."""
        entry = self._blocks.get((table, offset))
        if entry is None:
            self.misses += 1
            return None
        self._blocks.move_to_end((table, offset))
        self.hits += 1
        return entry[0]

    def put(self, fetch: Fetch, parsed: list[Parsed]) -> None:
        """Keep what was read; blocks that would take more than a part of the room are not kept."""
        for place, block in zip(fetch.places, parsed, strict=True):
            size = block.memory_bytes + ENTRY_OVERHEAD_BYTES
            if size > self.bytes_max // 8:
                continue
            self._drop((fetch.table, place.offset))
            self._blocks[fetch.table, place.offset] = (block, size)
            self.used_bytes += size
        while self.used_bytes > self.bytes_max:
            self.used_bytes -= self._blocks.popitem(last=False)[1][1]

    def resize(self, bytes_max: int) -> None:
        """Another bound, as others need more or less of the memory."""
        self.bytes_max = bytes_max
        while self.used_bytes > self.bytes_max:
            self.used_bytes -= self._blocks.popitem(last=False)[1][1]

    def forget(self, table: SSTable) -> None:
        """Drop all blocks of a file which is obsolete."""
        for key in [key for key in self._blocks if key[0] is table]:
            self._drop(key)

    def check(self) -> None:
        """Prove that the bytes are counted right and within their bound."""
        assert self.used_bytes == sum(size for _, size in self._blocks.values())
        assert self.used_bytes <= self.bytes_max

    def _drop(self, key: tuple[SSTable, int]) -> None:
        entry = self._blocks.pop(key, None)
        if entry is not None:
            self.used_bytes -= entry[1]

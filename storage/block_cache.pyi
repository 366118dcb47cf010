"""Blocks of SSTables which were read lately, parsed and checked, bounded in bytes."""

from typing import Final, final

from storage.sstable.fetch import Fetch
from storage.sstable.reader import Parsed, SSTable

ENTRY_OVERHEAD_BYTES: Final[int]
INDEX_PART: Final[float]
"""Of the room, which index blocks may take from data blocks."""

@final
class Kept:
    """One block in the cache."""

@final
class BlockCache:
    """Least recently used blocks go first, of data before those of indexes."""

    bytes_max: int
    used_bytes: int
    hits: int
    misses: int
    index_hits: int
    index_misses: int
    index_bytes: int
    index_count: int
    def __init__(self, bytes_max: int) -> None: ...
    def __len__(self) -> int: ...
    def find(self, fetch: Fetch) -> list[Parsed] | None:
        """All that is asked for, or None if some of it is not here."""

    def find_one(self, table: SSTable, offset: int) -> Parsed | None:
        """The block that a file has at an offset."""

    def put(self, fetch: Fetch, parsed: list[Parsed]) -> None:
        """Keep what was read; blocks that would take more than a part of the room are not kept."""

    def put_one(self, table: SSTable, offset: int, block: Parsed) -> None:
        """Keep one block, unless it would take more than a part of the room."""

    def resize(self, bytes_max: int) -> None:
        """Another bound, as others need more or less of the memory."""

    def forget(self, table: SSTable, blocks_max: int = ...) -> bool:
        """Drop blocks of a file which is obsolete, at most so many; true if it has more of them."""

    def check(self) -> None:
        """Prove that the bytes are counted right and within their bound."""

"""Partitions that have nothing but rows, carried into a block without an object for each row.

Most partitions are like that: no static row, no deletion, no range tombstone, not larger than a
block. One that is in a single source, and of which nothing is due for purging, is copied as it is;
others are merged row by row, straight from block to block. What is different is left to
`storage.merge`, which knows everything: `run` stops there and says `OTHER`.
"""

from collections.abc import Callable, Sequence
from typing import Final, final

from storage.memtable import MemoryRun, Memtable
from storage.row import ColumnSet
from storage.sstable.block import Block, BlockBuilder, Section
from storage.sstable.bloom import BloomFilter
from storage.sstable.statistics import Statistics

END: Final[int]
"""There are no more partitions."""

PAUSED: Final[int]
"""As much was done as was allowed."""

FULL: Final[int]
"""The block must be closed before the next partition."""

EMPTY: Final[int]
"""A lane is used up: its next block is needed."""

OTHER: Final[int]
"""The partition with the least key needs the whole merge."""

LIMIT: Final[int]
"""The next partition belongs into another file."""

@final
class Lane:
    """The partitions of one source, of which one block is at hand."""

    is_used_up: bool
    def __init__(self, end: bytes) -> None: ...
    @property
    def section(self) -> Section | None:
        """The section at hand; None before the first and after the last."""
    @property
    def key(self) -> bytes | None:
        """Its key."""
    def fill(self, block: Block | None) -> int:
        """Goes on with another block; None is the end."""
    def step(self) -> bool:
        """Goes to the next section of the block; false, and nothing changes, if there is none."""
    def seek(self, key: bytes) -> bool:
        """Goes on to the first section at or above `key`; false if the block has none."""

@final
class Sink:
    """Where partitions go: the block being built and what is known of the whole file."""

    blocks: BlockBuilder
    statistics: Statistics
    filter: BloomFilter
    def __init__(
        self, blocks: BlockBuilder, statistics: Statistics, bloom: BloomFilter
    ) -> None: ...

@final
class Splice:
    """Merges plain partitions of several lanes for a compaction."""

    counts: list[int]
    key: bytes | None
    spent: int
    def __init__(
        self,
        lanes: Sequence[Lane],
        wall_s: int,
        gc_before_s: int,
        existing: ColumnSet | None,
        purgeable_before: Callable[[bytes], int],
    ) -> None: ...
    def run(self, sink: Sink, limit: bytes, bytes_max: int) -> int:
        """Goes on until a reason to stop; partitions from `limit` on belong into another file."""

@final
class MemorySplice:
    """Writes plain partitions of a memtable for a flush."""

    key: bytes | None
    spent: int
    def __init__(self, memtable: Memtable) -> None: ...
    def run(self, sink: Sink, bytes_max: int) -> int:
        """Goes on until a reason to stop; after OTHER it goes on behind that partition."""

    def other(self) -> MemoryRun:
        """The partition at which `run` has stopped, which needs the whole merge."""

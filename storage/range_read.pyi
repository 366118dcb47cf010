"""Partitions of a range in the order of their keys, the plain ones put on a page at once.

Most partitions have nothing but a few rows, in one file or memtable, and lie within a block: their
rows go from the block into the page's buffer. One that is a single row in several sources is merged
on the way. What is different is left to `storage.merge`: `run` stops there and says `OTHER`.
"""

from collections.abc import Sequence
from typing import Final, final

from storage.memtable import Memtable
from storage.merge import PageMerge
from storage.slice import Slice
from storage.sstable.splice import Lane

END: Final[int]
"""There are no more partitions."""

PAUSED: Final[int]
"""As much was done as was allowed."""

FULL: Final[int]
"""A limit of the page was reached."""

EMPTY: Final[int]
"""A lane is used up: its next block is needed."""

OTHER: Final[int]
"""The partition `key` needs the whole merge; `skip` goes on behind it."""

@final
class MemoryKeys:
    """The keys of a memtable that follow, as they are during one run."""

    def __init__(self, memtable: Memtable) -> None: ...

@final
class RangeRead:
    """One page's way through a range of keys. Between two runs memtables may change."""

    key: bytes
    steps: int
    def __init__(
        self,
        merge: PageMerge,
        wanted: Slice,
        keys: tuple[bytes, bytes],
        memtables: Sequence[Memtable],
        lanes: Sequence[Lane],
    ) -> None: ...
    def run(self, steps_max: int) -> int:
        """Goes on until a reason to stop; `steps` says how much was done."""
    def skip(self) -> None:
        """Goes on behind `key` in the memtables; the caller does so in the files."""

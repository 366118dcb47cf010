"""Sorted runs of one partition merged into one, for reads, flushes and compactions.

A **run** is one source of a partition's rows: a memtable, an SSTable. The merge never waits and
never fetches. It works on what it was fed and says which run it needs more of:

    merge.begin(key, heads)                     # one head per run that has the partition
    while (run := merge.advance()) >= 0:
        chunk = runs[run].chunk_at(merge.position(run), slice.reverse)
        merge.feed(run, chunk if isinstance(chunk, Chunk) else await chunk)

A run answers `chunk_at` (the protocol `Run`) with a self-contained chunk: everything it has in the
clustering interval [chunk.start, chunk.end), rows ascending also for reverse reads, and the range
tombstones that cover parts of the interval, disjoint, ascending, cut at its bounds (an SSTable
block carries its fragments, so the chunk is the block). The interval must reach beyond the asked
position:

- forward: `start <= position < end` (or end b"", which is unbounded): the next position is `end`;
- reverse: `position` is the exclusive upper bound, b"" for the top: `start < position <= end`
  (or end b""): the next position is `start`. The lowest chunk has start b"".

It may hold more than that; the merge clips. Intervals without anything are fine: a run which
knows that it has nothing more answers an empty chunk with an unbounded end (start b"" in
reverse). Rows of a chunk may be covered by its own tombstones or by the partition's deletion.

The static row and the partition's deletion are no part of any chunk: they stand in the **head**
`(deletion_ts, deleted_at, static_row)`, `(NO_DELETION, 0, b"")` if there are none.
"""

from collections.abc import Awaitable, Collection, Sequence
from typing import Final, Protocol, final

from storage.row import ColumnSet
from storage.slice import Page, Slice

RangeTombstone = tuple[bytes, bytes, int, int]
"""(start, end, deletion_ts, deleted_at), half-open; end b"" is unbounded."""

Head = tuple[int, int, bytes]
"""(deletion_ts, deleted_at, static_row) of a partition in one run."""

DONE: Final[int]
"""`advance()`: the partition is finished, begin() with the next one."""

FULL: Final[int]
"""`advance()`: a limit of the page was reached; `page()` has the position."""

PAUSED: Final[int]
"""`advance()`: the steps that were allowed are used up; call it again, or end the page here."""

@final
class Chunk:
    """What one run has in the interval [start, end) of clusterings; end b"" is unbounded."""

    start: bytes
    end: bytes
    clusterings: list[bytes]
    rows: list[bytes]
    tombstones: list[RangeTombstone]

    def __init__(
        self,
        start: bytes,
        end: bytes,
        clusterings: list[bytes],
        rows: list[bytes],
        tombstones: list[RangeTombstone] = ...,
    ) -> None: ...
    def check(self) -> None: ...

@final
class Source: ...

@final
class RangeMerge: ...

class Run(Protocol):
    """One partition in one source."""

    def chunk_at(self, position: bytes, reverse: bool) -> Chunk | Awaitable[Chunk]: ...

@final
class PageMerge:
    """Answers a slice: partitions come in key order, the page ends at its limits.

    Applies ranges, direction, limits, DISTINCT, the resume position, deletions and expiry. The
    caller chooses the partitions (keys after `resume_key`; that key itself only if
    `resume_clustering` is not empty) and stops when `advance()` says FULL.
    """

    @property
    def steps(self) -> int: ...
    def __init__(
        self, wanted: Slice, wall_s: int, existing: Collection[int] | ColumnSet | None = None
    ) -> None: ...
    def begin(self, key: bytes, heads: Sequence[Head]) -> None: ...
    def advance(self, steps_max: int = 0) -> int: ...
    def position(self, run: int) -> bytes: ...
    def feed(self, run: int, chunk: Chunk) -> None: ...
    def page(self, more: bool = False) -> Page: ...

@final
class CompactionMerge:
    """Merges runs into one for a flush or a compaction, and purges what is due.

    After begin(), `head` is the merged head. advance() gives a run which needs a chunk, or PAUSED
    when a merged chunk is ready for `take()`, or DONE after the last one was taken. Taken chunks
    follow each other without a gap from b"" to the unbounded end; they may be empty. `narrow`
    after begin() merges one interval instead, in either direction; a chunk's rows ascend always.

    `purge=False` (a flush) keeps everything. Otherwise tombstones deleted before `gc_before_s`
    whose timestamps lie below the partition's `purgeable_before_us` (the lowest timestamp which
    other sources may hold for it; 2^63-1 if none does) go, expired cells become tombstones,
    cells of columns that do not exist go.
    """

    head: Head

    def __init__(
        self,
        wall_s: int,
        gc_before_s: int,
        existing: Collection[int] | ColumnSet | None = None,
        purge: bool = True,
    ) -> None: ...
    def begin(self, key: bytes, heads: Sequence[Head], purgeable_before_us: int = ...) -> None: ...
    def narrow(self, low: bytes, high: bytes, reverse: bool = False) -> None: ...
    def advance(self) -> int: ...
    def position(self, run: int) -> bytes: ...
    def feed(self, run: int, chunk: Chunk) -> None: ...
    def take(self) -> Chunk: ...

def overlay(tombstones: Sequence[Sequence[RangeTombstone]]) -> list[RangeTombstone]:
    """The disjoint, sorted, shortest list in which at each place the newest deletion holds."""

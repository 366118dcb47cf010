"""One slice, answered from memtables and SSTables by the merge.

What lies only in memory is answered by a plain call. Otherwise the answer is a coroutine which the
engine starts at once, so that blocks found in the cache cost no waiting either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from storage import range_read
from storage.fill import ReadThrough
from storage.memtable import MemoryRun, Memtable
from storage.merge import DONE, PAUSED, Chunk, Head, PageMerge, Run
from storage.pace import others_first
from storage.range_read import RangeRead
from storage.row import ColumnSet
from storage.slice import Page, Slice
from storage.sstable.reader import NO_KEY, READ_AHEAD_BYTES, SSTable
from storage.sstable.runs import NO_BOUNDS, Bounds, Load, PartitionRun, Scan

STEPS_MAX: Final = 200
"""Rows and tombstones merged before other work gets its turn."""

STEPS_PER_CHUNK: Final = 50
"""What a chunk costs beside its rows, in rows."""

PAUSES_MAX: Final = 2_000
"""A page ends after so many turns even if its limits were not reached: tombstones fill no page."""

PAGE_S: Final = 1.0
"""And after so long: a page that goes on for longer than its request may is of use to nobody."""


async def read_partition(
    wanted: Slice,
    key: bytes,
    wall_s: int,
    existing: ColumnSet,
    memtables: Sequence[Memtable],
    tables: Sequence[SSTable],
    wants_static: bool,
    load: Load,
    cached: ReadThrough | None = None,
) -> Page:
    """Answer a slice of one partition; `cached`, if given, stands for all SSTables."""
    merge = PageMerge(wanted, wall_s, existing)
    runs, heads = _memory_runs(memtables, key)
    if cached is not None:
        heads.append(await cached.open(first_position(wanted, key), wanted.reverse))
        runs.append(cached)
    elif tables:
        position = first_position(wanted, key)
        bounds = bounds_of(wanted)
        for table in tables:
            run = PartitionRun(table, key, bounds, load)
            head = await run.open(position, wanted.reverse, wants_static)
            if head is not None:
                runs.append(run)
                heads.append(head)
    if not runs:
        return merge.page()
    merge.begin(key, heads)
    return merge.page(await _drive(merge, runs, wanted.reverse, _Patience()) == PAUSED)


async def read_range(
    wanted: Slice,
    wall_s: int,
    existing: ColumnSet,
    memtables: Sequence[Memtable],
    tables: Sequence[SSTable],
    load: Load,
) -> Page:
    """Answer a slice of a range of partitions, in the order of their keys."""
    merge = PageMerge(wanted, wall_s, existing)
    patience = _Patience()
    start, end = key_bounds(wanted)
    scans = [Scan(table, (start, end), load, READ_AHEAD_BYTES) for table in tables]
    for scan in scans:
        await scan.begin(start)
    quick = RangeRead(merge, wanted, (start, end), memtables, [scan.lane for scan in scans])
    while (reason := quick.run(STEPS_MAX)) not in (range_read.END, range_read.FULL):
        if reason == range_read.OTHER:
            outcome = await _read_one(merge, quick.key, wanted, memtables, scans, load, patience)
            if outcome != DONE:
                return merge.page(outcome == PAUSED)
            quick.skip()
        if await patience.is_at_end(quick.steps + (reason == range_read.OTHER)):
            return merge.page(True)
        if reason == range_read.EMPTY:
            for scan in scans:
                if scan.lane.is_used_up:
                    await scan.skip()
    return merge.page()


async def _read_one(
    merge: PageMerge,
    key: bytes,
    wanted: Slice,
    memtables: Sequence[Memtable],
    scans: Sequence[Scan],
    load: Load,
    patience: _Patience,
) -> int:
    """Put any one partition on the page, and go on behind it in the files if it is done."""
    runs, heads = _memory_runs(memtables, key)
    at_hand = [scan for scan in scans if scan.key == key]
    for scan in at_hand:
        heads.append(scan.head)
        runs.append(
            PartitionRun(scan.table, key, bounds_of(wanted), load) if wanted.reverse else scan
        )
    merge.begin(key, heads)
    outcome = await _drive(merge, runs, wanted.reverse, patience)
    if outcome == DONE:
        for scan in at_hand:
            if not scan.skip_now():
                await scan.skip()
    return outcome


def first_position(wanted: Slice, key: bytes) -> bytes:
    """Where in the partition the merge is going to begin; a hint, which need not be exact."""
    if not wanted.ranges:
        return b""
    resumes = wanted.resume_clustering if key == wanted.resume_key else b""
    if wanted.reverse:
        return resumes or wanted.ranges[-1][1]
    return max(resumes, wanted.ranges[0][0])


def key_bounds(wanted: Slice) -> tuple[bytes, bytes]:
    """The keys [start, end) which the slice still wants."""
    assert not isinstance(wanted.key, bytes), "this is for ranges of keys"
    start, end = wanted.key or (b"", b"")
    if wanted.resume_key:
        rest = wanted.resume_key if wanted.resume_clustering else wanted.resume_key + b"\0"
        start = max(start, rest)
    return start, end or NO_KEY


class _Patience:
    """Counts what a read has done, so that it rests now and then and ends its page in time."""

    __slots__ = ("_pauses", "_steps", "_until")

    def __init__(self) -> None:
        self._steps = 0
        self._pauses = 0
        self._until = 0.0

    async def is_at_end(self, steps: int = 1) -> bool:
        """Count steps and rest if it is time; true if the page should end."""
        self._steps += steps
        if self._steps >= STEPS_MAX:
            self._steps = 0
            self._pauses += 1
            now = asyncio.get_running_loop().time()
            if self._pauses == 1:
                self._until = now + PAGE_S
            elif now >= self._until:
                self._pauses = PAUSES_MAX
            await others_first()
        return self._pauses >= PAUSES_MAX


async def _drive(merge: PageMerge, runs: Sequence[Run], reverse: bool, patience: _Patience) -> int:
    """Feed the merge until its partition or the page is done, or patience ends (PAUSED)."""
    counted, limit = merge.steps, STEPS_MAX
    while True:
        outcome = merge.advance(limit)
        steps, counted = merge.steps - counted, merge.steps
        if outcome >= 0:
            chunk = runs[outcome].chunk_at(merge.position(outcome), reverse)
            merge.feed(outcome, chunk if isinstance(chunk, Chunk) else await chunk)
            if await patience.is_at_end(steps + STEPS_PER_CHUNK):
                # A page ends behind a row, or behind range tombstones which no row separates.
                limit = 1
        elif outcome == PAUSED:
            if await patience.is_at_end(steps):
                return PAUSED
        else:
            return outcome


def bounds_of(wanted: Slice) -> Bounds:
    """The clusterings in which all ranges lie."""
    if not wanted.ranges:
        return NO_BOUNDS
    return wanted.ranges[0][0], wanted.ranges[-1][1]


class _Steady:
    """A memtable's run whose chunks do not change when writes come while the read rests."""

    __slots__ = ("_run",)

    def __init__(self, run: MemoryRun) -> None:
        self._run = run

    def chunk_at(self, position: bytes, reverse: bool) -> Chunk:
        """A copy of the chunk."""
        chunk = self._run.chunk_at(position, reverse)
        return Chunk(
            chunk.start, chunk.end, list(chunk.clusterings), list(chunk.rows), chunk.tombstones
        )


def _memory_runs(memtables: Sequence[Memtable], key: bytes) -> tuple[list[Run], list[Head]]:
    runs: list[Run] = []
    heads: list[Head] = []
    for memtable in memtables:
        partition = memtable.find(key)
        if partition is not None:
            runs.append(_Steady(partition))
            heads.append(partition.head)
    return runs, heads

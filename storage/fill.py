"""What a read misses in the row cache, brought from SSTables and kept there.

The cache stands for all SSTables, so a read merges one run (`ReadThrough`) with the memtables. It
answers from the cache where that knows, and otherwise merges the files up to where the cache knows
again. Files, memtables and phase are those of the moment when the read began. A partition that is
mere rows in one block of one file takes a shorter way (`fill_whole`).
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final

from storage.cache import RowCache, TableCache
from storage.eager import start
from storage.memtable import Memtable
from storage.merge import DONE, PAUSED, Chunk, CompactionMerge, Head
from storage.pace import Pace
from storage.row import NO_DELETION
from storage.section_read import SectionRead
from storage.slice import Page
from storage.sstable.reader import SSTable
from storage.sstable.runs import Bounds, Load, PartitionRun

NO_HEAD: Final[Head] = (NO_DELETION, 0, b"")
KEYS_AT_ONCE: Final = 1_024
KEYS_ABSORBED: Final = 16
"""Partitions that are one row each which are merged at once."""
ABSORB_ROWS: Final = 256
"""Rows of one partition that are merged at once."""
SWEEP_STEPS: Final = 4_096


class ReadThrough:
    """One partition of all SSTables of a table, as a run which `storage.merge` takes chunks from.

    `bounds` are the clusterings which the read may ask for; nothing outside of them is read.
    """

    __slots__ = (
        "_bounds",
        "_cache",
        "_cached",
        "_files",
        "_head",
        "_is_open",
        "_key",
        "_load",
        "_merge",
        "_phase",
        "_runs",
        "_wants_static",
    )

    def __init__(
        self,
        cache: TableCache,
        key: bytes,
        bounds: Bounds,
        files: Sequence[SSTable],
        load: Load,
        has_static: bool,
    ) -> None:
        self._cache = cache
        self._cached = cache.find(key)
        self._key = key
        self._bounds = bounds
        self._files = files
        self._load = load
        self._phase = cache.phase
        self._is_open = False
        # A partition that is cached has its static row.
        self._wants_static = has_static and self._cached is None
        self._head: Head | None = None
        """As the files have it, static row included; None as long as that is not known."""
        self._runs: list[PartitionRun] = []
        self._merge = CompactionMerge(0, 0, None, False)

    @property
    def was_hit(self) -> bool:
        """Whether the cache knew everything so far."""
        return not self._is_open

    def count(self) -> None:
        """Count the read, which is over, as a hit or a miss."""
        self._cache.hits += self.was_hit
        self._cache.misses += not self.was_hit

    async def open(self, position: bytes, reverse: bool) -> Head:
        """The partition's head; `position` is where the first chunk will be asked for."""
        if self._cached is not None:
            return self._cached.head
        await self._open_files(position, reverse)
        assert self._head is not None, "files that were opened have given it"
        return self._head

    def chunk_at(self, position: bytes, reverse: bool) -> Chunk | Awaitable[Chunk]:
        """The chunk at `position`, as `storage.merge` asks for it."""
        return self._known(position, reverse) or start(self._fill(position, reverse))

    def _known(self, position: bytes, reverse: bool) -> Chunk | None:
        """What the cache knows at `position`; another read may have brought it meanwhile."""
        if self._cached is None:
            self._cached = self._cache.find(self._key)
        return None if self._cached is None else self._cached.chunk_at(position, reverse)

    async def _fill(self, position: bytes, reverse: bool) -> Chunk:
        """The next chunk of the files, which the cache keeps if it may."""
        if not self._is_open:
            await self._open_files(position, reverse)
            known = self._known(position, reverse)
            if known is not None:
                return known
        low, high = self._gap(position, reverse)
        chunk = await self._merged(low, high, reverse) if self._runs else Chunk(low, high, [], [])
        self._cache.insert(self._key, self._head, chunk, self._phase)
        return chunk

    async def _open_files(self, position: bytes, reverse: bool) -> None:
        self._is_open = True
        heads: list[Head] = []
        for file in self._files:
            run = PartitionRun(file, self._key, self._bounds, self._load)
            head = await run.open(position, reverse, self._wants_static)
            if head is not None:
                self._runs.append(run)
                heads.append(head)
        self._merge.begin(self._key, heads or [NO_HEAD])
        if self._cached is None:
            self._head = self._merge.head

    def _gap(self, position: bytes, reverse: bool) -> tuple[bytes, bytes]:
        """What is to be read: from the position to the bounds, or to what is known already."""
        if not self._runs and self._cached is None:
            # Of a partition that no file has, all is known.
            return b"", b""
        low, high = self._bounds
        known = b"" if self._cached is None else self._cached.known_from(position, reverse)
        if reverse:
            return max(low, known), position
        if known and (not high or known < high):
            high = known
        return position, high

    async def _merged(self, low: bytes, high: bytes, reverse: bool) -> Chunk:
        merge = self._merge
        merge.narrow(low, high, reverse)
        while (run := merge.advance()) != PAUSED:
            assert run != DONE, "an interval that is not empty gives a chunk"
            found = self._runs[run].chunk_at(merge.position(run), reverse)
            merge.feed(run, found if isinstance(found, Chunk) else await found)
        return merge.take()


def fill_whole(
    cache: TableCache, key: bytes, search: SectionRead, phase: int, steps_max: int
) -> Page | None:
    """The page of a partition that is mere rows in one block; the cache gets all of it.

    `search` has found all, and was begun in `phase`. None if it is anything else; then nothing was
    done.
    """
    chunk = search.whole()
    page = None if chunk is None else search.page(steps_max)
    if page is not None and chunk is not None:
        cache.insert(key, NO_HEAD, chunk, phase)
        cache.misses += 1
    return page


async def absorb(cache: TableCache, memtable: Memtable, pace: Pace) -> None:
    """Merge a flushed memtable into what is cached; reads must see it until this is done."""
    first = b""
    while keys := memtable.keys(first, b"", KEYS_AT_ONCE):
        at = 0
        while at < len(keys):
            done = cache.absorb_rows(memtable, keys[at : at + KEYS_ABSORBED])
            if not done:
                await _absorb_partition(cache, keys[at], memtable, pace)
            at += done or 1
            if pace.spend(0, done or 1):
                await pace.rest()
        first = keys[-1] + b"\0"


async def _absorb_partition(cache: TableCache, key: bytes, memtable: Memtable, pace: Pace) -> None:
    run = memtable.find(key)
    assert run is not None, "a memtable has the keys that it gives"
    position: bytes | None = b""
    while position is not None:
        position = cache.absorb(key, run, position, ABSORB_ROWS)
        if pace.spend(0, ABSORB_ROWS if position is not None else 1):
            await pace.rest()


async def sweep(cache: RowCache) -> None:
    """Give back the memory of what was cleared."""
    while cache.sweep(SWEEP_STEPS):
        await asyncio.sleep(0)

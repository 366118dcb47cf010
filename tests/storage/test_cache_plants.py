"""Bugs that are planted in every way into, out of and around the row cache: each must be found.

A plant changes the code that production runs; `test_every_way_is_walked` shows that the machines
walk all of them, so that a way nobody plants in does not go unseen.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from storage import engine, fill, pace, upkeep, warmth
from storage.cache import TableCache
from storage.fill import ReadThrough
from storage.layout import Layout
from storage.memtable import Memtable
from storage.merge import Chunk
from storage.pace import Pace
from storage.read_room import ReadRoom
from storage.row import NO_DELETION
from storage.section_read import SectionRead
from storage.slice import Page
from storage.sstable.reader import SSTable
from storage.table import Table
from tests.storage.cache_machine import (
    CacheMachine,
    ContentMachine,
    FlightMachine,
    FlushMachine,
    WarmthMachine,
    narrow,
)

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]

THOROUGH: Final = settings(
    max_examples=300,
    stateful_step_count=25,
    deadline=None,
    phases=[Phase.generate],
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: Patch) -> None:
    """Flushes rest after every partition, and after a few rows of one."""
    monkeypatch.setattr(pace, "SLICE_BYTES", 1)
    monkeypatch.setattr(fill, "ABSORB_ROWS", 2)


class _AnyPhase:
    """A cache that believes everything to be fresh."""

    def __init__(self, cache: TableCache) -> None:
        self._cache = cache
        self.misses = 0

    def insert(self, key: bytes, head: Any, chunk: Chunk, phase: int) -> bool:
        return self._cache.insert(key, head, chunk, self._cache.phase)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


# ---- what is kept of the merge of several files, or of parts of a partition --------------------


def stale_insert(patch: Patch) -> None:
    """A read keeps what it found in the files of its beginning, whatever was flushed since."""
    begin = ReadThrough.__init__

    def trusting(self: Any, cache: Any, *arguments: Any) -> None:
        begin(self, _AnyPhase(cache), *arguments)  # type: ignore[arg-type]

    patch.setattr(ReadThrough, "__init__", trusting)


def _changed_chunk(patch: Patch, change: Callable[[Chunk, bool], Chunk]) -> None:
    merged = ReadThrough._merged

    async def changed(self: Any, low: bytes, high: bytes, reverse: bool) -> Chunk:
        return change(await merged(self, low, high, reverse), reverse)

    patch.setattr(ReadThrough, "_merged", changed)


def wide_gap(patch: Patch) -> None:
    """A chunk claims to know all that comes after it."""
    _changed_chunk(patch, lambda c, r: c if r else Chunk(c.start, b"", c.clusterings, c.rows, []))


def wide_reverse_gap(patch: Patch) -> None:
    """A chunk claims to know all that comes before it."""
    _changed_chunk(patch, lambda c, r: Chunk(b"", c.end, c.clusterings, c.rows, []) if r else c)


def lost_tombstones(patch: Patch) -> None:
    """Range tombstones are not kept, so older writes that come later are not hidden."""
    _changed_chunk(patch, lambda c, _: Chunk(c.start, c.end, c.clusterings, c.rows, []))


def lost_row(patch: Patch) -> None:
    """The first row is not kept."""
    _changed_chunk(
        patch, lambda c, _: Chunk(c.start, c.end, c.clusterings[1:], c.rows[1:], c.tombstones)
    )


def unknown_static_row(patch: Patch) -> None:
    """A partition is kept whose static row was not read."""
    begin = ReadThrough.__init__

    def careless(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self._wants_static = False

    patch.setattr(ReadThrough, "__init__", careless)


def lost_deletion(patch: Patch) -> None:
    """The deletion of a partition is not kept, so older writes that come later are not hidden."""
    opened = ReadThrough._open_files

    async def careless(self: Any, position: bytes, reverse: bool) -> None:
        await opened(self, position, reverse)
        if self._head is not None:
            self._head = (NO_DELETION, 0, self._head[2])

    patch.setattr(ReadThrough, "_open_files", careless)


# ---- what is kept on the short way ------------------------------------------------------------


def stale_whole_insert(patch: Patch) -> None:
    """A read keeps the partition that it found in the one file of its beginning."""
    original = fill.fill_whole

    def trusting(cache: TableCache, *arguments: Any) -> Page | None:
        return original(_AnyPhase(cache), *arguments)  # type: ignore[arg-type]

    patch.setattr(engine, "fill_whole", trusting)


def _changed_whole(patch: Patch, change: Callable[[Chunk | None], Chunk | None]) -> None:
    class Changed:
        def __init__(self, search: SectionRead) -> None:
            self._search = search

        def whole(self) -> Chunk | None:
            return change(self._search.whole())

        def __getattr__(self, name: str) -> Any:
            return getattr(self._search, name)

    original = fill.fill_whole

    def changed(
        cache: TableCache, key: bytes, search: SectionRead, phase: int, steps: int
    ) -> Page | None:
        seen: Any = Changed(search)
        return original(cache, key, seen, phase, steps)

    patch.setattr(engine, "fill_whole", changed)


def lost_whole_row(patch: Patch) -> None:
    """The first row of a partition that is mere rows is not kept."""
    _changed_whole(patch, lambda c: c and Chunk(c.start, c.end, c.clusterings[1:], c.rows[1:], []))


def nothing_but_rows(patch: Patch) -> None:
    """A partition that is not mere rows is taken for an empty one."""
    _changed_whole(patch, lambda c: c or Chunk(b"", b"", [], []))


# ---- warming ----------------------------------------------------------------------------------


def stale_warming(patch: Patch) -> None:
    """What is read again after a start is kept, whatever was flushed since."""

    class Trusting(ReadThrough):
        def __init__(self, cache: Any, *arguments: Any) -> None:
            super().__init__(_AnyPhase(cache), *arguments)  # type: ignore[arg-type]

    patch.setattr(warmth, "ReadThrough", Trusting)


# ---- flushes ----------------------------------------------------------------------------------


def no_absorption(patch: Patch) -> None:
    """A flush leaves what is cached as it was."""

    async def nothing(cache: TableCache, memtable: Memtable, pace: Pace) -> None:
        return

    patch.setattr(upkeep, "absorb", nothing)


def _absorption_of(patch: Patch, step: Callable[[TableCache, bytes, Any], object]) -> None:
    async def changed(cache: TableCache, memtable: Memtable, pace: Pace) -> None:
        for key in memtable.keys():
            step(cache, key, memtable.find(key))

    patch.setattr(upkeep, "absorb", changed)


def half_absorption(patch: Patch) -> None:
    """A flush changes only the first slice of a partition."""
    _absorption_of(patch, lambda cache, key, run: cache.absorb(key, run, b"", 2))


def headless_absorption(patch: Patch) -> None:
    """A flush leaves the deletion and the static row as they were."""
    _absorption_of(patch, lambda cache, key, run: cache.absorb(key, run, b"\0", 1_000))


def bodiless_absorption(patch: Patch) -> None:
    """A flush changes nothing but the deletion and the static row."""
    _absorption_of(patch, lambda cache, key, run: cache.absorb(key, run, b"", 0))


def unabsorbed_rows(patch: Patch) -> None:
    """A flush leaves partitions as they were which are cached as one row or none."""

    class Careless:
        def __init__(self, cache: TableCache) -> None:
            self._cache = cache

        def absorb_rows(self, memtable: Memtable, keys: list[bytes]) -> int:
            known = self._cache.stretches_of(keys[0])
            is_mere = [(c.start, c.end) for c in known] == [(b"", b"")] and len(known[0].rows) < 2
            return 1 if is_mere else self._cache.absorb_rows(memtable, keys[:1])

        def __getattr__(self, name: str) -> Any:
            return getattr(self._cache, name)

    original = fill.absorb

    async def careless(cache: TableCache, memtable: Memtable, pace: Pace) -> None:
        seen: Any = Careless(cache)
        await original(seen, memtable, pace)

    patch.setattr(upkeep, "absorb", careless)


def no_phase(patch: Patch) -> None:
    """A flush does not tell reads on the way that their files are not all files any more."""

    def silent(self: Table, added: SSTable) -> None:
        self.replace_sstables((), (added,))

    patch.setattr(Table, "add_sstable", silent)


def early_release(patch: Patch) -> None:
    """Reads do not see a memtable any more whose file is there, though it is not absorbed yet."""
    flushed: list[Memtable] = []
    add, memtables = Table.add_sstable, Table.memtables

    def add_and_release(self: Table, added: SSTable) -> None:
        add(self, added)
        flushed.extend(frozen.memtable for frozen in self.flushing[:1])

    patch.setattr(Table, "add_sstable", add_and_release)
    patch.setattr(Table, "memtables", lambda self: [m for m in memtables(self) if m not in flushed])


# ---- answers ----------------------------------------------------------------------------------


def forgotten_memtable(patch: Patch) -> None:
    """A cached partition is merged with the active memtable only."""
    original = engine.read_memory

    def careless(memtables: Sequence[Memtable], cache: TableCache | None, *rest: Any) -> Any:
        return original(list(memtables)[:1], cache, *rest)

    patch.setattr(engine, "read_memory", careless)


# ---- other content ----------------------------------------------------------------------------


def unforgotten_rows(patch: Patch) -> None:
    """A truncation and a restored snapshot leave the cache as it was."""
    patch.setattr(Table, "forget_rows", lambda self: None)


def revived_rows(patch: Patch) -> None:
    """What was cached when caching was switched off is used when it is switched on again."""
    before: dict[int, TableCache | None] = {}
    original = Table.set_layout

    def reviving(self: Table, layout: Layout) -> None:
        if self.rows is not None and not layout.caching_rows:
            before[id(self)], self.rows = self.rows, None
        original(self, layout)
        if self.rows is not None:
            self.rows = before.pop(id(self), None) or self.rows

    patch.setattr(Table, "set_layout", reviving)


EVERYWHERE: Final[dict[Plant, type[CacheMachine]]] = {
    stale_insert: FlightMachine,
    lost_row: FlushMachine,
    lost_deletion: FlushMachine,
    stale_whole_insert: FlightMachine,
    lost_whole_row: FlushMachine,
    nothing_but_rows: FlushMachine,
    stale_warming: WarmthMachine,
    no_absorption: FlushMachine,
    headless_absorption: FlushMachine,
    bodiless_absorption: FlushMachine,
    unabsorbed_rows: FlushMachine,
    no_phase: FlightMachine,
    early_release: FlushMachine,
    forgotten_memtable: FlightMachine,
    unforgotten_rows: ContentMachine,
    revived_rows: ContentMachine,
}
CLUSTERED: Final[dict[Plant, type[CacheMachine]]] = {
    wide_gap: FlushMachine,
    wide_reverse_gap: FlushMachine,
    lost_tombstones: FlushMachine,
    half_absorption: FlushMachine,
    unknown_static_row: FlushMachine,
}


@pytest.mark.parametrize("plant", [*EVERYWHERE, *CLUSTERED])
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: Patch) -> None:
    assert fill.absorb is upkeep.absorb, "the plant changes the name that is used"
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test((EVERYWHERE | CLUSTERED)[plant], settings=THOROUGH)


@pytest.mark.parametrize("plant", EVERYWHERE)
def test_a_planted_bug_is_found_without_clusterings(plant: Plant, monkeypatch: Patch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(narrow(EVERYWHERE[plant]), settings=THOROUGH)


def test_every_way_is_walked(monkeypatch: Patch) -> None:
    """Each way inserts, comes too late, and what is cached is made newer by flushes.

    What Hypothesis draws depends on the constants in our sources too, so there are many examples.
    """
    seen: Counter[str] = Counter()
    _count_insertions(monkeypatch, seen)
    _count_others(monkeypatch, seen)
    run_state_machine_as_test(FlightMachine, settings=settings(THOROUGH, max_examples=400))
    run_state_machine_as_test(WarmthMachine, settings=settings(THOROUGH, max_examples=20))
    ways = ("whole", "parts", "warming")
    expected = [*ways, *(f"{way} too late" for way in ways), "absorbed", "waited"]
    assert all(seen[name] >= 3 for name in expected), seen


def _count_insertions(patch: Patch, seen: Counter[str]) -> None:
    class Counting(_AnyPhase):
        way = ""

        def insert(self, key: bytes, head: Any, chunk: Chunk, phase: int) -> bool:
            is_late = phase != self._cache.phase
            seen[self.way + " too late" * is_late] += 1
            return self._cache.insert(key, head, chunk, phase)

    class Whole(Counting):
        way = "whole"

    class Parts(Counting):
        way = "parts"

    class Warming(Counting):
        way = "warming"

    begin, whole = ReadThrough.__init__, fill.fill_whole

    class CountingRead(ReadThrough):
        def __init__(self, cache: Any, *arguments: Any) -> None:
            begin(self, Warming(cache), *arguments)  # type: ignore[arg-type]

    def counting(self: Any, cache: Any, *arguments: Any) -> None:
        begin(self, Parts(cache), *arguments)  # type: ignore[arg-type]

    def counting_whole(cache: TableCache, *arguments: Any) -> Page | None:
        return whole(Whole(cache), *arguments)  # type: ignore[arg-type]

    patch.setattr(warmth, "ReadThrough", CountingRead)
    patch.setattr(ReadThrough, "__init__", counting)
    patch.setattr(engine, "fill_whole", counting_whole)


def _count_others(patch: Patch, seen: Counter[str]) -> None:
    absorb, enter = upkeep.absorb, ReadRoom.enter

    async def counting_absorb(cache: TableCache, memtable: Memtable, pace: Pace) -> None:
        seen["absorbed"] += any(map(cache.knows, memtable.keys()))
        await absorb(cache, memtable, pace)

    async def counting_enter(self: ReadRoom, size: int) -> None:
        await enter(self, size)
        seen["waited"] += 1

    patch.setattr(upkeep, "absorb", counting_absorb)
    patch.setattr(ReadRoom, "enter", counting_enter)

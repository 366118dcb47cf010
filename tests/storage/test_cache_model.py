"""The engine with its row cache against the obvious model, with reads in flight on a slow disk."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from storage import fill, pace, upkeep
from storage.cache import TableCache
from storage.disk import Bytes, File, OpenMode, Taker
from storage.engine import Engine
from storage.fill import ReadThrough
from storage.memory_disk import MemoryDisk
from storage.memtable import Memtable
from storage.merge import Chunk
from storage.slice import Page, Slice
from storage.values import replace
from tests.model.changes import CLUSTERINGS, KEYS, changes
from tests.model.encoding import TABLE_ID, mutation_of
from tests.model.table import TableModel
from tests.storage.test_engine_model import CONFIG, Change, EngineMachine, PurgingMachine
from tests.storage.test_merge import expected, range_sets, shown

# One partition is at the centre of things, so that they meet.
KEY = st.sampled_from([KEYS[0], *KEYS])


class GatedDisk(MemoryDisk):
    """Each read of a chosen task waits at its gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: dict[asyncio.Task[Any], asyncio.Semaphore] = {}
        self.takers: dict[Taker, asyncio.Semaphore | None] = {}
        self.held: set[asyncio.Task[None]] = set()

    async def open(self, path: str, mode: OpenMode) -> Any:
        return _GatedFile(cast(File, await super().open(path, mode)), self)


class _GatedFile:
    def __init__(self, file: File, disk: GatedDisk) -> None:
        self._file = file
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    async def read(self, offset: int, size: int) -> Bytes:
        data = await self._file.read(offset, size)
        task = asyncio.current_task()
        assert task is not None
        gate = self._disk.gates.get(task)
        if gate is not None:
            await gate.acquire()
        return data

    def begin_read(self, offset: int, size: int, taker: Taker) -> None:
        """The first frame of a read is begun by its task, the others by whoever brought the first.

        So the gate goes with the taker.
        """
        task = asyncio.current_task()
        gate = self._disk.gates.get(task) if task is not None else None
        gate = self._disk.takers.setdefault(taker, gate)
        if gate is None:
            self._file.begin_read(offset, size, taker)
            return
        held = asyncio.create_task(self._tell(offset, size, taker, gate))
        self._disk.held.add(held)
        held.add_done_callback(self._disk.held.discard)

    async def _tell(self, offset: int, size: int, taker: Taker, gate: asyncio.Semaphore) -> None:
        data = await self._file.read(offset, size)
        await gate.acquire()
        taker.set_result(data)


@dataclass
class Flight:
    """A read that has begun."""

    wanted: Slice
    task: asyncio.Task[list[Page]]
    state: object
    """Of the model, when the read began."""


class CachedMachine(EngineMachine):
    """Any timestamps, nothing is purged; little has room in the cache."""

    bloom_fp_chance = 0.9
    row_cache_bytes = 6_000

    def __init__(self) -> None:
        super().__init__()
        self.gated = GatedDisk()
        self.disk = self.gated
        self.flights: list[Flight] = []
        self.changes = 0

    def open(self) -> None:
        config = replace(CONFIG, block_cache_bytes=0, row_cache_bytes=self.row_cache_bytes)
        self.engine = Engine(self.disk, "shard-0", 0, config)
        self.runner.run(self.engine.open([self.layout]))

    def adapted(self, change: Change) -> Change:
        self.changes += 1
        return super().adapted(change)

    def state(self) -> object:
        """Equal as long as nothing was written and no time has passed."""
        return (id(self.model), self.changes, self.now)

    def assert_right(self, wanted: Slice, pages: list[Page]) -> None:
        truth = [p for p in expected(self.model, wanted, self.now) if p.key == wanted.key]
        assert shown(pages) == truth

    @rule(key=KEY, ranges=range_sets() | st.just(((b"\x01", b""),)), reverse=st.booleans())
    def begin_read(self, key: bytes, ranges: Any, reverse: bool) -> None:
        wanted = Slice(TABLE_ID, key=key, ranges=ranges, reverse=reverse)

        async def begin() -> None:
            task = asyncio.get_running_loop().create_task(self.pages(wanted))
            self.gated.gates[task] = asyncio.Semaphore(0)
            self.flights.append(Flight(wanted, task, self.state()))
            await self.turns()

        self.runner.run(begin())

    async def turns(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    @rule()
    def let_reads_go_on(self) -> None:
        async def go_on() -> None:
            for gate in self.gated.gates.values():
                gate.release()
            await self.turns()

        self.runner.run(go_on())

    @rule()
    def end_reads(self) -> None:
        """What a read has kept is seen at once: the next one looks at it."""
        for flight in self.end_flights():
            if flight.state == self.state():
                self.assert_right(flight.wanted, flight.task.result())
            self.look(flight.wanted.key, flight.wanted.reverse, False)

    def end_flights(self) -> list[Flight]:
        async def end() -> None:
            for flight in self.flights:
                gate = self.gated.gates[flight.task]
                for _ in range(1000):
                    gate.release()
            await asyncio.gather(*(flight.task for flight in self.flights))

        self.runner.run(end())
        flights, self.flights = self.flights, []
        self.gated.gates.clear()
        return flights

    @rule(
        key=KEY,
        ranges=range_sets() | st.just(((b"\x01", b""),)),
        reverse=st.booleans(),
        written=st.lists(changes(), max_size=6),
        compacts=st.booleans(),
        steps=st.integers(0, 3),
    )
    def read_slowly(
        self,
        key: bytes,
        ranges: Any,
        reverse: bool,
        written: list[Change],
        compacts: bool,
        steps: int,
    ) -> None:
        """A read of what is not cached, and what may come between its beginning and its end."""
        self.engine._rows.shrink(0)
        self.begin_read(key, ranges, reverse)
        for _ in range(steps):
            self.let_reads_go_on()
        self.write(written, True)
        if compacts:
            self.compact()
        self.end_reads()

    @rule(thirds=st.integers(0, 2))
    def evict(self, thirds: int) -> None:
        self.engine._rows.shrink(self.engine._rows.used_bytes * thirds // 3)

    @rule(
        written=st.lists(changes(), min_size=1, max_size=8),
        key=KEY,
        reverse=st.booleans(),
        points=st.none() | st.lists(st.sampled_from(CLUSTERINGS), unique=True),
    )
    def read_while_flushing(
        self, written: list[Change], key: bytes, reverse: bool, points: list[bytes] | None
    ) -> None:
        """A flush makes what is cached newer piece by piece; every read on the way is right.

        With `points` only these rows are cached, each by itself.
        """
        if points is not None:
            self.engine._rows.shrink(0)
            for point in points:
                known = Slice(TABLE_ID, key=key, ranges=((point, point + b"\0"),), reverse=reverse)
                self.assert_right(known, self.runner.run(self.pages(known)))
        for change in map(self.adapted, written):
            self.model.write(change)
            assert self.engine.apply(mutation_of(change)) is None
        self.engine.end_of_turn()
        wanted = Slice(TABLE_ID, key=key, reverse=reverse)

        async def flush() -> None:
            task = asyncio.get_running_loop().create_task(self.engine.flush())
            while not task.done():
                # Reading everything would join the points.
                if points is None:
                    self.assert_right(wanted, await self.pages(wanted))
                await asyncio.sleep(0)
            await task
            self.assert_right(wanted, await self.pages(wanted))

        self.runner.run(flush())

    @rule(flush=st.booleans())
    def restart(self, flush: bool) -> None:
        self.end_reads()
        super().restart(flush)

    @rule(one_of_five=st.integers(0, 4))
    def drop_and_make_anew(self, one_of_five: int) -> None:
        if one_of_five:
            return
        self.runner.run(self.engine.drop_table(TABLE_ID))
        self.end_flights()
        self.work_in_the_background()
        assert self.engine._rows.used_bytes == 0
        # No table comes back under the id of a dropped one as long as the log knows it.
        self.runner.run(self.engine.stop())
        layout, self.layout = self.layout, replace(self.layout, table_id=bytes(16))
        self.open()
        self.layout = layout
        self.engine.set_layout(layout)
        self.model = TableModel(has_static=True)

    @rule(is_on=st.sampled_from([True, True, False]))
    def alter_caching(self, is_on: bool) -> None:
        self.layout = replace(self.layout, caching_rows=is_on)
        self.engine.set_layout(self.layout)

    # Not an invariant: that would bring everything into the cache before any read could miss.
    @rule(key=KEY, reverse=st.booleans(), bypasses=st.booleans())
    def look(self, key: Any, reverse: bool, bypasses: bool) -> None:
        for is_reverse in (reverse, not reverse):
            wanted = Slice(TABLE_ID, key=key, reverse=is_reverse, bypass_cache=bypasses)
            self.assert_right(wanted, self.runner.run(self.pages(wanted)))

    def teardown(self) -> None:
        try:
            if hasattr(self, "engine"):
                self.end_reads()
        finally:
            super().teardown()


class CachedPurgingMachine(CachedMachine, PurgingMachine):
    """Growing timestamps, everything due is purged."""


class LargeCacheMachine(CachedMachine):
    """Nothing is evicted but on purpose."""

    row_cache_bytes = 1 << 20


QUICK = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestCached = CachedMachine.TestCase
TestCached.settings = QUICK
TestCachedPurging = CachedPurgingMachine.TestCase
TestCachedPurging.settings = QUICK
TestLargeCache = LargeCacheMachine.TestCase
TestLargeCache.settings = QUICK


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushes rest after every partition, and after a few rows of one."""
    monkeypatch.setattr(pace, "SLICE_BYTES", 1)
    monkeypatch.setattr(fill, "ABSORB_ROWS", 2)


# ---- planted bugs ------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


class _AnyPhase:
    """A cache that believes everything to be fresh."""

    def __init__(self, cache: TableCache) -> None:
        self._cache = cache

    def insert(self, key: bytes, head: Any, chunk: Chunk, phase: int) -> bool:
        return self._cache.insert(key, head, chunk, self._cache.phase)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


def stale_insert(patch: pytest.MonkeyPatch) -> None:
    """A read keeps what it found in the files of its beginning, whatever was flushed since."""
    begin = ReadThrough.__init__

    def trusting(self: Any, cache: Any, *arguments: Any) -> None:
        begin(self, _AnyPhase(cache), *arguments)  # type: ignore[arg-type]

    patch.setattr(ReadThrough, "__init__", trusting)


def _changed_chunk(patch: pytest.MonkeyPatch, change: Callable[[Chunk, bool], Chunk]) -> None:
    merged = ReadThrough._merged

    async def changed(self: Any, low: bytes, high: bytes, reverse: bool) -> Chunk:
        return change(await merged(self, low, high, reverse), reverse)

    patch.setattr(ReadThrough, "_merged", changed)


def wide_gap(patch: pytest.MonkeyPatch) -> None:
    """A chunk claims to know all that comes after it."""
    _changed_chunk(patch, lambda c, r: c if r else Chunk(c.start, b"", c.clusterings, c.rows, []))


def wide_reverse_gap(patch: pytest.MonkeyPatch) -> None:
    """A chunk claims to know all that comes before it."""
    _changed_chunk(patch, lambda c, r: Chunk(b"", c.end, c.clusterings, c.rows, []) if r else c)


def lost_tombstones(patch: pytest.MonkeyPatch) -> None:
    """Range tombstones are not kept, so older writes that come later are not hidden."""
    _changed_chunk(patch, lambda c, _: Chunk(c.start, c.end, c.clusterings, c.rows, []))


def lost_row(patch: pytest.MonkeyPatch) -> None:
    """The first row is not kept."""
    _changed_chunk(
        patch, lambda c, _: Chunk(c.start, c.end, c.clusterings[1:], c.rows[1:], c.tombstones)
    )


def no_absorption(patch: pytest.MonkeyPatch) -> None:
    """A flush leaves what is cached as it was."""

    async def nothing(cache: TableCache, memtable: Memtable) -> None:
        return

    patch.setattr(upkeep, "absorb", nothing)


def half_absorption(patch: pytest.MonkeyPatch) -> None:
    """A flush changes only the first slice of a partition."""

    async def first_slices(cache: TableCache, memtable: Memtable) -> None:
        for key in memtable.keys(b"", b"", 100):
            run = memtable.find(key)
            assert run is not None
            cache.absorb(key, run, b"", 2)

    patch.setattr(upkeep, "absorb", first_slices)


def unknown_static_row(patch: pytest.MonkeyPatch) -> None:
    """A partition is kept whose static row was not read."""
    begin = ReadThrough.__init__

    def careless(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self._wants_static = False

    patch.setattr(ReadThrough, "__init__", careless)


@pytest.mark.parametrize(
    "plant",
    [
        stale_insert,
        wide_gap,
        wide_reverse_gap,
        lost_tombstones,
        lost_row,
        no_absorption,
        half_absorption,
        unknown_static_row,
    ],
)
def test_a_planted_bug_is_found(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    is_long = request.config.getoption("--long")
    if plant is not stale_insert and not is_long:
        pytest.skip("only stale_insert is looked for without --long")
    assert fill.absorb is upkeep.absorb, "the plant changes the name that is used"
    plant(monkeypatch)
    thorough = settings(
        QUICK,
        max_examples=5_000 if is_long else 300,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(LargeCacheMachine, settings=thorough)

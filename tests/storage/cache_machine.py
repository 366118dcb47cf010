"""Random machines that look at everything the row cache knows, after every step.

Reads are not enough to find what is wrong in a cache: the wrong place has to be read while it is
wrong, and a lost tombstone shows only when an older write comes later. So the invariant reads
exactly what is cached, which brings nothing else into the cache, and merges it with **probes**:
writes with a timestamp to every place of the partition, which nobody applied. What they must show
is the model's answer to what was written and them.

Whatever waits (reads, warming, flushes, compactions) is a task of its own and may be left in the
middle: reads of the disk wait at gates, and long work rests after every partition and row or two.
"""

import asyncio
import functools
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from storage.cache import TableCache
from storage.disk import Bytes, File, OpenMode, Taker
from storage.engine import Engine
from storage.errors import UnknownTable
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.memory_read import read_memory
from storage.memtable import Memtable
from storage.row import shadow
from storage.slice import Page, Slice
from storage.snapshot import SnapshotFile
from storage.table import Table
from storage.values import replace
from tests.model.changes import CLUSTERINGS, COLLECTION, KEYS
from tests.model.encoding import TABLE_ID, mutation_of
from tests.model.table import STATIC, CellWrite, Deletion, MarkerWrite, TableModel
from tests.storage.test_engine_model import CONFIG, Change, EngineMachine
from tests.storage.test_merge import expected, shown

KEY, OTHER = KEYS[0], KEYS[1]
FEW = CLUSTERINGS[:4]
BOUNDS = [b"\x01", *FEW, *[c + b"\0" for c in FEW], FEW[1][:1], FEW[1][:1] + b"\xff"]
TIMES = range(1, 6)
TURNS_MAX = 100
ALL_ROWS = ((b"\x01", b""),)
T = TypeVar("T")
Ranges = tuple[tuple[bytes, bytes], ...]


# What is written and read: few places and timestamps, and a choice of one from a list each.


def _cells(key: bytes, places: list[bytes]) -> list[Change]:
    found: list[Change] = []
    for clustering in places:
        for ts in TIMES:
            found += [
                *(CellWrite(key, clustering, 1, None, ts, v, second=3) for v in (b"a", b"b", None)),
                CellWrite(key, clustering, 2, None, ts, b"e", 5, 4),
                CellWrite(key, clustering, COLLECTION, b"p", ts, b"v"),
            ]
    return found


def _rows(key: bytes, places: list[bytes]) -> list[Change]:
    found: list[Change] = [MarkerWrite(key, c, ts) for c in places for ts in TIMES]
    found += [MarkerWrite(key, c, ts, 5, 4) for c in places for ts in TIMES]
    for clustering in places:
        for ts in TIMES:
            found.append(Deletion(key, clustering, clustering + b"\0", ts))
            found.append(Deletion(key, clustering, clustering + b"\0", ts, column=COLLECTION))
    return found


def _partitions(key: bytes) -> list[Change]:
    return [Deletion(key, b"", b"", ts, includes_static=True) for ts in TIMES]


def _ranges(key: bytes) -> list[Change]:
    found: list[Change] = []
    for low in BOUNDS:
        highs = [high for high in BOUNDS if low < high]
        found += [Deletion(key, low, high, ts) for high in [*highs, b""] for ts in TIMES]
    return found


@functools.cache
def changes_of(
    has_clustering: bool, has_static: bool, least: int, most: int
) -> st.SearchStrategy[list[Change]]:
    """Writes to a table of that shape, nearly all to one partition."""
    places = FEW if has_clustering else [STATIC]
    cells = _cells(KEY, places)
    kinds = [cells, cells, _rows(KEY, places), _partitions(KEY), _cells(OTHER, places[:1])]
    if has_clustering:
        kinds += [_ranges(KEY), _ranges(KEY)]
    if has_static:
        kinds.append(_cells(KEY, [STATIC]))
    some = st.one_of([st.sampled_from(kind) for kind in kinds])
    return st.lists(some, min_size=least, max_size=most)


def _wanted_ranges() -> list[Ranges]:
    """Everything, single rows, intervals and pairs of rows."""
    points = [((c, c + b"\0"),) for c in FEW]
    between: list[Ranges] = [((low, high),) for low in FEW for high in [*FEW, b""] if low != high]
    intervals = [r for r in between if r[0][1] == b"" or r[0][0] < r[0][1]]
    pairs = [(*points[0], *points[2]), (*points[1], *points[3])]
    return [ALL_ROWS, ALL_ROWS, ((b"\x01", FEW[2]),), *points, *points, *intervals, *pairs]


POINTS = [Slice(TABLE_ID, key=KEY, ranges=((c, c + b"\0"),)) for c in (FEW[0], FEW[2], FEW[3])]


@functools.cache
def slices(has_clustering: bool) -> st.SearchStrategy[Slice]:
    """Reads of the partition to which nearly everything is written."""
    everything = [((b"", b""),)]
    return st.sampled_from(
        [
            Slice(TABLE_ID, key=key, ranges=ranges, reverse=reverse)
            for ranges in (_wanted_ranges() if has_clustering else everything)
            for key in (KEY, KEY, KEY, OTHER)
            for reverse in (False, True)
        ]
    )


class GatedDisk(MemoryDisk):
    """Each read of a chosen task waits at its gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: dict[asyncio.Task[Any], asyncio.Semaphore] = {}
        self.takers: dict[Taker, asyncio.Semaphore | None] = {}
        self.held: set[asyncio.Task[None]] = set()

    def open_gates(self) -> None:
        """Let each read that waits go on, once."""
        for gate in self.gates.values():
            gate.release()

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


class PatientRunner:
    """Runs one thing at a time; gates open only if it would wait for others for ever."""

    def __init__(self, disk: GatedDisk) -> None:
        self._runner = asyncio.Runner()
        self._disk = disk

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work)
        turns = 0
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
            if turns >= TURNS_MAX:
                self._disk.open_gates()
        return task.result()

    def close(self) -> None:
        self._runner.close()


@dataclass
class Flight:
    """Work that has begun: a read if `wanted` is given."""

    wanted: Slice | None
    task: asyncio.Task[Any]
    state: object
    """Of the model, when it began."""


class CacheMachine(EngineMachine):
    """Any timestamps, nothing is purged; a table with clustering columns and static ones."""

    bloom_fp_chance = 0.9
    row_cache_bytes = 1 << 20
    has_clustering = True
    has_static = True
    probe_times: tuple[int, ...] = (0, 1, 2, 3, 4, 5)

    def __init__(self) -> None:
        super().__init__()
        self.gated = GatedDisk()
        self.disk = self.gated
        self.runner.close()
        self.runner = PatientRunner(self.gated)  # type: ignore[assignment]
        self.model = self.empty_model()
        self.flights: list[Flight] = []
        self.starts = 0
        self.changes = 0
        self.steps = 0
        self.snapshots = 0
        self.snapshot: tuple[str, list[SnapshotFile], TableModel] | None = None

    @initialize(
        chunk_bytes=st.sampled_from([1, 60, 4096]),
        read_bytes=st.sampled_from([1, 1 << 30]),
        is_empty=st.booleans(),
    )
    def begin(  # type: ignore[override]
        self, chunk_bytes: int, read_bytes: int, is_empty: bool
    ) -> None:
        """Reads run one at a time, or any number of them at once."""
        self.read_bytes = read_bytes
        self.layout = Layout(
            table_id=TABLE_ID,
            name="ks.t",
            live_columns=frozenset({1, 2, 3, COLLECTION}),
            has_clustering=self.has_clustering,
            has_static=self.has_static,
            gc_grace_s=self.gc_grace_s,
            bloom_fp_chance=self.bloom_fp_chance,
            chunk_bytes=chunk_bytes,
        )
        self.open()
        if not is_empty:
            places = FEW if self.has_clustering else [STATIC]
            self.put([CellWrite(KEY, place, 1, None, 2, b"a") for place in places])
            self.runner.run(self.engine.flush())

    def open(self) -> None:
        config = replace(
            CONFIG,
            block_cache_bytes=0,
            row_cache_bytes=self.row_cache_bytes,
            read_bytes=self.read_bytes,
        )
        # A shard that drew the same numbers after each start would give files the same identity.
        self.starts += 1
        self.engine = Engine(self.disk, "shard-0", 0, config, random=Random(self.starts))
        self.runner.run(self.engine.open([self.layout]))

    def empty_model(self) -> TableModel:
        return TableModel(has_static=self.has_static)

    @property
    def table(self) -> Table:
        return self.engine._tables[self.layout.table_id]

    # Single steps, which the machines mix.

    def put(self, written: list[Change]) -> None:
        for change in map(self.adapted, written):
            self.changes += 1
            self.model.write(change)
            assert self.engine.apply(mutation_of(change)) is None
        self.engine.end_of_turn()

    def state(self) -> object:
        """Equal as long as nothing was written and no time has passed."""
        return (id(self.model), self.changes, self.now)

    def assert_right(self, wanted: Slice, pages: list[Page], model: TableModel) -> None:
        truth = [p for p in expected(model, wanted, self.now) if p.key == wanted.key]
        assert shown(pages) == truth

    def read_now(self, wanted: Slice) -> None:
        self.assert_right(wanted, self.runner.run(self.pages(wanted)), self.model)

    async def turns(self, count: int = 4) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    def take_off(self, work: Coroutine[Any, Any, Any], wanted: Slice | None = None) -> None:
        """Begin something that is gone on with, and ended, by other steps."""

        async def begin() -> None:
            task = asyncio.get_running_loop().create_task(work)
            self.gated.gates[task] = asyncio.Semaphore(0)
            self.flights.append(Flight(wanted, task, self.state()))
            await self.turns()

        self.runner.run(begin())

    def go_on(self, turns: int = 4) -> None:
        async def step() -> None:
            self.gated.open_gates()
            await self.turns(turns)

        self.runner.run(step())

    def land(self, is_dropped: bool = False) -> None:
        """End all that has begun; what was kept is right at every turn on the way.

        A read that began before its table was dropped may also say that there is no such table.
        """

        async def end() -> None:
            while not all(flight.task.done() for flight in self.flights):
                self.gated.open_gates()
                await asyncio.sleep(0)
                self.look_at_cached()

        self.runner.run(end())
        flights, self.flights = self.flights, []
        self.gated.gates.clear()
        for flight in flights:
            if is_dropped and isinstance(flight.task.exception(), UnknownTable):
                continue
            pages = flight.task.result()
            if flight.wanted is not None and flight.state == self.state():
                self.assert_right(flight.wanted, pages, self.model)

    # The invariant.

    @invariant()
    def everything_is_there(self) -> None:
        if hasattr(self, "engine"):
            self.engine.check()
            self.look_at_cached()

    def look_at_cached(self) -> None:
        """What is cached, with what is in memory and some probe, is what the model says."""
        if self.layout.table_id != TABLE_ID or not self.engine.knows(TABLE_ID):
            return
        table = self.table
        if table.rows is None or not table.sstables:
            return
        self.steps += 1
        for key in (KEY, OTHER):
            if not self.flights:
                self.assert_nothing_hidden_is_kept(table.rows, key)
            for wanted in self.cached_slices(table, key):
                answer = self.engine.read(wanted, self.now)
                assert isinstance(answer, Page), "what is cached is answered at once"
                self.assert_right(wanted, [answer], self.model)
                if self.probe_times:
                    ts = self.probe_times[self.steps % len(self.probe_times)]
                    self.probe(table, wanted, key, ts)

    def assert_nothing_hidden_is_kept(self, rows: TableCache, key: bytes) -> None:
        """What deletions of the partition hide takes no memory once they were flushed."""
        run = rows.find(key)
        if run is None:
            return
        deletion_ts, _, static_row = run.head
        assert shadow(static_row, deletion_ts) == static_row
        for chunk in rows.stretches_of(key):
            assert all(shadow(row, deletion_ts) == row for row in chunk.rows)
            assert all(tombstone[2] > deletion_ts for tombstone in chunk.tombstones)

    def cached_slices(self, table: Table, key: bytes) -> Iterator[Slice]:
        """What is known of a partition, in both directions."""
        assert table.rows is not None
        ranges: list[tuple[bytes, bytes]] = []
        for known in table.rows.stretches_of(key):
            start = max(known.start, b"\x01")
            if known.end and known.end <= start:
                continue
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], known.end)
            else:
                ranges.append((start, known.end))
        if not self.has_clustering:
            ranges = [(b"", b"")] if table.rows.knows(key) else []
        if ranges:
            yield Slice(TABLE_ID, key=key, ranges=tuple(ranges))
            yield Slice(TABLE_ID, key=key, ranges=tuple(ranges), reverse=True)

    def probe(self, table: Table, wanted: Slice, key: bytes, ts: int) -> None:
        probes = list(self.probes(key, ts))
        memtable = Memtable(self.has_clustering, self.has_static)
        model = TableModel(
            self.has_static,
            {row: list(cells) for row, cells in self.model.cells.items() if row[0] == key},
            {row: list(marks) for row, marks in self.model.markers.items() if row[0] == key},
            self.model.deletions,
        )
        for change in probes:
            memtable.apply(mutation_of(change))
            model.write(change)
        memory = [memtable, *table.memtables()]
        page = read_memory(memory, table.rows, wanted, key, self.now, table.existing, 1_000)
        assert page is not None, "what is cached is answered at once"
        self.assert_right(wanted, [page], model)

    def probes(self, key: bytes, ts: int) -> Iterator[Change]:
        places = [STATIC] if self.has_static or not self.has_clustering else []
        for clustering in [*places, *(FEW if self.has_clustering else [])]:
            for column, path in ((1, None), (2, None), (3, None), (COLLECTION, b"p")):
                yield CellWrite(key, clustering, column, path, ts, b"")

    def teardown(self) -> None:
        try:
            if hasattr(self, "engine"):
                self.land()
        finally:
            super().teardown()

    # Rules. Those of the engine's machine that are not wanted are hidden.

    write_group = None
    compact_some = None
    read = None

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:  # type: ignore[override]
        self.put(data.draw(self.some_changes(1, 3)))

    def some_changes(self, least: int, most: int) -> st.SearchStrategy[list[Change]]:
        return changes_of(self.has_clustering, self.has_static, least, most)

    @rule(data=st.data())
    def write_and_flush(self, data: st.DataObject) -> None:
        """What is cached is right at every turn of the flush."""
        self.put(data.draw(self.some_changes(1, 4)))
        self.take_off(self.engine.flush())
        self.land()

    @rule(data=st.data())
    def read_some(self, data: st.DataObject) -> None:
        self.read_now(data.draw(slices(self.has_clustering)))

    @rule(data=st.data(), evicts=st.booleans(), count=st.integers(0, 2))
    def change_what_is_cached(self, data: st.DataObject, evicts: bool, count: int) -> None:
        """Some slices, each read by itself, are made newer by a flush; without a count, points."""
        if evicts:
            self.engine._rows.shrink(0)
        for wanted in POINTS if self.has_clustering and not count else ():
            self.read_now(wanted)
        for _ in range(count):
            self.read_now(data.draw(slices(self.has_clustering)))
        self.look_at_cached()
        self.put(data.draw(self.some_changes(1, 4)))
        self.take_off(self.engine.flush())
        self.land()

    @rule(data=st.data(), jobs=st.integers(0, 2), turns=st.integers(1, 4))
    def read_slowly(self, data: st.DataObject, jobs: int, turns: int) -> None:
        """A read of what is not cached, and what may come between its beginning and its end."""
        self.engine._rows.shrink(0)
        wanted = data.draw(slices(self.has_clustering))
        self.take_off(self.pages(wanted), wanted)
        self.put(data.draw(self.some_changes(1, 3)))
        if jobs:
            self.runner.run(self.engine.flush())
        if jobs > 1:
            self.runner.run(self.engine.compact(TABLE_ID, self.now))
        self.go_on(turns)

    @rule(data=st.data(), evicts=st.booleans())
    def begin_read(self, data: st.DataObject, evicts: bool) -> None:
        if evicts:
            self.engine._rows.shrink(0)
        wanted = data.draw(slices(self.has_clustering))
        self.take_off(self.pages(wanted), wanted)

    @rule()
    def begin_flush(self) -> None:
        self.take_off(self.engine.flush())

    @rule()
    def begin_work_in_the_background(self) -> None:
        self.begin_what_is_due()

    def begin_what_is_due(self) -> None:
        self.now += 1
        for job in self.engine.background(self.now):
            self.take_off(job)

    @precondition(lambda self: self.flights)
    @rule(turns=st.integers(1, 6))
    def let_all_go_on(self, turns: int) -> None:
        self.go_on(turns)

    @precondition(lambda self: self.flights)
    @rule()
    def end_all(self) -> None:
        self.land()

    @rule(thirds=st.integers(0, 2))
    def evict(self, thirds: int) -> None:
        self.engine._rows.shrink(self.engine._rows.used_bytes * thirds // 3)

    @rule(flush=st.booleans(), data=st.data(), turns=st.integers(0, 8))
    def restart(self, flush: bool, data: st.DataObject, turns: int) -> None:  # type: ignore[override]
        """The hot keys are read again, and something is flushed meanwhile."""
        self.land()
        super().restart(flush)
        self.begin_what_is_due()
        for _ in range(turns):
            self.go_on(2)
        self.put(data.draw(self.some_changes(1, 3)))
        self.runner.run(self.engine.flush())

    @rule(data=st.data(), what=st.sampled_from(["truncate", "restore", "drop", "alter"]))
    def replace_content(self, data: st.DataObject, what: str) -> None:
        """All the table has is other than it was when something was cached."""
        self.read_now(data.draw(slices(self.has_clustering)))
        if what == "truncate":
            self.truncate_all()
        elif what == "restore":
            self.restore_snapshot()
        elif what == "drop":
            self.drop_and_make_anew()
        else:
            self.alter_caching(data.draw(self.some_changes(0, 2)))
        self.put(data.draw(self.some_changes(1, 2)))
        self.runner.run(self.engine.flush())

    truncate = None

    def truncate_all(self) -> None:
        self.runner.run(self.engine.truncate(TABLE_ID))
        self.model = self.empty_model()

    @rule()
    def take_snapshot(self) -> None:
        if self.snapshot is None and (self.table.sstables or self.table.has_unflushed):
            self.snapshots += 1
            directory = f"snapshots/{self.snapshots}"
            files = self.runner.run(self.engine.link_files(TABLE_ID, directory))
            self.snapshot = (directory, files, self.copied_model())

    def restore_snapshot(self) -> None:
        if self.snapshot is not None:
            directory, files, model = self.snapshot
            self.runner.run(self.engine.restore_files(TABLE_ID, directory, files))
            self.model = model
            self.model = self.copied_model()

    def copied_model(self) -> TableModel:
        model = self.model
        return TableModel(
            model.has_static,
            {row: list(cells) for row, cells in model.cells.items()},
            {row: list(marks) for row, marks in model.markers.items()},
            {key: list(deletions) for key, deletions in model.deletions.items()},
        )

    def drop_and_make_anew(self) -> None:
        self.runner.run(self.engine.drop_table(TABLE_ID))
        self.land(is_dropped=True)
        self.work_in_the_background()
        assert self.engine._rows.used_bytes == 0, "nothing of a dropped table is kept"
        # No table comes back under the id of a dropped one as long as the log knows it.
        self.runner.run(self.engine.stop())
        layout, self.layout = self.layout, replace(self.layout, table_id=bytes(16))
        self.open()
        self.layout = layout
        self.engine.set_layout(layout)
        self.model = self.empty_model()
        self.snapshot = None

    def alter_caching(self, written: list[Change]) -> None:
        """Off for some writes, and on again."""
        self.engine.set_layout(replace(self.layout, caching_rows=False))
        self.put(written)
        self.runner.run(self.engine.flush())
        self.engine.set_layout(self.layout)


class FlushMachine(CacheMachine):
    """Most of the time what is cached is changed by flushes, and nothing else happens meanwhile."""

    begin_read = read_slowly = begin_flush = begin_work_in_the_background = None
    work_in_the_background = let_all_go_on = end_all = restart = None
    take_snapshot = replace_content = None


class FlightMachine(CacheMachine):
    """Everything is left in the middle, and the rest of it happens while other things do."""

    change_what_is_cached = write_and_flush = None
    take_snapshot = replace_content = None


class WarmthMachine(CacheMachine):
    """One start after the other, with flushes while the hot keys are read again."""

    write = change_what_is_cached = begin_read = read_slowly = begin_flush = None
    begin_work_in_the_background = work_in_the_background = compact = evict = None
    take_snapshot = replace_content = None


class ContentMachine(CacheMachine):
    """The table gets other content at once, while something is cached or being read."""

    change_what_is_cached = write = let_time_pass = compact = None
    begin_flush = evict = read_slowly = None


class SmallCacheMachine(CacheMachine):
    """Little has room."""

    row_cache_bytes = 6_000


class Narrow:
    """Each partition is one row without clustering."""

    has_clustering = False
    has_static = False


class PurgingCacheMachine(CacheMachine):
    """Growing timestamps, everything due is purged; so nothing older may come, probes included."""

    gc_grace_s = 0
    probe_times = ()
    last_ts = 0

    def adapted(self, change: Change) -> Change:
        self.last_ts += 1
        return replace(change, ts=self.last_ts)

    @initialize()
    def start_late(self) -> None:
        self.now = 1


def narrow(machine: type[CacheMachine]) -> type[CacheMachine]:
    """The machine with a table without clustering columns."""
    return type(f"Narrow{machine.__name__}", (Narrow, machine), {})

"""Tests of storage.memtable: every read between writes is what the model says."""

import gc
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage.errors import CorruptData
from storage.memtable import MemoryRun, Memtable
from storage.merge import Chunk
from storage.mutation import Mutation, MutationBuilder
from storage.row import NO_DELETION
from storage.slice import Slice
from tests.model.changes import BOUNDS, CLUSTERINGS, KEYS, changes
from tests.model.encoding import TABLE_ID, model_row, mutation_of, row_of
from tests.model.table import CellWrite, Deletion, MarkerWrite, ModelPartition, TableModel
from tests.storage.runs import memory_runs, read_page

Change = CellWrite | MarkerWrite | Deletion


def answer(memtable: Memtable, wanted: Slice, now: int) -> ModelPartition | None:
    """One partition as the memtable shows it."""
    assert isinstance(wanted.key, bytes)
    page = read_page(wanted, [(wanted.key, memory_runs([memtable], wanted.key))], now)
    if not page.partitions:
        return None
    (rows,) = page.partitions
    return ModelPartition(
        rows.key,
        model_row(rows.static_row) if rows.static_row else None,
        [(c, model_row(row)) for c, row in zip(rows.clusterings, rows.rows, strict=True)],
    )


class MemtableMachine(RuleBasedStateMachine):
    """A memtable with clustering and static columns beside the model."""

    has_static = True
    has_clustering = True

    def __init__(self) -> None:
        super().__init__()
        self.model = TableModel(has_static=self.has_static)
        self.memtable = Memtable(self.has_clustering, self.has_static)
        self.keys: set[bytes] = set()

    def apply(self, change: Change) -> None:
        self.model.write(change)
        self.memtable.apply(mutation_of(change))
        self.keys.add(change.key)

    @rule(change=changes())
    def write(self, change: Change) -> None:
        self.apply(change)

    @rule(key=st.sampled_from(KEYS), ts=st.integers(1, 12), back=st.booleans())
    def write_many_rows(self, key: bytes, ts: int, back: bool) -> None:
        order = [b"\x20%03d" % i for i in range(300)]
        for clustering in reversed(order) if back else order:
            self.apply(MarkerWrite(key, clustering, ts))

    @rule(
        key=st.sampled_from(KEYS),
        bounds=st.lists(st.sampled_from([b"\x01", *BOUNDS]), min_size=2, max_size=2, unique=True),
        reverse=st.booleans(),
        now=st.integers(0, 25),
    )
    def read_range(self, key: bytes, bounds: list[bytes], reverse: bool, now: int) -> None:
        ranges = ((min(bounds), max(bounds)),)
        wanted = Slice(TABLE_ID, key=key, ranges=ranges, reverse=reverse, static=False)
        expected = self.model.partition(key, now, ranges, reverse)
        if expected is not None:
            expected.static_row = None
            expected = expected if expected.rows else None
        assert answer(self.memtable, wanted, now) == expected

    @rule(key=st.sampled_from(KEYS), now=st.integers(0, 25))
    def read_partition(self, key: bytes, now: int) -> None:
        wanted = Slice(TABLE_ID, key=key)
        assert answer(self.memtable, wanted, now) == self.model.partition(key, now)

    @rule(start=st.sampled_from([b"", *KEYS]), end=st.sampled_from([b"", *KEYS]))
    def list_keys(self, start: bytes, end: bytes) -> None:
        expected = sorted(k for k in self.keys if start <= k and (not end or k < end))
        assert self.memtable.keys(start, end) == expected
        assert self.memtable.keys(start, end, 1) == expected[:1]

    @invariant()
    def it_is_in_order(self) -> None:
        self.memtable.check()


class RowTableMachine(MemtableMachine):
    """The same for a table without clustering columns: one row a partition."""

    has_static = False
    has_clustering = False

    @rule(change=changes(has_static=False, has_clustering=False))
    def write(self, change: Change) -> None:
        self.apply(change)

    @precondition(lambda _: False)
    @rule()
    def write_many_rows(self) -> None:
        """There are no many rows."""

    @precondition(lambda _: False)
    @rule()
    def read_range(self) -> None:
        """There are no ranges."""


TestWideTable = MemtableMachine.TestCase
TestRowTable = RowTableMachine.TestCase
TestWideTable.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestRowTable.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_a_wide_partition_holds_rows_in_any_order_of_arrival(order: str) -> None:
    clusterings = [b"c%05d" % i for i in range(3000)]
    arrival = list(clusterings)
    if order == "descending":
        arrival.reverse()
    elif order == "random":
        random.Random(4).shuffle(arrival)
    memtable = Memtable(True, False)
    for clustering in arrival:
        memtable.apply(mutation_of(MarkerWrite(KEYS[0], clustering, 1)))
    memtable.check()
    for reverse in (False, True):
        page = read_page(
            Slice(TABLE_ID, key=KEYS[0], reverse=reverse),
            [(KEYS[0], memory_runs([memtable], KEYS[0]))],
            0,
        )
        assert page.partitions[0].clusterings == clusterings[:: -1 if reverse else 1]


def test_a_chunk_in_a_readers_hands_does_not_change() -> None:
    memtable = Memtable(True, False)
    for clustering in CLUSTERINGS[::2]:
        memtable.apply(mutation_of(MarkerWrite(KEYS[0], clustering, 1)))
    run = memtable.find(KEYS[0])
    assert run is not None
    chunk = run.chunk_at(b"", False)
    before = (list(chunk.clusterings), list(chunk.rows))
    for clustering in CLUSTERINGS:
        memtable.apply(mutation_of(MarkerWrite(KEYS[0], clustering, 2)))
    assert (chunk.clusterings, chunk.rows) == before
    assert run.chunk_at(b"", False).clusterings == CLUSTERINGS


def test_every_chunk_of_a_wide_partition_is_well_formed() -> None:
    memtable = Memtable(True, False)
    for i in range(2000):
        memtable.apply(mutation_of(MarkerWrite(KEYS[0], b"c%05d" % i, 1)))
    for i in range(0, 2000, 150):
        memtable.apply(mutation_of(Deletion(KEYS[0], b"c%05d" % i, b"c%05d" % (i + 90), i)))
    run = memtable.find(KEYS[0])
    assert run is not None
    position = b""
    forward: list[Chunk] = []
    while not forward or position:
        forward.append(run.chunk_at(position, False))
        position = forward[-1].end
    backward: list[Chunk] = []
    while not backward or position:
        backward.append(run.chunk_at(position, True))
        position = backward[-1].start
    for chunk in forward:
        chunk.check()
    assert len(forward) > 5
    assert [c.start for c in forward] == [c.start for c in reversed(backward)]


def _walk(run: MemoryRun, reverse: bool) -> list[Chunk]:
    """All chunks of a partition, in the direction in which they were asked for."""
    chunks: list[Chunk] = []
    position = b""
    while not chunks or position:
        chunks.append(run.chunk_at(position, reverse))
        chunks[-1].check()
        at, position = position, chunks[-1].start if reverse else chunks[-1].end
        assert (chunks[-1].end if reverse else chunks[-1].start) == at, "nothing is left out"
    return chunks


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 40])
def test_many_range_tombstones_come_in_chunks_of_few(reverse: bool, rows: int) -> None:
    memtable = Memtable(True, False)
    tombstones = [(b"c%05d" % i, b"c%05dx" % i, i + 1, 0) for i in range(3000)]
    tombstones.append((b"c03000", b"", 1, 0))
    for low, high, ts, _ in tombstones:
        memtable.apply(mutation_of(Deletion(KEYS[0], low, high, ts)))
    placed = [b"c%05dy" % (i * 70) for i in range(rows)]
    for clustering in placed:
        memtable.apply(mutation_of(MarkerWrite(KEYS[0], clustering, 9)))
    run = memtable.find(KEYS[0])
    assert run is not None
    chunks = _walk(run, reverse)[:: -1 if reverse else 1]
    assert max(len(chunk.tombstones) for chunk in chunks) <= 256
    assert [t for chunk in chunks for t in chunk.tombstones] == tombstones
    assert [c for chunk in chunks for c in chunk.clusterings] == placed
    middle = b"c01500a"
    found = run.chunk_at(middle, reverse)
    found.check()
    assert found.start < middle <= found.end if reverse else found.start <= middle < found.end
    assert len(found.tombstones) <= 256


def _large_memtable() -> Memtable:
    memtable = Memtable(True, True)
    for i in range(1_000):
        memtable.apply(mutation_of(MarkerWrite(b"key%04d" % i, CLUSTERINGS[0], 1)))
        memtable.apply(mutation_of(MarkerWrite(b"key0500", b"c%05d" % i, 1)))
        memtable.apply(mutation_of(Deletion(b"key0400", b"c%05d" % i, b"c%05d\x05" % i, i)))
    return memtable


@pytest.mark.parametrize("count", [1, 7, 5_000])
def test_a_memtable_dissolves_in_as_many_steps_as_it_takes(count: int) -> None:
    memtable = _large_memtable()
    entries, steps = 3_000, 0
    while memtable.dissolve(count):
        steps += 1
        assert len(memtable.keys()) == len(memtable)
    # Blocks of rows go as a whole.
    assert (entries - 1_000) // max(count, 256) <= steps <= entries // count
    assert not memtable.keys() and memtable.find(b"key0500") is None
    assert not memtable.dissolve(count)


def test_a_run_that_a_read_has_outlives_its_memtable() -> None:
    memtable = _large_memtable()
    wide, ranges = memtable.find(b"key0500"), memtable.find(b"key0400")
    assert wide is not None and ranges is not None
    while memtable.dissolve(10):
        pass
    assert sum(len(chunk.tombstones) for chunk in _walk(ranges, False)) == 1_000
    position, rows = b"", 0
    while True:
        chunk = wide.chunk_at(position, False)
        rows += len(chunk.rows)
        position = chunk.end
        if not position:
            break
    assert rows == 1_001


def test_a_memtable_that_is_in_use_does_not_dissolve() -> None:
    memtable = _large_memtable()
    assert memtable.acquire() is memtable
    with pytest.raises(AssertionError, match="nobody reads"):
        memtable.dissolve(1)
    memtable.release()
    assert memtable.dissolve(1)
    with pytest.raises(AssertionError, match="once by each user"):
        memtable.release()


def test_the_garbage_collector_does_not_look_at_rows() -> None:
    memtable = _large_memtable()
    run = memtable.find(b"key0500")
    assert run is not None
    gc.collect()
    seen = len(gc.get_objects())
    larger = Memtable(True, True)
    for i in range(2_000):
        larger.apply(mutation_of(MarkerWrite(b"key%04d" % i, CLUSTERINGS[0], 1)))
        larger.apply(mutation_of(MarkerWrite(b"key0500", b"c%05d" % i, 1)))
    gc.collect()
    assert len(gc.get_objects()) - seen < 50
    chunk = run.chunk_at(b"", False)
    assert not gc.is_tracked(chunk.clusterings) and not gc.is_tracked(chunk.rows)


def test_a_damaged_mutation_changes_nothing() -> None:
    builder = MutationBuilder(TABLE_ID, KEYS[0])
    builder.row(CLUSTERINGS[0], row_of([MarkerWrite(KEYS[0], CLUSTERINGS[0], 1)]))
    builder.row(CLUSTERINGS[1], b"\x08 this is no row")
    memtable = Memtable(True, False)
    with pytest.raises(CorruptData):
        memtable.apply(Mutation(builder.finish().data))
    assert len(memtable) == 0 and memtable.memory_bytes == 0
    assert memtable.timestamps is None


def test_a_mutation_without_items_leaves_no_partition() -> None:
    memtable = Memtable(True, False)
    memtable.apply(MutationBuilder(TABLE_ID, KEYS[0]).finish())
    assert memtable.find(KEYS[0]) is None


def test_the_head_tells_deletion_and_static_row() -> None:
    memtable = Memtable(True, True)
    static = row_of([CellWrite(KEYS[0], b"", 1, None, 3, b"v")])
    builder = MutationBuilder(TABLE_ID, KEYS[0])
    builder.delete_partition(2, 9)
    builder.row(b"", static)
    memtable.apply(builder.finish())
    run = memtable.find(KEYS[0])
    assert run is not None and run.head == (2, 9, static)
    memtable.apply(mutation_of(MarkerWrite(KEYS[1], CLUSTERINGS[0], 1)))
    other = memtable.find(KEYS[1])
    assert other is not None and other.head == (NO_DELETION, 0, b"")


def test_it_knows_the_range_of_timestamps() -> None:
    memtable = Memtable(True, False)
    memtable.apply(mutation_of(MarkerWrite(KEYS[0], CLUSTERINGS[0], 7)))
    memtable.apply(mutation_of(Deletion(KEYS[1], b"a", b"b", 3)))
    assert memtable.timestamps == (3, 7)
    assert memtable.mutation_count == 2


MEASURE = """
import random, sys
from storage.memtable import Memtable
from storage.mutation import MutationBuilder
from storage.row import RowBuilder

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def fill(shape, memtable, count):
    chance, row = random.Random(1), RowBuilder()
    row.begin(1, True)
    row.cell(1, 1, b"x" * 150)
    data = row.finish()
    for i in range(count):
        key = b"wide" if shape == "wide" else chance.randbytes(18)
        builder = MutationBuilder(bytes(16), key)
        builder.row(chance.randbytes(9) if memtable.has_clustering else b"", data)
        memtable.apply(builder.finish())

shape = sys.argv[1]
fill(shape, Memtable(shape != "mere", False), 100)
memtable = Memtable(shape != "mere", False)
before = resident()
fill(shape, memtable, 40000)
print(memtable.memory_bytes / (resident() - before))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux' /proc")
@pytest.mark.parametrize("shape", ["mere", "single", "wide"])
def test_the_account_is_near_what_the_process_grows_by(shape: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, shape], cwd=root, capture_output=True, text=True, check=True
    )
    assert 0.85 < float(done.stdout) < 1.2

"""The row cache's promises one by one."""

import gc
import itertools

import pytest

from storage.cache import RowCache, TableCache
from storage.memtable import Memtable
from storage.merge import Chunk
from storage.mutation import MutationBuilder
from storage.row import NO_DELETION, RowBuilder

HEAD = (NO_DELETION, 0, b"")


def row(ts: int, value: bytes = b"v" * 100) -> bytes:
    builder = RowBuilder()
    builder.begin(ts, True)
    builder.cell(1, ts, value)
    return builder.finish()


def one(clustering: bytes, ts: int = 1) -> Chunk:
    return Chunk(clustering, clustering + b"\0", [clustering], [row(ts)])


@pytest.fixture
def shard() -> RowCache:
    return RowCache(10_000)


@pytest.fixture
def table(shard: RowCache) -> TableCache:
    return TableCache(shard)


def test_what_was_read_before_a_flush_is_not_inserted(table: TableCache) -> None:
    phase = table.phase
    table.advance_phase()
    assert not table.insert(b"k", HEAD, one(b"c"), phase)
    assert table.find(b"k") is None


def test_a_point_is_known_and_its_neighbours_are_not(table: TableCache) -> None:
    assert table.insert(b"k", HEAD, one(b"c"), 0)
    run = table.find(b"k")
    assert run is not None
    assert run.chunk_at(b"c", False) is not None
    assert run.chunk_at(b"c\0", False) is None
    assert run.chunk_at(b"b", False) is None
    assert run.chunk_at(b"c\0", True) is not None
    assert run.chunk_at(b"c", True) is None
    assert run.chunk_at(b"", True) is None
    assert run.known_from(b"b", False) == b"c"
    assert run.known_from(b"d", True) == b"c\0"
    assert run.known_from(b"d", False) == b""


def test_a_gap_is_known_to_be_empty(table: TableCache) -> None:
    assert table.insert(b"k", HEAD, Chunk(b"", b"", [], []), 0)
    run = table.find(b"k")
    assert run is not None
    for reverse in (False, True):
        chunk = run.chunk_at(b"c", reverse)
        assert chunk is not None and not chunk.rows


def test_stretches_do_not_overlap(table: TableCache) -> None:
    assert table.insert(b"k", HEAD, one(b"c"), 0)
    assert not table.insert(b"k", HEAD, Chunk(b"a", b"d", [], []), 0)
    assert not table.insert(b"k", HEAD, Chunk(b"", b"", [], []), 0)
    assert table.insert(b"k", HEAD, Chunk(b"a", b"c", [], []), 0)
    table.check()
    assert [(c.start, c.end) for c in table.stretches_of(b"k")] == [(b"a", b"c\0")]


def test_a_partition_without_a_known_head_is_not_made(table: TableCache) -> None:
    assert not table.insert(b"k", None, one(b"c"), 0)
    assert len(table) == 0


def test_eviction_keeps_the_bound_and_what_is_read(shard: RowCache, table: TableCache) -> None:
    assert table.insert(b"hot", HEAD, one(b"c"), 0)
    for number in range(200):
        run = table.find(b"hot")
        assert run is not None and run.chunk_at(b"c", False) is not None
        assert table.insert(b"k%d" % number, HEAD, one(b"c"), 0)
        shard.check()
    table.check()
    assert shard.evictions > 100
    assert table.find(b"hot") is not None and table.find(b"k0") is None


def test_a_wide_partition_loses_stretches_one_by_one(shard: RowCache, table: TableCache) -> None:
    for number in range(200):
        assert table.insert(b"k", HEAD, one(b"c%03d" % number), 0)
        shard.check()
    table.check()
    assert 5 < len(table.stretches_of(b"k")) < 100
    assert shard.evictions > 100


@pytest.mark.parametrize("reverse", [False, True])
def test_stretches_of_mere_range_tombstones_stay_small(reverse: bool) -> None:
    table = TableCache(RowCache(1 << 20))
    edges = [b"c%03d" % number for number in range(51)]
    chunks = [
        Chunk(low, high, [], [], [(low + b"%02d" % n, low + b"%02dx" % n, 5, 0) for n in range(20)])
        for low, high in itertools.pairwise(edges)
    ]
    for chunk in chunks[:: -1 if reverse else 1]:
        assert table.insert(b"k", HEAD, chunk, 0)
    table.check()
    kept = table.stretches_of(b"k")
    assert [t for chunk in kept for t in chunk.tombstones] == [
        t for chunk in chunks for t in chunk.tombstones
    ]
    assert max(len(chunk.tombstones) for chunk in kept) <= 64
    assert len(kept) < len(chunks), "small ones are joined"


def test_what_is_too_large_is_refused(shard: RowCache, table: TableCache) -> None:
    big = Chunk(b"", b"", [b"c"], [row(1, b"v" * 5_000)])
    assert not table.insert(b"k", HEAD, big, 0)
    assert shard.refusals == 1 and shard.used_bytes == 0


def test_a_flush_is_absorbed_where_something_is_known(table: TableCache) -> None:
    assert table.insert(b"k", HEAD, Chunk(b"a", b"e", [b"b", b"d"], [row(1), row(1)]), 0)
    memtable = Memtable(True, True)
    builder = MutationBuilder(b"t" * 16, b"k")
    builder.row(b"c", row(2))
    builder.row(b"x", row(2))
    builder.range_tombstone(b"d", b"z", 3, 9)
    memtable.apply(builder.finish())
    run = memtable.find(b"k")
    assert run is not None
    assert table.absorb(b"k", run, b"", 100) is None
    (chunk,) = table.stretches_of(b"k")
    assert chunk.clusterings == [b"b", b"c"]
    assert chunk.tombstones == [(b"d", b"e", 3, 9)]
    table.check()


def test_a_stretch_that_grows_is_split(table: TableCache) -> None:
    large = TableCache(RowCache(1 << 20))
    assert large.insert(b"k", HEAD, Chunk(b"", b"", [], []), 0)
    memtable = Memtable(True, False)
    builder = MutationBuilder(b"t" * 16, b"k")
    for number in range(1000):
        builder.row(b"c%04d" % number, row(1))
    memtable.apply(builder.finish())
    run = memtable.find(b"k")
    assert run is not None
    assert large.absorb(b"k", run, b"", 10_000) is None
    large.check()
    assert [len(c.rows) for c in large.stretches_of(b"k")] == [256, 256, 256, 232]


def test_much_is_absorbed_in_slices_between_which_everything_is_in_order() -> None:
    table = TableCache(RowCache(1 << 20))
    assert table.insert(b"k", HEAD, Chunk(b"", b"c0500", [b"b"], [row(1)]), 0)
    assert table.insert(b"k", HEAD, one(b"c0600"), 0)
    memtable = Memtable(True, False)
    builder = MutationBuilder(b"t" * 16, b"k")
    for number in range(1000):
        builder.row(b"c%04d" % number, row(2))
    memtable.apply(builder.finish())
    run = memtable.find(b"k")
    assert run is not None
    slices = 0
    position: bytes | None = b""
    while (position := table.absorb(b"k", run, position, 10)) is not None:
        table.check()
        slices += 1
    assert slices > 1
    chunks = table.stretches_of(b"k")
    assert sum(len(chunk.rows) for chunk in chunks) == 502
    assert chunks[-1].rows == [row(2)], "the cell with the higher timestamp has won"


@pytest.mark.parametrize("rows_max", [1, 10, 10_000])
def test_what_a_flushed_deletion_of_the_partition_hides_goes_from_memory(rows_max: int) -> None:
    shard = RowCache(1 << 20)
    table = TableCache(shard)
    for first in (0, 100, 300):
        places = [b"c%04d" % number for number in range(first, first + 100)]
        rows = [row(9 if number % 25 == 7 else 1) for number in range(100)]
        tombstones = [(places[0], places[1], 2, 0), (places[1], places[2], 8, 0)]
        chunk = Chunk(places[0], b"c%04d" % (first + 100), places, rows, tombstones)
        assert table.insert(b"k", (NO_DELETION, 0, row(1)), chunk, 0)
    before = shard.used_bytes
    memtable = Memtable(True, True)
    builder = MutationBuilder(b"t" * 16, b"k")
    builder.delete_partition(5, 6)
    builder.row(b"c0150", row(6))
    builder.row(b"c0250", row(6))
    memtable.apply(builder.finish())
    run = memtable.find(b"k")
    assert run is not None
    position: bytes | None = b""
    while (position := table.absorb(b"k", run, position, rows_max)) is not None:
        table.check()
        shard.check()
    table.check()
    shard.check()
    found = table.find(b"k")
    assert found is not None and found.head == (5, 6, b"")
    chunks = table.stretches_of(b"k")
    left = [clustering for chunk in chunks for clustering in chunk.clusterings]
    kept = [n + first for first in (0, 100, 300) for n in range(7, 100, 25)]
    assert left == sorted(b"c%04d" % number for number in [*kept, 150]), "the newer ones stay"
    assert [t[2] for chunk in chunks for t in chunk.tombstones] == [8, 8, 8]
    assert (chunks[0].start, chunks[-1].end) == (b"c0000", b"c0400")
    assert shard.used_bytes < before // 5


def test_a_deleted_partition_is_one_gap_that_is_known_to_be_empty(table: TableCache) -> None:
    for place in (b"a", b"b", b"c"):
        chunk = Chunk(place, bytes([place[0] + 1]), [place], [row(1)])
        assert table.insert(b"k", HEAD, chunk, 0)
    memtable = Memtable(True, False)
    builder = MutationBuilder(b"t" * 16, b"k")
    builder.delete_partition(1, 6)
    memtable.apply(builder.finish())
    run = memtable.find(b"k")
    assert run is not None
    assert table.absorb(b"k", run, b"", 100) is None
    (chunk,) = table.stretches_of(b"k")
    assert (chunk.start, chunk.end, chunk.rows) == (b"a", b"d", [])
    table.check()


def test_a_deletion_that_is_older_than_the_one_known_changes_nothing(table: TableCache) -> None:
    assert table.insert(b"k", (7, 7, b""), one(b"c", 9), 0)
    before = table.stretches_of(b"k")[0].rows
    memtable = Memtable(True, False)
    builder = MutationBuilder(b"t" * 16, b"k")
    builder.delete_partition(6, 6)
    memtable.apply(builder.finish())
    run = memtable.find(b"k")
    assert run is not None
    assert table.absorb(b"k", run, b"", 100) is None
    assert table.stretches_of(b"k")[0].rows == before
    found = table.find(b"k")
    assert found is not None and found.head == (7, 7, b"")


def test_clearing_forgets_at_once_and_frees_in_slices(shard: RowCache, table: TableCache) -> None:
    for number in range(10):
        assert table.insert(b"k%d" % number, HEAD, one(b"c"), 0)
    table.clear()
    assert table.find(b"k1") is None and shard.used_bytes > 0
    assert shard.sweep(4)
    shard.check()
    assert not shard.sweep(100)
    assert shard.used_bytes == 0 and shard.stretches == 0


def test_what_a_table_left_behind_is_evicted_like_all_else(shard: RowCache) -> None:
    for number in range(10):
        left = TableCache(shard)
        assert left.insert(b"k%d" % number, HEAD, one(b"c"), 0)
        del left
        gc.collect()
        shard.check()
    assert shard.stretches == 10
    shard.shrink(0)
    shard.check()
    assert shard.used_bytes == 0


def test_nothing_that_is_cached_is_walked_by_the_garbage_collector(table: TableCache) -> None:
    for key in (b"k", b"l"):
        assert table.insert(key, HEAD, one(b"c"), 0)
    tracked = [type(found).__qualname__ for found in gc.get_objects()]
    assert "TableCache" in tracked
    assert "CachedPartition" not in tracked and "Stretch" not in tracked

"""Tests of storage.merge: every way to spread writes over runs gives the model's answer."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.memtable import Memtable
from storage.merge import DONE, PAUSED, Chunk, CompactionMerge, PageMerge, overlay
from storage.row import NO_DELETION
from storage.slice import Page, Slice
from tests.model.changes import BOUNDS, CLUSTERINGS, KEYS, changes
from tests.model.encoding import TABLE_ID, model_row, mutation_of, row_of
from tests.model.table import CellWrite, Deletion, MarkerWrite, ModelPartition, TableModel
from tests.storage.runs import ListRun, ReadyRun, compact, memory_runs, read_all, read_page

Changes = list[tuple[int, CellWrite | MarkerWrite | Deletion]]
Partitions = list[tuple[bytes, list[ReadyRun]]]

SPREAD = st.lists(st.tuples(st.integers(0, 2), changes()), max_size=25)
NOW = st.integers(0, 25)


STATIC_PLACE = (b"", b"\0")


@st.composite
def range_sets(draw: st.DrawFn) -> tuple[tuple[bytes, bytes], ...]:
    """Ascending, disjoint ranges above the static row; its own place may be the first of them."""
    bounds = draw(st.lists(st.sampled_from([b"\x01", *BOUNDS]), unique=True, max_size=6))
    bounds.sort()
    pairs = list(zip(bounds[::2], bounds[1::2], strict=False))
    if len(bounds) % 2:
        pairs.append((bounds[-1], b""))
    if draw(st.booleans()):
        pairs.insert(0, STATIC_PLACE)
    return tuple(pairs) or ((b"\x01", b""),)


def load(spread: Changes) -> tuple[TableModel, list[Memtable]]:
    model = TableModel(has_static=True)
    memtables = [Memtable(True, True) for _ in range(3)]
    for run, change in spread:
        model.write(change)
        memtables[run].apply(mutation_of(change))
    return model, memtables


def partitions_of(memtables: Sequence[Memtable]) -> Partitions:
    return [(key, [*memory_runs(memtables, key)]) for key in KEYS if memory_runs(memtables, key)]


def cut(run: ListRun, bounds: Sequence[bytes]) -> ListRun:
    """The same run in smaller chunks."""
    edges = [b"", *sorted(set(bounds)), b""]
    merged = compact(b"k", [run], CompactionMerge(0, 0, purge=False))
    chunks = []
    for start, end in itertools.pairwise(edges):
        rows = [
            (clustering, row)
            for chunk in merged.chunks
            for clustering, row in zip(chunk.clusterings, chunk.rows, strict=True)
            if start <= clustering and (not end or clustering < end)
        ]
        tombstones = []
        for chunk in merged.chunks:
            for low, high, ts, at in chunk.tombstones:
                low = max(low, start)
                high = min(high or b"\xff" * 9, end or b"\xff" * 9)
                if low < high:
                    tombstones.append((low, b"" if high == b"\xff" * 9 else high, ts, at))
        chunks.append(
            Chunk(start, end, [pair[0] for pair in rows], [pair[1] for pair in rows], tombstones)
        )
    return ListRun(merged.head, chunks)


def shown(pages: Sequence[Page]) -> list[ModelPartition]:
    """The pages' content as the model shows it, partitions cut by pages joined."""
    found: list[ModelPartition] = []
    for page in pages:
        for partition in page.partitions:
            static = model_row(partition.static_row) if partition.static_row else None
            rows = [
                (clustering, model_row(row))
                for clustering, row in zip(partition.clusterings, partition.rows, strict=True)
            ]
            if found and found[-1].key == partition.key:
                assert found[-1].static_row == static
                found[-1].rows += rows
            else:
                found.append(ModelPartition(partition.key, static, rows))
    return found


def expected(model: TableModel, wanted: Slice, now: int) -> list[ModelPartition]:
    """What the model answers to a slice without limits."""
    whole = wanted.ranges in (((b"", b""),), ((b"\x01", b""),)) or wanted.ranges[0] == STATIC_PLACE
    found = []
    for key in KEYS:
        partition = model.partition(key, now, wanted.ranges, wanted.reverse)
        if partition is None:
            continue
        if wanted.distinct:
            partition.rows = []
        elif not partition.rows and not (whole and wanted.static):
            continue
        if not wanted.static:
            partition.static_row = None
        found.append(partition)
    return found


@settings(max_examples=120)
@given(SPREAD, NOW, range_sets(), st.booleans(), st.booleans())
def test_a_read_is_what_the_model_says(
    spread: Changes, now: int, ranges: tuple[tuple[bytes, bytes], ...], reverse: bool, static: bool
) -> None:
    model, memtables = load(spread)
    wanted = Slice(TABLE_ID, ranges=ranges, reverse=reverse, static=static)
    assert shown([read_page(wanted, partitions_of(memtables), now)]) == expected(model, wanted, now)


@settings(max_examples=80)
@given(SPREAD, NOW, range_sets(), st.booleans(), st.integers(1, 4), st.integers(0, 3))
def test_pages_together_are_the_whole_answer(
    spread: Changes,
    now: int,
    ranges: tuple[tuple[bytes, bytes], ...],
    reverse: bool,
    limit: int,
    steps: int,
) -> None:
    model, memtables = load(spread)
    wanted = Slice(TABLE_ID, ranges=ranges, reverse=reverse, row_limit=limit)
    pages = read_all(wanted, partitions_of(memtables), now, steps)
    assert shown(pages) == expected(model, wanted, now)
    for page in pages:
        assert sum(max(len(p.rows), 1) for p in page.partitions) <= limit


@settings(max_examples=120)
@given(
    SPREAD,
    NOW,
    range_sets(),
    st.booleans(),
    st.integers(0, 3),
    st.integers(1, 4),
    st.lists(st.sampled_from(BOUNDS), max_size=6),
)
def test_pages_that_end_between_windows_are_the_whole_answer(
    spread: Changes,
    now: int,
    ranges: tuple[tuple[bytes, bytes], ...],
    reverse: bool,
    limit: int,
    steps: int,
    bounds: list[bytes],
) -> None:
    model, memtables = load(spread)
    wanted = Slice(TABLE_ID, ranges=ranges, reverse=reverse, row_limit=limit)
    partitions: Partitions = []
    for key, runs in partitions_of(memtables):
        whole = [compact(key, [run], CompactionMerge(0, 0, purge=False)) for run in runs]
        partitions.append((key, [cut(run, bounds[i:]) for i, run in enumerate(whole)]))
    assert shown(read_all(wanted, partitions, now, steps)) == expected(model, wanted, now)


def deleted_ranges(count: int) -> ListRun:
    """A partition that has nothing but range tombstones, three in each chunk."""
    edges = [b"", *(b"c%03d" % i for i in range(1, count)), b""]
    return ListRun(
        (NO_DELETION, 0, b""),
        [
            Chunk(low, high, [], [], [(low + b"%d" % i, low + b"%dx" % i, 5, 0) for i in range(3)])
            for low, high in itertools.pairwise(edges)
        ],
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_range_tombstones_without_rows_between_them_end_a_page(reverse: bool, steps: int) -> None:
    wanted = Slice(TABLE_ID, key=KEYS[0], reverse=reverse)
    pages = read_all(wanted, [(KEYS[0], [deleted_ranges(100)])], 0, steps)
    assert 50 <= len(pages) <= 100, "a page ends as soon as it may, and the next one goes on"
    assert all(not page.partitions for page in pages)
    assert all(page.last_clustering for page in pages[:-1])


def test_without_a_bound_on_its_steps_a_page_goes_through_all_range_tombstones() -> None:
    page = read_page(Slice(TABLE_ID, key=KEYS[0]), [(KEYS[0], [deleted_ranges(100)])], 0)
    assert not page.more


@settings(max_examples=60)
@given(SPREAD, NOW, st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_a_partition_limit_holds_across_pages(
    spread: Changes, now: int, per_partition: int, limit: int, reverse: bool
) -> None:
    model, memtables = load(spread)
    wanted = Slice(
        TABLE_ID,
        ranges=((b"\x01", b""),),
        partition_limit=per_partition,
        row_limit=limit,
        reverse=reverse,
    )
    answer = expected(model, wanted, now)
    for partition in answer:
        del partition.rows[per_partition:]
    assert shown(read_all(wanted, partitions_of(memtables), now)) == answer


@settings(max_examples=60)
@given(SPREAD, NOW, st.integers(0, 2), st.integers(0, 2))
def test_distinct_gives_each_live_partition_once(
    spread: Changes, now: int, limit: int, steps: int
) -> None:
    model, memtables = load(spread)
    wanted = Slice(TABLE_ID, ranges=((b"\x01", b""),), distinct=True, row_limit=limit)
    pages = read_all(wanted, partitions_of(memtables), now, steps)
    assert shown(pages) == expected(model, wanted, now)
    assert all(not limit or len(page.partitions) <= limit for page in pages)


@settings(max_examples=80)
@given(SPREAD, NOW, st.lists(st.sampled_from(BOUNDS), max_size=4), st.booleans(), range_sets())
def test_runs_in_chunks_read_like_whole_runs(
    spread: Changes,
    now: int,
    bounds: list[bytes],
    reverse: bool,
    ranges: tuple[tuple[bytes, bytes], ...],
) -> None:
    model, memtables = load(spread)
    wanted = Slice(TABLE_ID, ranges=ranges, reverse=reverse)
    partitions: Partitions = []
    for key, runs in partitions_of(memtables):
        whole = [compact(key, [run], CompactionMerge(0, 0, purge=False)) for run in runs]
        partitions.append((key, [cut(run, bounds[i:]) for i, run in enumerate(whole)]))
    assert shown([read_page(wanted, partitions, now)]) == expected(model, wanted, now)


@settings(max_examples=80)
@given(SPREAD, NOW, st.integers(0, 25), st.integers(0, 25))
def test_a_full_compaction_changes_no_answer(
    spread: Changes, now: int, age: int, later: int
) -> None:
    model, memtables = load(spread)
    merge = CompactionMerge(now, now - age, frozenset(range(1, 5)))
    partitions: Partitions = [
        (key, [compact(key, runs, merge)]) for key, runs in partitions_of(memtables)
    ]
    wanted = Slice(TABLE_ID, ranges=((b"\x01", b""),))
    answer = expected(model, wanted, now + later)
    assert shown([read_page(wanted, partitions, now + later)]) == answer


@settings(max_examples=80)
@given(SPREAD, NOW, st.integers(0, 25))
def test_a_partial_compaction_brings_nothing_deleted_back(
    spread: Changes, now: int, age: int
) -> None:
    model, memtables = load(spread)
    left_out, *inputs = memtables
    low = left_out.timestamps[0] if left_out.timestamps else (1 << 63) - 1
    merge = CompactionMerge(now, now - age)
    partitions: Partitions = []
    for key in KEYS:
        runs: list[ReadyRun] = [*memory_runs([left_out], key)]
        merged = memory_runs(inputs, key)
        if merged:
            runs.append(compact(key, merged, merge, low))
        if runs:
            partitions.append((key, runs))
    wanted = Slice(TABLE_ID, ranges=((b"\x01", b""),))
    assert shown([read_page(wanted, partitions, now)]) == expected(model, wanted, now)


def test_old_tombstones_leave_nothing_behind() -> None:
    _, memtables = load(
        [
            (0, Deletion(KEYS[0], CLUSTERINGS[0], b"", 5)),
            (0, Deletion(KEYS[0], b"", b"", 4, includes_static=True)),
            (1, CellWrite(KEYS[0], CLUSTERINGS[1], 1, None, 3, b"v")),
            (1, CellWrite(KEYS[0], CLUSTERINGS[2], 1, None, 6, None, second=2)),
        ]
    )
    run = compact(KEYS[0], memory_runs(memtables, KEYS[0]), CompactionMerge(100, 50))
    assert run.head == (NO_DELETION, 0, b"")
    assert all(not chunk.rows and not chunk.tombstones for chunk in run.chunks)


def test_young_tombstones_stay() -> None:
    _, memtables = load([(0, Deletion(KEYS[0], CLUSTERINGS[0], b"", 5))])
    merge = CompactionMerge(100, 0)
    run = compact(KEYS[0], memory_runs(memtables, KEYS[0]), merge)
    assert [chunk.tombstones for chunk in run.chunks] == [[(CLUSTERINGS[0], b"", 5, 0)]]


def test_a_page_ends_by_bytes() -> None:
    _, memtables = load([(0, MarkerWrite(KEYS[0], clustering, 1)) for clustering in CLUSTERINGS])
    wanted = Slice(TABLE_ID, key=KEYS[0], ranges=((b"\x01", b""),), byte_limit=30)
    pages = read_all(wanted, partitions_of(memtables), 0)
    assert [len(page.partitions[0].rows) for page in pages if page.partitions] == [3, 3]


def test_the_last_partition_of_one_key_has_no_more_pages() -> None:
    memtable = Memtable(False, False)
    memtable.apply(mutation_of(MarkerWrite(KEYS[0], b"", 1)))
    wanted = Slice(TABLE_ID, key=KEYS[0], row_limit=1)
    page = read_page(wanted, partitions_of([memtable]), 0)
    assert not page.more and len(page.partitions[0].rows) == 1


def test_a_run_is_only_asked_for_what_is_wanted() -> None:
    merge = PageMerge(Slice(TABLE_ID, key=b"k", ranges=((b"b", b"c"), (b"x", b"y"))), 0)
    row = row_of([MarkerWrite(b"k", b"", 1)])
    merge.begin(b"k", [(NO_DELETION, 0, b"")])
    assert (merge.advance(), merge.position(0)) == (0, b"b")
    merge.feed(0, Chunk(b"a", b"d", [b"a", b"bb"], [row, row]))
    assert (merge.advance(), merge.position(0)) == (0, b"x")
    merge.feed(0, Chunk(b"v", b"", [b"xx"], [row]))
    assert merge.advance() == DONE
    assert merge.page().partitions[0].clusterings == [b"bb", b"xx"]


def test_a_chunk_that_does_not_reach_the_position_is_refused() -> None:
    merge = PageMerge(Slice(TABLE_ID, key=b"k"), 0)
    merge.begin(b"k", [(NO_DELETION, 0, b"")])
    assert merge.advance() == 0
    with pytest.raises(AssertionError):
        merge.feed(0, Chunk(b"c", b"d", [], []))


def test_a_long_way_through_dead_rows_can_be_paused() -> None:
    memtable = Memtable(True, False)
    for i in range(1000):
        clustering = b"c%04d" % i
        memtable.apply(mutation_of(Deletion(KEYS[0], clustering, clustering + b"\0", 5)))
    merge = PageMerge(Slice(TABLE_ID, key=KEYS[0]), 0)
    run = memory_runs([memtable], KEYS[0])[0]
    merge.begin(KEYS[0], [run.head])
    pauses = 0
    while (state := merge.advance(100)) != DONE:
        if state == PAUSED:
            pauses += 1
        else:
            merge.feed(state, run.chunk_at(merge.position(state), False))
    assert pauses >= 5
    assert merge.page().partitions == []


TOMBSTONES = st.lists(
    st.tuples(st.integers(0, 8), st.integers(1, 9), st.integers(1, 3), st.integers(1, 2)),
    max_size=6,
)


@given(st.lists(TOMBSTONES, max_size=3))
def test_an_overlay_holds_the_newest_deletion_of_each_place(
    parts: list[list[tuple[int, int, int, int]]],
) -> None:
    singles = [
        [(bytes([65 + low]), bytes([65 + low + size]) if low + size < 10 else b"", ts, at)]
        for part in parts
        for low, size, ts, at in part
    ]
    merged = overlay(singles)
    Chunk(b"", b"", [], [], merged).check()
    assert overlay(list(reversed(singles))) == merged
    for place in range(65, 80):
        point = bytes([place])
        deletions = [
            (ts, at)
            for [(low, high, ts, at)] in singles
            if low <= point and (not high or point < high)
        ]
        covering = [
            (ts, at) for low, high, ts, at in merged if low <= point and (not high or point < high)
        ]
        assert covering == ([max(deletions)] if deletions else [])
    for (_, end, *left), (start, _, *right) in itertools.pairwise(merged):
        assert end != start or left != right


@pytest.mark.parametrize("reverse", [False, True])
def test_a_range_tombstone_covers_its_start_and_not_its_end(reverse: bool) -> None:
    first, second, third = CLUSTERINGS[:3]
    _, memtables = load(
        [(0, MarkerWrite(KEYS[0], c, 1)) for c in (first, second, third)]
        + [(1, Deletion(KEYS[0], second, third, 5))]
    )
    page = read_page(Slice(TABLE_ID, reverse=reverse), partitions_of(memtables), 0)
    assert sorted(page.partitions[0].clusterings) == [first, third]


def test_a_tombstone_stays_while_others_may_hold_what_it_covers() -> None:
    _, memtables = load([(0, CellWrite(KEYS[0], CLUSTERINGS[0], 1, None, 6, None, second=2))])
    for low, rows in ((6, 1), (7, 0)):
        run = compact(KEYS[0], memory_runs(memtables, KEYS[0]), CompactionMerge(100, 50), low)
        assert [len(chunk.rows) for chunk in run.chunks] == [rows]

"""Tests of storage.row: encoding, victory, deletion, life and purging."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import CorruptData
from storage.row import (
    NO_DELETION,
    CellCursor,
    RowBuilder,
    check_row,
    live,
    merge_rows,
    purge,
    shadow,
    timestamps,
)

TIMES = st.integers(-3, 6)
SECONDS = st.integers(0, 12)
VALUES = st.sampled_from([b"", b"a", b"b", b"ab", b"x" * 200])
PATHS = st.sampled_from([b"", b"p", b"q", b"pq"])
PLAIN = st.integers(0, 3)
COMPLEX = st.integers(4, 5)

CELLS = st.one_of(
    st.tuples(st.just("cell"), PLAIN, TIMES, VALUES),
    st.tuples(st.just("expiring_cell"), PLAIN, TIMES, st.integers(1, 5), SECONDS, VALUES),
    st.tuples(st.just("tombstone"), PLAIN, TIMES, SECONDS),
    st.tuples(st.just("complex_deletion"), COMPLEX, TIMES, SECONDS),
    st.tuples(st.just("element"), COMPLEX, TIMES, PATHS, VALUES),
    st.tuples(st.just("element"), COMPLEX, TIMES, PATHS, VALUES, st.integers(1, 5), SECONDS),
    st.tuples(st.just("element_tombstone"), COMPLEX, TIMES, SECONDS, PATHS),
    st.tuples(st.just("delete_row"), TIMES, SECONDS),
)
MARKERS = st.one_of(
    st.none(),
    st.tuples(TIMES),
    st.tuples(TIMES, st.just(True), st.integers(1, 5), SECONDS),
)


@st.composite
def rows(draw: st.DrawFn) -> bytes:
    """A row built from cells in any order, some about the same place, compacted or not."""
    builder = RowBuilder()
    marker = draw(MARKERS)
    if marker is None:
        builder.begin(0, False)
    else:
        builder.begin(marker[0], True, *marker[2:])
    for name, *arguments in draw(st.lists(CELLS, max_size=8)):
        getattr(builder, name)(*arguments)
    row = builder.finish()
    compacted_at = draw(st.one_of(st.none(), SECONDS))
    return row if compacted_at is None else purge(row, compacted_at, 0, False)


TIED = st.one_of(
    st.tuples(st.just("expiring_cell"), st.just(1), st.integers(1, 5), SECONDS, VALUES),
    st.tuples(st.just("expiring_cell"), st.just(1), st.integers(1, 5), SECONDS, VALUES),
    st.tuples(st.just("tombstone"), st.just(1), SECONDS),
    st.tuples(st.just("cell"), st.just(1), VALUES),
    st.tuples(st.just("element"), st.just(4), st.just(b"p"), VALUES, st.integers(1, 5), SECONDS),
    st.tuples(st.just("element_tombstone"), st.just(4), SECONDS, st.just(b"p")),
)


@st.composite
def ties(draw: st.DrawFn) -> bytes:
    """A row of one cell; of several such rows most are about one place and one timestamp."""
    builder = RowBuilder()
    builder.begin(0, False)
    name, column, *arguments = draw(TIED)
    getattr(builder, name)(column, draw(st.sampled_from([1] * 7 + [2])), *arguments)
    return builder.finish()


def cell_list(row: bytes) -> list[tuple[object, ...]]:
    cursor = CellCursor()
    cursor.reset(row)
    cells: list[tuple[object, ...]] = []
    while cursor.next():
        cells.append((cursor.column, cursor.timestamp, cursor.path(), cursor.value()))
    return cells


def test_an_insert_has_the_documented_bytes() -> None:
    builder = RowBuilder()
    builder.begin(0x0102030405060708, True)
    builder.cell(1, 0x0102030405060708, b"one")
    builder.cell(2, 0x0102030405060708, b"")
    builder.tombstone(300, 5, 7)
    assert builder.finish() == (
        b"\x01\x01\x02\x03\x04\x05\x06\x07\x08"
        b"\x10\x01\x03one"
        b"\x30\x02"
        b"\x01\xac\x02\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x07"
    )


def test_an_expiring_insert_has_the_documented_bytes() -> None:
    builder = RowBuilder()
    builder.begin(9, True, 60, 1000)
    builder.expiring_cell(1, 9, 60, 1000, b"v")
    assert builder.finish() == (
        b"\x03\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x3c\x00\x00\x03\xe8"
        b"\x12\x01\x00\x00\x00\x3c\x00\x00\x03\xe8\x01v"
    )


def test_the_base_timestamp_of_a_markerless_row_is_its_first_cells() -> None:
    builder = RowBuilder()
    builder.begin(5, False)
    builder.complex_deletion(1, 4, 2)
    builder.element(1, 5, b"p", b"v")
    row = builder.finish()
    assert row[:9] == b"\x00" + (5).to_bytes(8, "big")
    assert cell_list(row) == [(1, 4, b"", b""), (1, 5, b"p", b"v")]


def test_a_builder_without_cells_gives_no_row() -> None:
    builder = RowBuilder()
    builder.begin(5, False)
    assert builder.finish() == b""


def test_the_cursor_tells_marker_and_deletion() -> None:
    builder = RowBuilder()
    builder.begin(9, True, 60, 1000)
    builder.delete_row(8, 3)
    cursor = CellCursor()
    cursor.reset(builder.finish())
    assert (cursor.has_marker, cursor.marker_ts, cursor.marker_ttl) == (True, 9, 60)
    assert (cursor.marker_expiry, cursor.deletion_ts, cursor.deleted_at) == (1000, 8, 3)
    assert not cursor.next()


@given(rows())
def test_every_built_row_is_well_formed(row: bytes) -> None:
    if row:
        check_row(row)


@given(rows(), rows())
def test_merging_is_commutative(a: bytes, b: bytes) -> None:
    assert merge_rows(a, b) == merge_rows(b, a)


@given(rows(), rows(), rows())
def test_merging_is_associative(a: bytes, b: bytes, c: bytes) -> None:
    assert merge_rows(merge_rows(a, b), c) == merge_rows(a, merge_rows(b, c))


@given(rows())
def test_merging_is_idempotent(row: bytes) -> None:
    assert merge_rows(row, bytes(bytearray(row))) == row


@given(rows(), rows())
def test_a_merged_row_is_well_formed(a: bytes, b: bytes) -> None:
    merged = merge_rows(a, b)
    if merged:
        check_row(merged)


@given(rows(), rows(), TIMES)
def test_shadowing_commutes_with_merging(a: bytes, b: bytes, ts: int) -> None:
    assert shadow(merge_rows(a, b), ts) == merge_rows(shadow(a, ts), shadow(b, ts))


@given(rows(), TIMES)
def test_nothing_as_old_as_its_deletion_survives(row: bytes, ts: int) -> None:
    left = shadow(row, ts)
    if left:
        check_row(left)
        span = timestamps(left)
        assert span is not None and span[0] > ts


@given(rows())
def test_no_deletion_shadows_nothing(row: bytes) -> None:
    assert shadow(row, NO_DELETION) == row


@given(rows(), SECONDS)
def test_the_living_part_lives_on(row: bytes, now: int) -> None:
    alive = live(row, now)
    assert live(alive, now) == alive
    if alive:
        check_row(alive)


@given(rows(), SECONDS, st.frozensets(PLAIN), st.frozensets(st.integers(1, 5)))
def test_choosing_columns_does_not_change_whether_a_row_lives(
    row: bytes, now: int, columns: frozenset[int], existing: frozenset[int]
) -> None:
    chosen = live(row, now, columns, existing)
    assert bool(chosen) == bool(live(row, now, None, existing))
    if chosen:
        assert all(cell[0] in columns | {0} for cell in cell_list(chosen))


@given(rows(), SECONDS, SECONDS, st.booleans())
def test_purging_changes_nothing_that_lives(
    row: bytes, now: int, gc_before: int, purgeable: bool
) -> None:
    kept = purge(row, now, min(gc_before, now), purgeable)
    assert live(kept, now) == live(row, now)
    assert purge(kept, now, min(gc_before, now), purgeable) == kept
    if kept:
        check_row(kept)


@given(st.lists(ties(), min_size=2, max_size=5), SECONDS, SECONDS, st.data())
def test_what_is_read_does_not_depend_on_which_compactions_have_run(
    written: list[bytes], now: int, later: int, data: st.DataObject
) -> None:
    def compacted(row: bytes) -> bytes:
        at = data.draw(st.one_of(st.just(now), st.none(), st.integers(0, now)))
        return row if at is None else purge(row, at, 0, False)

    whole = b""
    for row in written:
        whole = merge_rows(whole, row)
    while len(written) > 1:
        written = data.draw(st.permutations(written))
        written.append(merge_rows(compacted(written.pop()), compacted(written.pop())))
    for second in (now, max(now, later)):
        assert live(written[0], second) == live(whole, second)


@given(st.binary(max_size=60), rows())
def test_garbage_is_corrupt_data(garbage: bytes, row: bytes) -> None:
    calls = (
        lambda: check_row(garbage),
        lambda: merge_rows(garbage, row),
        lambda: shadow(garbage, 2),
        lambda: live(garbage, 2, {1}, {1}),
        lambda: purge(garbage, 2, 2, True),
        lambda: cell_list(garbage),
    )
    for call in calls:
        with contextlib.suppress(CorruptData):
            call()


@given(rows(), st.data())
def test_a_row_that_is_cut_off_is_corrupt_or_another_row(row: bytes, data: st.DataObject) -> None:
    if row:
        size = data.draw(st.integers(0, len(row) - 1))
        with contextlib.suppress(CorruptData):
            check_row(row[:size])


@pytest.mark.parametrize("head", [b"", b"\x00", b"\x02" + b"\0" * 16, b"\x08" + b"\0" * 8])
def test_a_damaged_head_is_refused(head: bytes) -> None:
    with pytest.raises(CorruptData):
        check_row(head)


def shard(host: int, clock: int, count: int) -> bytes:
    return bytes([host]) * 16 + clock.to_bytes(8, "big") + count.to_bytes(8, "big", signed=True)


def counter_row(ts: int, *shards: bytes) -> bytes:
    builder = RowBuilder()
    builder.begin(0, False)
    builder.counter(1, ts, b"".join(shards))
    return builder.finish()


def test_of_each_hosts_counter_shard_the_later_clock_counts() -> None:
    a = counter_row(5, shard(1, 3, 10), shard(2, 1, 7))
    b = counter_row(4, shard(1, 2, 99), shard(3, 1, -1))
    merged = merge_rows(a, b)
    assert merged == merge_rows(b, a)
    assert cell_list(merged) == [(1, 5, b"", shard(1, 3, 10) + shard(2, 1, 7) + shard(3, 1, -1))]
    check_row(merged)


COUNTERS = st.dictionaries(
    st.integers(1, 3), st.tuples(st.integers(0, 2), st.integers(-2, 2)), min_size=1
)


@given(st.lists(st.tuples(TIMES, COUNTERS), min_size=3, max_size=3))
def test_merging_counters_is_commutative_and_associative(
    counters: list[tuple[int, dict[int, tuple[int, int]]]],
) -> None:
    a, b, c = (
        counter_row(ts, *[shard(host, *hosts[host]) for host in sorted(hosts)])
        for ts, hosts in counters
    )
    assert merge_rows(a, b) == merge_rows(b, a)
    assert merge_rows(merge_rows(a, b), c) == merge_rows(a, merge_rows(b, c))
    assert merge_rows(a, a[:]) == a


def test_a_deleted_counter_stays_deleted_whatever_the_timestamps() -> None:
    builder = RowBuilder()
    builder.begin(0, False)
    builder.tombstone(1, 1, 100)
    deleted = builder.finish()
    assert merge_rows(counter_row(9, shard(1, 1, 1)), deleted) == deleted


def named_row(*cells: tuple[int, int, bytes]) -> bytes:
    """A row without a marker that carries its raw clustering values."""
    builder = RowBuilder()
    builder.begin(1, False)
    builder.cell(0, 1, b"raw clustering")
    for column, ts, value in cells:
        builder.cell(column, ts, value)
    return builder.finish()


def test_raw_clustering_values_are_no_sign_of_life() -> None:
    assert live(named_row(), 0) == b""


def test_raw_clustering_values_are_given_with_any_columns() -> None:
    row = live(named_row((1, 1, b"a"), (2, 1, b"b")), 0, {2}, {1, 2})
    assert [cell[0] for cell in cell_list(row)] == [0, 2]


def test_raw_clustering_values_go_with_the_last_thing_they_name() -> None:
    builder = RowBuilder()
    builder.begin(0, False)
    builder.tombstone(1, 5, 10)
    row = merge_rows(named_row((1, 1, b"a")), builder.finish())
    assert purge(row, 100, 50, False) == row
    assert purge(row, 100, 50, True) == b""


def test_a_dropped_column_neither_lives_nor_stays() -> None:
    row = named_row((1, 1, b"a"))
    assert live(row, 0, None, {2}) == b""
    assert cell_list(purge(named_row((1, 1, b"a"), (2, 1, b"b")), 0, 0, False, {2})) == [
        (0, 1, b"", b"raw clustering"),
        (2, 1, b"", b"b"),
    ]


def expiring(ts: int, ttl: int, expiry: int, value: bytes) -> bytes:
    builder = RowBuilder()
    builder.begin(0, False)
    builder.expiring_cell(1, ts, ttl, expiry, value)
    return builder.finish()


def test_an_expired_cell_goes_as_a_tombstone_of_the_second_it_was_written() -> None:
    row = expiring(7, 60, 1060, b"v" * 50)
    assert purge(row, 1059, 900, True) == row
    expired = purge(row, 1060, 900, True)
    assert expired == (
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x07\x13\x01\x00\x00\x00\x3c\x00\x00\x04\x24"
    )
    check_row(expired)
    assert live(expired, 0) == b"", "whatever the time is"
    assert purge(expired, 2000, 1000, True) == expired
    assert purge(expired, 2000, 1001, False) == expired
    assert purge(expired, 2000, 1001, True) == b""


def test_an_expired_cell_loses_after_its_burial_against_what_it_lost_before() -> None:
    first, second = expiring(7, 60, 1060, b"v"), expiring(7, 500, 1500, b"w")
    buried = purge(first, 1100, 0, False)
    assert live(buried, 1100) == b""
    assert merge_rows(buried, second) == merge_rows(second, buried) == second
    builder = RowBuilder()
    builder.begin(0, False)
    builder.cell(1, 7, b"never expires")
    assert merge_rows(buried, builder.finish()) == buried, "and wins against what it won against"
    builder.begin(0, False)
    builder.tombstone(1, 7, 1)
    deleted = builder.finish()
    assert merge_rows(buried, deleted) == merge_rows(second, deleted) == deleted


@pytest.mark.parametrize("more", [0x40, 0x08, 0x20])
def test_a_buried_cell_is_no_counter_no_complex_deletion_and_has_no_value(more: int) -> None:
    def row(flags: int) -> bytes:
        return b"\0" * 9 + bytes([flags, 1]) + b"\0\0\0\x01\0\0\0\x02"

    check_row(row(0x13))
    with pytest.raises(CorruptData):
        check_row(row(0x13 | more))


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        (("cell", 1, 6, b"a"), ("tombstone", 1, 5, 9)),
        (("tombstone", 1, 5, 1), ("expiring_cell", 1, 5, 10, 20, b"z")),
        (("expiring_cell", 1, 5, 10, 20, b"a"), ("cell", 1, 5, b"z")),
        (("tombstone", 1, 5, 3), ("tombstone", 1, 5, 2)),
        (("expiring_cell", 1, 5, 10, 21, b"a"), ("expiring_cell", 1, 5, 10, 20, b"z")),
        (("expiring_cell", 1, 5, 9, 20, b"a"), ("expiring_cell", 1, 5, 10, 20, b"z")),
        (("cell", 1, 5, b"ab"), ("cell", 1, 5, b"a")),
    ],
)
def test_the_stronger_cell_wins(stronger: tuple[object, ...], weaker: tuple[object, ...]) -> None:
    made = []
    for name, *arguments in (stronger, weaker):
        builder = RowBuilder()
        builder.begin(0, False)
        getattr(builder, str(name))(*arguments)
        made.append(builder.finish())
    assert merge_rows(made[0], made[1]) == merge_rows(made[1], made[0]) == made[0]


@pytest.mark.parametrize("context", [b"", b"x" * 31, b"x" * 33])
def test_a_counter_whose_context_is_cut_off_is_corrupt(context: bytes) -> None:
    row = b"\0" * 9 + b"\x50\x01" + bytes([len(context)]) + context
    with pytest.raises(CorruptData):
        merge_rows(row, counter_row(0, shard(1, 1, 1)))
    with pytest.raises(CorruptData):
        timestamps(row)

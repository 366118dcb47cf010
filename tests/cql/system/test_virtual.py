"""Tests cql/system/virtual: every slice of a virtual table against the obvious answer."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.token import decorate
from cql.schema import Column, make_table
from cql.system.values import integer, text, text_map, text_set
from cql.system.virtual import RowValues, VirtualTable
from cql.table_options import DEFAULT_OPTIONS
from cql.types.catalog import INT, TEXT, MapType, SetType
from cql.types.ordering import ClusteringCodec
from storage.row import CellCursor
from storage.slice import Page, Slice

TABLE = make_table(
    "k",
    "t",
    UUID(int=1),
    [
        Column("p", INT, "partition_key", 0, 1),
        Column("c", INT, "clustering", 0, 2),
        Column("v", TEXT, "regular", -1, 3),
    ],
    DEFAULT_OPTIONS,
    4,
)
CODEC = ClusteringCodec([INT])
SMALL = st.integers(-3, 3)
Given = list[tuple[bytes, list[bytes]]]


def row_source(pairs: list[tuple[int, int]]) -> list[RowValues]:
    return [(integer(p), integer(c), text(f"{p}/{c}")) for p, c in pairs]


def key_of(partition: int) -> bytes:
    return decorate(integer(partition))


def given_by(page: Page) -> Given:
    return [(found.key, found.clusterings) for found in page.partitions]


def expected(pairs: list[tuple[int, int]], wanted: Slice) -> Given:
    """All rows the slice wants, without limits on the page."""
    result: Given = []
    for key in sorted({key_of(p) for p, _ in pairs}):
        if isinstance(wanted.key, bytes) and key != wanted.key:
            continue
        if isinstance(wanted.key, tuple):
            start, end = wanted.key
            if key < start or (end and key >= end):
                continue
        clusterings = sorted({CODEC.encode([integer(c)]) for p, c in pairs if key_of(p) == key})
        chosen = [
            clustering
            for start, end in wanted.ranges
            for clustering in clusterings
            if start <= clustering and (not end or clustering < end)
        ]
        if wanted.reverse:
            chosen.reverse()
        limit = 1 if wanted.distinct else wanted.partition_limit or len(chosen)
        if chosen[:limit]:
            result.append((key, chosen[:limit]))
    return result


@st.composite
def slices(draw: st.DrawFn) -> Slice:
    key = draw(
        st.one_of(
            st.none(),
            SMALL.map(key_of),
            st.tuples(SMALL, SMALL).map(lambda ab: tuple(sorted((key_of(ab[0]), key_of(ab[1]))))),
            SMALL.map(lambda p: (key_of(p), b"")),
        )
    )
    low, high = sorted((draw(SMALL), draw(SMALL)))
    ranges = draw(
        st.sampled_from(
            [
                ((b"", b""),),
                ((CODEC.encode([integer(low)]), CODEC.encode([integer(high)])),),
                ((CODEC.encode([integer(low)]), CODEC.encode([integer(low)]) + b"\xff"),),
            ]
        )
    )
    return Slice(
        TABLE.id.bytes,
        key=key,
        ranges=ranges,
        reverse=draw(st.booleans()),
        distinct=draw(st.booleans()),
        partition_limit=draw(st.integers(0, 3)),
    )


@given(st.lists(st.tuples(SMALL, SMALL), max_size=20), slices())
def test_a_slice_gives_what_it_wants(pairs: list[tuple[int, int]], wanted: Slice) -> None:
    table = VirtualTable(TABLE, lambda: row_source(pairs))
    table.check()
    page = table.answer(wanted)
    assert not page.more
    assert given_by(page) == expected(pairs, wanted)


@given(
    st.lists(st.tuples(SMALL, SMALL), max_size=20),
    slices(),
    st.integers(0, 4),
    st.integers(0, 60),
)
@settings(max_examples=200)
def test_pages_of_any_size_give_each_row_once(
    pairs: list[tuple[int, int]], wanted: Slice, row_limit: int, byte_limit: int
) -> None:
    table = VirtualTable(TABLE, lambda: row_source(pairs))
    seen: list[tuple[bytes, bytes]] = []
    given_here = 0
    step = wanted.changed(row_limit=row_limit, byte_limit=byte_limit)
    for _ in range(100):
        page = table.answer(step)
        rows = [(key, clustering) for key, found in given_by(page) for clustering in found]
        assert rows or not page.more, "a page that promises more gives at least one row"
        assert not row_limit or len(rows) <= row_limit
        seen += rows
        if not page.more:
            break
        assert rows[-1][0] == page.last_key
        given_here = sum(1 for key, _ in seen if key == page.last_key)
        step = step.changed(
            resume_key=page.last_key,
            resume_clustering=page.last_clustering,
            resume_rows=given_here if page.last_clustering else 0,
        )
    whole = [(key, c) for key, found in expected(pairs, wanted) for c in found]
    assert seen == whole


def test_rows_are_made_again_only_for_another_version() -> None:
    made: list[int] = []
    version = [1]

    def rows() -> list[RowValues]:
        made.append(version[0])
        return row_source([(1, version[0])])

    table = VirtualTable(TABLE, rows, lambda: version[0])
    wanted = Slice(TABLE.id.bytes)
    table.answer(wanted)
    table.answer(wanted)
    assert made == [1]
    version[0] = 2
    page = table.answer(wanted)
    assert made == [1, 2]
    assert page.partitions[0].clusterings == [CODEC.encode([integer(2)])]


def test_collections_become_one_cell_per_element() -> None:
    table = make_table(
        "k",
        "t",
        UUID(int=2),
        [
            Column("p", INT, "partition_key", 0, 1),
            Column("m", MapType(TEXT, TEXT), "regular", -1, 2),
            Column("s", SetType(TEXT), "regular", -1, 3),
            Column("z", INT, "regular", -1, 4),
        ],
        DEFAULT_OPTIONS,
        5,
    )
    row = (integer(1), text_map({"b": "2", "a": "1"}), text_set(("y", "x")), None)
    page = VirtualTable(table, lambda: [row]).answer(Slice(table.id.bytes))
    cursor = CellCursor()
    cursor.reset(page.partitions[0].rows[0])
    cells = []
    while cursor.next():
        cells.append((cursor.column, cursor.path(), cursor.value()))
    assert cells == [(2, b"a", b"1"), (2, b"b", b"2"), (3, b"x", b""), (3, b"y", b"")]


def test_only_wanted_columns_are_given() -> None:
    table = VirtualTable(TABLE, lambda: row_source([(1, 1)]))
    page = table.answer(Slice(TABLE.id.bytes, columns=frozenset()))
    cursor = CellCursor()
    cursor.reset(page.partitions[0].rows[0])
    assert cursor.has_marker and not cursor.next()


def test_a_row_with_a_null_key_is_our_mistake() -> None:
    table = VirtualTable(TABLE, lambda: [(integer(1), None, None)])
    with pytest.raises(AssertionError):
        table.answer(Slice(TABLE.id.bytes))

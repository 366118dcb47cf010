"""Tests of storage.slice: slices and pages survive the mesh."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from storage.errors import CorruptData
from storage.slice import Pack, Page, PartitionRows, Slice

TABLE = bytes(range(16))
SHORT = st.binary(max_size=4)
LIMITS = st.integers(0, 1 << 40)

SLICES = st.builds(
    Slice,
    st.just(TABLE),
    key=st.one_of(st.none(), SHORT, st.tuples(SHORT, SHORT)),
    ranges=st.lists(st.tuples(SHORT, SHORT), max_size=3).map(tuple),
    static=st.booleans(),
    reverse=st.booleans(),
    columns=st.one_of(st.none(), st.frozensets(st.integers(0, 65535), max_size=4)),
    row_limit=LIMITS,
    partition_limit=LIMITS,
    byte_limit=LIMITS,
    distinct=st.booleans(),
    resume_key=SHORT,
    resume_clustering=SHORT,
    resume_rows=LIMITS,
    bypass_cache=st.booleans(),
)


@st.composite
def partitions(draw: st.DrawFn) -> PartitionRows:
    pairs = draw(st.lists(st.tuples(SHORT, SHORT), max_size=3))
    deletion = draw(
        st.one_of(
            st.none(),
            st.tuples(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, (1 << 32) - 1)),
        )
    )
    return PartitionRows(
        draw(SHORT), deletion, draw(SHORT), [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    )


PAGES = st.builds(Page, st.lists(partitions(), max_size=3), st.booleans(), SHORT, SHORT)


@given(SLICES)
def test_a_slice_survives_encoding(wanted: Slice) -> None:
    again = Slice.decode(wanted.encode())
    assert again == wanted
    assert (again.key, again.ranges, again.columns) == (wanted.key, wanted.ranges, wanted.columns)
    assert (again.static, again.reverse, again.distinct, again.bypass_cache) == (
        wanted.static,
        wanted.reverse,
        wanted.distinct,
        wanted.bypass_cache,
    )
    assert (again.row_limit, again.partition_limit, again.byte_limit, again.resume_rows) == (
        wanted.row_limit,
        wanted.partition_limit,
        wanted.byte_limit,
        wanted.resume_rows,
    )


@given(PAGES)
def test_a_page_survives_encoding(page: Page) -> None:
    again = Page.decode(page.encode())
    assert again.partitions == page.partitions
    assert (again.more, again.last_key, again.last_clustering) == (
        page.more,
        page.last_key,
        page.last_clustering,
    )


@given(st.binary(max_size=80))
def test_garbage_is_corrupt_data(garbage: bytes) -> None:
    for decode in (Slice.decode, Page.decode):
        for data in (garbage, b"\x01" + garbage):
            with contextlib.suppress(CorruptData):
                decode(data)


def test_a_changed_slice_differs_only_in_what_was_named() -> None:
    wanted = Slice(TABLE, key=b"k", row_limit=5, reverse=True)
    changed = wanted.changed(row_limit=6)
    assert changed.row_limit == 6
    assert changed.changed(row_limit=5) == wanted


def packed(rows_of: list[int]) -> Pack:
    """A pack of partitions with so many rows, of five bytes each."""
    partitions = [
        PartitionRows(
            b"k%02d" % number, None, b"", [b"c%d" % row for row in range(rows)], [b"row"] * rows
        )
        for number, rows in enumerate(rows_of)
    ]
    (pack,) = Page.decode(Page(partitions).encode()).parts
    assert isinstance(pack, Pack)
    return pack


@given(
    rows_of=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    skipped=st.integers(0, 7),
    end=st.integers(0, 9),
    rows_max=st.integers(0, 9),
    bytes_max=st.integers(1, 150),
)
def test_a_pack_takes_whole_partitions_of_another_up_to_its_limits(
    rows_of: list[int], skipped: int, end: int, rows_max: int, bytes_max: int
) -> None:
    skipped = min(skipped, len(rows_of))
    source, target = packed(rows_of), packed([2])
    taken = target.take(source, sum(rows_of[:skipped]), b"k%02d" % end, rows_max, bytes_max)
    expected, used = [], 0
    for number, rows in enumerate(rows_of):
        if number < skipped:
            continue
        if number >= end or used >= bytes_max or (rows_max and sum(expected) + rows > rows_max):
            break
        expected.append(rows)
        used += len(b"kNNx") + 3 + rows * len(b"xcNxrow")
    assert taken == sum(expected)
    assert len(target) == 2 + taken and target.partitions == 1 + len(expected)
    whole = Page([target]).partitions
    assert whole[1:] == Page([source]).partitions[skipped : skipped + len(expected)]
    assert Page([target]) == Page(whole)
    for row in range(sum(rows_of)):
        if source.rows_before(row) == 0:
            assert source.partition(row) in Page([source]).partitions


def test_partitions_that_are_more_than_a_few_rows_are_not_packed() -> None:
    plain = PartitionRows(b"k1", None, b"", [b"c"], [b"row"])
    others = [
        PartitionRows(b"k2", (1, 2), b"", [b"c"], [b"row"]),
        PartitionRows(b"k3", None, b"static", [b"c"], [b"row"]),
        PartitionRows(b"k4", None, b"", [], []),
        PartitionRows(b"k5", None, b"", [b"%03d" % row for row in range(128)], [b"row"] * 128),
    ]
    for other in others:
        page = Page.decode(Page([plain, other, plain]).encode())
        assert [type(part) for part in page.parts] == [Pack, PartitionRows, Pack]
        assert page.partitions == [plain, other, plain]

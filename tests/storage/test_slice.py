"""Tests of storage.slice: slices and pages survive the mesh."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from storage.errors import CorruptData
from storage.slice import Page, PartitionRows, Slice

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

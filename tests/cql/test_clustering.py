"""Ranges of clustering bytes hold exactly the rows that WHERE asks for."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cql.bind import Binding
from cql.clustering import ClusteringRanges
from cql.schema import Column
from cql.types.catalog import INT
from cql.types.ordering import ClusteringCodec

VALUES = (-1, 0, 1, 2)


def encode(number: int) -> bytes:
    return number.to_bytes(4, "big", signed=True)


def columns_of(directions: tuple[bool, ...]) -> tuple[Column, ...]:
    return tuple(
        Column(f"c{i}", INT, "clustering", i, i + 1, is_reversed)
        for i, is_reversed in enumerate(directions)
    )


NOTHING = Binding([], 0, 0, None, None)


@given(
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.booleans(),
    st.lists(st.sets(st.sampled_from(VALUES), min_size=1), max_size=3),
    st.none() | st.tuples(st.lists(st.sampled_from(VALUES), min_size=1, max_size=3), st.booleans()),
    st.none() | st.tuples(st.lists(st.sampled_from(VALUES), min_size=1, max_size=3), st.booleans()),
)
def test_ranges_select_what_comparing_values_selects(
    directions: tuple[bool, ...],
    has_static: bool,
    choices: list[set[int]],
    lower: tuple[list[int], bool] | None,
    upper: tuple[list[int], bool] | None,
) -> None:
    columns = columns_of(directions)
    codec = ClusteringCodec([c.type for c in columns], [c.reversed for c in columns])
    ranges = ClusteringRanges(columns, codec, has_static)
    for choice in choices:
        allowed = sorted(choice)
        ranges.add_choice(1, lambda _, allowed=allowed: [(encode(v),) for v in allowed])
    left = len(columns) - len(choices)
    width = min(left, max(len(b[0]) for b in (lower, upper) if b) if lower or upper else 0)
    bounds = [None if b is None else ((b[0] * 3)[:width], b[1]) for b in (lower, upper)]
    if width:
        sliced = columns[len(choices) : len(choices) + width]
        slots = [
            None if b is None else (lambda _, b=b: tuple(encode(v) for v in b[0]), b[1])
            for b in bounds
        ]
        ranges.set_slice(sliced, slots[0], slots[1])
    found = ranges.finish().ranges(NOTHING)
    assert list(found) == sorted(found)
    assert all(a[1] and a[1] <= b[0] for a, b in pairwise(found))
    for row in product(VALUES, repeat=3):
        middle = list(row[len(choices) : len(choices) + width])
        wanted = all(row[i] in choice for i, choice in enumerate(choices))
        if width and bounds[0] is not None:
            wanted &= middle > bounds[0][0] or (bounds[0][1] and middle == bounds[0][0])
        if width and bounds[1] is not None:
            wanted &= middle < bounds[1][0] or (bounds[1][1] and middle == bounds[1][0])
        place = codec.encode([encode(v) for v in row])
        selected = any(start <= place and (not end or place < end) for start, end in found)
        assert selected == wanted, row
    if has_static:
        assert not any(start == b"" for start, _ in found)


def test_a_product_of_too_many_choices_is_refused() -> None:
    columns = columns_of((False, False))
    ranges = ClusteringRanges(columns, ClusteringCodec([INT, INT]), has_static=False)
    many = [(encode(i),) for i in range(101)]
    for _ in columns:
        ranges.add_choice(1, lambda _: many)
    with pytest.raises(Exception, match="too many rows"):
        ranges.finish().ranges(NOTHING)

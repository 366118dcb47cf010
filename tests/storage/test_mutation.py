"""Tests of storage.mutation: the encoding, its damage, and joining."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import CorruptData
from storage.mutation import Mutation, MutationBuilder, merge_mutations
from storage.row import RowBuilder

TABLE = bytes(range(16))
KEYS = st.binary(min_size=8, max_size=12)


def row_of(ts: int, value: bytes = b"v") -> bytes:
    builder = RowBuilder()
    builder.begin(ts, True)
    builder.cell(1, ts, value)
    return builder.finish()


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    builder = MutationBuilder(TABLE, draw(KEYS))
    if draw(st.booleans()):
        builder.delete_partition(draw(st.integers(-5, 5)), draw(st.integers(0, 9)))
    for clustering in draw(st.lists(st.binary(max_size=4), max_size=4)):
        builder.row(clustering, row_of(draw(st.integers(-5, 5)), draw(st.binary(max_size=40))))
    for end in draw(st.lists(st.binary(max_size=3), max_size=2)):
        builder.range_tombstone(b"\x01", end, draw(st.integers(-5, 5)), 3)
    return builder.finish()


def test_a_mutation_has_the_documented_bytes() -> None:
    builder = MutationBuilder(TABLE, b"8bytes..key")
    builder.delete_partition(2, 3)
    builder.row(b"c", row_of(4))
    builder.range_tombstone(b"a", b"b", 5, 6)
    mutation = builder.finish()
    row = row_of(4)
    assert mutation.data == (
        b"\x01" + TABLE + b"\x0b8bytes..key"
        b"\x01\0\0\0\0\0\0\0\x02\0\0\0\x03"
        b"\x02"
        b"\x00\x01c" + bytes([len(row)]) + row + b"\x01\x01a\x01b\0\0\0\0\0\0\0\x05\0\0\0\x06"
    )
    assert mutation.timestamps() == (2, 5)


def test_a_mutation_can_be_read_back() -> None:
    builder = MutationBuilder(TABLE, b"12345678k")
    builder.row(b"c", row_of(4))
    builder.range_tombstone(b"a", b"", 5, 6)
    mutation = Mutation(builder.finish().data)
    assert (mutation.table_id, mutation.key, mutation.deletion) == (TABLE, b"12345678k", None)
    assert mutation.items() == [(b"c", row_of(4)), (b"a", b"", 5, 6)]


def test_an_empty_row_and_an_empty_range_are_no_change() -> None:
    builder = MutationBuilder(TABLE, b"12345678")
    builder.row(b"c", b"")
    builder.range_tombstone(b"b", b"b", 5, 6)
    assert builder.finish().items() == []
    assert builder.finish().timestamps() is None


def test_the_newer_deletion_of_a_partition_stays() -> None:
    builder = MutationBuilder(TABLE, b"12345678")
    builder.delete_partition(5, 1)
    builder.delete_partition(4, 9)
    assert builder.finish().deletion == (5, 1)


@given(mutations())
def test_every_built_mutation_is_well_formed(mutation: Mutation) -> None:
    again = Mutation(mutation.data)
    again.check()
    assert again == mutation


@given(mutations(), st.data())
def test_a_mutation_that_is_cut_off_is_corrupt(mutation: Mutation, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(mutation.data) - 1))
    with pytest.raises(CorruptData):
        Mutation(mutation.data[:size]).check()


@given(mutations(), st.data())
def test_flipped_bytes_never_crash(mutation: Mutation, data: st.DataObject) -> None:
    damaged = bytearray(mutation.data)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CorruptData):
        Mutation(bytes(damaged)).check()


@given(st.binary(max_size=60))
def test_garbage_is_corrupt_data(garbage: bytes) -> None:
    with contextlib.suppress(CorruptData):
        Mutation(b"\x01" + garbage).check()


def test_mutations_of_one_partition_are_joined_in_order() -> None:
    def mutation(key: bytes, clustering: bytes) -> Mutation:
        builder = MutationBuilder(TABLE, key)
        builder.row(clustering, row_of(1))
        builder.delete_partition(len(clustering), 0)
        return builder.finish()

    joined = merge_mutations([mutation(b"k1", b"b"), mutation(b"k2", b"x"), mutation(b"k1", b"aa")])
    assert [m.key for m in joined] == [b"k1", b"k2"]
    assert joined[0].items() == [(b"b", row_of(1)), (b"aa", row_of(1))]
    assert joined[0].deletion == (2, 0)

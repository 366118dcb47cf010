"""A table of rows does what a dict does, and its clock spares what was read."""

from __future__ import annotations

import struct

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage.row_table import RowTable

SPLIT_AT = 4_096


def key_of(number: int) -> bytes:
    """A decorated key; the multiplication spreads the tokens."""
    return struct.pack(">Q", number * 0x9E3779B97F4A7C15 % 2**64) + b"%d" % number


KEYS = st.one_of(st.integers(0, 6_000).map(key_of), st.binary(max_size=9))
ROWS = st.sampled_from([b"", b"r", b"row" * 100, b"long" * 400])


class RowTableMachine(RuleBasedStateMachine):
    """Beside a dict, and the sum of what was charged."""

    def __init__(self) -> None:
        super().__init__()
        self.table = RowTable()
        self.model: dict[bytes, tuple[bytes, bytes]] = {}
        self.charged = 0

    @rule(key=KEYS, clustering=st.sampled_from([b"", b"c", b"cc" * 20]), row=ROWS)
    def put(self, key: bytes, clustering: bytes, row: bytes) -> None:
        if key in self.model:
            clustering = self.model[key][0]
            self.charged += self.table.change(key, row)
        else:
            charged = self.table.add(key, clustering, row)
            if charged == 0:
                return  # No slot was free near enough, which is allowed.
            self.charged += charged
        self.model[key] = (clustering, row)

    def teardown(self) -> None:
        self.is_consistent()

    @rule(first=st.integers(0, 4_000), count=st.sampled_from([10, 10, 1_500]))
    def put_many(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self.put(key_of(number), b"", b"%d" % number)

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        assert self.table.get(key) == self.model.get(key)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def pop(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        del self.model[key]
        self.charged -= self.table.pop(key)

    @precondition(lambda self: self.model)
    @rule(count=st.sampled_from([1, 20, 3_000]), spares=st.booleans())
    def evict(self, count: int, spares: bool) -> None:
        for _ in range(count):
            self.charged -= max(self.table.evict(spares), 0)
        left = set(self.table.keys())
        self.model = {key: value for key, value in self.model.items() if key in left}

    @invariant()
    def has_as_many_entries(self) -> None:
        assert len(self.table) == len(self.model)

    @rule()
    def is_consistent(self) -> None:
        self.table.check()
        assert set(self.table.keys()) == set(self.model)
        assert self.table.count_bytes() == self.charged


TestRowTable = RowTableMachine.TestCase


@pytest.mark.parametrize("count", [10, SPLIT_AT * 2])
def test_the_hand_takes_what_was_not_read_since_it_came_by(count: int) -> None:
    table = RowTable()
    for number in range(count):
        assert table.add(key_of(number), b"", b"row")
    hot = {key_of(number) for number in range(0, count, 5)}
    for _ in range(2):
        for key in hot:
            assert table.get(key) == (b"", b"row")
        while table.evict(True) >= 0:
            table.check() if count < SPLIT_AT else None
    assert set(table.keys()) == hot
    while table.evict(True) >= 0:
        pass
    while table.evict(True) >= 0:
        pass
    assert len(table) == 0


def test_what_the_hand_leaves_of_a_table_lies_in_no_heap() -> None:
    table = RowTable()
    for number in range(3_300):
        assert table.add(key_of(number), b"", b"row")
    for _ in range(3_000):
        table.evict(False)
    for number in range(4_000, 4_100):
        assert table.add(key_of(number), b"", b"row"), "there is room near every place"
    table.check()


def test_keys_that_were_made_to_collide_are_refused_in_the_end_and_harm_nobody() -> None:
    table = RowTable()
    for number in range(100):
        assert table.add(key_of(number), b"", b"row")
    token = key_of(50)[:8]
    taken = [table.add(token + b"made%d" % number, b"", b"row") > 0 for number in range(500)]
    assert 200 < sum(taken) <= 257 and not any(taken[-100:])
    table.check()
    for number in range(500):
        assert (table.get(token + b"made%d" % number) is not None) == taken[number]
    for number in range(100):
        assert table.get(key_of(number)) is not None
    assert len(table) == 100 + sum(taken)


def test_keys_and_clusterings_that_are_too_long_are_refused() -> None:
    table = RowTable()
    assert table.add(b"k" * 65_536, b"", b"row") == 0
    assert table.add(b"k", b"c" * 65_536, b"row") == 0
    assert table.add(b"k" * 65_535, b"c" * 65_535, b"") > 0
    assert table.get(b"k" * 65_535) == (b"c" * 65_535, b"")


def test_an_empty_table_has_nothing_to_give() -> None:
    table = RowTable()
    assert table.get(b"k") is None
    assert table.evict(True) == -1
    assert table.add(b"k", b"", b"") > 0
    assert table.pop(b"k") > 0
    assert table.evict(False) == -1

"""A map of decorated keys does what a dict does, and never grows in one long step."""

from __future__ import annotations

import struct

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage.key_map import KeyMap

SPLIT_AT = 4_096


def key_of(number: int) -> bytes:
    """A decorated key; the multiplication spreads the tokens."""
    return struct.pack(">Q", number * 0x9E3779B97F4A7C15 % 2**64) + b"%d" % number


KEYS = st.one_of(st.integers(0, 6_000).map(key_of), st.binary(max_size=9))


class KeyMapMachine(RuleBasedStateMachine):
    """Beside a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.map = KeyMap()
        self.model: dict[bytes, object] = {}

    @rule(key=KEYS, value=st.integers())
    def put(self, key: bytes, value: int) -> None:
        self.map[key] = self.model[key] = value

    @rule(first=st.integers(0, 4_000), count=st.sampled_from([10, 1_500]))
    def put_many(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self.map[key_of(number)] = self.model[key_of(number)] = number

    @rule(key=KEYS)
    def remove(self, key: bytes) -> None:
        if key in self.model:
            del self.map[key], self.model[key]
        else:
            with pytest.raises(KeyError):
                del self.map[key]

    @precondition(lambda self: self.model)
    @rule(count=st.sampled_from([1, 3_000]))
    def take_some(self, count: int) -> None:
        for _ in range(min(count, len(self.model))):
            key, value = self.map.popitem()
            assert self.model.pop(key) == value

    @rule(key=KEYS)
    def look(self, key: bytes) -> None:
        assert (key in self.map) == (key in self.model)
        if key in self.model:
            assert self.map[key] == self.model[key]

    @invariant()
    def is_the_same(self) -> None:
        self.map.check()
        assert len(self.map) == len(self.model)
        assert dict(self.map.items()) == self.model


TestKeyMap = KeyMapMachine.TestCase


def test_an_empty_map_has_nothing_to_take() -> None:
    entries = KeyMap()
    for number in range(2 * SPLIT_AT):
        entries[key_of(number)] = number
    for _ in range(2 * SPLIT_AT):
        entries.popitem()
    with pytest.raises(KeyError):
        entries.popitem()
    assert len(entries) == 0


def test_a_large_map_has_no_large_dict() -> None:
    entries = KeyMap()
    for number in range(30 * SPLIT_AT):
        entries[key_of(number)] = number
    firsts = [key for key, _ in entries.items()]
    places = [key[7] for key in firsts]
    assert places == sorted(places) and len(set(places)) == 256
    assert max(places.count(place) for place in range(256)) < SPLIT_AT // 4

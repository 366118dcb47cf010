"""Tests of storage.sorted_map against a dictionary."""

from hypothesis import given
from hypothesis import strategies as st

from storage.order import find
from storage.sorted_map import SortedMap

KEYS = st.binary(max_size=3)


@given(st.lists(st.tuples(KEYS, st.integers())))
def test_it_is_a_sorted_dictionary(entries: list[tuple[bytes, int]]) -> None:
    found = SortedMap()
    expected: dict[bytes, int] = {}
    for key, value in entries:
        found.put(key, value)
        expected[key] = value
        assert found.get(key) == value
    found.check()
    assert found.items() == sorted(expected.items())
    assert len(found) == len(expected)
    assert found.get(b"long", "none") == "none"


@given(st.permutations(range(700)))
def test_blocks_split_in_any_order_of_insertion(order: list[int]) -> None:
    found = SortedMap()
    for number in order:
        found.put(b"%04d" % number, number)
    found.check()
    assert [value for _, value in found.items()] == sorted(order)


def test_appending_leaves_full_blocks() -> None:
    found = SortedMap()
    for number in range(1024):
        found.put(b"%04d" % number, number)
    found.check()
    assert [len(found.lend(block)[0]) for block in range(4)] == [256] * 4


def test_what_is_lent_does_not_change() -> None:
    found = SortedMap()
    for number in range(0, 200, 2):
        found.put(b"%04d" % number, number)
    keys, values = found.lend(0)
    before = list(keys), list(values)
    for number in range(200):
        found.put(b"%04d" % number, -number)
    assert (keys, values) == before
    found.check()


@given(st.lists(KEYS, unique=True), KEYS)
def test_find_gives_the_place_of_a_key(keys: list[bytes], key: bytes) -> None:
    keys.sort()
    assert find(keys, key) == len([k for k in keys if k < key])

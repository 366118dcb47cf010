"""Tokens, shards and decorated keys are those of Cassandra and of the shard-aware drivers."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.token import (
    TOKEN_MAX,
    TOKEN_MIN,
    decorate,
    key_range,
    key_token,
    owned_until,
    position,
    shard_of,
    token_of,
    undecorate,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "tokens.json").read_text())["data"]
TOKENS = st.integers(TOKEN_MIN, TOKEN_MAX)


def composite(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(part)) + part + b"\0" for part in parts)


def golden_keys() -> Iterator[tuple[bytes, int]]:
    """Every golden key in serialized form, with its token."""
    for kind, rows in GOLDEN.items():
        for value, token in rows:
            if kind in ("blob", "uuid"):
                yield bytes.fromhex(value), token
            elif kind == "long":
                yield bytes.fromhex(value[0]) * value[1], token
            elif kind == "text":
                yield value.encode(), token
            elif kind in ("int", "bigint"):
                yield struct.pack(">i" if kind == "int" else ">q", value), token
            elif kind == "int_text":
                yield composite(struct.pack(">i", value[0]), value[1].encode()), token
            else:
                assert kind == "blob_blob_blob"
                yield composite(*map(bytes.fromhex, value)), token


def test_every_golden_key_has_its_token() -> None:
    wrong = [(key.hex()[:60], token) for key, token in golden_keys() if token_of(key) != token]
    assert wrong == []
    assert sum(1 for _ in golden_keys()) == 1092


@pytest.mark.parametrize(
    ("key", "token"),
    [
        (b"a", -8839064797231613815),
        (b"123", -7468325962851647638),
        (b"\xff", -4442228696663692417),
        (b"\x80", -5284281814142962636),
        (bytes.fromhex("00ff10fa99") * 10, 5837342703291459765),
        (b"\xfe" * 8, -8927430733708461935),
        (b"\x10" * 8, 1446172840243228796),
        (bytes(15) + b"\x81", 1343025892680149420),
        (composite(b"a", b"\0\0\0\1"), 8247712171917364652),
        (b"", TOKEN_MIN),
    ],
)
def test_known_keys_have_known_tokens(key: bytes, token: int) -> None:
    assert token_of(key) == token


@pytest.mark.parametrize(
    ("token", "shards", "ignore_msb", "shard"),
    [
        *[(-7468325962851647638, n, 12, s) for n, s in ((2, 1), (3, 2), (4, 2), (8, 5), (12, 8))],
        *[(5837342703291459765, n, 12, s) for n, s in ((2, 0), (3, 0), (4, 0), (8, 1), (12, 1))],
        *[(-1, n, 12, s) for n, s in ((2, 1), (3, 2), (4, 3), (8, 7), (12, 11))],
        *[(t, n, 12, 0) for t in (0, TOKEN_MIN) for n in (1, 2, 3, 4, 8, 12)],
        *[(0, n, 0, s) for n, s in ((2, 1), (3, 1), (4, 2), (8, 4), (12, 6))],
    ],
)
def test_tokens_belong_to_the_shards_that_drivers_expect(
    token: int, shards: int, ignore_msb: int, shard: int
) -> None:
    assert shard_of(token, shards, ignore_msb) == shard


@given(TOKENS, st.integers(1, 4096), st.integers(0, 63))
def test_shards_are_computed_as_with_unbounded_integers(token: int, shards: int, msb: int) -> None:
    biased = (token + 2**63 << msb) % 2**64
    assert shard_of(token, shards, msb) == biased * shards >> 64


@pytest.mark.parametrize(
    ("shards", "ignore_msb"), [(0, 12), (-1, 12), (4097, 12), (2, -1), (2, 64)]
)
def test_impossible_shard_counts_are_refused(shards: int, ignore_msb: int) -> None:
    with pytest.raises(ValueError):
        shard_of(0, shards, ignore_msb)


@given(st.binary(max_size=80))
def test_decorating_can_be_undone(partition_key: bytes) -> None:
    key = decorate(partition_key)
    assert undecorate(key) == partition_key
    assert key_token(key) == token_of(partition_key)


@given(st.lists(st.binary(max_size=40), min_size=2, max_size=20))
def test_decorated_keys_sort_by_token_and_then_by_bytes(keys: list[bytes]) -> None:
    by_bytes = sorted(map(decorate, keys))
    assert by_bytes == [decorate(k) for k in sorted(keys, key=lambda k: (token_of(k), k))]


def test_a_short_decorated_key_is_refused() -> None:
    for take in (undecorate, key_token):
        with pytest.raises(ValueError):
            take(b"1234567")


EDGES = st.sampled_from([TOKEN_MIN, TOKEN_MIN + 1, -1, 0, 1, TOKEN_MAX - 1, TOKEN_MAX])
BOUND = st.none() | EDGES | TOKENS


@given(BOUND, BOUND, st.booleans(), st.booleans(), EDGES | TOKENS, st.binary(max_size=3))
def test_a_range_holds_exactly_the_keys_of_its_tokens(
    lower: int | None, upper: int | None, from_lower: bool, to_upper: bool, token: int, tail: bytes
) -> None:
    found = key_range(lower, upper, lower_inclusive=from_lower, upper_inclusive=to_upper)
    key = position(token) + tail
    inside = found is not None and found[0] <= key and (found[1] == b"" or key < found[1])
    wanted = lower is None or token > lower or (from_lower and token == lower)
    wanted = wanted and (upper is None or token < upper or (to_upper and token == upper))
    assert inside == wanted


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 200), st.sampled_from([0, 4, 12]))
def test_all_tokens_below_the_bound_have_the_same_owner_and_the_bound_another(
    token: int, shards: int, ignore_msb: int
) -> None:
    owner = shard_of(token, shards, ignore_msb)
    until = owned_until(token, shards, ignore_msb)
    last = 2**63 - 1 if until is None else until - 1
    assert last >= token and shard_of(last, shards, ignore_msb) == owner
    assert shard_of((token + last) // 2, shards, ignore_msb) == owner
    if until is not None and shards > 1:
        assert shard_of(until, shards, ignore_msb) == (owner + 1) % shards

"""Sortable bytes sort as Cassandra does, carry values back, and leave room for range ends."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cql.errors import InvalidRequest
from cql.types.catalog import (
    DECIMAL,
    INT,
    TEXT,
    CqlType,
    ListType,
    MapType,
    SetType,
    TupleType,
    parse_type,
)
from cql.types.codec import decode, encode, pack_collection, validate
from cql.types.ordering import (
    ClusteringCodec,
    compare,
    is_lossy,
    is_memcmp,
    normalise,
    sortable,
    unsortable,
)
from tests.model.type_order import compare_values
from tests.model.values import encodable, types

GOLDEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "golden" / "ordering.json").read_text()
)["data"]


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


@pytest.mark.parametrize("name", GOLDEN)
def test_values_fall_in_the_order_of_a_real_node(name: str) -> None:
    cql_type = parse_type(name, "ks", lambda _: None)
    rows: dict[bytes, bytes] = {}
    for text in GOLDEN[name]["written"]:
        value = bytes.fromhex(text)
        if any(text == refused for refused, _ in GOLDEN[name]["refused"]):
            with pytest.raises(InvalidRequest):
                validate(cql_type, value)
            continue
        validate(cql_type, value)
        rows.setdefault(sortable(cql_type, value), value)
    assert [rows[place].hex() for place in sorted(rows)] == GOLDEN[name]["order"]


@pytest.mark.parametrize("name", GOLDEN)
def test_values_of_a_real_node_come_back_from_their_components(name: str) -> None:
    cql_type = parse_type(name, "ks", lambda _: None)
    for text in GOLDEN[name]["order"]:
        value = bytes.fromhex(text)
        back = unsortable(cql_type, sortable(cql_type, value))
        assert back == value or (is_lossy(cql_type) and compare(cql_type, back, value) == 0)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[CqlType, bytes, bytes]:
    cql_type = draw(types())
    return cql_type, draw(encodable(cql_type)), draw(encodable(cql_type))


@given(pairs())
def test_components_compare_as_the_values_do(drawn: tuple[CqlType, bytes, bytes]) -> None:
    cql_type, left, right = drawn
    expected = sign(compare_values(cql_type, left, right))
    first, second = sortable(cql_type, left), sortable(cql_type, right)
    assert (first > second) - (first < second) == expected
    assert sign(compare(cql_type, left, right)) == expected
    if is_memcmp(cql_type):
        assert (left > right) - (left < right) == expected


@given(pairs())
def test_no_component_is_the_beginning_of_another(drawn: tuple[CqlType, bytes, bytes]) -> None:
    first, second = sortable(drawn[0], drawn[1]), sortable(drawn[0], drawn[2])
    assert first == second or not (first.startswith(second) or second.startswith(first))


@given(pairs())
def test_values_come_back_from_components(drawn: tuple[CqlType, bytes, bytes]) -> None:
    cql_type, value, _ = drawn
    back = unsortable(cql_type, sortable(cql_type, value))
    assert sortable(cql_type, back) == sortable(cql_type, value)
    if not is_lossy(cql_type):
        assert repr(decode(cql_type, back)) == repr(decode(cql_type, value))


@st.composite
def clusterings(draw: st.DrawFn) -> tuple[ClusteringCodec, list[bytes], list[bytes]]:
    columns = draw(st.lists(st.tuples(types(), st.booleans()), min_size=1, max_size=2))
    codec = ClusteringCodec([c[0] for c in columns], [c[1] for c in columns])
    rows = [[draw(encodable(c[0])) for c in columns] for _ in range(2)]
    return codec, rows[0], rows[1]


@given(clusterings())
def test_clusterings_compare_column_by_column_in_each_direction(
    drawn: tuple[ClusteringCodec, list[bytes], list[bytes]],
) -> None:
    codec, left, right = drawn
    expected = 0
    for cql_type, is_reversed, a, b in zip(
        codec.types, codec.is_reversed, left, right, strict=True
    ):
        expected = expected or sign(compare_values(cql_type, a, b)) * (-1 if is_reversed else 1)
    first, second = codec.encode(left), codec.encode(right)
    assert (first > second) - (first < second) == expected


@given(clusterings())
def test_clusterings_come_back_and_keep_the_bytes_of_range_ends_free(
    drawn: tuple[ClusteringCodec, list[bytes], list[bytes]],
) -> None:
    codec, row, _ = drawn
    for count in range(1, len(row) + 1):
        prefix, whole = codec.encode(row[:count]), codec.encode(row)
        assert prefix <= whole < prefix + b"\xff"
        back = codec.decode(prefix)
        assert codec.encode(back) == prefix
        header = whole[len(codec.encode(row[: count - 1]))]
        assert header not in (0x00, 0x01, 0xFF)


@given(types(), st.binary(max_size=24))
def test_arbitrary_bytes_are_refused_or_sorted(cql_type: CqlType, data: bytes) -> None:
    try:
        validate(cql_type, data)
    except InvalidRequest:
        return
    sortable(cql_type, data)


@given(types(), st.binary(max_size=24), st.booleans())
def test_arbitrary_clusterings_give_values_or_a_typed_error(
    cql_type: CqlType, data: bytes, is_reversed: bool
) -> None:
    codec = ClusteringCodec([cql_type], [is_reversed])
    for header in (b"", b"\x20", b"\xdf"):
        with contextlib.suppress(InvalidRequest):
            codec.decode(header + data)


@given(types(), st.binary(max_size=24))
def test_sorting_bytes_that_are_no_value_gives_a_typed_error(
    cql_type: CqlType, data: bytes
) -> None:
    with contextlib.suppress(InvalidRequest):
        sortable(cql_type, data)


def test_only_decimals_lose_their_form() -> None:
    assert is_lossy(DECIMAL)
    assert is_lossy(ListType(TupleType((INT, DECIMAL)), True))
    assert not is_lossy(MapType(TEXT, INT, True))
    assert ClusteringCodec([INT, DECIMAL]).is_lossy
    assert not ClusteringCodec([INT, TEXT]).is_lossy


def test_decimals_of_any_length_and_scale_keep_their_worth() -> None:
    for unscaled, scale in ((10**9000, 0), (-(10**9000) - 1, 5), (10, -(2**31)), (1, 2**31 - 1)):
        value = scale.to_bytes(4, "big", signed=True) + encode(
            parse_type("varint", "ks", lambda _: None), unscaled
        )
        component = sortable(DECIMAL, value)
        assert sortable(DECIMAL, unsortable(DECIMAL, component)) == component


def test_equal_forms_of_one_value_have_one_component() -> None:
    def of(name: str, *texts: str) -> int:
        cql_type = parse_type(name, "ks", lambda _: None)
        return len({sortable(cql_type, bytes.fromhex(text)) for text in texts})

    assert of("varint", "01", "0001", "000001") == 1
    assert of("varint", "ff", "ffff") == 1
    assert of("boolean", "01", "02", "ff") == 1
    assert of("float", "7fc00000", "ffc00000", "7f800001") == 1
    assert of("tuple<int, int>", "0000000400000001", "0000000400000001ffffffff") == 1
    assert of("float", "00000000", "80000000") == 2


def test_sets_and_maps_are_put_in_order_at_every_depth() -> None:
    one, two, three = (encode(INT, n) for n in (1, -2, 3))
    numbers = SetType(INT, True)
    mixed = pack_collection([three, one, two, three])
    assert decode(numbers, normalise(numbers, mixed)) == [-2, 1, 3]
    nested = ListType(numbers, True)
    assert decode(nested, normalise(nested, pack_collection([mixed]))) == [[-2, 1, 3]]
    named = MapType(INT, TEXT, True)
    entries = pack_collection([three, b"a", one, b"b", three, b"c"], 3)
    assert decode(named, normalise(named, entries)) == [(1, "b"), (3, "c")]

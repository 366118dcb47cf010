"""Every value has its bytes, every wrong byte has its message, and nothing else escapes."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cql.errors import InvalidRequest
from cql.types import catalog
from cql.types.catalog import (
    DATE,
    DECIMAL,
    DURATION,
    INT,
    TEXT,
    VARINT,
    CqlType,
    SetType,
    TupleType,
    UserType,
    VectorType,
    parse_type,
)
from cql.types.codec import (
    EMPTY,
    Duration,
    decode,
    encode,
    pack_key,
    pack_tuple,
    unpack_key,
    unpack_tuple,
    validate,
)
from tests.model.values import encodable, types

ALL = list(catalog.NATIVE_TYPES)
POINT = UserType("ks", "point", ("x", "y"), (INT, TEXT), True)


def parse(text: str) -> CqlType:
    return parse_type(text, "ks", lambda name: POINT if name == "point" else None)


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[CqlType, bytes]:
    cql_type = draw(types(natives=ALL))
    return cql_type, draw(encodable(cql_type))


@given(st.data())
def test_values_come_back_from_their_bytes(data: st.DataObject) -> None:
    # Durations have no order and so cannot stand in sets or as keys of maps.
    cql_type, value = data.draw(typed_values())
    again = encode(cql_type, decode(cql_type, value))
    assert repr(decode(cql_type, again)) == repr(decode(cql_type, value))
    assert again == value or "nan" in repr(decode(cql_type, value))


@given(types(natives=ALL), st.binary(max_size=40))
def test_arbitrary_bytes_are_a_value_or_refused(cql_type: CqlType, data: bytes) -> None:
    try:
        validate(cql_type, data)
    except InvalidRequest:
        with pytest.raises(InvalidRequest):
            decode(cql_type, data)
    else:
        decode(cql_type, data)


@given(st.data())
def test_a_value_cut_short_or_made_longer_never_escapes_as_another_error(
    data: st.DataObject,
) -> None:
    cql_type, value = data.draw(typed_values())
    cut = value[: data.draw(st.integers(0, len(value)))] + data.draw(st.binary(max_size=2))
    with contextlib.suppress(InvalidRequest):
        decode(cql_type, cut)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("int", "00", "Expected 4 or 0 byte int (1)"),
        ("bigint", "00", "Expected 8 or 0 byte long (1)"),
        ("counter", "00", "Expected 8 or 0 byte long (1)"),
        ("timestamp", "00", "Expected 8 or 0 byte long for date (1)"),
        ("float", "00", "Expected 4 or 0 byte value for a float (1)"),
        ("double", "00", "Expected 8 or 0 byte value for a double (1)"),
        ("boolean", "0000", "Expected 1 or 0 byte value (2)"),
        ("tinyint", "", "Expected 1 byte for a tinyint (0)"),
        ("smallint", "", "Expected 2 bytes for a smallint (0)"),
        ("date", "", "Expected 4 byte long for date (0)"),
        ("time", "", "Expected 8 byte long for time (0)"),
        ("decimal", "00", "Expected 0 or at least 4 bytes (1)"),
        ("uuid", "00", "UUID should be 16 or 0 bytes (1)"),
        ("inet", "0000", "Expected 4 or 16 byte inetaddress; got 0000"),
        ("ascii", "41ff", "Invalid byte for ascii: -1"),
        ("text", "ff", "String didn't validate."),
        ("duration", "00", "Expected at least 3 bytes for a duration (1)"),
        (
            "duration",
            "020102",
            "The duration months, days and nanoseconds must be all of the same sign (1, -1, 1)",
        ),
        ("frozen<list<int>>", "", "Not enough bytes to read a list"),
        ("frozen<set<int>>", "0000000100000005", "Not enough bytes to read a set"),
        ("frozen<map<int, int>>", "00000001", "Not enough bytes to read a map"),
        ("frozen<list<int>>", "00000001ffffffff", "Null value read when not allowed"),
        ("frozen<list<int>>", "0000000000", "Unexpected extraneous bytes after list value"),
        ("frozen<list<int>>", "000000010000000100", "Expected 4 or 0 byte int (1)"),
        ("tuple<int, int>", "0000", "Not enough bytes to read size of 0th component"),
        ("tuple<int, int>", "000000040000", "Not enough bytes to read 0th component"),
        ("tuple<int>", "ffffffff00", "Invalid remaining data after end of tuple value"),
        ("frozen<point>", "000000040000", "Not enough bytes to read 0th field x"),
        ("frozen<point>", "ffffffffff", "Not enough bytes to read size of 1th field y"),
        ("frozen<point>", "ffffffffffffffff00", "Invalid remaining data after end of UDT value"),
        (
            "frozen<point>",
            "0000000100",
            "Failure validating the 0th field x; Expected 4 or 0 byte int (1)",
        ),
        ("vector<int, 2>", "", "Invalid empty vector value"),
        ("vector<int, 2>", "00000001", "Not enough bytes to read a vector<int, 2>"),
        ("vector<int, 1>", "0000000100", "Unexpected extraneous bytes after vector value"),
        ("vector<text, 2>", "0161", "Not enough bytes to read a vector<text, 2>"),
    ],
)
def test_wrong_bytes_are_refused_with_cassandras_text(name: str, value: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        validate(parse(name), bytes.fromhex(value))
    assert refusal.value.message == message


def test_zero_bytes_are_a_value_of_most_types() -> None:
    for name in (
        "int",
        "bigint",
        "boolean",
        "float",
        "uuid",
        "timeuuid",
        "inet",
        "decimal",
        "varint",
    ):
        assert decode(parse(name), b"") is EMPTY
        assert encode(parse(name), EMPTY) == b""
    assert decode(TEXT, b"") == ""


def test_missing_fields_at_the_end_of_a_tuple_are_null() -> None:
    short = pack_tuple([encode(INT, 7)])
    assert unpack_tuple(POINT, short) == [encode(INT, 7), None]
    assert decode(POINT, short) == {"x": 7, "y": None}
    assert decode(TupleType((INT, INT)), b"") == (None, None)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (Duration(14, 25, 18367008009010), "1c32fc2168cdf9d664"),
        (Duration(-1, -2, -3), "010305"),
        (Duration(2**31 - 1, 2**31 - 1, 2**63 - 1), "f0fffffffef0fffffffefffffffffffffffffe"),
        (Duration(0, 0, 0), "000000"),
    ],
)
def test_durations_are_three_zigzag_integers_with_their_lengths_in_front(
    duration: Duration, text: str
) -> None:
    assert encode(DURATION, duration).hex() == text
    assert decode(DURATION, bytes.fromhex(text)) == duration


def test_numbers_without_bounds_keep_every_digit() -> None:
    assert encode(VARINT, 128).hex() == "0080"
    assert encode(VARINT, -128).hex() == "80"
    assert decode(VARINT, bytes.fromhex("00ff")) == 255
    assert encode(DECIMAL, Decimal("1.00")).hex() == "0000000264"
    long = Decimal("1" * 5000 + "." + "2" * 5000)
    assert decode(DECIMAL, encode(DECIMAL, long)) == long


def test_sets_are_encoded_in_the_order_of_their_elements() -> None:
    assert decode(SetType(INT), encode(SetType(INT), {3, -1, 2})) == [-1, 2, 3]


def test_small_integers_have_lengths_in_vectors() -> None:
    assert encode(VectorType(parse("smallint"), 2), [1, 2]).hex() == "020001020002"
    assert encode(VectorType(INT, 2), [1, 2]).hex() == "0000000100000002"


def test_dates_are_counted_from_1970_in_the_middle_of_the_range() -> None:
    assert encode(DATE, 0).hex() == "80000000"
    assert decode(DATE, bytes(4)) == -(2**31)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("int", 2**31),
        ("int", "1"),
        ("tinyint", 200),
        ("text", 5),
        ("uuid", "x"),
        ("inet", "x"),
        ("decimal", "x"),
    ],
)
def test_a_python_value_of_another_kind_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest):
        encode(parse(name), value)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4))
def test_partition_keys_come_apart_as_they_were_joined(components: list[bytes]) -> None:
    assert unpack_key(pack_key(components), len(components)) == components


def test_one_component_is_the_key_itself_and_several_have_lengths() -> None:
    assert pack_key([b"ab"]) == b"ab"
    assert pack_key([b"ab", b""]) == b"\0\2ab\0\0\0\0"
    with pytest.raises(InvalidRequest, match="Key length of 65536 is longer than maximum of 65535"):
        pack_key([bytes(65536)])


@given(st.binary(max_size=30), st.integers(2, 4))
def test_arbitrary_bytes_are_a_composite_key_or_refused(data: bytes, count: int) -> None:
    with contextlib.suppress(InvalidRequest):
        assert pack_key(unpack_key(data, count)) == data

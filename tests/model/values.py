"""Hypothesis strategies for types and for values of them."""

from __future__ import annotations

import uuid
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import strategies as st

from cql.types import catalog
from cql.types.catalog import (
    CqlType,
    ListType,
    MapType,
    NativeType,
    SetType,
    TupleType,
    UserType,
    VectorType,
)
from cql.types.codec import EMPTY, Duration

NEVER_EMPTY = {"tinyint", "smallint", "date", "time", "duration"}
ORDINARY_WHEN_EMPTY = {"text", "ascii", "blob"}


def signed(bits: int) -> st.SearchStrategy[int]:
    """Integers of that width, the edges more often than chance has it."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return st.sampled_from([low, low + 1, -1, 0, 1, high]) | st.integers(low, high)


def durations() -> st.SearchStrategy[Duration]:
    parts = st.tuples(
        st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1)
    )
    return st.tuples(parts, st.sampled_from([1, -1])).map(
        lambda drawn: Duration(*(part * drawn[1] for part in drawn[0]))
    )


def timeuuids() -> st.SearchStrategy[uuid.UUID]:
    near = st.binary(min_size=16, max_size=16) | st.lists(
        st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]), min_size=16, max_size=16
    ).map(bytes)
    return near.map(lambda raw: uuid.UUID(bytes=raw[:6] + bytes([0x10 | raw[6] & 0xF]) + raw[7:]))


NATIVE_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "ascii": st.text("\0\1 aAz~\x7f", max_size=8),
    "bigint": signed(64),
    "blob": st.binary(max_size=8) | st.lists(st.sampled_from([0, 1, 255]), max_size=5).map(bytes),
    "boolean": st.booleans(),
    "counter": signed(64),
    "date": signed(32),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False)
    | st.builds(lambda n, s: Decimal(f"{n}E{s}"), st.integers(-1200, 1200), st.integers(-4, 4)),
    "double": st.floats(),
    "duration": durations(),
    "float": st.floats(width=32),
    "inet": st.ip_addresses() | st.sampled_from([IPv4Address(0), IPv6Address(0)]),
    "int": signed(32),
    "smallint": signed(16),
    "text": st.text("\0\1\x7f aZé\u07ff世\uffff😀", max_size=8),
    "time": st.integers(0, 86399999999999),
    "timestamp": signed(64),
    "timeuuid": timeuuids(),
    "tinyint": signed(8),
    "uuid": st.uuids()
    | st.binary(min_size=16, max_size=16).map(lambda raw: uuid.UUID(bytes=raw))
    | timeuuids(),
    "varint": signed(16) | st.integers() | st.integers(-(2**1100), 2**1100),
}

NATIVES = [t for t in catalog.NATIVE_TYPES if t.name not in ("counter", "duration")]


def types(*, natives: list[NativeType] = NATIVES) -> st.SearchStrategy[CqlType]:
    """Frozen types of any shape that may stand in a key."""
    return st.recursive(
        st.sampled_from(natives),
        lambda inner: st.one_of(
            inner.map(lambda t: ListType(t, True)),
            inner.map(lambda t: SetType(t, True)),
            st.tuples(inner, inner).map(lambda pair: MapType(*pair, True)),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: TupleType(tuple(parts))),
            st.lists(inner, min_size=1, max_size=3).map(user_type),
            st.tuples(inner, st.integers(1, 3)).map(lambda pair: VectorType(*pair)),
        ),
        max_leaves=4,
    )


def user_type(parts: list[CqlType]) -> UserType:
    return UserType("ks", "u", tuple(f"f{n}" for n in range(len(parts))), tuple(parts), True)


def values(cql_type: CqlType, *, empty: bool = True) -> st.SearchStrategy[Any]:
    """Python values of a type; with EMPTY where bytes may be none at all."""
    if isinstance(cql_type, NativeType):
        found = NATIVE_VALUES[cql_type.name]
        may_be_empty = empty and cql_type.name not in NEVER_EMPTY | ORDINARY_WHEN_EMPTY
        return found | st.just(EMPTY) if may_be_empty else found
    if isinstance(cql_type, ListType | SetType):
        return st.lists(values(cql_type.element), max_size=3)
    if isinstance(cql_type, MapType):
        return st.lists(st.tuples(values(cql_type.key), values(cql_type.value)), max_size=3)
    if isinstance(cql_type, VectorType):
        width = catalog.fixed_width(cql_type.element)
        element = values(cql_type.element, empty=width is None)
        return st.lists(element, min_size=cql_type.dimension, max_size=cql_type.dimension)
    fields = st.tuples(*[st.none() | values(part) for part in cql_type.inner()])
    if isinstance(cql_type, UserType):
        names = cql_type.field_names
        return fields.map(lambda drawn: dict(zip(names, drawn, strict=True)))
    return fields


def encodable(cql_type: CqlType) -> st.SearchStrategy[bytes]:
    """Bytes of values of a type."""
    from cql.types.codec import encode

    return values(cql_type).map(lambda value: encode(cql_type, value))

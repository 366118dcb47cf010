"""How values compare, said in the plainest way: the oracle of `cql.types.ordering`."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from functools import cmp_to_key
from itertools import zip_longest
from typing import Any

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
from cql.types.codec import EMPTY, Duration, decode


def compare_values(cql_type: CqlType, left: bytes, right: bytes) -> int:
    """Negative, zero or positive."""
    return _compare(cql_type, decode(cql_type, left), decode(cql_type, right))


def _compare(cql_type: CqlType, left: Any, right: Any) -> int:
    if left is None or right is None:
        return (left is not None) - (right is not None)
    if left is EMPTY or right is EMPTY:
        return (left is not EMPTY) - (right is not EMPTY)
    if isinstance(cql_type, NativeType):
        first, second = _key(cql_type, left), _key(cql_type, right)
        return int(first > second) - int(first < second)
    if isinstance(cql_type, MapType):
        flat_left = [part for item in left for part in item]
        flat_right = [part for item in right for part in item]
        return _compare_all([cql_type.key, cql_type.value], flat_left, flat_right)
    if isinstance(cql_type, TupleType | UserType):
        if isinstance(cql_type, UserType):
            left, right = list(left.values()), list(right.values())
        return _compare_all(list(cql_type.inner()), left, right)
    assert isinstance(cql_type, ListType | SetType | VectorType)
    return _compare_all([cql_type.element], left, right)


def _compare_all(types: list[CqlType], left: Any, right: Any) -> int:
    missing = object()
    for number, (a, b) in enumerate(zip_longest(left, right, fillvalue=missing)):
        if a is missing or b is missing:
            return 1 if b is missing else -1
        result = _compare(types[number % len(types)], a, b)
        if result:
            return result
    return 0


def _key(cql_type: NativeType, value: Any) -> Any:
    """Something that Python compares as Cassandra compares the value."""
    if cql_type.name in ("float", "double"):
        return (2, 0.0, 0) if math.isnan(value) else (1, value, math.copysign(1, value))
    if cql_type.name == "inet":
        return value.packed
    if cql_type.name == "text":
        return value.encode()
    if cql_type.name == "decimal":
        return cmp_to_key(_compare_decimals)(value)
    if cql_type.name == "uuid":
        return _uuid_key(value)
    if cql_type.name == "timeuuid":
        return value.time, tuple(byte - 256 if byte > 127 else byte for byte in value.bytes[8:])
    assert not isinstance(value, Duration), "durations have no order"
    return value


def _uuid_key(value: Any) -> tuple[int, bytes | int, bytes]:
    version = value.bytes[6] >> 4
    return version, (value.time if version == 1 else value.bytes[:8]), value.bytes[8:]


def _compare_decimals(left: Decimal, right: Decimal) -> int:
    with localcontext() as context:
        context.Emax, context.Emin = 10**15, -(10**15)
        return int(left.compare(right))

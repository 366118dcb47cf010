"""Functions of collections and vectors: keys, values, counts, extremes, totals, similarity."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Final

from cql.errors import InvalidRequest
from cql.function import Aggregate, Context, Function, Values
from cql.functions_aggregates import Extreme, numeric_aggregate
from cql.numbers import NUMERIC_TYPES, bytes_of
from cql.types import catalog
from cql.types.catalog import CqlType, ListType, MapType, NativeType, SetType, VectorType
from cql.types.codec import pack_collection, unpack_list, unpack_map, unpack_vector

COLLECTION_FUNCTIONS: Final = (
    *("map_keys", "map_values", "collection_count", "collection_min", "collection_max"),
    *("collection_sum", "collection_avg"),
)


def of_collection(name: str, kind: CqlType, shown: str) -> Function:
    """One of COLLECTION_FUNCTIONS for an argument of a type; `shown` is the argument's text."""
    if name.startswith("map_"):
        if not isinstance(kind, MapType):
            raise _wrong(name, "a map argument", shown, kind)
        return _map_function(name, kind)
    if name == "collection_count":
        if not kind.is_collection:
            raise _wrong(name, "a collection argument", shown, kind)
        return Function(name, (kind,), catalog.INT, _count)
    if not isinstance(kind, ListType | SetType):
        raise _wrong(name, "a set or list argument", shown, kind)
    element = kind.element
    if name in ("collection_min", "collection_max"):
        return _fold(name, kind, element, Extreme(element, name == "collection_max"))
    if not isinstance(element, NativeType) or element not in NUMERIC_TYPES:
        raise _wrong(name, "a numeric set/list argument", shown, kind)
    return _fold(name, kind, element, numeric_aggregate(name.removeprefix("collection_"), element))


def _wrong(name: str, wanted: str, shown: str, kind: CqlType) -> InvalidRequest:
    return InvalidRequest(
        f"Function system.{name} requires {wanted}, but found argument {shown} of type {kind}"
    )


def _map_function(name: str, kind: MapType) -> Function:
    is_keys = name == "map_keys"

    def body(context: Context, values: Values) -> bytes:
        assert values[0] is not None, "map functions are strict"
        return pack_collection([key if is_keys else value for key, value in unpack_map(values[0])])

    return Function(name, (kind,), SetType(kind.key) if is_keys else ListType(kind.value), body)


def _count(context: Context, values: Values) -> bytes:
    assert values[0] is not None, "collection functions are strict"
    return values[0][:4]


def _fold(name: str, kind: CqlType, element: CqlType, aggregate: Aggregate) -> Function:
    def body(context: Context, values: Values) -> bytes | None:
        assert values[0] is not None, "collection functions are strict"
        state = aggregate.start()
        for part in unpack_list(values[0]):
            state = aggregate.add(state, (part,))
        return aggregate.finish(state)

    return Function(name, (kind,), element, body)


# --------------------------------------------------------- similarity


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    norms = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(x * x for x in b))
    return (1 + math.fsum(x * y for x, y in zip(a, b, strict=True)) / norms) / 2


def _euclidean(a: Sequence[float], b: Sequence[float]) -> float:
    return 1 / (1 + math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def _dot_product(a: Sequence[float], b: Sequence[float]) -> float:
    return (1 + math.fsum(x * y for x, y in zip(a, b, strict=True))) / 2


SIMILARITIES: Final[dict[str, Callable[[Sequence[float], Sequence[float]], float]]] = {
    "similarity_cosine": _cosine,
    "similarity_euclidean": _euclidean,
    "similarity_dot_product": _dot_product,
}


def similarity(name: str, kind: VectorType) -> Function:
    """One of SIMILARITIES for float vectors of a dimension."""
    measure = SIMILARITIES[name]

    def body(context: Context, values: Values) -> bytes:
        assert values[0] is not None and values[1] is not None, "similarities are strict"
        first, second = (_floats(kind, value) for value in values if value is not None)
        if name == "similarity_cosine" and not (any(first) and any(second)):
            raise InvalidRequest(f"Function system.{name} doesn't support all-zero vectors.")
        try:
            result = measure(first, second)
        except (ValueError, OverflowError):
            # The sum of infinities that differ in sign.
            result = math.nan
        return bytes_of(catalog.FLOAT, result)

    return Function(name, (kind, kind), catalog.FLOAT, body)


def _floats(kind: VectorType, value: bytes) -> tuple[float, ...]:
    unpack_vector(kind, value)
    return struct.unpack(f">{kind.dimension}f", value)

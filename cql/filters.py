"""ALLOW FILTERING: the conditions that only looking at a row can answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cql.bind import Binding, Slot
from cql.errors import InvalidRequest
from cql.parser.tree import Operator
from cql.protocol.requests import UNSET
from cql.restrictions import Filter
from cql.types.catalog import CqlType, ListType, MapType, SetType
from cql.types.codec import unpack_list, unpack_map
from cql.types.ordering import compare

Matches = Callable[["bytes | None"], bool]

_ORDERED: dict[Operator, Callable[[int], bool]] = {
    Operator.EQ: lambda order: order == 0,
    Operator.LT: lambda order: order < 0,
    Operator.LTE: lambda order: order <= 0,
    Operator.GT: lambda order: order > 0,
    Operator.GTE: lambda order: order >= 0,
}


def bind_filters(
    filters: Sequence[Filter], columns: Sequence[int], binding: Binding
) -> list[tuple[int, Matches]]:
    """Each filter with its values: (fetched column, test)."""
    return [
        (index, _bind(condition, binding))
        for condition, index in zip(filters, columns, strict=True)
    ]


def matches_all(bound: Sequence[tuple[int, Matches]], values: Sequence[bytes | None]) -> bool:
    """Whether a fetched row passes every filter."""
    return all(matches(values[index]) for index, matches in bound)


def _value(condition: Filter, slot: Slot, binding: Binding) -> bytes:
    value = slot.resolve(binding)
    name = condition.column.name
    if value is None:
        raise InvalidRequest(f"Unsupported null value for column {name}")
    if value is UNSET:
        raise InvalidRequest(f"Unsupported unset value for column {name}")
    result: bytes = value
    return result


def _bind(condition: Filter, binding: Binding) -> Matches:
    type_ = condition.column.type
    if condition.operator is Operator.IN:
        return _one_of(condition, binding)
    value = _value(condition, condition.slots[0], binding)
    if condition.key is not None:
        assert isinstance(type_, MapType), "only maps are asked by key"
        key = _value(condition, condition.key, binding)
        return _entry(type_, key, value)
    if condition.operator in (Operator.CONTAINS, Operator.CONTAINS_KEY):
        return _contains(condition, type_, value)
    accepts = _ORDERED[condition.operator]

    def compares(stored: bytes | None) -> bool:
        return stored is not None and accepts(compare(type_, stored, value))

    return compares


def _one_of(condition: Filter, binding: Binding) -> Matches:
    type_ = condition.column.type
    if len(condition.slots) == 1 and condition.slots[0].type != type_:
        values = unpack_list(_value(condition, condition.slots[0], binding))
    else:
        values = [_value(condition, slot, binding) for slot in condition.slots]

    def matches(stored: bytes | None) -> bool:
        return stored is not None and any(compare(type_, stored, v) == 0 for v in values)

    return matches


def _entry(type_: MapType, key: bytes, value: bytes) -> Matches:
    def matches(stored: bytes | None) -> bool:
        if stored is None:
            return False
        return any(
            found == key and compare(type_.value, item, value) == 0
            for found, item in unpack_map(stored)
        )

    return matches


def _parts(type_: CqlType, operator: Operator) -> tuple[CqlType, Callable[[bytes], list[bytes]]]:
    """What CONTAINS looks through: the type of the parts and how to get them."""
    if isinstance(type_, MapType):
        if operator is Operator.CONTAINS_KEY:
            return type_.key, lambda stored: [key for key, _ in unpack_map(stored)]
        return type_.value, lambda stored: [value for _, value in unpack_map(stored)]
    assert isinstance(type_, ListType | SetType), "CONTAINS asks collections"
    return type_.element, unpack_list


def _contains(condition: Filter, type_: CqlType, value: bytes) -> Matches:
    part, parts_of = _parts(type_, condition.operator)

    def matches(stored: bytes | None) -> bool:
        return stored is not None and any(
            compare(part, item, value) == 0 for item in parts_of(stored)
        )

    return matches

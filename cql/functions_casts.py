"""CAST(value AS type)."""

from __future__ import annotations

from typing import Final

from cql.errors import InvalidRequest
from cql.function import Body, Context, Function, Values
from cql.functions_time import date_from_ms, milliseconds_of
from cql.numbers import NUMERIC_TYPES, bytes_of, number_of, to_decimal
from cql.types import catalog
from cql.types.catalog import NativeType
from cql.types.text import to_text

_TO_TEXT: Final = (
    *(catalog.INET, catalog.BOOLEAN, catalog.TIMEUUID, catalog.TIMESTAMP),
    *(catalog.DATE, catalog.TIME, catalog.UUID),
)
_TIMES: Final = (
    (catalog.TIMEUUID, catalog.DATE),
    (catalog.TIMEUUID, catalog.TIMESTAMP),
    (catalog.TIMESTAMP, catalog.DATE),
    (catalog.DATE, catalog.TIMESTAMP),
)


def functions() -> list[Function]:
    """All functions of this room: `cast_as_<type>`."""
    found = []
    for source in NUMERIC_TYPES:
        targets = [t for t in NUMERIC_TYPES if t not in (source, catalog.COUNTER)]
        found += [_between_numbers(source, target) for target in targets]
        found += _texts(source)
    for kind in _TO_TEXT:
        found += _texts(kind)
    found.append(_cast(catalog.ASCII, catalog.TEXT, lambda context, values: values[0]))
    found += [_between_times(*pair) for pair in _TIMES]
    return found


def _cast(source: NativeType, target: NativeType, body: Body) -> Function:
    form = "cast({0} as {type})"
    return Function(f"cast_as_{target}", (source,), target, body, form=form)


def _between_numbers(source: NativeType, target: NativeType) -> Function:
    def body(context: Context, values: Values) -> bytes:
        assert values[0] is not None, "casts are strict"
        number = number_of(source, values[0])
        try:
            if target == catalog.DECIMAL:
                number = to_decimal(number, source == catalog.FLOAT)
        except ArithmeticError as wrong:
            raise InvalidRequest(str(wrong)) from None
        return bytes_of(target, number)

    return _cast(source, target, body)


def _texts(source: NativeType) -> list[Function]:
    def body(context: Context, values: Values) -> bytes:
        assert values[0] is not None, "casts are strict"
        return to_text(source, values[0]).encode()

    return [_cast(source, target, body) for target in (catalog.ASCII, catalog.TEXT)]


def _between_times(source: NativeType, target: NativeType) -> Function:
    def body(context: Context, values: Values) -> bytes:
        assert values[0] is not None, "casts are strict"
        moment = milliseconds_of(source, values[0])
        if target == catalog.DATE:
            return date_from_ms(moment)
        return moment.to_bytes(8, "big", signed=True)

    return _cast(source, target, body)

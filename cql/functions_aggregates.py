"""Aggregates: count, min, max, sum and avg."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from cql.function import Function, Values, is_nothing_when_empty
from cql.numbers import EXACT, NUMERIC_TYPES, bytes_of, number_of
from cql.types import catalog
from cql.types.catalog import CqlType, NativeType
from cql.types.ordering import compare
from storage.values import value_class


def functions() -> list[Function]:
    """The aggregates with fixed types: sum and avg, and count of rows."""
    found = [Function("count_rows", (), catalog.BIGINT, aggregate=Count(), form="count")]
    found.append(Function("countrows", (), catalog.BIGINT, aggregate=Count(), form="count"))
    for kind in NUMERIC_TYPES:
        found.append(Function("sum", (kind,), kind, aggregate=numeric_aggregate("sum", kind)))
        found.append(Function("avg", (kind,), kind, aggregate=numeric_aggregate("avg", kind)))
    return found


def for_type(name: str, kind: CqlType) -> Function:
    """count, min or max of values of any type."""
    if name == "count":
        return Function(name, (kind,), catalog.BIGINT, aggregate=Count())
    return Function(name, (kind,), kind, aggregate=Extreme(kind, name == "max"))


@value_class
class Count:
    """How many rows there are, or how many where the argument is not null."""

    def start(self) -> int:
        return 0

    def add(self, state: int, values: Values) -> int:
        return state + (not values or values[0] is not None)

    def finish(self, state: int) -> bytes:
        return state.to_bytes(8, "big", signed=True)


@value_class
class Extreme:
    """The least or the greatest value in the order of the type."""

    kind: CqlType
    is_greatest: bool

    def start(self) -> bytes | None:
        return None

    def add(self, state: bytes | None, values: Values) -> bytes | None:
        value = values[0]
        if value is None or state is None:
            return value if state is None else state
        order = compare(self.kind, value, state)
        return value if (order > 0 if self.is_greatest else order < 0) else state

    def finish(self, state: bytes | None) -> bytes | None:
        return state


def numeric_aggregate(name: str, kind: NativeType) -> Any:
    """sum or avg of numbers of a type."""
    if kind in (catalog.FLOAT, catalog.DOUBLE):
        return FloatTotal(kind, name == "avg")
    if kind == catalog.DECIMAL:
        return DecimalMean() if name == "avg" else DecimalSum()
    return IntegerTotal(kind, name == "avg")


def _number(kind: NativeType, values: Values) -> Any:
    value = values[0]
    if value is None or (not value and is_nothing_when_empty(kind)):
        return None
    return number_of(kind, value)


@value_class
class IntegerTotal:
    """The sum, which wraps at the width of the type, or the mean, which is cut towards zero."""

    kind: NativeType
    is_mean: bool

    def start(self) -> tuple[int, int]:
        return 0, 0

    def add(self, state: tuple[int, int], values: Values) -> tuple[int, int]:
        number = _number(self.kind, values)
        return state if number is None else (state[0] + number, state[1] + 1)

    def finish(self, state: tuple[int, int]) -> bytes:
        total, count = state
        if self.is_mean and count:
            total = abs(total) // count * (-1 if total < 0 else 1)
        return bytes_of(self.kind, total)


@value_class
class FloatTotal:
    """The sum with Kahan's compensation, or the mean."""

    kind: NativeType
    is_mean: bool

    def start(self) -> tuple[float, float, float, int]:
        return 0.0, 0.0, 0.0, 0

    def add(
        self, state: tuple[float, float, float, int], values: Values
    ) -> tuple[float, float, float, int]:
        number = _number(self.kind, values)
        if number is None:
            return state
        total, compensation, plain, count = state
        step = number - compensation
        rounded = total + step
        return rounded, (rounded - total) - step, plain + number, count + 1

    def finish(self, state: tuple[float, float, float, int]) -> bytes:
        total, compensation, plain, count = state
        result = total + compensation
        if math.isnan(result) and math.isinf(plain):
            result = plain
        return bytes_of(self.kind, result / count if self.is_mean and count else result)


@value_class
class DecimalSum:
    """The sum, exact up to the greatest precision."""

    def start(self) -> Decimal:
        return Decimal(0)

    def add(self, state: Decimal, values: Values) -> Decimal:
        number = _number(catalog.DECIMAL, values)
        return state if number is None else EXACT.add(state, number)

    def finish(self, state: Decimal) -> bytes:
        return bytes_of(catalog.DECIMAL, state)


@value_class
class DecimalMean:
    """The running mean, with as many decimal places as the values have."""

    def start(self) -> tuple[Decimal, int]:
        return Decimal(0), 0

    def add(self, state: tuple[Decimal, int], values: Values) -> tuple[Decimal, int]:
        number = _number(catalog.DECIMAL, values)
        if number is None:
            return state
        mean, count = state[0], state[1] + 1
        difference = EXACT.subtract(number, mean)
        step = EXACT.divide(difference, Decimal(count))
        places = Decimal((0, (1,), int(difference.as_tuple().exponent)))
        return EXACT.add(mean, step.quantize(places, ROUND_HALF_EVEN, EXACT)), count

    def finish(self, state: tuple[Decimal, int]) -> bytes:
        return bytes_of(catalog.DECIMAL, state[0])

"""Numbers of all types between bytes and Python, converted and rounded as Java does it."""

from __future__ import annotations

import math
import struct
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal
from typing import Final, TypeAlias

from cql.types import catalog
from cql.types.catalog import CqlType, NativeType
from cql.types.codec import decode_decimal, decode_varint, encode_decimal, encode_varint
from cql.types.numerals import (
    double_text,
    float_bytes,
    float_text,
    integer_decimal,
    integer_of_digits,
    integer_text,
    parse_decimal,
)

Number: TypeAlias = int | float | Decimal

PRECISION_MAX: Final = 10_000
SIGNIFICANT_DIGITS_MIN: Final = 32
SCALE_MIN, SCALE_MAX = 32, 1000
INTEGER_BITS: Final = {
    catalog.TINYINT: 8,
    catalog.SMALLINT: 16,
    catalog.INT: 32,
    catalog.BIGINT: 64,
    catalog.COUNTER: 64,
}
NUMERIC_TYPES: Final = (
    *(catalog.TINYINT, catalog.SMALLINT, catalog.INT, catalog.BIGINT, catalog.FLOAT),
    *(catalog.DOUBLE, catalog.DECIMAL, catalog.VARINT, catalog.COUNTER),
)
# Results of decimals are rounded to this; it bounds the work that a short statement can ask for.
EXACT: Final = Context(prec=PRECISION_MAX, rounding=ROUND_HALF_UP, Emax=MAX_EMAX, Emin=MIN_EMIN)


def number_of(cql_type: CqlType, value: bytes) -> Number:
    """The number of these bytes, which are not empty."""
    if cql_type == catalog.FLOAT:
        return float(struct.unpack(">f", value)[0])
    if cql_type == catalog.DOUBLE:
        return float(struct.unpack(">d", value)[0])
    if cql_type == catalog.DECIMAL:
        return decimal_of(*decode_decimal(value))
    return decode_varint(value)


def decimal_of(unscaled: int, scale: int) -> Decimal:
    """unscaled * 10^-scale with exactly that scale."""
    return Decimal(f"{integer_text(unscaled)}E{-scale}")


def bytes_of(cql_type: NativeType, number: Number) -> bytes:
    """The bytes of a number, after the conversion to the type that Java's casts do."""
    bits = INTEGER_BITS.get(cql_type)
    if bits is not None:
        return wrap(to_integer(number, bits), bits).to_bytes(bits // 8, "big", signed=True)
    if cql_type == catalog.VARINT:
        whole = number if isinstance(number, int) else to_integer(number, 64)
        return encode_varint(whole)
    if cql_type == catalog.DECIMAL:
        return decimal_bytes(to_decimal(number))
    if cql_type == catalog.FLOAT:
        return float_bytes(to_float(number))
    return struct.pack(">d", to_float(number))


def wrap(number: int, bits: int) -> int:
    """The low bits as a signed number."""
    low = number & ((1 << bits) - 1)
    return low - (1 << bits) if low >> (bits - 1) else low


def to_integer(number: Number, bits: int) -> int:
    """Towards zero. Floats stop at the ends of int (of bigint for that type), NaN is 0."""
    if isinstance(number, int):
        return number
    if isinstance(number, Decimal):
        # 10^64 and more have no low 64 bits.
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int), "decimals are finite"
        return 0 if exponent >= 64 or number.adjusted() < 0 else wrap(int(number), 64)
    if math.isnan(number):
        return 0
    limit = 63 if bits == 64 else 31
    low, high = -(1 << limit), (1 << limit) - 1
    if math.isinf(number):
        return high if number > 0 else low
    return min(max(int(number), low), high)


def to_float(number: Number) -> float:
    """The nearest double; beyond the range an infinity."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def round_to_float(number: float) -> float:
    """The nearest float, as the double of the same worth."""
    return float(struct.unpack(">f", float_bytes(number))[0])


def to_decimal(number: Number, is_float: bool = False) -> Decimal:
    """The decimal of a number, a float's by its text; ArithmeticError for NaN and infinity."""
    if isinstance(number, Decimal):
        return number
    if isinstance(number, int):
        return integer_decimal(number)
    parts = parse_decimal(float_text(number) if is_float else double_text(number))
    if parts is None:
        raise ArithmeticError(f"A {double_text(number)} cannot be converted into a decimal")
    return decimal_of(*parts)


def decimal_bytes(number: Decimal) -> bytes:
    """The bytes of a finite decimal."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), "decimals are finite"
    unscaled = integer_of_digits("".join(map(str, digits)))
    return encode_decimal(-unscaled if sign else unscaled, -exponent)

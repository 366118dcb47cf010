"""Arithmetic and mathematics: + - * / %, abs, exp, log, log10, round."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Final

from cql.errors import FunctionFailure
from cql.function import Body, Function, Values
from cql.function import Context as CallContext
from cql.numbers import (
    EXACT,
    INTEGER_BITS,
    NUMERIC_TYPES,
    PRECISION_MAX,
    SCALE_MAX,
    SCALE_MIN,
    SIGNIFICANT_DIGITS_MIN,
    Number,
    bytes_of,
    number_of,
    round_to_float,
    to_decimal,
    to_float,
    to_integer,
    wrap,
)
from cql.types import catalog
from cql.types.catalog import CqlType, NativeType
from cql.types.codec import Duration, decode_duration
from cql.types.temporal import DAY_MS, add_months, date_text, duration_text

OPERATORS: Final = {
    "+": "_add",
    "-": "_substract",
    "*": "_multiply",
    "/": "_divide",
    "%": "_modulo",
}
NEGATION: Final = "_negate"
_SIZES: Final = {t: bits // 8 for t, bits in INTEGER_BITS.items()} | {
    catalog.FLOAT: 4,
    catalog.DOUBLE: 8,
}
_UNBOUNDED: Final = 1 << 30
# exp of more than 99999 is refused: its result would be longer than any use of it.
EXPONENT_DIGITS_MAX: Final = 4
_FLOATING: Final = (catalog.FLOAT, catalog.DOUBLE, catalog.DECIMAL)


def functions() -> list[Function]:
    """All functions of this room."""
    found = []
    for left in NUMERIC_TYPES:
        for right in NUMERIC_TYPES:
            found += [_arithmetic(symbol, left, right) for symbol in OPERATORS]
        found.append(_negation(left))
        found += [_mathematics(name, left) for name in ("abs", "exp", "log", "log10", "round")]
    for symbol in "+-":
        found += [_shift(symbol, cql_type) for cql_type in (catalog.TIMESTAMP, catalog.DATE)]
    for first, second in (
        ("text", "text"),
        ("ascii", "ascii"),
        ("ascii", "text"),
        ("text", "ascii"),
    ):
        found.append(_concatenation(catalog.NATIVE_BY_NAME[first], catalog.NATIVE_BY_NAME[second]))
    return found


# --------------------------------------------------------- arithmetic


def result_type(left: NativeType, right: NativeType) -> NativeType:
    """The type that holds the result for operands of these types."""
    size = max(_SIZES.get(left, _UNBOUNDED), _SIZES.get(right, _UNBOUNDED))
    if left in _FLOATING or right in _FLOATING:
        return {4: catalog.FLOAT, 8: catalog.DOUBLE}.get(size, catalog.DECIMAL)
    whole = {1: catalog.TINYINT, 2: catalog.SMALLINT, 4: catalog.INT, 8: catalog.BIGINT}
    return whole.get(size, catalog.VARINT)


def _arithmetic(symbol: str, left: NativeType, right: NativeType) -> Function:
    kind = result_type(left, right)

    def body(context: CallContext, values: Values) -> bytes:
        assert values[0] is not None and values[1] is not None, "arithmetic is strict"
        try:
            a = _operand(kind, left, values[0])
            b = _operand(kind, right, values[1])
            return bytes_of(kind, compute(symbol, kind, a, b))
        except ArithmeticError as wrong:
            raise _failure(symbol, left, right, wrong) from None

    return _operation(symbol, left, right, kind, body)


def _operation(symbol: str, left: CqlType, right: CqlType, kind: CqlType, body: Body) -> Function:
    shown = symbol.replace("{", "{{")
    return Function(OPERATORS[symbol], (left, right), kind, body, form=f"{{0}} {shown} {{1}}")


def _failure(symbol: str, left: CqlType, right: CqlType, wrong: Exception | str) -> FunctionFailure:
    text = f"the operation '{left} {symbol} {right}' failed: {wrong}"
    return FunctionFailure("system", OPERATORS[symbol], (str(left), str(right)), text)


def _operand(kind: NativeType, cql_type: NativeType, value: bytes) -> Number:
    """A number converted to what the operation works on."""
    number = number_of(cql_type, value)
    if kind == catalog.DECIMAL:
        return to_decimal(number, cql_type == catalog.FLOAT)
    if kind == catalog.FLOAT:
        return round_to_float(to_float(number))
    return to_float(number) if kind == catalog.DOUBLE else number


def compute(symbol: str, kind: NativeType, a: Number, b: Number) -> Number:
    """The result before it is brought to the width of its type; raises ArithmeticError."""
    if isinstance(a, Decimal) and isinstance(b, Decimal):
        return _compute_decimals(symbol, a, b)
    if isinstance(a, int) and isinstance(b, int):
        return _compute_integers(symbol, a, b, kind)
    assert isinstance(a, float) and isinstance(b, float), "operands are of one kind"
    return _compute_floats(symbol, a, b)


def _compute_integers(symbol: str, a: int, b: int, kind: NativeType) -> int:
    if symbol in "/%" and b == 0:
        unbounded = kind == catalog.VARINT
        raise ArithmeticError("BigInteger divide by zero" if unbounded else "/ by zero")
    if symbol == "+":
        return a + b
    if symbol == "-":
        return a - b
    if symbol == "*":
        return a * b
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient if symbol == "/" else a - quotient * b


def _compute_floats(symbol: str, a: float, b: float) -> float:
    if symbol == "+":
        return a + b
    if symbol == "-":
        return a - b
    if symbol == "*":
        return a * b
    if symbol == "%":
        return math.fmod(a, b) if b != 0 and math.isfinite(a) else math.nan
    if b == 0:
        if a == 0 or math.isnan(a):
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def _compute_decimals(symbol: str, a: Decimal, b: Decimal) -> Decimal:
    if symbol == "+":
        return EXACT.add(a, b)
    if symbol == "-":
        return EXACT.subtract(a, b)
    if symbol == "*":
        return EXACT.multiply(a, b)
    if b == 0:
        raise ArithmeticError("Division undefined" if a == 0 else "Division by zero")
    return _divide(a, b) if symbol == "/" else EXACT.remainder(a, b)


def _divide(a: Decimal, b: Decimal) -> Decimal:
    """Rounded half up to a scale with at least 32 significant digits, without zeros at the end."""
    first_digit = _whole_digits(a) - _whole_digits(b)
    scale = max(SIGNIFICANT_DIGITS_MIN - first_digit, _scale(a), _scale(b), SCALE_MIN)
    scale = min(scale, SCALE_MAX)
    digits = max(1, a.adjusted() - b.adjusted() + 1 + scale + 1)
    if digits > PRECISION_MAX:
        raise ArithmeticError("Overflow")
    # Truncated two digits further than wanted, with a mark that something was cut off.
    exact = Context(prec=digits + 3, rounding="ROUND_05UP", Emax=EXACT.Emax, Emin=EXACT.Emin)
    quotient = exact.divide(a, b)
    wide = Context(prec=PRECISION_MAX + 10, Emax=EXACT.Emax, Emin=EXACT.Emin)
    rounded = quotient.quantize(Decimal((0, (1,), -scale)), ROUND_HALF_UP, wide)
    return strip_zeros(rounded)


def strip_zeros(number: Decimal) -> Decimal:
    """The same number with no zero at its end."""
    if number == 0:
        return Decimal(0)
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), "decimals are finite"
    kept = len(digits)
    while digits[kept - 1] == 0:
        kept -= 1
    return Decimal((sign, digits[:kept], exponent + len(digits) - kept))


def _scale(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "decimals are finite"
    return -exponent


def _whole_digits(number: Decimal) -> int:
    return len(number.as_tuple().digits) - _scale(number)


def _negation(cql_type: NativeType) -> Function:
    def body(context: CallContext, values: Values) -> bytes:
        assert values[0] is not None, "negation is strict"
        number = number_of(cql_type, values[0])
        return bytes_of(cql_type, number.copy_negate() if isinstance(number, Decimal) else -number)

    return Function(NEGATION, (cql_type,), cql_type, body, form="-{0}")


def _concatenation(first: NativeType, second: NativeType) -> Function:
    kind = catalog.ASCII if first == second == catalog.ASCII else catalog.TEXT

    def body(context: CallContext, values: Values) -> bytes:
        return b"".join(part for part in values if part is not None)

    return _operation("+", first, second, kind, body)


# --------------------------------------------------------- dates and durations


def _shift(symbol: str, cql_type: NativeType) -> Function:
    sign = 1 if symbol == "+" else -1

    def body(context: CallContext, values: Values) -> bytes:
        assert values[0] is not None and values[1] is not None, "arithmetic is strict"
        duration = decode_duration(values[1])
        try:
            if cql_type == catalog.TIMESTAMP:
                moment = int.from_bytes(values[0], "big", signed=True)
                moved = add_duration(moment, duration, sign)
                return moved.to_bytes(8, "big", signed=True)
            days = int.from_bytes(values[0], "big") - 2**31
            return _shift_date(days, duration, sign).to_bytes(4, "big")
        except ArithmeticError as wrong:
            raise _failure(symbol, cql_type, catalog.DURATION, wrong) from None

    return _operation(symbol, cql_type, catalog.DURATION, cql_type, body)


def _shift_date(days: int, duration: Duration, sign: int) -> int:
    if duration.nanoseconds:
        shown = duration_text(duration)
        raise ArithmeticError(f"The duration must have a day precision. Was: {shown}")
    moved = add_duration(days * DAY_MS, duration, sign) // DAY_MS + 2**31
    if not 0 <= moved < 2**32:
        raise ArithmeticError(f"The date {date_text(moved - 2**31)} is out of range")
    return moved


def add_duration(moment_ms: int, duration: Duration, sign: int) -> int:
    """A time in milliseconds, moved by a duration: months first, then days, then the rest."""
    if duration.nanoseconds % 10**6:
        shown = duration_text(duration)
        raise ArithmeticError(f"The duration must have a millisecond precision. Was: {shown}")
    days, rest = divmod(moment_ms, DAY_MS)
    days = add_months(days, sign * duration.months) + sign * duration.days
    moved = days * DAY_MS + rest + sign * duration.nanoseconds // 10**6
    if not -(2**63) <= moved < 2**63:
        raise ArithmeticError("The timestamp is out of range")
    return moved


# --------------------------------------------------------- mathematics


def _mathematics(name: str, cql_type: NativeType) -> Function:
    exact = cql_type in (catalog.DECIMAL, catalog.VARINT)
    compute_one = _decimal_function(name) if exact else _float_function(name)

    def body(context: CallContext, values: Values) -> bytes:
        assert values[0] is not None, "mathematics is strict"
        number = number_of(cql_type, values[0])
        try:
            return bytes_of(cql_type, _apply(compute_one, name, cql_type, number))
        except ArithmeticError as wrong:
            text = f"execution of 'system.{name}[{cql_type}]' failed: {wrong}"
            raise FunctionFailure("system", name, (str(cql_type),), text) from None

    return Function(name, (cql_type,), cql_type, body)


def _apply(
    compute_one: Callable[[Number], Number], name: str, cql_type: NativeType, number: Number
) -> Number:
    bits = INTEGER_BITS.get(cql_type)
    if name == "abs":
        return number.copy_abs() if isinstance(number, Decimal) else abs(number)
    if name == "round":
        return number if isinstance(number, int) else _round(number, cql_type)
    if cql_type == catalog.VARINT:
        return _whole_part(compute_one(to_decimal(number)))
    result = compute_one(number if isinstance(number, Decimal) else to_float(number))
    # Results stop at the ends of bigint or int; narrower types keep the low bits.
    return wrap(to_integer(result, bits), max(bits, 32)) if bits is not None else result


def _whole_part(number: Number) -> int:
    """A decimal cut to an integer; by its power of ten, as int() of many digits is slow."""
    assert isinstance(number, Decimal), "exact functions give decimals"
    exponent = -_scale(number)
    if exponent <= 0:
        return int(number)
    power: int = 10**exponent
    return int(number.scaleb(-exponent, EXACT)) * power


def _round(number: float | Decimal, cql_type: NativeType) -> Number:
    """Half up, that is towards plus infinity for floats and away from zero for decimals."""
    if isinstance(number, Decimal):
        if number.as_tuple().exponent == 0:
            return number
        if number.adjusted() > PRECISION_MAX:
            raise ArithmeticError("Overflow")
        return number.quantize(Decimal(1), ROUND_HALF_UP, EXACT)
    bits = 64 if cql_type == catalog.DOUBLE else 32
    if not math.isfinite(number):
        return float(to_integer(number, bits))
    whole = math.floor(number)
    return float(to_integer(float(whole + (number - whole >= 0.5)), bits))


def _float_function(name: str) -> Callable[[Number], Number]:
    def compute_one(number: Number) -> float:
        value = float(number)
        try:
            if name == "exp":
                return math.exp(value)
            if value > 0:
                return math.log(value) if name == "log" else math.log10(value)
        except OverflowError:
            return math.inf
        if value == 0:
            return -math.inf
        # The processor's NaN for an invalid operation has its sign bit set.
        return value if math.isnan(value) else math.copysign(math.nan, -1)

    return compute_one


def _decimal_function(name: str) -> Callable[[Number], Number]:
    def compute_one(number: Number) -> Decimal:
        assert isinstance(number, Decimal), "exact functions work on decimals"
        digits = len(number.as_tuple().digits)
        precision = min(max(SIGNIFICANT_DIGITS_MIN, digits), PRECISION_MAX)
        rounding = Context(
            prec=precision, rounding=ROUND_HALF_EVEN, Emax=EXACT.Emax, Emin=EXACT.Emin
        )
        if name == "exp":
            if number.adjusted() > EXPONENT_DIGITS_MAX:
                raise ArithmeticError("Overflow")
            return number.exp(rounding)
        if number <= 0:
            kind = "Natural log" if name == "log" else "Log10"
            raise ArithmeticError(f"{kind} of number zero or less")
        return number.ln(rounding) if name == "log" else number.log10(rounding)

    return compute_one

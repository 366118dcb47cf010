"""Numbers to decimal text and back, digit for digit as Cassandra's Java writes them.

Clients compare these texts, so `1.0E10`, `9.999999999999999E22` and `1E+3` have to come out as they
do there. A double is written with the fewest digits that lie nearer to it than half the distance to
its neighbours.
"""

from __future__ import annotations

import math
import re
import struct
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Final

FLOAT_DIGITS: Final = 24
DOUBLE_DIGITS: Final = 53
PLAIN_EXPONENT_MAX: Final = 7
PLAIN_EXPONENT_MIN: Final = -3
SCALE_MAX: Final = 2**31 - 1
# Longer numbers are refused as text, for conversion is the slowest thing a statement could ask for.
TEXT_DIGITS_MAX: Final = 100_000
SMALL_BITS: Final = 4000
SMALL_DIGITS: Final = 1000

_WIDE: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)

_INTEGER: Final = re.compile(r"[+-]?[0-9]+\Z")
_DECIMAL: Final = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,10}))?\Z")
_FLOAT: Final = re.compile(
    r"[+-]?(NaN|Infinity|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?)\Z"
)


def integer_text(number: int) -> str:
    """The decimal digits of an integer of any size."""
    return str(number) if number.bit_length() < SMALL_BITS else str(integer_decimal(number))


def integer_decimal(number: int) -> Decimal:
    """The Decimal of an integer of any size, in time that does not grow with its square."""
    bits = number.bit_length()
    if bits < SMALL_BITS:
        return Decimal(number)
    low = bits // 2
    high_part = integer_decimal(number >> low)
    low_part = integer_decimal(number & ((1 << low) - 1))
    return _WIDE.add(_WIDE.multiply(high_part, _WIDE.power(2, low)), low_part)


def integer_of_digits(digits: str) -> int:
    """The integer of any number of digits, in time that does not grow with its square."""
    if len(digits) < SMALL_DIGITS:
        return int(digits or "0")
    low = len(digits) // 2
    power: int = 10**low
    return integer_of_digits(digits[:-low]) * power + integer_of_digits(digits[-low:])


def parse_integer(text: str) -> int | None:
    """The integer that a text writes, or None if it is none or absurdly long."""
    if not _INTEGER.match(text) or len(text) > TEXT_DIGITS_MAX:
        return None
    number = integer_of_digits(text.lstrip("+-"))
    return -number if text[0] == "-" else number


def decimal_text(unscaled: int, scale: int) -> str:
    """unscaled * 10^-scale, plain where that is short and with an exponent elsewhere."""
    digits = integer_text(abs(unscaled))
    sign = "-" if unscaled < 0 else ""
    if scale == 0:
        return sign + digits
    exponent = len(digits) - 1 - scale
    if scale > 0 and exponent >= -6:
        if len(digits) <= scale:
            digits = digits.rjust(scale + 1, "0")
        return f"{sign}{digits[:-scale]}.{digits[-scale:]}"
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{sign}{mantissa}" if exponent == 0 else f"{sign}{mantissa}E{exponent:+d}"


def parse_decimal(text: str) -> tuple[int, int] | None:
    """(unscaled, scale) of a decimal's text, with all its zeros, or None."""
    found = _DECIMAL.match(text)
    if found is None or len(text) > TEXT_DIGITS_MAX:
        return None
    sign, whole, fraction, exponent = found[1], found[2], found[3] or "", found[4] or "0"
    if not whole and not fraction:
        return None
    scale = len(fraction) - int(exponent)
    if not -SCALE_MAX - 1 <= scale <= SCALE_MAX:
        return None
    unscaled = integer_of_digits(whole + fraction)
    return (-unscaled if sign == "-" else unscaled), scale


def parse_float(text: str) -> float | None:
    """The double nearest to what a text writes, or None."""
    text = text.strip()
    if not _FLOAT.match(text):
        return None
    return float(text.rstrip("fFdD") if not text.endswith(("NaN", "Infinity")) else text)


def float_bytes(number: float) -> bytes:
    """The four bytes of the nearest float; beyond the range an infinity."""
    try:
        return struct.pack(">f", number)
    except OverflowError:
        return struct.pack(">f", math.copysign(math.inf, number))


def double_text(number: float) -> str:
    """A double's text."""
    return _floating_text(number, DOUBLE_DIGITS, -1074)


def float_text(number: float) -> str:
    """The text of a float, given as the double of the same worth."""
    return _floating_text(number, FLOAT_DIGITS, -149)


def _floating_text(number: float, precision: int, exponent_min: int) -> str:
    if math.isnan(number):
        return "NaN"
    sign = "-" if math.copysign(1, number) < 0 else ""
    if math.isinf(number):
        return sign + "Infinity"
    if number == 0:
        return sign + "0.0"
    digits, exponent = _digits(abs(number), precision, exponent_min)
    return sign + _place_point(digits, exponent)


def _place_point(digits: str, exponent: int) -> str:
    """Writes 0.digits * 10^exponent."""
    if 0 < exponent <= PLAIN_EXPONENT_MAX:
        digits = digits.ljust(exponent, "0")
        return f"{digits[:exponent]}.{digits[exponent:] or '0'}"
    if PLAIN_EXPONENT_MIN < exponent <= 0:
        return f"0.{'0' * -exponent}{digits}"
    return f"{digits[0]}.{digits[1:] or '0'}E{exponent - 1}"


def _digits(number: float, precision: int, exponent_min: int) -> tuple[str, int]:
    """(digits, exponent) with which 0.digits * 10^exponent stands for a positive number."""
    mantissa, exponent = math.frexp(number)
    top = exponent - 1
    if number == int(number) and top <= 62:
        return _digits_of_integer(int(number), top, precision)
    step = max(exponent - precision, exponent_min)
    numerator, denominator = number.as_integer_ratio()
    # Half the distance to the neighbours, and half of that at a power of two.
    return _shortest(numerator, denominator, step - 1 - (mantissa == 0.5))


def _digits_of_integer(number: int, top: int, precision: int) -> tuple[str, int]:
    """Integers are written whole, less the digits that the precision cannot hold."""
    doubtful = top - precision - 1
    drop = len(str(2**doubtful)) - 1 if doubtful > 1 else 0
    digits = str(number)
    exponent = len(digits)
    if drop:
        power = 10**drop
        rounded = str(number // power + (number % power >= power // 2))
        exponent = len(rounded) + drop
        digits = rounded
    return digits.rstrip("0"), exponent


def _shortest(numerator: int, denominator: int, margin_exponent: int) -> tuple[str, int]:
    """The first digits that come nearer than 2^margin_exponent, from below or from above."""
    shift = max(0, -margin_exponent)
    rest, scale = numerator << shift, denominator << shift
    margin = denominator << max(0, margin_exponent)
    exponent = 0
    while rest >= scale:
        scale *= 10
        exponent += 1
    while rest * 10 < scale:
        rest, margin = rest * 10, margin * 10
        exponent -= 1
    digits = count = 0
    wanted = 1 if PLAIN_EXPONENT_MIN < exponent <= PLAIN_EXPONENT_MAX + 1 else 2
    below = above = False
    while count < wanted or not (below or above):
        rest, margin, count = rest * 10, margin * 10, count + 1
        digits, rest = digits * 10 + rest // scale, rest % scale
        below, above = rest < margin, rest + margin > scale
    if above and (not below or (rest * 2, digits % 2) > (scale, 0)):
        digits += 1
    text = str(digits)
    return text.rstrip("0"), exponent + len(text) - count

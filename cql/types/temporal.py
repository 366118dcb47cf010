"""Dates, times, timestamps and durations to text and back, over the whole of their ranges.

The calendar is the proleptic Gregorian one and has a year 0, as ISO 8601 and java.time have it.
Where a text names no zone it is UTC; of zones with names only those that always mean UTC are known.
"""

from __future__ import annotations

import re
from typing import Final

from cql.errors import InvalidRequest
from cql.types.codec import Duration

DAY_MS: Final = 86_400_000
DAY_NS: Final = 86_400_000_000_000
DATE_ZERO: Final = 2**31
INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1

_RAW: Final = re.compile(r"-?[0-9]+\Z")
_ISO_DATE: Final = re.compile(r"(-?[0-9]{4}|[+-][0-9]{5,10})-([0-9]{2})-([0-9]{2})\Z")
_DATE_AND_ZONE: Final = re.compile(
    r"(-?[0-9]{4}|[+-][0-9]{5,10})-([0-9]{2})-([0-9]{2})( ?Z| ?[+-][0-9:]+| [A-Za-z]+)?\Z"
)
_MOMENT: Final = re.compile(
    r"([0-9]{1,19})-([0-9]{1,2})-([0-9]{1,2})[T ]([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2}))?"
    r"(?:\.([0-9]{0,9}))?( ?Z| ?[+-][0-9:]+| [A-Za-z]+)?\Z"
)
_OFFSET: Final = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?\Z")
_UTC_NAMES: Final = frozenset(("Z", "UTC", "GMT", "UT", "ZULU", "UCT"))
_TIME: Final = re.compile(r"([+-]?[0-9]+):([+-]?[0-9]+):([+-]?[0-9]+)(?:\.([0-9]{1,9}))?\Z")

# --------------------------------------------------------- the calendar


def days_of(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01. Eras of 400 years have 146097 days; years begin in March here."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return (
        era * 146097
        + year_of_era * 365
        + year_of_era // 4
        - year_of_era // 100
        + day_of_year
        - 719468
    )


def date_of(days: int) -> tuple[int, int, int]:
    """(year, month, day) of the days since 1970-01-01."""
    days += 719468
    era = days // 146097
    day_of_era = days - era * 146097
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month += 3 if month < 10 else -9
    return year + era * 400 + (month <= 2), month, day


def month_length(year: int, month: int) -> int:
    """Days of a month."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def add_months(days: int, months: int) -> int:
    """The same day of another month, or that month's last day."""
    year, month, day = date_of(days)
    total = year * 12 + month - 1 + months
    year, month = total // 12, total % 12 + 1
    return days_of(year, month, min(day, month_length(year, month)))


def _year_text(year: int) -> str:
    sign = "-" if year < 0 else "+" if year > 9999 else ""
    return f"{sign}{abs(year):04d}"


# --------------------------------------------------------- date


def date_text(days: int) -> str:
    """`2011-02-03` for days since 1970; years beyond 9999 and before 0 with a sign."""
    year, month, day = date_of(days)
    return f"{_year_text(year)}-{month:02d}-{day:02d}"


def parse_date(text: str) -> int:
    """Days since 1970 of a date's text, or of the raw number with 2^31 in 1970."""
    if _RAW.match(text):
        if len(text) > 10 or not 0 <= int(text) < 2 * DATE_ZERO:
            raise InvalidRequest(f"Unable to make unsigned int (for date) from: '{text}'")
        return int(text) - DATE_ZERO
    found = _ISO_DATE.match(text)
    if found is not None:
        year, month, day = int(found[1]), int(found[2]), int(found[3])
        if _is_date(year, month, day, found[1]):
            return _in_date_range(days_of(year, month, day), text)
    raise InvalidRequest(f"Unable to coerce '{text}' to a formatted date (long)")


def _is_date(year: int, month: int, day: int, year_text: str) -> bool:
    # "+" may be written only where the year needs it, and there is no minus zero.
    plain = _year_text(year) == year_text
    return plain and 1 <= month <= 12 and 1 <= day <= month_length(year, month)


def _in_date_range(days: int, text: str) -> int:
    if days < -DATE_ZERO:
        least = "-5877641-06-23T00:00Z"
        raise InvalidRequest(f"Input date {text} is less than min supported date {least}")
    if days > INT32_MAX:
        most = "+5881580-07-11T00:00Z"
        raise InvalidRequest(f"Input date {text} is greater than max supported date {most}")
    return days


# --------------------------------------------------------- time


def time_text(nanoseconds: int) -> str:
    """`08:12:54.123456789`."""
    seconds, nanoseconds = divmod(nanoseconds, 10**9)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{nanoseconds:09d}"


def parse_time(text: str) -> int:
    """Nanoseconds of the day."""
    if _RAW.match(text):
        if len(text) > 19 or not 0 <= int(text) < DAY_NS:
            raise InvalidRequest(f"Unable to make long (for time) from: '{text}'")
        return int(text)
    found = _TIME.match(text.strip())
    if found is not None and all(len(part) < 10 for part in found.groups("")[:3]):
        hours, minutes, seconds = int(found[1]), int(found[2]), int(found[3])
        if 0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 60:
            fraction = int((found[4] or "0").ljust(9, "0"))
            return ((hours * 60 + minutes) * 60 + seconds) * 10**9 + fraction
    raise InvalidRequest(f"(TimeType) Unable to coerce '{text}' to a formatted time (long)")


# --------------------------------------------------------- timestamp


def timestamp_text(milliseconds: int, separator: str = "T") -> str:
    """`2011-02-03T04:05:06.789Z`; years are those of their era, as Cassandra prints them."""
    days, rest = divmod(milliseconds, DAY_MS)
    year, month, day = date_of(days)
    seconds, rest = divmod(rest, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    date = f"{_year_text(year if year > 0 else 1 - year)}-{month:02d}-{day:02d}"
    return f"{date}{separator}{hours:02d}:{minutes:02d}:{seconds:02d}.{rest:03d}Z"


def parse_timestamp(text: str, now_ms: int | None = None) -> int:
    """Milliseconds since 1970. The word "now" is understood only if the caller gives the time."""
    if now_ms is not None and text.lower() == "now":
        return now_ms
    if _RAW.match(text):
        if len(text) > 20 or not -INT64_MAX - 1 <= int(text) <= INT64_MAX:
            raise InvalidRequest(f"Unable to make long (for date) from: '{text}'")
        return int(text)
    result = _parse_moment(text)
    if result is None:
        result = _parse_day(text)
    if result is None or not -INT64_MAX - 1 <= result <= INT64_MAX:
        raise InvalidRequest(f"Unable to parse a date/time from '{text}'")
    return result


def _parse_moment(text: str) -> int | None:
    found = _MOMENT.match(text)
    if found is None:
        return None
    year, month, day, hours, minutes = (int(found[n]) for n in range(1, 6))
    seconds = int(found[6] or 0)
    milliseconds = int((found[7] or "0").ljust(3, "0")[:3])
    offset = _offset_ms(found[8])
    if offset is None or not (1 <= year < 10**9 and 1 <= month <= 12 and 1 <= day <= 31):
        return None
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    # The 31st of a shorter month is its last day; dates without a time are read strictly.
    days = days_of(year, month, min(day, month_length(year, month)))
    return days * DAY_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds - offset


def _parse_day(text: str) -> int | None:
    found = _DATE_AND_ZONE.match(text)
    if found is None:
        return None
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    offset = _offset_ms(found[4])
    if offset is None or not _is_date(year, month, day, found[1]):
        return None
    return days_of(year, month, day) * DAY_MS - offset


def _offset_ms(zone: str | None) -> int | None:
    """How far a zone's clocks are ahead of UTC, None if we do not know the zone."""
    zone = (zone or "Z").strip()
    if zone.upper() in _UTC_NAMES:
        return 0
    found = _OFFSET.match(zone)
    if found is None:
        return None
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    if minutes > 18 * 60 or int(found[3] or 0) > 59:
        return None
    return minutes * (-60_000 if found[1] == "-" else 60_000)


# --------------------------------------------------------- duration

# symbol -> (rank, which part of a Duration, how many of that part, name)
_UNITS: Final = {
    "y": (1, 0, 12, "years"),
    "mo": (2, 0, 1, "months"),
    "w": (3, 1, 7, "weeks"),
    "d": (4, 1, 1, "days"),
    "h": (5, 2, 3_600 * 10**9, "hours"),
    "m": (6, 2, 60 * 10**9, "minutes"),
    "s": (7, 2, 10**9, "seconds"),
    "ms": (8, 2, 10**6, "milliseconds"),
    "us": (9, 2, 1000, "microseconds"),
    "ns": (10, 2, 1, "nanoseconds"),
}
_NAMES: Final = {rank: name for rank, _, _, name in _UNITS.values()}
_PART_NAMES: Final = ("months", "days", "nanoseconds")
_PART_MAX: Final = (INT32_MAX, INT32_MAX, INT64_MAX)
_STANDARD: Final = re.compile(r"(?:[0-9]+(?:y|mo|w|d|h|s|ms|us|µs|ns|m))+\Z", re.IGNORECASE)
_STANDARD_PART: Final = re.compile(
    r"([0-9]+)(y|mo|w|d|h|s|ms|us|µs|ns|m)(?=[0-9]|\Z)", re.IGNORECASE
)
_ISO: Final = re.compile(
    r"P(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:([0-9]+)D)?(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?\Z"
)
_ISO_WEEKS: Final = re.compile(r"P([0-9]+)W\Z")
_ISO_PLAIN: Final = re.compile(
    r"P([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\Z"
)


def duration_text(duration: Duration) -> str:
    """`1y2mo3d4h5m6s7ms8us9ns` without what is zero; the empty text for no time at all."""
    months, days, nanoseconds = (abs(part) for part in duration)
    parts = ["-"] if min(duration) < 0 else []
    for amount, symbols in ((months, "y mo"), (days, "d"), (nanoseconds, "h m s ms us ns")):
        for symbol in symbols.split():
            count, amount = divmod(amount, _UNITS[symbol][2])
            if count:
                parts.append(f"{count}{symbol}")
    return "".join(parts)


def parse_duration(text: str) -> Duration:
    """A duration in one of the forms `1h30m`, `P1Y2M3DT4H5M6S`, `P2W`, `P0001-02-03T04:05:06`."""
    negative = text.startswith("-")
    source = text[negative:]
    units = ["y", "mo", "d", "h", "m", "s"]
    found = _ISO_PLAIN.match(source) or _ISO.match(source)
    weeks = _ISO_WEEKS.match(source)
    if found is not None:
        amounts = [(int(n), u) for n, u in zip(found.groups(), units, strict=True) if n is not None]
    elif weeks is not None:
        amounts = [(int(weeks[1]), "w")]
    elif _STANDARD.match(source):
        amounts = [(int(n), u.lower().replace("µ", "u")) for n, u in _STANDARD_PART.findall(source)]
    else:
        raise InvalidRequest(f"Unable to convert '{source}' to a duration")
    parts = _sum_of(amounts)
    return Duration(*(-part if negative else part for part in parts))


def _sum_of(amounts: list[tuple[int, str]]) -> list[int]:
    parts = [0, 0, 0]
    last = 0
    for count, symbol in amounts:
        rank, part, worth, name = _UNITS[symbol]
        if rank == last:
            raise InvalidRequest(f"Invalid duration. The {name} are specified multiple times")
        if rank < last:
            raise InvalidRequest(f"Invalid duration. The {_NAMES[last]} should be after {name}")
        if count > (_PART_MAX[part] - parts[part]) // worth:
            raise InvalidRequest(
                f"Invalid duration. The total number of {_PART_NAMES[part]} must be less or equal "
                f"to {INT32_MAX}"
            )
        last = rank
        parts[part] += count * worth
    return parts

"""Functions of time: now and its kin, conversions between the types of time, floor."""

from __future__ import annotations

from typing import Final

from cql.errors import InvalidRequest
from cql.function import Context, Function, Values
from cql.types import catalog
from cql.types.catalog import NativeType
from cql.types.codec import Duration, decode_duration
from cql.types.temporal import DAY_MS, DAY_NS, add_months, date_of, duration_text

UUID_EPOCH_MS: Final = 12_219_292_800_000
"""Milliseconds from 1582-10-15, where time UUIDs begin, to 1970."""

_TICKS_PER_MS: Final = 10_000


def functions() -> list[Function]:
    """All functions of this room, the old spellings too."""
    found = _present()
    for kind in (catalog.TIMEUUID, catalog.TIMESTAMP, catalog.DATE):
        found += _conversions(kind)
    for name, old in (("min_timeuuid", "mintimeuuid"), ("max_timeuuid", "maxtimeuuid")):
        found += [_bound(spelling, name.startswith("max")) for spelling in (name, old)]
    for kind in (catalog.TIMESTAMP, catalog.TIMEUUID, catalog.DATE):
        found += [_floor(kind, with_start=False), _floor(kind, with_start=True)]
    found.append(_floor_time())
    return found


# --------------------------------------------------------- the present


def _present() -> list[Function]:
    def timestamp(context: Context, values: Values) -> bytes:
        return (context.moment.timestamp_us // 1000).to_bytes(8, "big", signed=True)

    def date(context: Context, values: Values) -> bytes:
        return date_from_ms(context.moment.timestamp_us // 1000)

    def time(context: Context, values: Values) -> bytes:
        return (context.moment.timestamp_us * 1000 % DAY_NS).to_bytes(8, "big")

    def timeuuid(context: Context, values: Values) -> bytes:
        return context.random.timeuuid(context.moment)

    found = [Function("now", (), catalog.TIMEUUID, timeuuid, is_pure=False)]
    for kind, body in (
        (catalog.TIMEUUID, timeuuid),
        (catalog.TIMESTAMP, timestamp),
        (catalog.DATE, date),
        (catalog.TIME, time),
    ):
        names = (f"current_{kind}", f"current{kind}")
        found += [Function(name, (), kind, body, is_pure=False) for name in names]
    return found


# --------------------------------------------------------- conversions


def milliseconds_of(kind: NativeType, value: bytes) -> int:
    """Milliseconds since 1970 of a value of a type of time."""
    if kind == catalog.TIMEUUID:
        high = int.from_bytes(value[:8], "big")
        ticks = (high & 0x0FFF) << 48 | (high >> 16 & 0xFFFF) << 32 | high >> 32
        return ticks // _TICKS_PER_MS - UUID_EPOCH_MS
    if kind == catalog.DATE:
        return (int.from_bytes(value, "big") - 2**31) * DAY_MS
    return int.from_bytes(value, "big", signed=True)


def date_from_ms(moment_ms: int) -> bytes:
    """The date of a time. Before 1970 seconds are cut to days towards 1970, as Cassandra does."""
    seconds = moment_ms // 1000
    days = abs(seconds) // 86_400 * (-1 if seconds < 0 else 1)
    return ((days + 2**31) & 0xFFFF_FFFF).to_bytes(4, "big")


def _conversions(kind: NativeType) -> list[Function]:
    def to_date(context: Context, values: Values) -> bytes:
        assert values[0] is not None, "conversions are strict"
        return date_from_ms(milliseconds_of(kind, values[0]))

    def to_number(context: Context, values: Values) -> bytes:
        assert values[0] is not None, "conversions are strict"
        return milliseconds_of(kind, values[0]).to_bytes(8, "big", signed=True)

    found = []
    if kind != catalog.DATE:
        found += [Function(name, (kind,), catalog.DATE, to_date) for name in ("to_date", "todate")]
    if kind != catalog.TIMESTAMP:
        for name in ("to_timestamp", "totimestamp"):
            found.append(Function(name, (kind,), catalog.TIMESTAMP, to_number))
    for name in ("to_unix_timestamp", "tounixtimestamp"):
        found.append(Function(name, (kind,), catalog.BIGINT, to_number))
    if kind == catalog.TIMEUUID:
        # Gone from Cassandra 5, but old programs call them.
        found.append(Function("dateof", (kind,), catalog.TIMESTAMP, to_number))
        found.append(Function("unixtimestampof", (kind,), catalog.BIGINT, to_number))
    return found


def _bound(name: str, is_last: bool) -> Function:
    def body(context: Context, values: Values) -> bytes:
        assert values[0] is not None, "conversions are strict"
        moment = int.from_bytes(values[0], "big", signed=True)
        ticks = (moment + UUID_EPOCH_MS) * _TICKS_PER_MS + (_TICKS_PER_MS - 1 if is_last else 0)
        if not 0 <= ticks < 1 << 60:
            raise InvalidRequest(f"The timestamp {moment} cannot be represented by a timeuuid")
        high = (ticks & 0xFFFFFFFF) << 32 | (ticks >> 32 & 0xFFFF) << 16 | 0x1000 | ticks >> 48
        return high.to_bytes(8, "big") + (b"\x7f" if is_last else b"\x80") * 8

    return Function(name, (catalog.TIMESTAMP,), catalog.TIMEUUID, body)


# --------------------------------------------------------- floor


def _floor(kind: NativeType, *, with_start: bool) -> Function:
    returned = catalog.DATE if kind == catalog.DATE else catalog.TIMESTAMP

    def body(context: Context, values: Values) -> bytes:
        assert values[0] is not None and values[1] is not None, "floor is strict"
        duration = decode_duration(values[1])
        _check_precision(kind, duration)
        start = 0
        if with_start:
            assert values[2] is not None, "floor is strict"
            start = milliseconds_of(returned, values[2])
        floor = floor_ms(milliseconds_of(kind, values[0]), duration, start)
        return (
            date_from_ms(floor) if kind == catalog.DATE else floor.to_bytes(8, "big", signed=True)
        )

    types = (kind, catalog.DURATION, returned) if with_start else (kind, catalog.DURATION)
    return Function("floor", types, returned, body)


def _check_precision(kind: NativeType, duration: Duration) -> None:
    if kind == catalog.DATE and duration.nanoseconds:
        raise InvalidRequest(
            f"The floor on date values cannot be computed for the {duration_text(duration)} "
            "duration as precision is below 1 day"
        )
    if duration.nanoseconds % 10**6:
        raise InvalidRequest(
            f"The floor cannot be computed for the {duration_text(duration)} duration as precision "
            "is below 1 millisecond"
        )


def floor_ms(moment_ms: int, duration: Duration, start_ms: int) -> int:
    """The last of the times start, start + duration... that is not after a time."""
    if start_ms > moment_ms:
        raise InvalidRequest("The floor function starting time is greater than the provided time")
    if min(duration) < 0:
        raise InvalidRequest("Negative durations are not supported by the floor function")
    rest_ms = duration.days * DAY_MS + duration.nanoseconds // 10**6
    if duration.months == 0:
        return moment_ms - (moment_ms - start_ms) % rest_ms if rest_ms else moment_ms
    year, month, _ = date_of(moment_ms // DAY_MS)
    start_days, start_rest = divmod(start_ms, DAY_MS)
    start_year, start_month, _ = date_of(start_days)
    steps = ((year - start_year) * 12 + month - start_month) // duration.months

    def after(count: int) -> int:
        months = count * duration.months
        return add_months(start_days, months) * DAY_MS + start_rest + count * rest_ms

    if rest_ms == 0:
        return after(steps)
    # Days and hours make the steps longer than their months, so fewer may fit.
    low = 0
    while low < steps:
        middle = (low + steps + 1) // 2
        low, steps = (middle, steps) if after(middle) <= moment_ms else (low, middle - 1)
    return max(start_ms, after(steps))


def _floor_time() -> Function:
    def body(context: Context, values: Values) -> bytes:
        assert values[0] is not None and values[1] is not None, "floor is strict"
        duration = decode_duration(values[1])
        if min(duration) < 0:
            raise InvalidRequest("Negative durations are not supported by the floor function")
        if duration.months or duration.days or duration.nanoseconds > DAY_NS:
            raise InvalidRequest(
                "For time values, the floor can only be computed for durations smaller that a day"
            )
        time = int.from_bytes(values[0], "big")
        if duration.nanoseconds:
            time -= time % duration.nanoseconds
        return time.to_bytes(8, "big")

    return Function("floor", (catalog.TIME, catalog.DURATION), catalog.TIME, body)

"""The only reader of the operating system's clock.

Three clocks, three names: `now` (monotonic seconds, for deadlines), `timestamp_us` (write
timestamps) and `wall_s` (expiry). Write timestamps strictly increase on a shard, and no two shards
of a node ever make the same one: shard i of n only makes timestamps that are i modulo n. Over the
lives of a shard they increase because of node/ceiling.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cql.moment import Moment

NO_CEILING = 1 << 63


class Clock:
    """Reads the time for one shard. What it reads are the arguments: the OS, or a simulation."""

    __slots__ = (
        "_ceiling_us",
        "_last_us",
        "_monotonic",
        "_raise_ceiling",
        "_shard",
        "_shards",
        "_time_ns",
    )

    def __init__(
        self,
        shard: int,
        shards: int,
        not_before_us: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        assert 0 <= shard < shards, "a shard's number lies below the number of shards"
        self._monotonic = monotonic
        self._time_ns = time_ns
        self._shard = shard
        self._shards = shards
        self._last_us = not_before_us
        self._ceiling_us = NO_CEILING
        self._raise_ceiling: Callable[[int], int] = _as_it_is

    def now(self) -> float:
        """Monotonic seconds."""
        return self._monotonic()

    def wall_s(self) -> int:
        """Seconds since 1970."""
        return self._time_ns() // 1_000_000_000

    def next_timestamp_us(self) -> int:
        """A write timestamp that is larger than every one made before."""
        return self._next(self._time_ns() // 1000)

    def moment(self) -> Moment:
        """All three clocks for one request."""
        wall_ns = self._time_ns()
        return Moment(self._monotonic(), self._next(wall_ns // 1000), wall_ns // 1_000_000_000)

    def keep_after(self, timestamp_us: int) -> None:
        """Makes no timestamp up to this one: what an earlier life of the node has used."""
        self._last_us = max(self._last_us, timestamp_us)

    def keep_under(self, raise_ceiling: Callable[[int], int]) -> None:
        """Asks before a timestamp passes the last answer; the answer is not below what is asked."""
        self._ceiling_us = 0
        self._raise_ceiling = raise_ceiling

    def _next(self, wall_us: int) -> int:
        candidate = wall_us if wall_us > self._last_us else self._last_us + 1
        timestamp_us = candidate + (self._shard - candidate) % self._shards
        if timestamp_us > self._ceiling_us:
            self._ceiling_us = self._raise_ceiling(timestamp_us)
        self._last_us = timestamp_us
        return timestamp_us


def _as_it_is(timestamp_us: int) -> int:
    """No ceiling is kept."""
    return timestamp_us

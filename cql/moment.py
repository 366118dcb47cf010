"""One instant, as a turn of the loop sees it: the three clocks as arguments."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Moment"]


@dataclass(frozen=True, slots=True)
class Moment:
    """The clocks at the start of a request.

    `now`: monotonic seconds, for deadlines.
    `timestamp_us`: the write timestamp of a request that brings none; strictly increasing.
    `wall_s`: seconds since 1970, for expiry.
    """

    now: float
    timestamp_us: int
    wall_s: int

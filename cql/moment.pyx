"""One instant, as a request sees it: the three clocks as arguments.

Compiled because every request makes one: 0.1 us where a frozen dataclass takes 0.8 us.
"""


cdef class Moment:
    """The clocks at the start of a request; `timestamp_us` strictly increases."""

    def __init__(self, double now, long long timestamp_us, long long wall_s):
        self.now = now
        self.timestamp_us = timestamp_us
        self.wall_s = wall_s

    def __eq__(self, other):
        if type(other) is not Moment:
            return NotImplemented
        return (self.now, self.timestamp_us, self.wall_s) == (
            other.now,
            other.timestamp_us,
            other.wall_s,
        )

    def __hash__(self):
        return hash((self.now, self.timestamp_us, self.wall_s))

    def __repr__(self):
        return (
            f"Moment(now={self.now}, timestamp_us={self.timestamp_us}, wall_s={self.wall_s})"
        )

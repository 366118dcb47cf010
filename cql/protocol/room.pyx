"""Memory that the connections of a shard hold together: requests on one side, replies on another.

A connection says what it holds once per turn and not once per frame. What is large is asked for
before it is taken: a frame that has not arrived whole reserves its length when its header is seen,
and may fill three quarters of the room only, so that those who announce much and send little leave
the rest to small requests.
"""


cdef class Room:
    """So many bytes, and how many of them are in use."""

    def __init__(self, Py_ssize_t bytes_max):
        assert bytes_max > 0, "nothing fits where there is no room"
        self.bytes_max = bytes_max

    @property
    def announced_bytes_max(self) -> int:
        """What frames that have not arrived whole may take."""
        return self.bytes_max - self.bytes_max // 4

    cdef bint admits(self, Py_ssize_t size) noexcept:
        if self.used + size <= self.bytes_max - (self.bytes_max >> 2):
            return True
        self.refusals += 1
        return False

    cdef bint has(self, Py_ssize_t size) noexcept:
        if self.used + size <= self.bytes_max:
            return True
        self.refusals += 1
        return False

    cdef void change(self, Py_ssize_t delta) noexcept:
        self.used += delta
        if self.used > self.peak:
            self.peak = self.used

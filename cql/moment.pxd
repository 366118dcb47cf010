"""The struct of an instant."""

cdef class Moment:
    cdef readonly double now  # monotonic seconds, for deadlines
    cdef readonly long long timestamp_us  # the write timestamp of a request that brings none
    cdef readonly long long wall_s  # seconds since 1970, for expiry

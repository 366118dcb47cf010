"""The struct of a shard's clock."""

from cql.moment cimport Moment

cdef class Clock:
    cdef int shard          # its number
    cdef int shards         # of the node
    cdef long long last_us  # the last write timestamp that was made
    cdef long long ceiling_us   # timestamps up to it may be made without asking
    cdef object raise_ceiling   # (timestamp) -> a ceiling that is not below it, or None
    cdef object monotonic   # () -> seconds, in a simulation; None asks the operating system
    cdef object time_ns     # () -> nanoseconds since 1970, in a simulation; or None

    cpdef Moment moment(self)
    cdef double monotonic_s(self) except? -1
    cdef long long wall_us(self) except? -1
    cdef long long next_us(self, long long wall_us) except? -1

"""The struct of a shard's clock."""

from cql.moment cimport Moment
from node.high_mark cimport HighMark

cdef class Clock:
    cdef HighMark high_mark     # where timestamps come from, shared with the sibling shards
    cdef long long ceiling_us   # timestamps up to it may be made without asking
    cdef object raise_ceiling   # (timestamp) -> a ceiling that is not below it, or None
    cdef object monotonic   # () -> seconds, in a simulation; None asks the operating system
    cdef object time_ns     # () -> nanoseconds since 1970, in a simulation; or None

    cpdef Moment moment(self)
    cdef double monotonic_s(self) except? -1
    cpdef long long wall_us(self) except? -1
    cdef long long next_us(self, long long wall_us) except? -1

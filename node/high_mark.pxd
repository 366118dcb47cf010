"""The struct of the word that a node's shards share."""

from libc.stdint cimport int64_t

cdef class HighMark:
    cdef int64_t[::1] word      # one element, in memory that stays shared over a fork

    cdef int64_t next_us(self, int64_t wall_us) noexcept
    cdef void raise_above(self, int64_t timestamp_us) noexcept

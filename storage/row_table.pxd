"""Partitions of which all is known and that is one row or none: key and row in one piece each."""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t


cdef enum:
    NEW = 1                     # visits of the hand that an entry outlives if nobody reads it
    READ = 2                    # and from its last read on


cdef struct Entry:              # the bytes of key, clustering and row follow
    uint32_t row_bytes          # 0 if there is no row
    uint16_t key_bytes
    uint16_t clustering_bytes


cdef struct Part:               # open addressing; runs of entries are in no order
    Entry** entries             # of each slot; NULL if that is free
    uint8_t* tags               # of each slot: bits of the key's hash over the chances; or 0
    uint32_t capacity
    uint32_t count


@cython.final
cdef class RowTable:
    cdef Part* parts            # one, or PARTS of them by one byte of the token
    cdef Py_ssize_t parts_count
    cdef readonly Py_ssize_t size
    cdef Py_ssize_t hand_part   # where the hand of the clock comes by next
    cdef uint32_t hand_slot

    cdef Entry* find(self, bytes key, bint is_read) noexcept
    cdef Py_ssize_t put(self, bytes key, bytes clustering, bytes row, int chances) except -1
    cdef Py_ssize_t replace(self, bytes key, bytes row) except? -1
    cdef Py_ssize_t remove(self, bytes key) except -1
    cdef Py_ssize_t step(self, bint spares) noexcept
    cdef list hot(self, Py_ssize_t count_max, Py_ssize_t steps)
    cdef Part* part_of(self, bytes key) noexcept
    cdef int split(self) except -1
    cdef Py_ssize_t take(self, Part* part, uint32_t slot) noexcept


cdef bytes key_of(Entry* entry)
cdef bytes clustering_of(Entry* entry)
cdef bytes row_of(Entry* entry)
cdef Py_ssize_t cost_of_entry(Py_ssize_t data_bytes) noexcept

"""Building a row from cells that may come in any order."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

from storage.cell cimport Cell, RowHead, RowWriter


@cython.final
cdef class RowBuilder:
    cdef RowWriter writer
    cdef RowHead head
    cdef bint untidy            # cells came out of order, twice, or already deleted
    cdef bint has_cells
    cdef uint32_t last_column
    cdef int last_rank
    cdef bytes last_path
    cdef int64_t complex_ts     # of last_column's complex deletion

    cdef int start(self, int64_t base_ts, bint marker, uint32_t ttl, uint32_t expiry) except -1
    cdef int put_value(
        self, uint32_t column, int64_t ts, uint32_t ttl, uint32_t expiry,
        const uint8_t* value, Py_ssize_t size,
    ) except -1
    cdef int put_tombstone(self, uint32_t column, int64_t ts, uint32_t deleted_at) except -1
    cdef int put_element(
        self, uint32_t column, int64_t ts, bytes path, uint32_t ttl, uint32_t expiry,
        const uint8_t* value, Py_ssize_t size,
    ) except -1
    cdef int put(self, Cell* cell, bytes path) except -1
    cpdef bytes finish(self)

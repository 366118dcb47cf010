"""Cells and tombstones of one row as bytes, and which of two writes wins."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

# Constants and types of this door that live in the rooms behind it.
from storage.cell cimport (
    CELL_COMPLEX_DELETION, CELL_COUNTER, CELL_EMPTY, CELL_EXPIRING, CELL_HAS_PATH, CELL_SAME_TS,
    CELL_TOMBSTONE, CLUSTERING_COLUMN, COLUMN_MAX, COUNTER_SHARD_BYTES, ROW_DELETED,
    ROW_EXPIRING_MARKER, ROW_MARKER, Cell, RowHead, RowScan,
)
from storage.row_builder cimport RowBuilder


cdef enum:                      # what a read sees of a row
    IS_DEAD = 0                 # nothing
    IS_WHOLE = 1                # all of it
    IS_PART = 2                 # what `pick_live` leaves


cdef int timestamp_span(
    const uint8_t* data, Py_ssize_t size, int64_t* low, int64_t* high
) except -1
cdef bytes merge_pair(bytes a, bytes b)
cdef bytes shadow_row(bytes row, int64_t deletion_ts)
cdef int life_of(
    const uint8_t* row, Py_ssize_t size, int64_t wall_s, ColumnSet wanted, ColumnSet existing
) except -1
cdef bytes pick_live(bytes row, int64_t wall_s, ColumnSet wanted, ColumnSet existing)
cdef bytes live_row(bytes row, int64_t wall_s, ColumnSet wanted, ColumnSet existing)
cdef bytes purge_row(
    bytes row, int64_t wall_s, int64_t gc_before_s, int64_t purgeable_before_us, ColumnSet existing
)
cdef bint may_purge(
    const uint8_t* row, Py_ssize_t size, int64_t wall_s, int64_t gc_before_s, ColumnSet existing
) except -1


@cython.final
cdef class ColumnSet:
    cdef bytes bits             # one byte per column id up to the highest
    cdef const uint8_t* table   # into `bits`
    cdef uint32_t size

    cdef inline bint has(self, uint32_t column) noexcept:
        return column < self.size and self.table[column] != 0


@cython.final
cdef class CellCursor:
    cdef bytes row              # keeps what the pointers point into alive
    cdef RowScan scan
    cdef RowHead head
    cdef Cell cell              # the current cell, after next() was true
    cdef readonly uint32_t column
    cdef readonly int64_t timestamp
    cdef readonly uint8_t flags
    cdef readonly uint32_t ttl
    cdef readonly uint32_t expiry       # of a tombstone: the second of its deletion
    cdef const uint8_t* path_ptr
    cdef Py_ssize_t path_len
    cdef const uint8_t* value_ptr
    cdef Py_ssize_t value_len
    cdef readonly bint has_marker
    cdef readonly int64_t marker_ts
    cdef readonly uint32_t marker_ttl   # 0 if the marker does not expire
    cdef readonly uint32_t marker_expiry
    cdef readonly int64_t deletion_ts   # NO_DELETION if the row is not deleted
    cdef readonly uint32_t deleted_at

    cpdef int reset(self, bytes row) except -1
    cdef int point(self, const uint8_t* row, Py_ssize_t size) except -1
    cpdef bint next(self) except -1
    cpdef bytes path(self)
    cpdef bytes value(self)

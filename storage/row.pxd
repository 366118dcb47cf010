"""Cells and tombstones of one row as bytes, and which of two writes wins."""

cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t

from storage.buffer cimport Writer

cdef enum:                      # flags of a row
    ROW_MARKER = 1              # the row exists even without cells, since base_ts
    ROW_EXPIRING_MARKER = 2     # ... and only until the marker's expiry
    ROW_DELETED = 4             # everything in it up to deletion_ts is deleted

cdef enum:                      # flags of a cell
    CELL_TOMBSTONE = 1
    CELL_EXPIRING = 2
    CELL_HAS_PATH = 4
    CELL_COMPLEX_DELETION = 8   # with TOMBSTONE: deletes the collection's older elements
    CELL_SAME_TS = 16           # the timestamp is the row's base_ts and is not repeated
    CELL_EMPTY = 32             # the value has no bytes
    CELL_COUNTER = 64           # the value is a counter context

cdef enum:
    CLUSTERING_COLUMN = 0       # the hidden cell with raw clustering values; no sign of life
    COUNTER_SHARD_BYTES = 32    # host id, clock, count


cdef struct RowHead:
    uint8_t flags
    int64_t base_ts             # the marker's timestamp if there is one
    uint32_t marker_ttl
    uint32_t marker_expiry
    int64_t deletion_ts         # INT64_MIN if the row is not deleted
    uint32_t deleted_at

cdef struct Cell:
    uint8_t flags
    uint32_t column
    int64_t timestamp
    uint32_t ttl                # 0 unless EXPIRING
    uint32_t expiry             # of a tombstone: the second of its deletion
    const uint8_t* path         # NULL unless HAS_PATH
    Py_ssize_t path_size
    const uint8_t* value        # NULL if there is none
    Py_ssize_t value_size
    const uint8_t* body         # everything after the timestamp, as it was encoded
    Py_ssize_t body_size

cdef struct RowScan:            # where we are in a row's bytes
    const uint8_t* at
    const uint8_t* end
    int64_t base_ts


cdef int open_row(RowScan* scan, RowHead* head, const uint8_t* data, Py_ssize_t size) except -1
cdef int next_cell(RowScan* scan, Cell* cell) except -1
cdef int timestamp_span(
    const uint8_t* data, Py_ssize_t size, int64_t* low, int64_t* high
) except -1
cdef bytes merge_pair(bytes a, bytes b)
cdef bytes shadow_row(bytes row, int64_t deletion_ts)
cdef bytes live_row(bytes row, int64_t wall_s, ColumnSet wanted, ColumnSet existing)
cdef bytes purge_row(
    bytes row, int64_t wall_s, int64_t gc_before_s, int64_t purgeable_before_us, ColumnSet existing
)


@cython.final
cdef class ColumnSet:
    cdef bytes bits             # one byte per column id up to the highest
    cdef const uint8_t* table   # into `bits`
    cdef uint32_t size

    cdef inline bint has(self, uint32_t column) noexcept:
        return column < self.size and self.table[column] != 0


@cython.final
cdef class RowWriter:
    cdef Writer out             # room for the head, then the cells
    cdef int64_t base_ts        # what SAME_TS refers to, once known
    cdef bint has_base

    cdef int begin(self, const RowHead* head) except -1
    cdef int put_cell(self, const Cell* cell) except -1
    cdef bytes finish(self, const RowHead* head, bint keep_empty)


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
    cpdef bint next(self) except -1
    cpdef bytes path(self)
    cpdef bytes value(self)

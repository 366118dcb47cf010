"""The parts of a row's bytes: its head and its cells, how they are ordered, read and written."""

cimport cython
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t
from libc.string cimport memcmp

from storage.buffer cimport Writer

cdef enum:                      # flags of a row
    ROW_MARKER = 1              # the row exists even without cells, since base_ts
    ROW_EXPIRING_MARKER = 2     # ... and only until the marker's expiry
    ROW_DELETED = 4             # everything in it up to deletion_ts is deleted

cdef enum:                      # flags of a cell
    CELL_TOMBSTONE = 1          # with EXPIRING: of a cell that expired, which keeps its rank
    CELL_EXPIRING = 2
    CELL_HAS_PATH = 4
    CELL_COMPLEX_DELETION = 8   # with TOMBSTONE: deletes the collection's older elements
    CELL_SAME_TS = 16           # the timestamp is the row's base_ts and is not repeated
    CELL_EMPTY = 32             # the value has no bytes
    CELL_COUNTER = 64           # the value is a counter context

cdef enum:
    CLUSTERING_COLUMN = 0       # the hidden cell with raw clustering values; no sign of life
    COUNTER_SHARD_BYTES = 32    # host id, clock, count
    COLUMN_MAX = 0xFFFF
    HEAD_MAX = 29               # bytes of a head with everything in it


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
    uint32_t expiry             # of a mere tombstone: the second of its deletion
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

cdef struct Filter:             # what is deleted while we go through cells in order
    int64_t floor               # of the row
    int64_t complex_ts          # of the column's collection
    uint32_t complex_column


cdef int corrupt(str what) except -1
cdef int open_row(RowScan* scan, RowHead* head, const uint8_t* data, Py_ssize_t size) except -1
cdef int next_cell(RowScan* scan, Cell* cell) except -1
cdef int compare_strength(const Cell* a, const Cell* b) noexcept nogil
cdef int encode_body(Writer out, const Cell* cell) except -1


@cython.final
cdef class RowWriter:
    cdef Writer out             # room for the head, then the cells
    cdef int64_t base_ts        # what SAME_TS refers to, once known
    cdef bint has_base

    cdef int begin(self, const RowHead* head) except -1
    cdef int put_cell(self, const Cell* cell) except -1
    cdef bytes finish(self, const RowHead* head, bint keep_empty)


cdef inline int compare_raw(
    const uint8_t* a, Py_ssize_t a_size, const uint8_t* b, Py_ssize_t b_size
) noexcept nogil:
    """Byte order: negative, zero or positive."""
    cdef Py_ssize_t common = a_size if a_size < b_size else b_size
    cdef int order = memcmp(a, b, common) if common else 0
    if order:
        return order
    return (a_size > b_size) - (a_size < b_size)


cdef inline int rank_of(const Cell* cell) noexcept nogil:
    """A column's complex deletion comes before its plain cell, that before its elements."""
    if cell.flags & CELL_COMPLEX_DELETION:
        return 0
    return 2 if cell.flags & CELL_HAS_PATH else 1


cdef inline int compare_places(const Cell* a, const Cell* b) noexcept nogil:
    """The order of cells within a row; zero if both are about the same place."""
    if a.column != b.column:
        return -1 if a.column < b.column else 1
    cdef int a_rank = rank_of(a), b_rank = rank_of(b)
    if a_rank != b_rank:
        return a_rank - b_rank
    return compare_raw(a.path, a.path_size, b.path, b.path_size) if a_rank == 2 else 0


cdef inline int compare_unsigned(uint32_t a, uint32_t b) noexcept nogil:
    return (a > b) - (a < b)


cdef inline void drop_marker(RowHead* head) noexcept nogil:
    head.flags &= ROW_DELETED
    head.base_ts = 0
    head.marker_ttl = head.marker_expiry = 0


cdef inline void drop_deletion(RowHead* head) noexcept nogil:
    head.flags &= ~ROW_DELETED
    head.deletion_ts = INT64_MIN
    head.deleted_at = 0


cdef inline void open_filter(Filter* keep, int64_t floor) noexcept nogil:
    keep.floor = floor
    keep.complex_ts = INT64_MIN
    keep.complex_column = COLUMN_MAX + 1


cdef inline bint covers(Filter* keep, const Cell* cell) noexcept nogil:
    """Whether an earlier deletion covers this cell; remembers complex deletions."""
    if cell.timestamp <= keep.floor:
        return True
    if cell.column == keep.complex_column and cell.timestamp <= keep.complex_ts:
        return True
    if cell.flags & CELL_COMPLEX_DELETION:
        keep.complex_column = cell.column
        keep.complex_ts = cell.timestamp
    return False

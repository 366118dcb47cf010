"""Structs of the assembly of result rows."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from storage.row cimport CellCursor
from storage.slice cimport Pack, PartitionRows


cdef enum Kind:
    KEY = 0         # a component of the partition key
    CLUSTERING = 1  # a component of the clustering key
    STATIC = 2      # a cell of the static row
    REGULAR = 3     # a cell of the row


cdef struct Value:
    const unsigned char *data  # belongs to an object which the assembler holds
    Py_ssize_t size            # -1 is null


cdef class Assembler:
    cdef Py_ssize_t column_count   # fetched columns
    cdef Py_ssize_t output_count   # columns of a result row
    cdef Value *values             # one for each fetched column
    cdef int *kinds                # Kind of each fetched column
    cdef int *positions            # component of the key or clustering; -1 for cells
    cdef int *outputs              # fetched column of each result column
    cdef int *slot_of              # column id -> fetched column, -1 when not fetched
    cdef int column_id_max         # highest id in slot_of
    cdef int key_parts             # components of the partition key
    cdef bint has_multicell        # some fetched column has one cell per element
    cdef bint wants_clustering     # some fetched column is a clustering column
    cdef bint lossy                # clustering values stand in the hidden cell
    cdef bint is_counter           # cells hold counter contexts
    cdef object codec              # ClusteringCodec of the table
    cdef list types                # type of each fetched column
    cdef list multicell            # whether each fetched column has one cell per element
    cdef list held                 # objects the values point into, of the row at hand
    cdef list static_held          # the same, of the partition at hand
    cdef list elements             # of each multi-cell column: [(path, value)] or None
    cdef list times                # write time of each fetched column, when asked
    cdef list ttls                 # seconds left of each fetched column, when asked
    cdef bint with_times           # keep times and ttls
    cdef int64_t wall_s            # now, for seconds left
    cdef PyObject *store           # bytes that hold the rows so far, no one else's yet; NULL: none
    cdef unsigned char *buffer     # their content: wire form of the rows so far
    cdef Py_ssize_t size           # bytes used of it
    cdef Py_ssize_t capacity       # bytes allocated of it
    cdef Py_ssize_t rows           # result rows in it
    cdef CellCursor cursor         # over the row at hand

    cpdef Py_ssize_t add_partition(
        self, PartitionRows partition, Py_ssize_t bytes_max=*, Py_ssize_t first=*,
        Py_ssize_t count=*
    ) except -1
    cpdef Py_ssize_t add_pack(
        self, Pack pack, Py_ssize_t bytes_max, Py_ssize_t first, Py_ssize_t count
    ) except -1
    cdef list fetch_pack(self, Pack pack, Py_ssize_t first, Py_ssize_t count)
    cdef int read_head(self, PartitionRows partition) except -1
    cdef int read_row(self, bytes clustering, bytes row) except -1
    cdef int read_packed_key(self, Pack pack, Py_ssize_t row) except -1
    cdef int read_packed(self, Pack pack, Py_ssize_t row) except -1
    cdef bytes take_data(self)
    cdef int read_key(self, const unsigned char *data, Py_ssize_t end) except -1
    cdef int read_clustering(self, bytes clustering, bytes row) except -1
    cdef int read_cells(self, const unsigned char *row, Py_ssize_t size, int kind) except -1
    cdef list held_of(self, int kind)
    cdef int note_times(self, int slot, bint element, CellCursor cell) except -1
    cdef int clear(self, int kind) except -1
    cdef int emit(self) except -1
    cdef int reserve(self, Py_ssize_t more) except -1
    cdef object fetched(self, bytes key, bytes clustering)


cdef class FetchedRow:
    cdef readonly bytes key         # decorated key of its partition
    cdef readonly bytes clustering  # b"" for a static row alone
    cdef readonly list values       # wire bytes or None, one for each fetched column
    cdef readonly list times        # write times (list for a collection), None unless asked
    cdef readonly list ttls         # seconds left, None unless asked

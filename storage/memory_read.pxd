"""One slice of one partition, answered from memory alone: from memtables and cached rows."""

from libc.stdint cimport int64_t

from storage.cache cimport TableCache
from storage.row cimport ColumnSet
from storage.slice cimport Page, Slice


cpdef Page read_memory(
    list memtables, TableCache cache, Slice wanted, bytes key, int64_t wall_s, ColumnSet existing,
    Py_ssize_t steps_max
)


cdef bint wants_all(Slice wanted) except -1

"""One slice of one partition, answered from memtables alone."""

from libc.stdint cimport int64_t

from storage.row cimport ColumnSet
from storage.slice cimport Page, Slice


cpdef Page read_memory(
    list memtables, Slice wanted, bytes key, int64_t wall_s, ColumnSet existing,
    Py_ssize_t steps_max
)

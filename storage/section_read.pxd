"""One slice of one partition, answered from memtables and one section of each file."""

from libc.stdint cimport int64_t

from storage.row cimport ColumnSet
from storage.slice cimport Page, Slice
from storage.sstable.block cimport Section


cdef class SectionRead:
    cdef list lookups           # one for each file, the youngest first
    cdef Py_ssize_t at          # the one at work; all before it are done
    cdef list runs              # of the memtables, the youngest first
    cdef Slice wanted
    cdef bytes key
    cdef int64_t wall_s
    cdef ColumnSet existing
    cdef bint wants_static
    cdef tuple bounds           # the clusterings in which all ranges lie

    cdef list sections(self)
    cdef Page only_row(self, list sections)
    cdef Page merged(self, list sections, Py_ssize_t steps_max)


cdef bint covers(Section section, bytes position) except -1

"""Partitions of a range in the order of their keys, the plain ones put on a page at once."""

cimport cython
from libc.stdint cimport uint8_t

from storage.buffer cimport Writer
from storage.memtable cimport Memtable
from storage.merge cimport PageMerge
from storage.slice cimport Slice
from storage.sstable.splice cimport Lane


@cython.final
cdef class MemoryKeys:
    cdef Memtable memtable
    cdef list keys              # what follows, ascending, as it was when the last run began
    cdef Py_ssize_t at          # of the key at hand in `keys`

    cdef int seek(self, bytes position) except -1
    cdef int step(self) except -1


cdef struct Least:              # the least key of all sources
    const uint8_t* key          # NULL if there is none
    Py_ssize_t size
    Py_ssize_t sources          # in how many it is
    Py_ssize_t source           # the first of them: a lane, or behind the lanes a memtable


cdef struct PlainRow:           # the only row of a partition in one source
    const uint8_t* clustering
    Py_ssize_t clustering_size
    const uint8_t* row
    Py_ssize_t row_size


@cython.final
cdef class RangeRead:
    cdef PageMerge merge
    cdef list lanes             # of the files
    cdef list memories          # MemoryKeys of the memtables
    cdef bytes end              # keys from here on are not wanted
    cdef bytes low              # where the clusterings that are wanted begin
    cdef bytes resumed          # the key of which an earlier page gave a part, or b""
    cdef bint takes_plain       # whether the slice wants plain partitions from `low` to their end
    cdef Py_ssize_t rows_max    # of a partition that is taken: in reverse only one
    cdef Writer passed          # the last key that was passed
    cdef readonly bytes key     # of the partition at which `run` has stopped
    cdef readonly Py_ssize_t steps      # rows and partitions of the last run

    cpdef int run(self, Py_ssize_t steps_max) except -1
    cdef int find_least(self, Least* least) except -1
    cdef bint take(self, const Least* least) except -1
    cdef bint take_section(self, Lane lane) except -1
    cdef bint take_only_row(self, const Least* least) except -1
    cdef int put_row(self, const Least* least, const PlainRow* row) except -1
    cdef bint only_row_of(self, Py_ssize_t source, bytes key, PlainRow* row) except -1
    cdef bint is_at(self, Py_ssize_t source, const Least* least) except -1
    cdef bint step(self, const Least* least) except -1
    cdef int note(self, const Least* least) except -1
    cdef int stop(self) except -1

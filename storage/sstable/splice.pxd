"""Partitions that have nothing but rows, carried into a block without an object for each row."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

from storage.memtable cimport Memtable
from storage.row cimport ColumnSet
from storage.sstable.block cimport Block, BlockBuilder, Section, SectionHead
from storage.sstable.bloom cimport BloomFilter
from storage.sstable.format cimport Input
from storage.sstable.statistics cimport Statistics

cdef enum:                          # why a run has stopped
    IS_END = 0
    IS_PAUSED = 1
    IS_FULL = 2
    IS_EMPTY = 3
    IS_OTHER = 4
    IS_LIMIT = 5


@cython.final
cdef class Lane:
    cdef bint has_section           # whether a section is at hand
    cdef SectionHead head           # of it
    cdef readonly bint is_used_up   # the section was taken, and its block has no other
    cdef Block _block               # whose payload `head` points into; None before the first
    cdef Section _section           # at hand, once somebody has asked for the object
    cdef Py_ssize_t _next           # offset of the next section
    cdef bytes _end                 # keys from here on are not wanted

    cpdef int fill(self, Block block) except -1
    cpdef bint step(self) except -1
    cpdef bint seek(self, bytes key) except -1
    cdef Section at_hand(self)
    cdef int open_feed(self, Feed* feed) except -1


cdef struct Feed:                   # the rows of one section, one after the other
    Input input
    uint32_t left                   # rows behind the one at hand
    bint has_row
    const uint8_t* clustering
    Py_ssize_t clustering_size
    const uint8_t* row
    Py_ssize_t row_size


cdef int next_row(Feed* feed) except -1


@cython.final
cdef class Sink:
    cdef readonly BlockBuilder blocks
    cdef readonly Statistics statistics
    cdef readonly BloomFilter filter

    cdef int open(self, bytes key) except -1
    cdef int put(
        self, const uint8_t* clustering, Py_ssize_t size, const uint8_t* row, Py_ssize_t row_size
    ) except -1
    cdef int close(self, bytes key) except -1


@cython.final
cdef class Splice:
    cdef list _lanes
    cdef int64_t _wall_s
    cdef int64_t _gc_before_s
    cdef ColumnSet _existing
    cdef object _purgeable_before   # key -> the lowest timestamp of data outside of the merge
    cdef Feed* _feeds               # as many as lanes
    cdef readonly list counts       # at [n]: how many partitions were in n of the lanes
    cdef readonly bytes key         # of the partition at which `run` has stopped, or None
    cdef readonly Py_ssize_t spent  # what the last run has done, in bytes

    cdef Py_ssize_t _find_least(self, Py_ssize_t* total) except -1
    cdef bint _is_plain(self, Sink sink) except -1
    cdef int _take(self, Sink sink, Py_ssize_t count) except -1
    cdef bint _copy(self, Sink sink, Lane lane) except -1
    cdef int _merge(self, Sink sink, Py_ssize_t count) except -1
    cdef bytes _merge_rows(self, Py_ssize_t first, Py_ssize_t count)
    cdef bint _step_lanes(self) except -1


@cython.final
cdef class MemorySplice:
    cdef Memtable _memtable
    cdef list _keys                 # what follows, ascending
    cdef Py_ssize_t _at
    cdef bytes _last
    cdef readonly Py_ssize_t spent  # what the last run has done, in bytes


cdef bint put_found(Sink sink, bytes key, object found) except -1

"""One partition's section at a clustering, in one SSTable: which frames it takes to find it."""

from storage.block_cache cimport BlockCache
from storage.sstable.block cimport Section
from storage.sstable.index cimport IndexBlock


cdef class Lookup:
    cdef object table           # the SSTable
    cdef bytes key
    cdef bytes position         # clustering at which the first row may lie
    cdef BlockCache cache       # that is asked before a frame is missing; or None
    cdef IndexBlock index       # what names the next frame; None once data was found
    cdef bint is_summary        # whether that is the summary, which names index blocks
    cdef object needed          # the Fetch that was asked for and has not come; or None
    cdef readonly Section section   # None if there is none, or as long as it was not found

    cpdef object step(self)
    cpdef int supply(self, list parsed) except -1
    cdef object look_for(self, bint in_summary)
    cdef int take(self, object parsed) except -1

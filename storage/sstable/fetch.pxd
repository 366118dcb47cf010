"""Places in an SSTable's file, and which of them are wanted with one read."""

cimport cython
from libc.stdint cimport int64_t, uint64_t


@cython.final
cdef class Extent:
    cdef readonly uint64_t offset
    cdef readonly uint64_t size


@cython.final
cdef class Fetch:
    cdef readonly object table  # the SSTable
    cdef readonly object kind   # Kind of all the frames
    cdef readonly list places   # an Extent for each frame
    cdef int64_t start          # where the first frame begins
    cdef int64_t end            # where the last one ends

    cdef int place(self) except -1
    cdef int64_t first_page(self) noexcept
    cdef int64_t pages_end(self) noexcept


cdef Fetch fetch_one(object table, object kind, uint64_t offset, uint64_t size)

"""A map of byte strings in their order, in small blocks."""

cimport cython
from cpython.ref cimport PyObject

cdef extern from "Python.h":
    void PyObject_GC_UnTrack(PyObject* o) noexcept

cdef enum:
    BLOCK_MAX = 256             # entries; an insertion moves at most so many pointers
    ENTRY_BYTES = 32            # two pointers in lists that grow by halves, as measured


cdef inline list untracked(list entries):
    """The same list, which is part of no cycle and which the collector passes over from now on."""
    PyObject_GC_UnTrack(<PyObject*>entries)
    return entries


@cython.final
cdef class MapBlock:
    cdef list keys              # ascending
    cdef list values


@cython.final
cdef class SortedMap:
    cdef list blocks
    cdef list firsts            # the first key of each block
    cdef readonly Py_ssize_t size
    cdef MapBlock block         # where locate() came to
    cdef Py_ssize_t block_at
    cdef Py_ssize_t index

    cdef Py_ssize_t find_block(self, bytes key) noexcept
    cdef bint locate(self, bytes key) noexcept
    cdef object located(self)
    cdef int replace(self, object value) except -1
    cdef int insert(self, bytes key, object value) except -1
    cdef int unshare(self) except -1
    cdef int split(self) except -1

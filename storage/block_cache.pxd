"""Blocks of SSTables which were read lately, parsed and checked, bounded in bytes."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from storage.sstable.fetch cimport Fetch


cdef struct Link:
    Link* older
    Link* younger
    PyObject* kept              # the Kept that the link is in, borrowed; NULL in the list's own


@cython.final
@cython.no_gc
cdef class Kept:
    cdef object block           # Block or IndexBlock; nothing in it or in a table leads back to us
    cdef object table
    cdef object offset          # int: where the table has the block
    cdef Py_ssize_t size        # what it is charged with
    cdef bint is_index
    cdef Link link              # in one of the cache's two lists


@cython.final
cdef class BlockCache:
    cdef readonly Py_ssize_t bytes_max
    cdef readonly Py_ssize_t used_bytes
    cdef public Py_ssize_t hits
    cdef public Py_ssize_t misses
    cdef readonly Py_ssize_t index_hits     # the part of the hits that index blocks have
    cdef readonly Py_ssize_t index_misses   # index blocks that were missed and read
    cdef readonly Py_ssize_t index_bytes    # the part of the used bytes that index blocks have
    cdef readonly Py_ssize_t index_count    # the part of all blocks that index blocks are
    cdef Py_ssize_t count           # blocks of both kinds
    cdef dict tables                # table to part to a dict of blocks by offset; none is empty
    cdef Link data                  # a ring through all data blocks: oldest is next to youngest
    cdef Link index                 # the same for index blocks

    cpdef object find_one(self, object table, uint64_t offset)
    cpdef int put_one(self, object table, uint64_t offset, object block) except -1
    cdef object look_up(self, object table, uint64_t offset)
    cdef list ring_of(self, Link* ring, bint is_index)
    cdef int shrink(self) except -1
    cdef int drop(self, Kept kept) except -1
    cdef int let_go(self, Kept kept) except -1

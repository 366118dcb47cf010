"""Merged rows of SSTables in memory, and the gaps between them that are known to be empty."""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from storage.key_map cimport KeyMap
from storage.memtable cimport MemoryRun
from storage.merge cimport Chunk


@cython.final
cdef class Stretch:
    cdef bytes start            # of the interval of clusterings of which all is known
    cdef bytes end              # exclusive; b"" is unbounded
    cdef object clusterings     # ascending list, or the bytes of the only one
    cdef object rows            # list, or the bytes of the only one
    cdef list tombstones        # disjoint and ascending, cut at the bounds; None if there are none
    cdef CachedPartition owner
    cdef PyObject* before       # neighbours on the clock's ring, which are held by their owners
    cdef PyObject* after
    cdef Py_ssize_t cost        # bytes that are charged for it
    cdef bint is_touched        # read since the clock's hand came by

    cdef int fill(self, Chunk chunk) except -1
    cdef Py_ssize_t count(self)
    cdef Py_ssize_t weight(self)
    cdef Chunk chunk(self)


@cython.final
cdef class CachedPartition:
    cdef readonly bytes key
    cdef KeyMap home            # where its key leads to it, as long as it is not forgotten
    cdef int64_t deletion_ts    # INT64_MIN if the partition is not deleted
    cdef uint32_t deleted_at
    cdef bytes static_row       # b"" if there is none
    cdef Stretch only           # the only stretch, or None
    cdef list stretches         # ascending, if there are several; else None
    cdef Py_ssize_t cost        # bytes that are charged for it, beside its stretches

    cdef Py_ssize_t count(self) noexcept
    cdef Stretch at(self, Py_ssize_t index)
    cdef Py_ssize_t last_from(self, bytes position) noexcept
    cdef Py_ssize_t last_below(self, bytes position) noexcept
    cdef Stretch at_or_above(self, bytes position)
    cdef Stretch covering(self, bytes position, bint reverse)
    cdef bint is_free(self, bytes start, bytes end) except -1
    cdef bytes only_row(self)
    cdef int add(self, Stretch stretch) except -1
    cdef int remove(self, Stretch stretch) except -1


@cython.final
cdef class CachedRun:
    cdef CachedPartition partition

    cpdef Chunk chunk_at(self, bytes position, bint reverse)
    cpdef bytes known_from(self, bytes position, bint reverse)


@cython.final
cdef class RowCache:
    cdef readonly Py_ssize_t bytes_max
    cdef readonly Py_ssize_t used_bytes
    cdef readonly Py_ssize_t stretches
    cdef readonly Py_ssize_t insertions
    cdef readonly Py_ssize_t refusals       # of what was read too long ago, or is too large
    cdef readonly Py_ssize_t evictions
    cdef PyObject* hand                     # of the clock; NULL if the ring is empty
    cdef list dead                          # maps of partitions which were cleared
    cdef CachedPartition dying              # one of theirs, which is being freed; or None

    cdef int charge(self, Py_ssize_t size) except -1
    cdef int link(self, Stretch stretch) except -1
    cdef int unlink(self, Stretch stretch) except -1
    cdef int drop(self, Stretch stretch) except -1
    cdef int evict(self) except -1
    cdef bint make_room(self, Py_ssize_t size) except -1
    cdef int take(self, CachedPartition partition, Stretch stretch) except -1
    cdef int put(self, CachedPartition partition, Chunk chunk, bint is_touched) except -1
    cdef int join(self, CachedPartition partition, Chunk chunk, bint is_touched) except -1
    cdef int put_split(self, CachedPartition partition, Chunk chunk, bint is_touched) except -1
    cdef int absorb_head(self, CachedPartition partition, tuple head) except -1
    cdef Chunk absorb_into(
        self, CachedPartition partition, Stretch stretch, MemoryRun run, Py_ssize_t rows_max
    )


@cython.final
cdef class TableCache:
    cdef RowCache cache
    cdef KeyMap partitions      # key -> CachedPartition
    cdef readonly int64_t phase     # grows when the SSTables get other content
    cdef public Py_ssize_t hits         # reads which it could answer without files
    cdef public Py_ssize_t misses

    cpdef CachedRun find(self, bytes key)

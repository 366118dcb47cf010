"""Merged rows of SSTables in memory, and the gaps between them that are known to be empty."""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from storage.key_map cimport KeyMap
from storage.memtable cimport MemoryRun, Memtable
from storage.merge cimport Chunk
from storage.row_table cimport RowTable


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
    cdef int add(self, Stretch stretch) except -1
    cdef int remove(self, Stretch stretch) except -1


@cython.final
cdef class CachedRun:
    cdef CachedPartition partition  # None if all is known, and it is one row or none:
    cdef bytes clustering
    cdef bytes row              # b"" if there is none

    cdef bytes mere_row(self)

    cpdef Chunk chunk_at(self, bytes position, bint reverse)
    cpdef bytes known_from(self, bytes position, bint reverse)


@cython.final
cdef class RowCache:
    cdef readonly Py_ssize_t bytes_max
    cdef readonly Py_ssize_t used_bytes
    cdef readonly Py_ssize_t stretches      # partitions in row tables included
    cdef readonly Py_ssize_t insertions
    cdef readonly Py_ssize_t refusals       # of what was read too long ago, or is too large
    cdef readonly Py_ssize_t evictions
    cdef PyObject* hand                     # of the clock; NULL if the ring is empty
    cdef Py_ssize_t ring                    # stretches on it
    cdef Py_ssize_t ring_left               # of them to come before the hand goes on to `tables`
    cdef list tables                        # row tables which are not empty
    cdef Py_ssize_t turn                    # the table in which the hand is
    cdef list dead                          # maps and row tables which were cleared
    cdef CachedPartition dying              # one of theirs, which is being freed; or None

    cdef int charge(self, Py_ssize_t size) except -1
    cdef int link(self, Stretch stretch) except -1
    cdef int unlink(self, Stretch stretch) except -1
    cdef int drop(self, Stretch stretch) except -1
    cdef int evict(self) except -1
    cdef bint step(self, bint spares) except -1
    cdef int bury(self, RowTable table) except -1
    cdef int leave(self, RowTable table) except -1
    cdef int keep_bound(self) except -1
    cdef int forget_row(self, RowTable table, Py_ssize_t cost) except -1
    cdef bint keep_row(
        self, RowTable table, bytes key, bytes clustering, bytes row, int chances
    ) except -1
    cdef tuple hot_stretches(self, dict places, Py_ssize_t count_max)
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
    cdef RowTable rows          # the partitions of which all is known: one row, or none
    cdef KeyMap partitions      # key -> CachedPartition: all others
    cdef readonly int64_t phase     # grows when the SSTables get other content
    cdef public Py_ssize_t hits         # reads which it could answer without files
    cdef public Py_ssize_t misses

    cpdef CachedRun find(self, bytes key)
    cdef CachedPartition partition_of(self, bytes key)
    cdef CachedPartition new_partition(
        self, bytes key, int64_t deletion_ts, uint32_t deleted_at, bytes static_row
    )
    cdef int fold(self, CachedPartition partition) except -1
    cdef bint keep_row(self, bytes key, Chunk chunk, int chances) except -1
    cdef bint absorb_row(self, bytes key, object found) except -1

"""The writes that are not in SSTables yet: partitions by key, rows by clustering."""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from storage.key_map cimport KeyMap
from storage.merge cimport Chunk
from storage.mutation cimport Item, Mutation, MutationHead
from storage.sorted_map cimport SortedMap


@cython.final
cdef class MemoryPartition:
    cdef int64_t deletion_ts    # INT64_MIN if the partition is not deleted
    cdef uint32_t deleted_at
    cdef bytes static_row       # b"" if there is none
    cdef bytes clustering       # of the only row, while `rows` is None
    cdef bytes row              # the only row; None if there is none
    cdef SortedMap rows         # clustering -> row, once there is more than one
    cdef list tombstones        # (start, end, ts, at), disjoint and ascending; None if none


@cython.final
cdef class MemoryRun:
    cdef object partition       # a MemoryPartition, or the bytes of the only row

    cpdef Chunk chunk_at(self, bytes position, bint reverse)
    cdef Chunk block_chunk(self, MemoryPartition partition, bytes position, bint reverse)


@cython.final
cdef class Memtable:
    cdef KeyMap partitions      # key -> MemoryPartition, or the row itself if it is the only one
    cdef SortedMap order        # the keys
    cdef readonly bint has_clustering
    cdef readonly bint has_static
    cdef readonly int64_t memory_bytes      # estimate of what the content takes of RSS
    cdef readonly int64_t mutation_count
    cdef int64_t low                        # lowest timestamp, above `high` if empty
    cdef int64_t high
    cdef readonly Py_ssize_t users          # who would miss what is dissolved

    cpdef int64_t apply(self, Mutation mutation) except? -1
    cdef int64_t apply_head(self, bytes key, const MutationHead* head) except? -1
    cdef int apply_only_row(self, bytes key, const MutationHead* head) except -1
    cdef MemoryPartition open_partition(self, bytes key)
    cdef int apply_item(self, MemoryPartition partition, Item* item) except -1
    cdef int put_row(self, MemoryPartition partition, bytes clustering, bytes row) except -1
    cdef int put_tombstone(self, MemoryPartition partition, tuple tombstone) except -1
    cdef Py_ssize_t dissolve_rows(self, object found, Py_ssize_t count) except -1
    cpdef MemoryRun find(self, bytes key)

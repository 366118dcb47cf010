"""One partition's change, one encoding for log, wire and memory."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from storage.buffer cimport Writer

cdef enum:
    MUTATION_VERSION = 1
    TABLE_ID_BYTES = 16
    ITEM_ROW = 0
    ITEM_RANGE_TOMBSTONE = 1

cdef struct Item:
    int kind                    # ITEM_ROW or ITEM_RANGE_TOMBSTONE
    const uint8_t* start        # the clustering of a row, the start of a range
    Py_ssize_t start_size
    const uint8_t* end          # a row's bytes, the end of a range
    Py_ssize_t end_size
    int64_t deletion_ts         # of a range tombstone
    uint32_t deleted_at

cdef struct ItemScan:           # where we are in a mutation's items
    const uint8_t* at
    const uint8_t* end
    uint64_t left               # items not read yet

cdef struct MutationHead:       # a mutation's bytes, of which the items were not looked at
    const uint8_t* table_id     # TABLE_ID_BYTES of them
    const uint8_t* key
    Py_ssize_t key_size
    int64_t deletion_ts         # INT64_MIN if the partition is not deleted
    uint32_t deleted_at
    ItemScan items              # before the first


@cython.final
cdef class Mutation:
    cdef readonly bytes data        # the whole encoding
    cdef readonly bytes table_id
    cdef readonly bytes key         # decorated
    cdef int64_t deletion_ts        # INT64_MIN if the partition is not deleted
    cdef uint32_t deleted_at
    cdef readonly Py_ssize_t item_count
    cdef Py_ssize_t items_at        # where the items begin in `data`

    cdef void point(self, MutationHead* head) noexcept


cdef const uint8_t* read_length(
    const uint8_t* at, const uint8_t* end, Py_ssize_t* size
) except NULL
cdef int read_head(const uint8_t* data, Py_ssize_t size, MutationHead* head) except -1
cdef int walk(const MutationHead* head, int64_t* low, int64_t* high) except -1
cdef int next_item(ItemScan* scan, Item* item) except -1


@cython.final
cdef class MutationBuilder:
    cdef bytes table_id
    cdef bytes key
    cdef int64_t deletion_ts
    cdef uint32_t deleted_at
    cdef Writer body                # the items so far
    cdef Py_ssize_t count

    cdef int start(self, bytes table_id, bytes key) except -1
    cpdef delete_partition(self, int64_t ts, uint32_t deleted_at)
    cpdef row(self, bytes clustering, bytes row)
    cpdef range_tombstone(self, bytes start, bytes end, int64_t ts, uint32_t deleted_at)
    cpdef Mutation finish(self)

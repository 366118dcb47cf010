from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from storage.sstable.format cimport Input

cdef class Statistics:
    cdef public uint64_t partitions         # how many partitions, whole or in part
    cdef public uint64_t rows               # static rows included
    cdef public uint64_t tombstones         # deletions of every kind, and what will expire
    cdef public uint64_t raw_bytes          # of all blocks before compression
    cdef public int64_t min_timestamp       # over markers, cells and deletions
    cdef public int64_t max_timestamp
    cdef public uint32_t min_deletion_s     # first second at which something is deleted or expires
    cdef public uint32_t max_deletion_s     # last such second; NEVER_S if something lives for ever
    cdef public uint32_t max_ttl_s          # longest time to live; 0 is none
    cdef public bytes first_key
    cdef public bytes last_key
    cdef public bytes min_clustering        # None until something is inside
    cdef public bytes max_clustering        # NO_END if there is no upper end

    cdef int _saw(self, int64_t timestamp, uint32_t at) except -1
    cdef int _saw_deletion(self, int64_t timestamp, uint32_t at) except -1
    cdef int add_plain(self, bytes key) except -1
    cdef int add_span(self, const uint8_t* row, Py_ssize_t size) except -1
    cdef int cover_span(self, const uint8_t* clustering, Py_ssize_t size) except -1
    cdef bint covers(self, bytes start, bytes end) except -1
    cdef int _saw_cell(self, Input* source, int64_t base) except -1

"""One table's mutations as the log has them, sorted by key and put into a file."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from storage.memtable cimport MemoryRun, Memtable
from storage.mutation cimport MutationHead
from storage.sstable.splice cimport Sink


cdef struct Entry:
    uint64_t head               # the first bytes of the key, as a number of the same order
    const uint8_t* data         # the mutation, in one of the chunks
    uint32_t size


@cython.final
cdef class LogRun:
    cdef readonly bint has_clustering
    cdef readonly bint has_static
    cdef readonly int64_t memory_bytes
    cdef readonly Py_ssize_t partitions     # how many keys there are; known once it is sorted
    cdef Entry* entries
    cdef Py_ssize_t count
    cdef Py_ssize_t room                    # how many entries there is room for
    cdef void** chunks                      # they hold the mutations
    cdef Py_ssize_t chunk_count
    cdef uint8_t* free_at                   # what is left of the last chunk
    cdef Py_ssize_t free_size

    cdef int64_t add(
        self, const uint8_t* data, Py_ssize_t size, const MutationHead* head
    ) except? -1
    cdef int make_entry_room(self) except -1
    cdef int make_chunk(self, Py_ssize_t size) except -1
    cdef Py_ssize_t end_of_key(self, Py_ssize_t first) except -1
    cdef Py_ssize_t end_of_head(self, Py_ssize_t first) noexcept
    cdef int sort_keys(self, Py_ssize_t first, Py_ssize_t stop) except -1


@cython.final
cdef class LogSplice:
    cdef LogRun _run
    cdef Py_ssize_t _at             # the entry that follows
    cdef Memtable _partition        # of the last key, if several mutations had to be merged
    cdef readonly bytes key         # of the partition that was put last, or could not be put
    cdef readonly Py_ssize_t spent  # what the last run has done, in bytes

    cdef bint _put_next(self, Sink sink) except -1
    cdef bint _put_row(self, Sink sink, const MutationHead* head) except -1
    cdef bint _put_merged(self, Sink sink, Py_ssize_t first, Py_ssize_t stop) except -1

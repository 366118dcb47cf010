"""What is known of an interval of clusterings: joined, cut, weighed, and merged with a flush."""

from libc.stdint cimport int64_t, uint32_t

from storage.memtable cimport MemoryRun
from storage.merge cimport Chunk


cdef Py_ssize_t cost_of(bytes data) noexcept
cdef Py_ssize_t cost_of_chunk(Chunk chunk) except -1
cdef Py_ssize_t weight_of(Chunk chunk) noexcept
cdef bint is_mere(Chunk chunk) except -1
cdef Py_ssize_t data_bytes(Chunk chunk) except -1
cdef Chunk mere_chunk(bytes clustering, bytes row)
cdef Chunk joined(Chunk left, Chunk right)
cdef Chunk cut(Chunk chunk, bytes start, bytes end)
cdef Chunk merged(
    bytes key, int64_t deletion_ts, uint32_t deleted_at, Chunk chunk, MemoryRun run,
    Py_ssize_t rows_max
)
cdef bytes next_change(MemoryRun run, bytes position)

from libc.stdint cimport uint32_t, uint64_t

from storage.sstable.format cimport Input, Output


cdef class IndexBuilder:
    cdef Output _output         # the entries so far
    cdef readonly int count     # how many
    cdef bytes _first_key
    cdef bytes _first_low
    cdef bytes _last_key
    cdef bytes _last_low


cdef class IndexBlock:
    cdef bytes _payload         # the entries, kept alive for the offsets below
    cdef uint32_t* _offsets     # owned; where each entry begins in the payload
    cdef readonly Py_ssize_t count

    cdef Input _entry(self, Py_ssize_t position) noexcept
    cdef Py_ssize_t last_at(self, bytes key, bytes low) noexcept
    cdef int read_place(self, Py_ssize_t position, uint64_t* offset, uint32_t* size) except -1
    cdef int _compare(
        self, Py_ssize_t position, bytes key, bytes low
    ) noexcept

"""Aligned memory for the calls of one disk: one piece, charged once, lent in runs of pages."""

from libc.stdint cimport int64_t


cdef enum:
    PAGE_BYTES = 4096       # what direct I/O wants memory to be aligned to


cdef class IoMemory:
    cdef char *base                 # of the piece, aligned; NULL if it has no pages
    cdef char *taken                # for each page, whether it is lent
    cdef readonly Py_ssize_t pages
    cdef readonly Py_ssize_t used_pages
    cdef readonly int64_t loans
    cdef readonly int64_t refusals  # how often no run of pages was long enough
    cdef Py_ssize_t first           # no page before it is free

    cdef char *take(self, int64_t size) noexcept
    cdef bint give(self, char *memory, int64_t size) noexcept

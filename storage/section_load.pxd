"""What a read of sections misses, brought from the disk to its lookups without a coroutine."""

from storage.section_read cimport SectionRead


cdef class SectionLoad:
    cdef SectionRead search     # whose lookups say what is missing
    cdef object io              # IoQueue: whose turn it is at the disk
    cdef object cache           # BlockCache that keeps what is read
    cdef object loop
    cdef object answer          # the future of `run`
    cdef object missing         # the Fetch at work
    cdef bint is_waiting        # for a turn at the disk; otherwise, for the disk
    cdef double asked           # when the turn was asked for
    cdef double begun           # when it was there

    cdef int ask(self, object missing) except -1
    cdef int read(self) except -1
    cdef int take(self, bytes data) except -1
    cdef int fail(self, object error) except -1

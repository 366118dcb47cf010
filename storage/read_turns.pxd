"""Which reads run at once and which wait: what they hold together, and in which order they come."""

from libc.stdint cimport int64_t


cdef class ReadTurns:
    cdef public int64_t bytes_max           # that running reads may hold together
    cdef public Py_ssize_t waiting_max
    cdef readonly int64_t used              # bytes that running reads are charged with
    cdef readonly Py_ssize_t running
    cdef readonly Py_ssize_t refusals       # reads that found too many waiting
    cdef object queue                       # deque of (size, turn)
    cdef bint is_giving                     # turns, further up the stack

    cpdef bint try_enter(self, int64_t size) except -1
    cpdef bint begin(self, int64_t size, object turn) except -1
    cpdef int leave(self, int64_t size) except -1
    cdef int give_turns(self) except -1

"""A few C threads that make blocking file calls, never take the GIL, and wake the loop."""

from storage.io_call cimport Call, Descriptor, Operation, Request
from storage.io_memory cimport IoMemory


cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass


cdef enum:
    LANES = 2           # of the two lanes, one is for reads and writes, one for what may take long
    LANE_THREADS_MAX = 64
    ANSWERS_MAX = 16    # finished calls that are answered in one turn of the loop: about 1 ms


cdef struct Lane:
    Call *first         # queue, oldest first
    Call *last
    int queued
    int idle            # threads that wait for work
    int started         # threads that exist
    int threads_max
    pthread_cond_t work
    pthread_t[LANE_THREADS_MAX] threads


cdef struct Shared:
    pthread_mutex_t mutex  # guards all that follows
    Lane[LANES] lanes
    Call *done             # finished calls, newest first
    int wake_fd            # written to when `done` stops being empty
    bint is_stopping


cdef class IoThreads:
    cdef Shared *shared
    cdef readonly IoMemory memory   # which calls borrow
    cdef object loop       # the event loop that is woken; taken at the first call
    cdef object watch      # (what, callback) -> the callback, watched; or None
    cdef Call *oldest      # finished calls whose futures are not resolved yet
    cdef Call *youngest
    cdef object more       # answers some of them
    cdef bint is_going_on  # the loop will call us for them
    cdef int wake_read_fd
    cdef readonly int in_flight

    cdef object submit(self, Request request, int lane)
    cdef int ensure_thread(self, Lane *lane) except -1
    cdef int attach(self) except -1
    cdef int take_finished(self) except -1
    cdef int answer(self, int calls_max) except -1
    cdef void join(self) noexcept

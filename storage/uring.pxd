"""Reads and writes through io_uring, submitted once per turn of the loop."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from storage.io_call cimport Descriptor, Request
from storage.io_memory cimport IoMemory
from storage.io_threads cimport IoThreads


cdef extern from *:
    """
    /* What the kernel and a process share: two rings and the entries of one. */
    struct pythia_ring {
        int fd;
        int event_fd;
        unsigned entries;
        unsigned queued;             /* entries filled and not taken by the kernel yet */
        unsigned *sq_head, *sq_tail, *sq_array, *cq_head, *cq_tail, *sq_flags;
        unsigned sq_mask, cq_mask;
        void *sqes, *cqes, *rings;
        size_t sqes_bytes, rings_bytes;
        char *pinned;                /* memory whose pages the kernel keeps in place, or NULL */
        size_t pinned_bytes;
    };
    """
    ctypedef struct Ring "struct pythia_ring":
        int fd
        int event_fd
        unsigned int entries
        unsigned int queued
        char *pinned


cdef class IoUring:
    cdef Ring ring           # fd is -1 while there is none
    cdef unsigned int entries
    cdef readonly IoMemory memory   # which calls borrow
    cdef IoThreads threads   # for what the ring does not carry
    cdef object loop         # the event loop that is woken; taken at the first call
    cdef object watch        # (what, callback) -> the callback, watched; or None
    cdef object submit_now   # what the loop calls at the end of a turn
    cdef object first        # called before the kernel is given calls, or None
    cdef bint is_submitting  # the loop will call us at the end of this turn
    cdef int moving          # reads and writes in flight
    cdef uint64_t calls      # of the ring, since it was made

    cdef object begin_call(self, Request request)
    cdef int put(self, Request request) except -1
    cdef int submit_later(self) except -1
    cdef int attach(self) except -1
    cdef int make_ring(self) except -1
    cdef int enter(self, unsigned int completions_min) except -1
    cdef int take_completions(self, int *left) except -1
    cdef int complete(self, Request request, int result) except -1
    cdef int give_back(self, int failure) except -1

"""A few C threads that make blocking file calls, never take the GIL, and wake the loop."""

from cpython.buffer cimport Py_buffer
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t


cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass


cdef enum Operation:
    OPERATION_READ
    OPERATION_WRITE
    OPERATION_SYNC
    OPERATION_SYNC_DIRECTORY
    OPERATION_ALLOCATE
    OPERATION_OPEN
    OPERATION_RENAME
    OPERATION_REMOVE


cdef enum:
    LANES = 2           # of the two lanes, one is for reads and writes, one for what may take long
    LANE_THREADS_MAX = 64
    ALIGNMENT = 4096    # of memory, offset and size in direct I/O


cdef struct Call:
    Call *next          # in the queue of its lane, then in the list of finished calls
    Operation operation
    int fd
    int flags           # of open
    const char *path    # of open, rename and remove; belongs to the request
    const char *target  # of rename; belongs to the request
    char *memory        # where to read to or write from
    int64_t size        # bytes to read, write or allocate
    int64_t offset
    int64_t result      # bytes moved, or the new descriptor; -errno after a failure
    PyObject *request   # the Request that owns this struct, with a reference while in flight


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


cdef class IoThreads


cdef class Descriptor:
    cdef readonly int fd   # open until the last reference, a call's in flight too, is gone


cdef class Request:
    cdef Call call
    cdef object future     # told when the call is finished
    cdef Descriptor file   # stays open while the call runs
    cdef object names      # keeps the path bytes alive
    cdef char *owned       # aligned memory of ours, freed with the request
    cdef Py_buffer view    # of the caller's data, when written from in place
    cdef bint has_view
    cdef int64_t skip      # bytes at the start of a read that nobody asked for
    cdef int64_t wanted    # bytes asked for after these
    cdef IoThreads threads  # which must outlive what they work on

    cdef int own(self, int64_t size) except -1
    cdef object outcome(self)


cdef class IoThreads:
    cdef Shared *shared
    cdef object loop       # the event loop that is woken; taken at the first call
    cdef int wake_read_fd
    cdef readonly int in_flight

    cdef Request request(self, Operation operation, Descriptor file)
    cdef object submit(self, Request request, int lane)
    cdef int ensure_thread(self, Lane *lane) except -1
    cdef int attach(self) except -1
    cdef int finish_calls(self) except -1
    cdef void join(self) noexcept

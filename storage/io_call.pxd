"""One call to the file system: what it needs until it is done, and the future that waits."""

from cpython.buffer cimport Py_buffer
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from storage.io_memory cimport PAGE_BYTES, IoMemory


cdef enum:
    ALIGNMENT = PAGE_BYTES  # of memory, offset and size in direct I/O


cdef enum Operation:
    OPERATION_READ
    OPERATION_WRITE
    OPERATION_SYNC
    OPERATION_SYNC_DIRECTORY
    OPERATION_ALLOCATE
    OPERATION_OPEN
    OPERATION_RENAME
    OPERATION_REMOVE


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
    int64_t done        # bytes that earlier tries of this call have moved
    int cuts            # how often a read was cut inside a page where the file goes on
    int64_t result      # bytes moved, or the new descriptor; -errno after a failure
    PyObject *request   # the Request that owns this struct, with a reference while in flight


cdef class Descriptor:
    cdef readonly int fd   # open until the last reference, a call's in flight too, is gone


cdef class Request:
    cdef Call call
    cdef object future     # told when the call is finished; or what stands for a future
    cdef Descriptor file   # stays open while the call runs
    cdef object names      # keeps the path bytes alive
    cdef IoMemory pool     # where aligned memory is borrowed, if there is room
    cdef char *owned       # aligned memory, given back with the request
    cdef int64_t owned_bytes
    cdef Py_buffer view    # of the caller's data, when written from in place
    cdef bint has_view
    cdef int64_t skip      # bytes at the start of a read that nobody asked for
    cdef int64_t wanted    # bytes asked for after these
    cdef object owner      # what makes the call, which must outlive it

    cdef int own(self, int64_t size) except -1
    cdef object outcome(self)
    cdef int finish(self) except -1


cdef Request new_request(object owner, Operation operation, Descriptor file)
cdef Request new_read(
    object owner, IoMemory pool, Descriptor file, int64_t offset, int64_t size, int64_t skip,
    int64_t wanted
)
cdef Request new_write(
    object owner, IoMemory pool, Descriptor file, int64_t offset, object data, bint aligned
)

cdef bint goes_on(Call *call, int64_t moved) noexcept nogil

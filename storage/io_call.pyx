"""One call to the file system: what it needs until it is done, and the future that waits.

The memory a call works on, borrowed from the disk's or from the allocator, belongs to its request,
and so does a reference to the open file; a request lives until whoever makes the call is done with
it. So a caller may be cancelled, a file may be closed and data may be let go while the kernel still
reads and writes them.
"""

import os

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, EIO
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from storage.io_memory cimport IoMemory


cdef extern from *:
    """
    #include <sys/stat.h>

    /* Whether there is nothing in a file from an offset on, as far as one can tell. */
    static int pythia_ends_by(int fd, off_t offset) {
        struct stat status;
        return fstat(fd, &status) != 0 || status.st_size <= offset;
    }
    """
    bint pythia_ends_by(int fd, int64_t offset) nogil

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t size)


cdef extern from "<unistd.h>" nogil:
    int close(int fd)


cdef enum:
    CUTS_MAX = 16   # more than any kernel cuts one read inside of pages for no reason


cdef class Descriptor:
    """An open file, closed when nobody holds it any more, calls in flight included.

    A descriptor closed under a running call could be another file's by the time the call is made.
    """

    def __cinit__(self, int fd):
        self.fd = fd

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)


@cython.no_gc_clear  # The pool is needed to the end.
cdef class Request:
    """One call on its way: what it works on, and the future that waits for it."""

    def __dealloc__(self):
        if self.owned != NULL and not self.pool.give(self.owned, self.owned_bytes):
            free(self.owned)
        if self.has_view:
            PyBuffer_Release(&self.view)

    cdef int own(self, int64_t size) except -1:
        """Take aligned memory for the call; raises MemoryError."""
        cdef void *memory = self.pool.take(size)
        if memory == NULL and posix_memalign(&memory, ALIGNMENT, max(size, 1)) != 0:
            raise MemoryError
        self.owned = <char *>memory
        self.owned_bytes = size
        self.call.memory = self.owned
        return 0

    cdef object outcome(self):
        """What the future gets; raises OSError if the call failed."""
        if self.call.result < 0:
            number = -self.call.result
            raise OSError(number, os.strerror(number))
        if self.call.operation == OPERATION_READ:
            available = max(<int64_t>0, min(self.wanted, self.call.result - self.skip))
            return PyBytes_FromStringAndSize(self.call.memory + self.skip, available)
        if self.call.operation == OPERATION_OPEN:
            return Descriptor(self.call.result)
        return None

    cdef int finish(self) except -1:
        """Tell the future, unless nobody waits any more; raises MemoryError."""
        if self.future.done():
            if self.call.operation == OPERATION_OPEN and self.call.result >= 0:
                close(self.call.result)
            return 0
        try:
            outcome = self.outcome()
        except OSError as failure:
            self.future.set_exception(failure)
        else:
            self.future.set_result(outcome)
        return 0


cdef Request new_request(object owner, Operation operation, Descriptor file):
    """Make a call without its future; raises MemoryError."""
    cdef Request request = Request.__new__(Request)
    request.owner = owner
    request.file = file
    request.call.operation = operation
    request.call.fd = -1 if file is None else file.fd
    return request


cdef Request new_read(
    object owner, IoMemory pool, Descriptor file, int64_t offset, int64_t size,
    int64_t skip, int64_t wanted
):
    """Make a read of `size` bytes, of which `wanted` after the first `skip` are asked for.

    Raises MemoryError.
    """
    assert skip >= 0 and wanted >= 0 and skip + wanted <= size, "what is wanted is read"
    cdef Request request = new_request(owner, OPERATION_READ, file)
    request.pool = pool
    request.own(size)
    request.call.size = size
    request.call.offset = offset
    request.skip = skip
    request.wanted = wanted
    return request


cdef Request new_write(
    object owner, IoMemory pool, Descriptor file, int64_t offset, object data, bint aligned
):
    """Make a write of all of `data`, from aligned memory if `aligned`; raises MemoryError.

    Raises BufferError or TypeError if `data` has no bytes.
    """
    cdef Request request = new_request(owner, OPERATION_WRITE, file)
    PyObject_GetBuffer(data, &request.view, PyBUF_SIMPLE)
    request.has_view = True
    request.pool = pool
    request.call.memory = <char *>request.view.buf
    request.call.size = request.view.len
    request.call.offset = offset
    if aligned:
        request.own(request.view.len)
        memcpy(request.owned, request.view.buf, request.view.len)
        PyBuffer_Release(&request.view)
        request.has_view = False
    return request


cdef bint goes_on(Call *call, int64_t moved) noexcept nogil:
    """Whether a read or write needs one more try after one that moved so much, or gave -errno.

    At the end it leaves the call's result. Cannot fail.
    """
    if moved < 0:
        call.result = moved
        return moved in (-EINTR, -EAGAIN)
    call.done += moved
    call.result = call.done
    if call.done >= call.size:
        return False
    if moved == 0:
        if call.operation != OPERATION_READ:
            call.result = -EIO
        return False
    if (
        call.operation == OPERATION_READ
        and call.done % ALIGNMENT != 0
        and call.size % ALIGNMENT == 0
    ):
        # As a rule it is the end of the file that cuts a page.
        if pythia_ends_by(call.fd, call.offset + call.done):
            return False
        call.cuts += 1
        if call.cuts > CUTS_MAX:
            call.result = -EIO
            return False
        # A direct read can go on only from where a page begins.
        call.done -= call.done % ALIGNMENT
    return True

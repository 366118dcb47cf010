"""A commit log record's bytes: writing them into a turn's buffer, finding them in a segment."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from storage.buffer cimport Writer

cdef enum:
    RECORD_HEADER_BYTES = 13
    POSITION_OFFSET_BITS = 32

cdef enum Kind:
    KIND_BROKEN = -1    # what a scanner says of bytes that are no record of this place
    KIND_MORE = 0       # what a scanner says when the bytes it has do not suffice
    KIND_START = 1      # the first record of a segment: magic and version
    KIND_MUTATION = 2   # one mutation
    KIND_MARK = 3       # the position before which everything is known to be durable
    KIND_END = 4        # nothing follows in this segment


cdef struct RecordSpan:
    uint64_t offset     # in the segment
    Py_ssize_t start    # of the body, in the window
    Py_ssize_t size     # of the body


cdef class RecordBuffer:
    cdef readonly uint64_t segment  # id of the segment that the buffer goes to
    cdef readonly uint64_t end      # offset in it of the next record
    cdef Writer out                 # the records of this turn


cdef class RecordScanner:
    cdef readonly uint64_t segment  # id of the segment that is read
    cdef readonly uint64_t offset   # where the next record should start
    cdef bytes window               # bytes of the segment read so far and not used up
    cdef uint64_t window_offset     # offset in the segment of the first byte of the window
    cdef readonly bytes body        # of the last record that `next` found

    cdef int look(self, uint64_t offset, uint32_t *length) except -2


@cython.final
cdef class RecordBatch:
    cdef uint64_t segment           # id of the segment that they come from
    cdef bytes window               # bytes of the segment, in which they lie
    cdef RecordSpan* spans
    cdef Py_ssize_t count
    cdef Py_ssize_t room            # how many spans there is room for

    cdef int add(self, uint64_t offset, Py_ssize_t start, Py_ssize_t size) except -1

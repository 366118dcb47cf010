"""A read of one partition that may go to the disk: its way from the first look to the page."""

from libc.stdint cimport int64_t

from storage.io_turns cimport IoTurns, Lane
from storage.later cimport Later
from storage.read_turns cimport ReadTurns
from storage.section_read cimport SectionRead
from storage.slice cimport Page, Slice
from storage.sstable.fetch cimport Fetch
from storage.sstable.lookup cimport Lookup


cdef class PointRead:
    cdef object engine          # what it does where the short way ends
    cdef object store           # Store: disk, turns at it, cached blocks
    cdef ReadTurns room
    cdef object table           # Table
    cdef object rows            # TableCache; None if it is not asked
    cdef Slice wanted
    cdef bytes key
    cdef int64_t wall_s
    cdef Py_ssize_t size        # what the read is charged
    cdef int64_t phase          # of the row cache when the read began
    cdef SectionRead search
    cdef list files             # which the search looks at; ours while we wait for the disk
    cdef list memtables         # ours while we wait for the disk
    cdef bint is_holding
    cdef Later answer
    cdef IoTurns io
    cdef Lane lane              # of queries
    cdef Py_ssize_t loading     # loads that are not over
    cdef object error           # the first of theirs

    cpdef object begin(self, list files, list memtables)
    cdef int look(self, list files, list memtables) except -1
    cdef Page page(self)
    cdef int hold(self) except -1
    cdef int go_on(self) except -1
    cdef int loaded(self, object error) except -1
    cdef int finish(self) except -1
    cdef int fail(self, object error) except -1
    cdef int end(self) except -1


cdef class FrameLoad:
    cdef PointRead read
    cdef Lookup lookup
    cdef Fetch missing          # the frame at work
    cdef bint is_waiting        # for a turn at the disk; otherwise, for the disk
    cdef double asked           # when the turn was asked for
    cdef double begun           # when it was there

    cdef int begin(self) except -1
    cdef int queue(self, double now) except -1
    cdef int ask(self) except -1
    cdef int end_call(self, double now) except -1
    cdef int take(self, bytes data, double now) except -1
    cdef bint is_vain(self) noexcept

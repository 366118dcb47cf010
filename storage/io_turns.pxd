"""Who may call the disk next: what is in flight, what waits, and what each class has had."""

cimport cython
from libc.stdint cimport int64_t


@cython.final
cdef class Lane:
    cdef double shares
    cdef double had             # cost of the turns it took, over its shares
    cdef int64_t calls          # that are over
    cdef int64_t bytes
    cdef double waited_s        # in the queue, all calls together
    cdef double busy_s          # at the disk, all calls together
    cdef double longest_s       # the longest call, with its wait
    cdef object waiting         # deque of (size, turn)

    cdef void note(self, int64_t size, double asked_s, double begun_s, double ended_s) noexcept


cdef class IoTurns:
    cdef int64_t calls_max
    cdef int64_t bytes_max
    cdef int64_t calls          # that have their turn
    cdef int64_t bytes          # of those
    cdef Py_ssize_t waiting     # calls, in all lanes
    cdef double start           # where the last turn began, on the axis of `Lane.had`
    cdef dict lanes             # class to lane
    cdef list order             # the lanes; of two that come first, the one that is earlier here
    cdef bint is_giving         # turns, further up the stack

    cdef Lane lane_of(self, object io_class)
    cdef bint has_room(self, int64_t size) noexcept
    cdef void take_in(self, Lane lane, int64_t size) noexcept
    cdef bint begin_in(self, Lane lane, int64_t size, object turn) except -1
    cdef int end_in(
        self, Lane lane, int64_t size, double asked_s, double begun_s, double now
    ) except -1
    cdef int leave(self, int64_t size) except -1
    cdef int give_turns(self) except -1
    cdef Lane next_lane(self)


cdef double loop_time() except? -1

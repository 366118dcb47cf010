"""Who may call the disk next: what is in flight, what waits, and what each class has had.

The state of `storage.io_queue`, for those too who call the disk without a coroutine: they `begin`,
call when they have their turn, and `end`. Compiled readers hold their lane and read the clock once
for all that they do in a turn of the loop.
"""

from asyncio import get_running_loop
from collections import deque

cdef enum:
    CALL_BYTES = 4096           # what a call costs besides its bytes

COST_BYTES = CALL_BYTES


cdef double loop_time() except? -1:
    """What the running loop's clock says: simulated time, where the loop is simulated."""
    return get_running_loop().time()


cdef class Lane:
    """The calls of one class."""

    def __cinit__(self, double shares):
        self.shares = shares
        self.waiting = deque()

    cdef void note(self, int64_t size, double asked_s, double begun_s, double ended_s) noexcept:
        """Counts a call that is over."""
        self.calls += 1
        self.bytes += size
        self.waited_s += begun_s - asked_s
        self.busy_s += ended_s - begun_s
        if ended_s - asked_s > self.longest_s:
            self.longest_s = ended_s - asked_s


cdef class IoTurns:
    """Calls in flight and calls that wait; of one event loop."""

    def __init__(self, int64_t calls_max, int64_t bytes_max, dict shares not None):
        """At most so many calls and bytes in flight; `shares` has each class with its shares."""
        assert calls_max > 0 and bytes_max > 0, "there is room for a call"
        self.calls_max = calls_max
        self.bytes_max = bytes_max
        self.lanes = {io_class: Lane(share) for io_class, share in shares.items()}
        self.order = list(self.lanes.values())

    @property
    def in_flight(self) -> tuple[int, int]:
        """Calls and bytes that have their turn."""
        return self.calls, self.bytes

    def now(self) -> float:
        """What the running loop's clock says."""
        return loop_time()

    def begin(self, io_class, int64_t size, turn not None) -> bool:
        """Ask for a turn; `end` follows the call.

        True if it is there at once; otherwise `turn` is told when it is.
        """
        return self.begin_in(self.lane_of(io_class), size, turn)

    def try_begin(self, io_class, int64_t size) -> bool:
        """Take a turn, if there is one at once."""
        return self.begin_in(self.lane_of(io_class), size, None)

    def take(self, io_class, int64_t size) -> None:
        """Take a turn, although there may be none: for what cannot wait."""
        self.take_in(self.lane_of(io_class), size)

    def end(self, io_class, int64_t size, double asked_s, double begun_s) -> None:
        """A call that had its turn is over; it was asked for and begun then."""
        self.end_in(self.lane_of(io_class), size, asked_s, begun_s, loop_time())

    def give_back(self, int64_t size) -> None:
        """A turn was not used."""
        self.leave(size)

    def counts(self, io_class) -> tuple[int, int, int, float, float, float]:
        """Of a class: calls and their bytes; how many wait; seconds waited, busy, longest."""
        cdef Lane lane = self.lane_of(io_class)
        return (
            lane.calls, lane.bytes, len(lane.waiting), lane.waited_s, lane.busy_s, lane.longest_s
        )

    cdef Lane lane_of(self, object io_class):
        """The lane of a class; it stays the same."""
        return <Lane>self.lanes[io_class]

    cdef bint has_room(self, int64_t size) noexcept:
        """Whether one more call may go; one that is larger than all room goes alone."""
        return self.calls < self.calls_max and (
            self.calls == 0 or self.bytes + size <= self.bytes_max
        )

    cdef void take_in(self, Lane lane, int64_t size) noexcept:
        """A class that was idle goes on from where the others are."""
        if lane.had > self.start:
            self.start = lane.had
        lane.had = self.start + <double>(CALL_BYTES + size) / lane.shares
        self.calls += 1
        self.bytes += size

    cdef bint begin_in(self, Lane lane, int64_t size, object turn) except -1:
        """Takes a turn if there is one at once; otherwise `turn` waits, unless it is None."""
        if self.waiting == 0 and self.has_room(size):
            self.take_in(lane, size)
            return True
        if turn is not None:
            lane.waiting.append((size, turn))
            self.waiting += 1
        return False

    cdef int end_in(
        self, Lane lane, int64_t size, double asked_s, double begun_s, double now
    ) except -1:
        """A call that had its turn is over."""
        lane.note(size, asked_s, begun_s, now)
        return self.leave(size)

    cdef int leave(self, int64_t size) except -1:
        """Others may have the turn."""
        assert self.calls > 0 and self.bytes >= size, "who leaves has had a turn"
        self.calls -= 1
        self.bytes -= size
        if self.waiting > 0 and not self.is_giving:
            self.is_giving = True
            try:
                self.give_turns()
            finally:
                self.is_giving = False
        return 0

    cdef int give_turns(self) except -1:
        """The class that comes first is waited for, even if a smaller call of another would fit.

        Who is told of a turn may give it back in the same call.
        """
        cdef Lane lane
        cdef int64_t size
        while self.waiting > 0:
            lane = self.next_lane()
            size, turn = lane.waiting[0]
            is_wanted = not turn.done()
            if is_wanted and not self.has_room(size):
                return 0
            lane.waiting.popleft()
            self.waiting -= 1
            if is_wanted:
                self.take_in(lane, size)
                turn.set_result(None)
        return 0

    cdef Lane next_lane(self):
        """Of those in which a call waits, the one that has had least for its shares."""
        cdef Lane lane, first = None
        cdef double had, least = 0.0
        for lane in self.order:
            had = max(lane.had, self.start)
            if len(lane.waiting) > 0 and (first is None or had < least):
                first = lane
                least = had
        assert first is not None, "calls that wait are in a lane"
        return first

"""Which reads run at once and which wait: what they hold together, and in which order they come.

The state of `storage.read_room`, for those too who read without a coroutine.
"""

from collections import deque

from storage.errors import Overloaded


cdef class ReadTurns:
    """The reads of one shard; served in the order in which they came."""

    def __init__(self, int64_t bytes_max, Py_ssize_t waiting_max):
        self.bytes_max = bytes_max
        self.waiting_max = waiting_max
        self.queue = deque()

    @property
    def waiting(self) -> int:
        """How many wait, those who gave up lately included."""
        return len(self.queue)

    cpdef bint try_enter(self, int64_t size) except -1:
        """Begin a read now, if nobody waits and there is room."""
        if len(self.queue) > 0 or (self.running > 0 and self.used + size > self.bytes_max):
            return False
        self.used += size
        self.running += 1
        return True

    cpdef bint begin(self, int64_t size, object turn) except -1:
        """Begin a read now, or tell `turn` when it is its turn; `Overloaded` if too many wait."""
        if self.try_enter(size):
            return True
        if len(self.queue) >= self.waiting_max:
            self.refusals += 1
            raise Overloaded(f"{len(self.queue)} reads wait for memory already")
        self.queue.append((size, turn))
        return False

    cpdef int leave(self, int64_t size) except -1:
        """A read has ended; those who waited longest go on."""
        self.used -= size
        self.running -= 1
        if len(self.queue) > 0 and not self.is_giving:
            self.is_giving = True
            try:
                self.give_turns()
            finally:
                self.is_giving = False
        return 0

    cdef int give_turns(self) except -1:
        """Who is told of a turn may have ended before the call is over."""
        cdef int64_t size
        while len(self.queue) > 0:
            size, turn = self.queue[0]
            is_wanted = not turn.done()
            if is_wanted and self.running > 0 and self.used + size > self.bytes_max:
                return 0
            self.queue.popleft()
            if is_wanted:
                self.used += size
                self.running += 1
                turn.set_result(None)
        return 0

    def check(self) -> None:
        """Prove the invariants."""
        assert self.running >= 0 and self.used >= 0, "who leaves has entered"
        assert self.used <= self.bytes_max or self.running == 1, "only one may be too large"
        assert (self.used == 0) == (self.running == 0), "each read is charged"

"""Whether something has come for a loop while it still does something else.

A loop learns what has come from one descriptor, its selector; whether that has something to tell
is one system call, half a microsecond, and takes nothing away from the loop.
"""


cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    enum:
        POLLIN
    int poll(pollfd *fds, unsigned long count, int timeout_ms)


cdef class Waiting:
    """Looks at one descriptor, which outlives it."""

    def __init__(self, int fd):
        assert fd >= 0, "there is a selector"
        self.fd = fd

    def is_anybody(self) -> bool:
        """Whether the loop's next turn has something to do that came from outside."""
        cdef pollfd asked
        cdef int found
        asked.fd = self.fd
        asked.events = POLLIN
        asked.revents = 0
        found = poll(&asked, 1, 0)
        # Whoever does not know is better off looking: a turn of the loop costs little.
        return found != 0

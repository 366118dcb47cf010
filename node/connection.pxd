"""The struct of one client's connection."""

from libc.stdint cimport uint8_t

from cql.protocol.frame cimport Frame, FrameReader, FrameWriter, Reply
from cql.protocol.room cimport Room

cdef class Limits:
    cdef readonly unsigned int frame_bytes_max  # of one request's body
    cdef readonly int requests_in_flight_max  # unanswered requests of one connection
    cdef readonly Py_ssize_t request_bytes_in_flight_max  # their bodies together
    cdef readonly Py_ssize_t output_bytes_max  # waiting replies at which reading stops
    cdef readonly Py_ssize_t output_bytes_closed  # waiting replies at which the connection ends
    cdef readonly double startup_s  # from accepting to the end of authentication
    cdef readonly double stalled_s  # how long a client may leave its replies unread
    cdef readonly double stalled_without_room_s  # the same, when others need the memory

cdef class Ports:
    cdef readonly object handle  # (frame, session, moment) -> Reply or awaitable of one
    cdef readonly object moment  # () -> Moment
    cdef readonly object spawn  # (awaitable) -> future
    cdef readonly object flush_later  # (connection): call its flush at the end of the turn
    cdef readonly object now  # () -> monotonic seconds
    cdef readonly Limits limits
    cdef readonly Room requests  # what all connections hold of requests
    cdef readonly Room replies  # and of replies
    cdef object stalls  # times our turns; or None
    cdef bytearray buffer  # where the loop puts received bytes, of all connections in turn
    cdef object small_buffer  # the beginning of it, for when memory is short
    cdef double served_until  # when requests have had their time; 0 before the clock was looked at
    cdef Py_ssize_t served  # requests since the last look
    cdef bint is_over  # that time is over

    cdef int note_served(self, Py_ssize_t reply_bytes) except -1

cdef class Connection:
    cdef readonly object session
    cdef readonly bint is_closing  # no more is read; what waits is still written
    cdef readonly bint is_lost  # the socket is gone
    cdef Ports ports
    cdef FrameReader reader
    cdef FrameWriter writer
    cdef object transport  # None in tests
    cdef readonly int in_flight
    cdef readonly long long requests  # frames that were handed to the handler
    cdef uint8_t opcode  # of the last of them
    cdef readonly Py_ssize_t in_flight_bytes
    cdef set waiting  # tasks of replies to come: loops hold theirs weakly; None when empty
    cdef bint is_serving  # the guard against entering `drain` twice
    cdef bint is_started  # STARTUP is done
    cdef bint throws_on_overload  # the client wants OVERLOADED, not silence
    cdef bint is_reading_paused
    cdef bint is_writing_paused
    cdef bint is_flush_asked
    cdef bint is_resting  # there is no time left in this turn; the flush at its end goes on
    cdef Py_ssize_t unsent  # what the socket has not taken yet, once it has refused more
    cdef Py_ssize_t counted_in  # what `requests` was told that we hold
    cdef Py_ssize_t counted_out  # and `replies`
    cdef double arriving_since  # when the frame that arrives was first looked at; 0 for none
    cdef long long arriving_after  # how many frames had been served then
    cdef double deadline  # for starting up, then for reading what we wrote; 0 for none

    cdef int drain(self) except -1
    cdef bint is_blocked(self) noexcept
    cdef bint is_overloaded(self) noexcept
    cdef int serve(self, Frame frame) except -1
    cdef bint has_room(self, Frame frame) noexcept
    cdef int overload(self, Frame frame, str why) except -1
    cdef int answer(self, int version, int stream, Reply reply) except -1
    cdef int follow_startup(self) except -1
    cdef int ask_flush(self) except -1
    cdef int settle(self, Frame frame, Reply reply) except -1
    cdef int steer(self) except -1
    cdef void count(self) noexcept
    cdef bint arrives_too_slowly(self, double now) noexcept

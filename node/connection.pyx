"""One client's bytes in and out: admission, order, limits; a state machine that needs no socket.

Bytes are parsed where the loop put them, in one buffer for all connections of the shard; only what
is left of an incomplete frame is copied. Replies are gathered and written once per turn. An idle
connection holds no buffer.
"""

from asyncio import CancelledError

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from cql.errors import Overloaded
from cql.protocol.faults import encode_fault
from cql.protocol.frame import NO_ROOM as _NO_ROOM
from cql.protocol.frame import BadFrame
from cql.protocol.replies import event_reply
from node.session import Stage

from cql.protocol.frame cimport Frame, FrameReader, FrameWriter, Reply
from cql.protocol.room cimport Room
from storage.later cimport Later

RECEIVE_BYTES = 256 * 1024
SMALL_RECEIVE_BYTES = 4 * 1024
ROOM_BYTES = 64 * 1024 * 1024
NO_ROOM_FOR_REPLIES = "The memory for replies is in use"
EVENT_STREAM = -1
cdef enum:
    ERROR = 0x00
    OPTIONS = 0x05
    CONNECTION_BYTES = 4096  # what a connection costs beside its bytes
    WAITING_BYTES = 4096  # what a request costs beside its body while its reply is made
    PIECE_BYTES = 64 * 1024  # what the kernel is given in one turn of the loop: 70 us
    SMALL_REPLY_BYTES = 4096  # is given even when there is no room for replies
    LOOK_REQUESTS = 16  # are served before the clock is looked at, and between looks
    LONG_REPLY_BYTES = 32 * 1024  # one such reply takes as long

cdef double LONG_TURN_S = 0.005  # as in `node/stalls`
cdef double SERVE_S = 0.002  # for so long requests are served before others have their turn

cdef object READY = Stage.READY
cdef object NEW = Stage.NEW


cdef class Limits:
    """The bounds of one connection."""

    def __init__(
        self,
        unsigned int frame_bytes_max=16 * 1024 * 1024,
        int requests_in_flight_max=1024,
        Py_ssize_t request_bytes_in_flight_max=32 * 1024 * 1024,
        Py_ssize_t output_bytes_max=1024 * 1024,
        Py_ssize_t output_bytes_closed=64 * 1024 * 1024,
        double startup_s=10.0,
        double stalled_s=60.0,
        double stalled_without_room_s=1.0,
    ):
        self.frame_bytes_max = frame_bytes_max
        self.requests_in_flight_max = requests_in_flight_max
        self.request_bytes_in_flight_max = request_bytes_in_flight_max
        self.output_bytes_max = output_bytes_max
        self.output_bytes_closed = output_bytes_closed
        self.startup_s = startup_s
        self.stalled_s = stalled_s
        self.stalled_without_room_s = stalled_without_room_s


cdef class Ports:
    """What all connections of a shard share."""

    def __init__(
        self, handle, moment, now, spawn, flush_later=None, Limits limits=None,
        Room requests=None, Room replies=None, stalls=None,
    ):
        self.handle = handle
        self.moment = moment
        self.now = now
        self.spawn = spawn
        self.flush_later = flush_later
        self.limits = limits or Limits()
        self.requests = requests or Room(ROOM_BYTES)
        self.replies = replies or Room(ROOM_BYTES)
        self.stalls = stalls
        self.buffer = bytearray(RECEIVE_BYTES)
        self.small_buffer = memoryview(self.buffer)[:SMALL_RECEIVE_BYTES]

    def renew(self) -> None:
        """Requests have their time anew: a part of a turn begins."""
        self.served_until = 0.0
        self.served = 0
        self.is_over = False

    cdef int note_served(self, Py_ssize_t reply_bytes) except -1:
        """Counts a request, and now and then looks whether the time for requests is over."""
        cdef double now
        self.served += 1 + reply_bytes // LONG_REPLY_BYTES * LOOK_REQUESTS
        if self.served < LOOK_REQUESTS or self.flush_later is None:
            return 0
        self.served = 0
        now = self.now()
        if self.served_until == 0.0:
            self.served_until = now + SERVE_S
        elif now >= self.served_until:
            self.is_over = True
        return 0


cdef class Connection:
    """From accepting to closing. Without a transport, use `feed` and `take_output`."""

    def __init__(self, Ports ports, session):
        self.ports = ports
        self.session = session
        self.reader = FrameReader(ports.limits.frame_bytes_max, ports.requests)
        self.writer = FrameWriter()
        self.deadline = ports.now() + ports.limits.startup_s

    @property
    def held_bytes(self) -> int:
        """Bytes held for this client: incomplete requests, and replies not yet written."""
        return self.reader.kept_bytes + self.writer.waiting_bytes

    # Bytes in.

    def feed(self, data) -> None:
        """Takes received bytes and serves every request that is complete."""
        cdef const uint8_t[::1] view = data
        if view.shape[0] and not self.is_closing:
            self.reader.borrow(&view[0], view.shape[0])
            self.drain()

    def get_buffer(self, sizehint):
        """Where the loop shall put received bytes; they are used up before it asks again.

        What is received and cannot be served at once is kept: little, when memory is short.
        """
        cdef Room room = self.ports.requests
        return self.ports.buffer if room.used * 2 < room.bytes_max else self.ports.small_buffer

    def buffer_updated(self, Py_ssize_t count) -> None:
        """So many bytes were received into the shared buffer."""
        cdef long long before = self.requests
        cdef double began = 0.0
        cdef object stalls = self.ports.stalls
        assert count <= PyByteArray_GET_SIZE(self.ports.buffer), "the loop wrote past the buffer"
        if self.is_closing:
            return
        if stalls is not None:
            began = stalls.begin()
        self.reader.borrow(<const uint8_t*>PyByteArray_AS_STRING(self.ports.buffer), count)
        self.drain()
        if stalls is not None and self.ports.now() - began >= LONG_TURN_S:
            stalls.note(
                began, f"{self.requests - before} requests, the last with opcode {self.opcode}"
            )

    cdef int drain(self) except -1:
        """Hot path: serves what is complete, as far as the limits and other clients allow."""
        cdef Frame frame
        if self.is_serving:
            return 0
        self.is_serving = True
        try:
            while not self.is_closing and not self.is_blocked():
                if self.ports.is_over:
                    self.is_resting = True
                    break
                try:
                    frame = self.reader.next_frame()
                except BadFrame as bad:
                    self.refuse(bad)
                    continue
                if frame is None:
                    break
                self.serve(frame)
        finally:
            self.is_serving = False
            self.reader.keep_rest()
        self.count()
        self.steer()
        self.ask_flush()
        return 0

    cdef bint is_blocked(self) noexcept:
        """True while nothing more may be started for this client."""
        if self.is_resting or self.is_writing_paused or self.writer.is_within_reply():
            return True
        if self.writer.size() >= self.ports.limits.output_bytes_max:
            return True
        if self.reader.wanted and not self.ports.requests.has(self.reader.wanted):
            return True
        return self.is_overloaded() and not self.throws_on_overload

    cdef bint is_overloaded(self) noexcept:
        """True while too many requests, or bytes of them, are unanswered."""
        cdef Limits limits = self.ports.limits
        return (
            self.in_flight >= limits.requests_in_flight_max
            or self.in_flight_bytes >= limits.request_bytes_in_flight_max
        )

    cdef void count(self) noexcept:
        """Hot path: tells the shard what is held for this client, once per turn."""
        cdef Ports ports = self.ports
        cdef Py_ssize_t held
        held = self.reader.held() + self.in_flight_bytes + self.in_flight * WAITING_BYTES
        if not self.is_lost:
            held += CONNECTION_BYTES
        if held != self.counted_in:
            ports.requests.change(held - self.counted_in)
            self.counted_in = held
        held = self.writer.size() + self.unsent
        if held != self.counted_out:
            ports.replies.change(held - self.counted_out)
            self.counted_out = held

    cdef int serve(self, Frame frame) except -1:
        """Hands one request to its handler; its reply is there now or comes later."""
        if frame.opcode != OPTIONS:
            if self.is_overloaded():
                return self.overload(frame, "Too many requests are in flight")
            if not self.has_room(frame):
                return self.overload(frame, _NO_ROOM)
        self.requests += 1
        self.opcode = frame.opcode
        reply = self.ports.handle(frame, self.session, self.ports.moment())
        if type(reply) is Reply:
            self.ports.note_served((<Reply>reply).size())
            self.answer(frame.version, frame.stream, <Reply>reply)
            return 0
        self.ports.note_served(0)
        self.in_flight += 1
        self.in_flight_bytes += PyBytes_GET_SIZE(frame.body)
        self.count()
        waiting = _Waiting(self, frame)
        if type(reply) is Later:
            (<Later>reply).then(waiting.answer, waiting.give_up)
            return 0
        future = self.ports.spawn(reply)
        if self.waiting is None:
            self.waiting = set()
        self.waiting.add(future)
        future.add_done_callback(waiting)
        return 0

    cdef bint has_room(self, Frame frame) noexcept:
        """Whether the shard can hold the request until it is answered."""
        cdef Room room = self.ports.requests
        cdef Py_ssize_t size = PyBytes_GET_SIZE(frame.body)
        if room.used + size <= room.bytes_max:
            return True
        # What was reserved for this frame, or held for one before it, may still be counted.
        self.count()
        return room.has(size)

    cdef int overload(self, Frame frame, str why) except -1:
        body = encode_fault(Overloaded(why), frame.version)
        return self.answer(frame.version, frame.stream, Reply(ERROR, body))

    cdef int answer(self, int version, int stream, Reply reply) except -1:
        """Hot path: queues one reply."""
        cdef Py_ssize_t size = reply.size()
        if size > SMALL_REPLY_BYTES and not self.ports.replies.has(size + self.writer.size()):
            reply = Reply(ERROR, encode_fault(Overloaded(NO_ROOM_FOR_REPLIES), version))
        self.writer.write(version, stream, reply)
        if reply.closes:
            self.is_closing = True
        if not self.is_started:
            self.follow_startup()
        return 0

    cdef int follow_startup(self) except -1:
        """After a reply that may have ended STARTUP or authentication."""
        cdef bint agreed = self.session.stage is not NEW
        if agreed and not self.session.version:
            raise AssertionError("a session that has begun has a version")
        if agreed and not self.reader.version:
            self.reader.agree(self.session.version, packs=self.session.packs)
            self.writer.agree(self.session.version, packs=self.session.packs)
        if self.session.stage is READY:
            self.is_started = True
            self.throws_on_overload = self.session.throws_on_overload
            self.reader.is_open = True
            self.deadline = 0
        return 0

    def refuse(self, bad) -> None:
        """Answers a frame that gets no handler."""
        body = encode_fault(bad.error, bad.version)
        reply = Reply(ERROR, body, flags=bad.flags, closes=bad.is_fatal)
        self.answer(bad.version, bad.stream, reply)

    # Bytes out.

    def take_output(self):
        """The bytes that wait to be sent, or None."""
        self.is_flush_asked = False
        out = self.writer.take()
        self.count()
        return out

    def flush(self) -> bool:
        """The end of a turn: writes what waits, and goes on with what had to wait for that.

        True if there was no time for that: it is to be called first at the end of the next turn.
        """
        self.is_flush_asked = self.is_resting = False
        if self.is_lost or self.transport is None:
            return False
        if not self.is_writing_paused:
            out = self.writer.take(PIECE_BYTES)
            if out is not None:
                self.transport.write(out)
        self.count()
        if self.writer.size() and not self.is_writing_paused:
            self.ask_flush()
        if self.is_closing:
            self.finish()
        elif self.is_reading_paused and not self.is_blocked():
            if self.ports.is_over:
                self.is_resting = self.is_flush_asked = True
                return True
            self.drain()
        return False

    def finish(self) -> None:
        """Closes the socket behind the last reply; a client that does not read it is cut off."""
        if self.deadline == 0:
            self.deadline = self.ports.now() + self.ports.limits.startup_s
        if self.writer.size() == 0:
            self.transport.close()

    cdef int ask_flush(self) except -1:
        if self.writer.size() > self.ports.limits.output_bytes_closed:
            self.abort()
        elif (
            (self.writer.size() or self.is_closing or self.is_resting) and not self.is_flush_asked
        ):
            self.is_flush_asked = True
            if self.ports.flush_later is not None and not self.is_lost:
                self.ports.flush_later(self)
        return 0

    cdef int steer(self) except -1:
        """Reads from the socket only while there is room for what comes."""
        cdef bint pause = self.is_blocked()
        if pause == self.is_reading_paused or self.is_closing:
            return 0
        self.is_reading_paused = pause
        if self.transport is not None and not self.is_lost:
            if pause:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
        return 0

    def send_event(self, event) -> None:
        """Tells the client, unless it cannot be told."""
        if not self.is_closing and not self.is_lost:
            version = self.session.version
            self.answer(version, EVENT_STREAM, event_reply(event, version))
            self.ask_flush()

    # Called by replies that come later, the loop, and the shard's coarse timer.

    def arrived(self, Frame frame, future) -> None:
        """A task that made a reply is done."""
        self.waiting.discard(future)
        if not self.waiting:
            self.waiting = None
        self.settle(frame, None if future.cancelled() else future.result())

    cdef int settle(self, Frame frame, Reply reply) except -1:
        """A reply that had to wait is there, or never comes."""
        self.in_flight -= 1
        self.in_flight_bytes -= PyBytes_GET_SIZE(frame.body)
        if self.is_closing or reply is None:
            self.count()
            return 0
        self.answer(frame.version, frame.stream, reply)
        self.count()
        if self.is_reading_paused and not self.is_closing:
            return self.drain()
        return self.ask_flush()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.count()

    def connection_lost(self, error) -> None:
        self.is_closing = self.is_lost = True
        self.transport = None
        self.unsent = 0
        self.writer = FrameWriter()
        self.reader = FrameReader()
        self.count()

    def eof_received(self) -> bool:
        """The client sends no more: what it asked is not answered any more either."""
        return False

    def pause_writing(self) -> None:
        self.is_writing_paused = True
        self.deadline = self.ports.now() + self.ports.limits.stalled_s
        self.unsent = self.transport.get_write_buffer_size()
        self.count()

    def resume_writing(self) -> None:
        self.is_writing_paused = False
        self.unsent = 0
        self.count()
        self.deadline = 0 if self.is_started else self.ports.now() + self.ports.limits.startup_s
        if self.is_reading_paused and not self.is_closing:
            self.drain()
        else:
            self.ask_flush()

    def tick(self, double now) -> None:
        """Ends the connection of a client that took too long to start up, to send or to read."""
        cdef Limits limits = self.ports.limits
        cdef double deadline = self.deadline
        cdef Room replies = self.ports.replies
        if self.is_writing_paused and replies.used * 4 >= replies.bytes_max * 3:
            deadline += limits.stalled_without_room_s - limits.stalled_s
        if (deadline and now >= deadline) or self.arrives_too_slowly(now):
            self.abort()
        elif self.is_reading_paused and not self.is_closing and not self.is_blocked():
            self.drain()

    cdef bint arrives_too_slowly(self, double now) noexcept:
        """Whether one frame has held its room for too long, while others need it."""
        cdef Room requests = self.ports.requests
        if self.reader.held() == 0 or requests.used * 2 < requests.bytes_max:
            self.arriving_since = 0
        elif self.arriving_since == 0 or self.arriving_after != self.requests:
            self.arriving_since = now
            self.arriving_after = self.requests
        return (
            self.arriving_since != 0 and not self.is_reading_paused
            and now - self.arriving_since >= self.ports.limits.stalled_s
        )

    def abort(self) -> None:
        """Ends the connection at once; what waits is dropped."""
        self.is_closing = True
        self.writer = FrameWriter()
        if self.transport is not None and not self.is_lost:
            self.transport.abort()


cdef class _Waiting:
    """A request whose reply comes later."""

    cdef Connection connection
    cdef Frame frame

    def __init__(self, Connection connection, Frame frame):
        self.connection = connection
        self.frame = frame

    def __call__(self, future) -> None:
        self.connection.arrived(self.frame, future)

    def answer(self, Reply reply not None) -> None:
        self.connection.settle(self.frame, reply)

    def give_up(self, error) -> None:
        self.connection.settle(self.frame, None)
        if not isinstance(error, CancelledError):
            raise error

"""Messages between the shards of one node: framed, batched, answered or failed.

Two shards have one stream socket pair, a *link* (`node.links` makes it). What is said in one turn
of the loop is appended to a buffer per sibling and given to the kernel with one write at the
turn's end. Before that write `before_flush` is called: there the shard hands its commit log to
the kernel, so that no answer leaves before what it acknowledges is replayable.

A link lives as long as both processes do. Its end fails all calls in flight with `ShardDown`,
which says whether the request may have left us; late answers have no link to come through. A new
incarnation of a shard has a new link, so nothing of the old one can be mistaken for it.

Bounds: `calls_max` requests in flight and `queue_bytes_max` unsent bytes per sibling. Beyond them
a call raises `Overloaded`, and an answer is replaced by `Overloaded`. We never stop reading,
because two shards that wait for each other to read would wait forever.

The frames are described in docs/formats/messages.md.
"""

from asyncio import ensure_future, isfuture
from functools import partial

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from storage.later cimport Later

from cluster.errors import Overloaded, ShardDown

cdef extern from "sys/socket.h" nogil:
    ssize_t c_send "send"(int fd, const void *data, size_t size, int flags)
    ssize_t c_recv "recv"(int fd, void *data, size_t size, int flags)
    int MSG_DONTWAIT

cdef enum:
    REQUEST = 0
    ANSWER = 1
    FAULT = 2
    MAGIC = 0x504D
    HEADER_BYTES = 16
    FRAME_BYTES_MAX = 256 * 1024 * 1024
    READ_BYTES = 256 * 1024
    OUT_BYTES_FIRST = 64 * 1024
    BUFFER_BYTES_KEPT = 1024 * 1024     # a larger buffer is given back when it is empty
    NOTHING = -2

CALLS_MAX = 16384
QUEUE_BYTES_MAX = 64 * 1024 * 1024

cdef packed struct Header:
    uint32_t payload_bytes
    uint16_t magic
    uint8_t type
    uint8_t kind
    uint64_t number


cdef class Link:
    """One end of the stream to one sibling."""

    def __cinit__(self, int shard, sock):
        self.shard = shard
        self.sock = sock
        self.fd = sock.fileno()
        self.pending = {}
        self.received = <char *>PyMem_Malloc(READ_BYTES)
        self.out = <char *>PyMem_Malloc(OUT_BYTES_FIRST)
        if self.received == NULL or self.out == NULL:
            raise MemoryError
        self.in_capacity = READ_BYTES
        self.out_capacity = OUT_BYTES_FIRST

    def __dealloc__(self):
        PyMem_Free(self.received)
        PyMem_Free(self.out)

    cdef int put(self, int type, int kind, uint64_t number, bytes payload) except -1:
        cdef Header header
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef Py_ssize_t needed = HEADER_BYTES + size
        cdef Py_ssize_t capacity = self.out_capacity
        cdef char *grown
        assert size <= FRAME_BYTES_MAX, "a message fits into a frame"
        if self.out_end + needed > capacity and self.out_start > 0:
            memmove(self.out, self.out + self.out_start, self.out_end - self.out_start)
            self.out_end -= self.out_start
            self.out_ready -= self.out_start
            self.out_start = 0
        if self.out_end + needed > capacity:
            while capacity < self.out_end + needed:
                capacity *= 2
            grown = <char *>PyMem_Realloc(self.out, capacity)
            if grown == NULL:
                raise MemoryError
            self.out = grown
            self.out_capacity = capacity
        header.payload_bytes = <uint32_t>size
        header.magic = MAGIC
        header.type = <uint8_t>type
        header.kind = <uint8_t>kind
        header.number = number
        memcpy(self.out + self.out_end, &header, HEADER_BYTES)
        memcpy(self.out + self.out_end + HEADER_BYTES, PyBytes_AS_STRING(payload), size)
        self.out_end += needed
        return 0

    cdef int send(self) except -1:
        cdef ssize_t sent
        while self.out_start < self.out_ready:
            sent = c_send(
                self.fd, self.out + self.out_start, self.out_ready - self.out_start, MSG_DONTWAIT
            )
            if sent < 0:
                if errno == EINTR:
                    continue
                if errno == EAGAIN:
                    return 0
                raise OSError(errno, "the mesh cannot send")
            self.sent_before = self.ready_before
            self.out_start += sent
        if self.out_start < self.out_end:
            return 1
        self.out_start = self.out_ready = self.out_end = 0
        if self.out_capacity > BUFFER_BYTES_KEPT:
            PyMem_Free(self.out)
            self.out_capacity = 0
            self.out = <char *>PyMem_Malloc(OUT_BYTES_FIRST)
            if self.out == NULL:
                raise MemoryError
            self.out_capacity = OUT_BYTES_FIRST
        return 1

    cdef Py_ssize_t receive(self) except -1:
        cdef ssize_t came
        while True:
            came = c_recv(
                self.fd, self.received + self.in_end, self.in_capacity - self.in_end, MSG_DONTWAIT
            )
            if came >= 0:
                self.in_end += came
                return came
            if errno == EINTR:
                continue
            if errno == EAGAIN:
                return NOTHING
            raise OSError(errno, "the mesh cannot receive")

    cdef int reserve_in(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t held = self.in_end - self.in_start
        cdef Py_ssize_t capacity = size if size > READ_BYTES else READ_BYTES
        cdef char *fresh
        if self.in_start + size <= self.in_capacity and self.in_end < self.in_capacity:
            return 0
        if size > self.in_capacity or (self.in_capacity > BUFFER_BYTES_KEPT >= capacity):
            fresh = <char *>PyMem_Malloc(capacity)
            if fresh == NULL:
                raise MemoryError
            memcpy(fresh, self.received + self.in_start, held)
            PyMem_Free(self.received)
            self.received = fresh
            self.in_capacity = capacity
        elif self.in_start > 0:
            memmove(self.received, self.received + self.in_start, held)
        self.in_start = 0
        self.in_end = held
        return 0


cdef class Mesh:
    """The port `cluster.transport.Siblings` over socket pairs. Belongs to one loop and its
    thread.
    """

    def __init__(
        self, int shard, loop, *, before_flush, encode_fault, decode_fault,
        Py_ssize_t calls_max=CALLS_MAX, Py_ssize_t queue_bytes_max=QUEUE_BYTES_MAX, stalls=None,
    ):
        self.shard = shard
        self.loop = loop
        self.before_flush = before_flush
        self.encode_fault = encode_fault
        self.decode_fault = decode_fault
        self.calls_max = calls_max
        self.queue_bytes_max = queue_bytes_max
        self.links = {}
        self.handlers = {}
        self.listeners = []
        self.running = set()
        self.read = self.readable
        if stalls is not None:
            self.read = stalls.timed("messages of other shards", self.readable)

    def call(self, int shard, int kind, bytes payload not None):
        """Send a request; the future gives the answer, the handler's fault, or `ShardDown`."""
        cdef Link link = self.links.get(shard)
        if link is None:
            raise ShardDown(shard, False)
        if (len(link.pending) >= self.calls_max
                or link.out_end - link.out_start + len(payload) > self.queue_bytes_max):
            raise Overloaded(
                f"shard {shard} has {len(link.pending)} requests of shard {self.shard} to answer"
            )
        future = self.loop.create_future()
        link.put(REQUEST, kind, link.next_id, payload)
        link.pending[link.next_id] = future
        link.next_id += 1
        self.frames_sent += 1
        self.flush_soon()
        return future

    def register(self, int kind, handler) -> None:
        """Let `handler(payload, source)` answer requests of a kind, now or with an awaitable."""
        assert 0 <= kind < 256, "a kind is one byte"
        assert kind not in self.handlers, "a kind has one handler"
        self.handlers[kind] = handler

    def is_alive(self, int shard) -> bool:
        """Whether there is a link to a sibling."""
        return shard in self.links

    def on_change(self, listener) -> None:
        """From now on, tell `listener(shard, is_alive)` when a link comes or goes."""
        self.listeners.append(listener)

    def in_flight(self, int shard) -> int:
        """How many requests to a sibling have no answer yet."""
        cdef Link link = self.links.get(shard)
        return 0 if link is None else len(link.pending)

    def attach(self, int shard, sock) -> None:
        """Talk to a sibling through this connected stream socket, which is ours from now on."""
        cdef Link old = self.links.get(shard)
        if old is not None:
            self.lose(old)
        assert not self.is_closed, "a closed mesh makes no new links"
        sock.setblocking(False)
        link = Link(shard, sock)
        self.links[shard] = link
        self.loop.add_reader(sock.fileno(), self.read, link)
        for listener in self.listeners:
            listener(shard, True)

    def detach(self, int shard) -> None:
        """Cut the link to a sibling, if there is one."""
        cdef Link link = self.links.get(shard)
        if link is not None:
            self.lose(link)

    def close(self) -> None:
        """Send what is queued as far as the kernel takes it, and cut all links."""
        self.is_closed = True
        try:
            self.flush()
        finally:
            for link in list(self.links.values()):
                self.lose(link)
            for task in list(self.running):
                task.cancel()

    def flush(self) -> None:
        """Give the kernel all that was queued. Called by the loop once per turn in which
        something was.
        """
        cdef Link link
        self.flush_is_due = False
        self.before_flush()
        for link in list(self.links.values()):
            link.out_ready = link.out_end
            link.ready_before = link.next_id
            if link.out_end > link.out_start and not link.waits_for_room:
                self.writable(link)

    def writable(self, Link link not None) -> None:
        """The kernel may take more."""
        cdef Py_ssize_t size = link.out_end - link.out_start
        cdef bint is_done
        if link.fd < 0:
            return
        try:
            is_done = link.send()
        except OSError:
            self.lose(link)
            return
        self.writes += 1
        self.bytes_sent += size - (link.out_end - link.out_start)
        if is_done and link.waits_for_room:
            self.loop.remove_writer(link.fd)
            link.waits_for_room = False
        elif not is_done and not link.waits_for_room:
            link.waits_for_room = True
            self.loop.add_writer(link.fd, self.writable, link)

    def readable(self, Link link not None) -> None:
        """Bytes, or the end of the stream, have come."""
        cdef Py_ssize_t came
        if link.fd < 0:
            return
        try:
            came = link.receive()
        except OSError:
            came = 0
        if came == NOTHING:
            return
        if came == 0 or not self.understand(link):
            self.lose(link)

    cdef int flush_soon(self) except -1:
        if not self.flush_is_due:
            self.flush_is_due = True
            self.loop.call_soon(self.flush)
        return 0

    cdef int lose(self, Link link) except -1:
        cdef int fd = link.fd
        if fd < 0:
            return 0
        link.fd = -1
        self.loop.remove_reader(fd)
        if link.waits_for_room:
            self.loop.remove_writer(fd)
        link.sock.close()
        if self.links.get(link.shard) is link:
            del self.links[link.shard]
        pending = link.pending
        link.pending = {}
        for number, future in pending.items():
            if not future.done():
                future.set_exception(ShardDown(link.shard, number < link.sent_before))
        for listener in self.listeners:
            listener(link.shard, False)
        return 0

    cdef int understand(self, Link link) except -1:
        cdef Header header
        cdef Py_ssize_t whole
        cdef bytes payload
        while link.in_end - link.in_start >= HEADER_BYTES:
            memcpy(&header, link.received + link.in_start, HEADER_BYTES)
            if (header.magic != MAGIC or header.type > FAULT
                    or header.payload_bytes > FRAME_BYTES_MAX):
                return 0
            whole = HEADER_BYTES + <Py_ssize_t>header.payload_bytes
            if link.in_end - link.in_start < whole:
                link.reserve_in(whole)
                return 1
            payload = PyBytes_FromStringAndSize(
                link.received + link.in_start + HEADER_BYTES, header.payload_bytes
            )
            link.in_start += whole
            self.frames_received += 1
            if header.type == REQUEST:
                self.handle(link, header.kind, header.number, payload)
            else:
                self.settle(link, header.type, header.number, payload)
            if link.fd < 0:
                return 1
        if link.in_start == link.in_end:
            link.in_start = link.in_end = 0
        link.reserve_in(HEADER_BYTES)
        return 1

    cdef int handle(self, Link link, int kind, uint64_t number, bytes payload) except -1:
        try:
            handler = self.handlers[kind]
            result = handler(payload, link.shard)
        except Exception as fault:
            return self.refuse(link, number, fault)
        if type(result) is bytes:
            return self.answer(link, number, <bytes>result)
        if type(result) is Later:
            (<Later>result).then(
                partial(self.reply, link, number), partial(self.reply_fault, link, number)
            )
            return 0
        work = result if isfuture(result) else ensure_future(result, loop=self.loop)
        self.running.add(work)
        work.add_done_callback(partial(self.finished, link, number))
        return 0

    def reply(self, Link link not None, uint64_t number, bytes content not None) -> None:
        """The answer that a handler had to wait for."""
        self.answer(link, number, content)

    def reply_fault(self, Link link not None, uint64_t number, fault) -> None:
        """Or the error."""
        self.refuse(link, number, fault)

    def finished(self, Link link not None, uint64_t number, work) -> None:
        """A handler's awaitable is done."""
        self.running.discard(work)
        if work.cancelled():
            self.refuse(link, number, RuntimeError("the request was given up"))
            return
        fault = work.exception()
        if fault is not None:
            self.refuse(link, number, fault)
        else:
            self.answer(link, number, work.result())

    cdef int answer(self, Link link, uint64_t number, bytes content) except -1:
        if link.fd < 0:
            return 0
        if (link.out_end - link.out_start + len(content) > self.queue_bytes_max
                or len(content) > FRAME_BYTES_MAX):
            fault = Overloaded(f"shard {link.shard} does not read its answers fast enough")
            return self.refuse(link, number, fault)
        link.put(ANSWER, 0, number, content)
        self.frames_sent += 1
        return self.flush_soon()

    cdef int refuse(self, Link link, uint64_t number, object fault) except -1:
        if link.fd < 0:
            return 0
        link.put(FAULT, 0, number, self.encode_fault(fault))
        self.frames_sent += 1
        return self.flush_soon()

    cdef int settle(self, Link link, int type, uint64_t number, bytes payload) except -1:
        future = link.pending.pop(number, None)
        if future is None or future.done():
            return 0
        if type == ANSWER:
            future.set_result(payload)
        else:
            future.set_exception(self.decode_fault(payload))
        return 0

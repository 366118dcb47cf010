"""Bytes to frames and frames to bytes: envelopes of v3 and v4, and those of v5 inside segments.

Both directions are pure state machines. The reader trusts nothing: a length is checked before a
byte is kept for it, and what it keeps never exceeds one frame and what was handed to it once.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int16_t, uint8_t, uint32_t
from libc.string cimport memcpy

from collections import deque

from lz4.block import LZ4BlockError
from lz4.block import compress as lz4_compress
from lz4.block import decompress as lz4_decompress

from cql.errors import CqlError, InvalidRequest, Overloaded, ProtocolError

from cql.protocol.room cimport Room
from cql.protocol.segment cimport (
    PACK_FROM,
    PACKED_HEADER,
    PAYLOAD_BYTES_MAX,
    PLAIN_HEADER,
    TRAILER,
    Header,
    read_header,
    read_payload,
    write_segment,
)

VERSION_MIN = 3
VERSION_MAX = 5
VERSION_NAMES = "3/v3, 4/v4, 5/v5"
FRAME_BYTES_MAX = 16 * 1024 * 1024
FIRST_FRAME_BYTES_MAX = 100_000
STARTUP_FRAME_BYTES_MAX = 128 * 1024
NO_ROOM = "The memory for requests is in use"

OP_ERROR = 0x00
OP_STARTUP = 0x01
OP_READY = 0x02
OP_AUTHENTICATE = 0x03
OP_OPTIONS = 0x05
OP_SUPPORTED = 0x06
OP_QUERY = 0x07
OP_RESULT = 0x08
OP_PREPARE = 0x09
OP_EXECUTE = 0x0A
OP_REGISTER = 0x0B
OP_EVENT = 0x0C
OP_BATCH = 0x0D
OP_AUTH_CHALLENGE = 0x0E
OP_AUTH_RESPONSE = 0x0F
OP_AUTH_SUCCESS = 0x10

FLAG_COMPRESSED = 0x01
FLAG_TRACING = 0x02
FLAG_PAYLOAD = 0x04
FLAG_WARNING = 0x08
FLAG_USE_BETA = 0x10

OPCODE_NAMES = {
    OP_ERROR: "ERROR",
    OP_STARTUP: "STARTUP",
    OP_READY: "READY",
    OP_AUTHENTICATE: "AUTHENTICATE",
    OP_OPTIONS: "OPTIONS",
    OP_SUPPORTED: "SUPPORTED",
    OP_QUERY: "QUERY",
    OP_RESULT: "RESULT",
    OP_PREPARE: "PREPARE",
    OP_EXECUTE: "EXECUTE",
    OP_REGISTER: "REGISTER",
    OP_EVENT: "EVENT",
    OP_BATCH: "BATCH",
    OP_AUTH_CHALLENGE: "AUTH_CHALLENGE",
    OP_AUTH_RESPONSE: "AUTH_RESPONSE",
    OP_AUTH_SUCCESS: "AUTH_SUCCESS",
}

# LZ4 cannot shrink more than this; a larger claim is refused before memory is taken for it.
cdef enum:
    LZ4_RATIO_MAX = 255
    NO_LENGTH = -1  # the header is not complete yet


class BadFrame(Exception):
    """A frame that gets no handler: `error` is what to answer, on `stream`, in `version`.

    After a fatal one nothing more can be read from the connection.
    """

    def __init__(
        self, error: CqlError, version: int, stream: int, *, is_fatal: bool, flags: int = 0
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.version = version
        self.stream = stream
        self.is_fatal = is_fatal
        self.flags = flags


cdef class Frame:
    """One request's envelope."""

    def __init__(self, int version, int opcode, bytes body=b"", *, int stream=0, int flags=0):
        self.version = version
        self.flags = flags
        self.stream = stream
        self.opcode = opcode
        self.body = body

    def __repr__(self):
        return (
            f"Frame(version={self.version}, opcode={self.opcode}, body={self.body!r}, "
            f"stream={self.stream}, flags={self.flags})"
        )


cdef class Reply:
    """What goes back on the request's stream; made once and never changed, so it may be shared."""

    def __init__(
        self, int opcode, bytes body=b"", *, bytes rest=None, int flags=0, bint closes=False
    ):
        self.opcode = opcode
        self.flags = flags
        self.body = body
        self.rest = rest
        self.closes = closes

    def __repr__(self):
        return (
            f"Reply(opcode={self.opcode}, body={self.body!r}, rest={self.rest!r}, "
            f"flags={self.flags}, closes={self.closes})"
        )

    cdef Py_ssize_t size(self) noexcept:
        """Bytes of the body, with its rest."""
        cdef Py_ssize_t total = PyBytes_GET_SIZE(self.body)
        return total if self.rest is None else total + PyBytes_GET_SIZE(self.rest)


cdef class FrameReader:
    """The bytes of one client, cut into frames."""

    def __init__(self, uint32_t frame_bytes_max=FRAME_BYTES_MAX, Room room=None):
        self.frame_bytes_max = frame_bytes_max
        self.room = room

    def receive(self, data) -> None:
        """Takes bytes that have arrived; then call `next_frame` until it gives None."""
        cdef const uint8_t[::1] view = data
        if view.shape[0]:
            self.borrow(&view[0], view.shape[0])
            self.keep_rest()

    def agree(self, int version, *, bint packs) -> None:
        """STARTUP was answered: from here on all frames have `version`, and v5 uses segments."""
        assert self.version == 0, "a connection starts up once"
        self.version = version
        self.packs = packs
        self.is_segmented = version >= 5

    @property
    def kept_bytes(self) -> int:
        """Bytes held for frames that are not complete or not yet asked for."""
        total = self.size - self.at
        if self.payload is not None:
            total += len(self.payload) - self.payload_at
        if self.message is not None:
            total += len(self.message)
        return total

    cdef Py_ssize_t held(self) noexcept:
        """What is kept, or the whole of it where more of it was let in than has come."""
        cdef Py_ssize_t total = 0
        cdef Py_ssize_t kept = self.size - self.at
        if not self.is_segmented:
            return max(kept, self.reserved)
        if self.payload is not None:
            total = PyBytes_GET_SIZE(self.payload) - self.payload_at
        if self.message is not None:
            total += max(self.reserved, PyByteArray_GET_SIZE(self.message))
        return total + max(kept, self.segment_reserved)

    cdef int borrow(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Reads from `data` until `keep_rest`; it must not move before that."""
        cdef Py_ssize_t old
        if self.at == self.size:
            self.kept = None
        if self.kept is None:
            self.data = data
            self.size = size
            self.at = 0
            return 0
        old = PyByteArray_GET_SIZE(self.kept)
        if self.at:
            del self.kept[: self.at]
            old -= self.at
            self.at = 0
        PyByteArray_Resize(self.kept, old + size)
        memcpy(PyByteArray_AS_STRING(self.kept) + old, data, size)
        self.data = <const uint8_t*>PyByteArray_AS_STRING(self.kept)
        self.size = old + size
        return 0

    cdef int keep_rest(self) except -1:
        """Copies what is left of borrowed bytes, so that they may go."""
        if self.at == self.size:
            self.kept = None
            self.data = NULL
            self.size = self.at = 0
        elif self.kept is None:
            self.kept = bytearray()
            PyByteArray_Resize(self.kept, self.size - self.at)
            memcpy(PyByteArray_AS_STRING(self.kept), self.data + self.at, self.size - self.at)
            self.data = <const uint8_t*>PyByteArray_AS_STRING(self.kept)
            self.size -= self.at
            self.at = 0
        return 0

    cpdef Frame next_frame(self):
        """The next complete frame, or None: more bytes are needed. Raises BadFrame."""
        if self.is_segmented:
            return self.next_segmented()
        return self.next_bare()

    cdef Frame next_bare(self):
        cdef Py_ssize_t length, start
        if self.skip:
            start = min(self.skip, self.size - self.at)
            self.at += start
            self.skip -= start
        if self.at == self.size:
            return None
        start = self.at
        length = self.check_header(self.data + start, self.size - start)
        if length == NO_LENGTH:
            return None
        if self.size - start < HEADER + length:
            self.reserve(self.data + start, length)
            return None
        self.reserved = 0
        self.at = start + HEADER + length
        return self.build(self.data + start, length)

    cdef Frame next_segmented(self):
        cdef const uint8_t* data
        cdef Py_ssize_t length, left
        cdef Frame frame
        while True:
            if self.message is not None:
                frame = self.continue_message()
                if frame is not None:
                    return frame
            if self.payload is None:
                if not self.open_segment():
                    return None
                continue
            left = PyBytes_GET_SIZE(self.payload) - self.payload_at
            if left == 0:
                self.payload = None
                continue
            data = <const uint8_t*>PyBytes_AS_STRING(self.payload) + self.payload_at
            length = self.check_header(data, left)
            if length == NO_LENGTH or left < HEADER + length:
                raise self.fatal(ProtocolError("A self-contained segment ends within an envelope"))
            self.payload_at += HEADER + length
            return self.build(data, length)

    cdef bint open_segment(self) except -1:
        """Reads one segment into `payload` or `message`; False: more bytes are needed."""
        cdef Header header
        cdef Py_ssize_t start = PACKED_HEADER if self.packs else PLAIN_HEADER
        cdef bytes payload
        cdef Py_ssize_t dropped
        if self.size - self.at < start:
            return False
        try:
            read_header(self.data + self.at, self.packs, &header)
            if self.size - self.at < start + header.wire_length + TRAILER:
                self.reserve_segment(start + header.wire_length + TRAILER)
                return False
            self.segment_reserved = self.wanted = 0
            payload = read_payload(self.data + self.at + start, &header)
        except ProtocolError as error:
            raise self.fatal(error) from None
        self.at += start + header.wire_length + TRAILER
        if header.is_self_contained:
            if self.message is not None or self.skip:
                raise self.fatal(ProtocolError("An envelope's continuation is missing"))
            self.payload = payload
            self.payload_at = 0
            return True
        if not self.is_open:
            raise self.fatal(
                ProtocolError("A message before authentication must be in one segment")
            )
        if self.skip:
            dropped = min(self.skip, PyBytes_GET_SIZE(payload))
            self.skip -= dropped
            if dropped < PyBytes_GET_SIZE(payload):
                raise self.fatal(ProtocolError("A segment holds more than the end of its envelope"))
            return True
        if self.message is None:
            self.message = bytearray()
        self.message += payload
        return True

    cdef int reserve_segment(self, Py_ssize_t size) except -1:
        """Takes room for a segment that goes on, or waits for it.

        A segment says nothing of the requests in it, so that none of them can be refused. What is
        part of an envelope that was let in does not wait: it is what others may be waiting for.
        """
        self.wanted = 0
        if self.room is None or self.segment_reserved:
            return 0
        if not self.reserved and not self.skip and not self.room.has(size):
            self.wanted = size
            return 0
        self.segment_reserved = size
        return 0

    cdef Frame continue_message(self):
        """The frame in `message` once it is whole; raises BadFrame when it may not be."""
        cdef bytearray message = self.message
        cdef const uint8_t* data = <const uint8_t*>PyByteArray_AS_STRING(message)
        cdef Py_ssize_t held = PyByteArray_GET_SIZE(message)
        cdef Py_ssize_t length
        try:
            length = self.check_header(data, held)
            if length != NO_LENGTH and held < HEADER + length:
                self.reserve(data, length)
                return None
        except BadFrame:
            self.message = None
            raise
        if length == NO_LENGTH:
            return None
        self.reserved = 0
        if held > HEADER + length:
            raise self.fatal(ProtocolError("A segment holds more than the end of its envelope"))
        self.message = None
        return self.build(data, length)

    cdef Py_ssize_t check_header(self, const uint8_t* header, Py_ssize_t size) except -2:
        """The length of the body behind `header`, or NO_LENGTH; raises BadFrame."""
        cdef int version = header[0] & 0x7F
        cdef uint32_t length
        if version < VERSION_MIN:
            if size < OLD_HEADER:
                return NO_LENGTH
            self.refuse_version(version, <int>header[2], 0)
        if size < HEADER:
            return NO_LENGTH
        if version > VERSION_MAX:
            self.refuse_version(version, stream_of(header), header[1])
        length = length_of(header)
        self.check_length(header, length)
        return length

    cdef int check_length(self, const uint8_t* header, uint32_t length) except -1:
        """Raises BadFrame when a body of that length is not to be read."""
        cdef uint32_t most = self.frame_bytes_max
        if not self.is_open:
            most = FIRST_FRAME_BYTES_MAX if not self.has_begun else STARTUP_FRAME_BYTES_MAX
        if length <= most:
            return 0
        raise self.too_long(header[0] & 0x7F, stream_of(header), length, most)

    cdef int reserve(self, const uint8_t* header, Py_ssize_t length) except -1:
        """Once for each envelope that has not arrived whole."""
        if self.reserved or self.room is None:
            return 0
        if not self.room.admits(HEADER + length):
            raise self.skip_body(
                Overloaded(NO_ROOM),
                header[0] & 0x7F,
                stream_of(header),
                length,
            )
        self.reserved = HEADER + length
        return 0

    cdef object too_long(self, int version, int stream, uint32_t length, uint32_t most):
        """The answer to a body over the limit."""
        error = InvalidRequest(
            f"Request is too big: length {length} exceeds maximum allowed length {most}."
        )
        return self.skip_body(error, version, stream, length)

    cdef object skip_body(self, object error, int version, int stream, uint32_t length):
        """The answer to an envelope whose bytes are skipped, not kept; the end before STARTUP."""
        cdef Py_ssize_t here
        if not self.is_open or length > 0x7FFFFFFF:
            return BadFrame(error, version, stream, is_fatal=True)
        self.skip = HEADER + length
        if self.message is not None:
            if len(self.message) > self.skip:
                return self.fatal(ProtocolError("A segment holds more than its envelope's end"))
            self.skip -= len(self.message)
        elif self.payload is not None:
            here = len(self.payload) - self.payload_at
            if here < self.skip:
                return self.fatal(ProtocolError("A self-contained segment ends within an envelope"))
            self.payload_at += self.skip
            self.skip = 0
        return BadFrame(error, version, stream, is_fatal=False)

    cdef Frame build(self, const uint8_t* header, Py_ssize_t length):
        cdef Frame frame = Frame.__new__(Frame)
        frame.version = header[0] & 0x7F
        frame.flags = header[1]
        frame.stream = stream_of(header)
        frame.opcode = header[4]
        frame.body = PyBytes_FromStringAndSize(<const char*>header + HEADER, length)
        self.has_begun = True
        if header[0] & 0x80:
            raise self.refuse_direction(frame)
        if self.version and frame.version != self.version:
            raise BadFrame(
                ProtocolError(
                    f"Invalid message version. Got {version_name(frame.version)} but previous "
                    f"messages on this connection had version {version_name(self.version)}"
                ),
                self.version,
                frame.stream,
                is_fatal=False,
            )
        if frame.flags & COMPRESSED and frame.version < 5:
            frame.body = self.unpack(frame)
        return frame

    cdef bytes unpack(self, Frame frame):
        """A v3 or v4 body: its length and an LZ4 block. Raises BadFrame."""
        try:
            if not self.packs:
                raise ProtocolError("A frame is compressed, but no compression was agreed upon")
            if self.room is not None and not self.room.has(unpacked_bytes(frame.body)):
                raise Overloaded(NO_ROOM)
            return decompress_body(frame.body, self.frame_bytes_max)
        except (ProtocolError, Overloaded) as error:
            raise BadFrame(error, frame.version, frame.stream, is_fatal=False) from None

    cdef object refuse_direction(self, Frame frame):
        """The answer to a response that a client sends."""
        name = OPCODE_NAMES.get(frame.opcode, "?")
        return BadFrame(
            ProtocolError(
                "Wrong protocol direction (expected REQUEST, got RESPONSE) for opcode "
                f"{frame.opcode} ({name})"
            ),
            self.version or frame.version,
            frame.stream,
            is_fatal=False,
        )

    cdef object refuse_version(self, int version, int stream, int flags):
        """Raises the BadFrame that drivers downgrade upon: text, version and stream matter."""
        if stream >= 0x80 and version < VERSION_MIN:
            stream -= 0x100
        if version == VERSION_MAX + 1 and not flags & USE_BETA:
            raise BadFrame(
                ProtocolError(
                    f"Beta version of the protocol used ({version}/v{version}-beta), "
                    "but USE_BETA flag is unset"
                ),
                version,
                stream,
                is_fatal=True,
                flags=USE_BETA,
            )
        raise BadFrame(
            ProtocolError(
                f"Invalid or unsupported protocol version ({version}); "
                f"supported versions are ({VERSION_NAMES})"
            ),
            version if 0 < version < VERSION_MIN else VERSION_MAX,
            stream,
            is_fatal=True,
        )

    cdef object fatal(self, object error):
        """The end of a connection whose bytes can no longer be followed."""
        return BadFrame(error, self.version or VERSION_MAX, 0, is_fatal=True)


cdef inline int stream_of(const uint8_t* header) noexcept:
    return <int16_t>((header[2] << 8) | header[3])


cdef inline uint32_t length_of(const uint8_t* header) noexcept:
    return (
        (<uint32_t>header[5] << 24)
        | (<uint32_t>header[6] << 16)
        | (<uint32_t>header[7] << 8)
        | header[8]
    )


def version_name(int version) -> str:
    """How messages call a protocol version."""
    return f"{version}/v{version}"


cdef inline Py_ssize_t unpacked_bytes(bytes body) except -1:
    """What a compressed body claims to become; 0 if it is too short to say so."""
    if PyBytes_GET_SIZE(body) < 4:
        return 0
    return min(int.from_bytes(body[:4], "big"), PyBytes_GET_SIZE(body) * LZ4_RATIO_MAX)


def decompress_body(bytes body, uint32_t bytes_max) -> bytes:
    """The bytes in a v3 or v4 compressed body. Raises ProtocolError."""
    if len(body) < 4:
        raise ProtocolError("A compressed body is too short to hold its length")
    length = int.from_bytes(body[:4], "big")
    if length > bytes_max or length > (len(body) - 4) * LZ4_RATIO_MAX:
        raise ProtocolError(f"A compressed body claims {length} bytes")
    if length == 0:
        return b""
    try:
        plain = lz4_decompress(memoryview(body)[4:], uncompressed_size=length)
    except LZ4BlockError as error:
        raise ProtocolError("A compressed body is not an LZ4 block") from error
    if len(plain) != length:
        raise ProtocolError("A compressed body has not the length it declares")
    return plain


def compress_body(bytes body) -> bytes:
    """A v3 or v4 body as its length and an LZ4 block."""
    return len(body).to_bytes(4, "big") + lz4_compress(body, store_size=False)


cdef class _Large:
    """A reply that is copied when it is sent, and not before: so many bytes at a time."""

    def __init__(self, *parts):
        self.parts = parts
        self.left = sum([len(part) for part in parts])

    cdef bytearray next(self, Py_ssize_t most):
        """The next bytes."""
        cdef Py_ssize_t count = min(self.left, most)
        cdef Py_ssize_t skip = self.at
        cdef Py_ssize_t size
        cdef bytes part
        cdef bytearray out = bytearray()
        cdef uint8_t* to
        PyByteArray_Resize(out, count)
        to = <uint8_t*>PyByteArray_AS_STRING(out)
        self.at += count
        self.left -= count
        for part in self.parts:
            size = min(PyBytes_GET_SIZE(part) - skip, count)
            if size > 0:
                memcpy(to, PyBytes_AS_STRING(part) + skip, size)
                to += size
                count -= size
            skip = max(0, skip - PyBytes_GET_SIZE(part))
        return out


cdef class FrameWriter:
    """Replies and events, as the bytes to send to one client; empty, it holds no memory."""

    def agree(self, int version, *, bint packs) -> None:
        """STARTUP was answered, and the answer is written: v5 goes on in segments."""
        self.packs = packs
        self.is_segmented = version >= 5

    def add(self, int version, int stream, Reply reply) -> None:
        """Puts one reply behind those that wait."""
        self.write(version, stream, reply)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that `take` has not given out yet, but for segments that are not cut yet."""
        return self.size()

    cdef int write(self, int version, int stream, Reply reply) except -1:
        """Hot path: a header, and the body behind it."""
        cdef bytearray out
        cdef uint8_t* to
        cdef uint8_t[HEADER] head
        cdef int flags = reply.flags
        cdef bytes body = reply.body
        cdef bytes rest = reply.rest
        cdef Py_ssize_t at
        cdef Py_ssize_t width = HEADER if version >= 3 else OLD_HEADER
        if self.packs and not self.is_segmented and reply.size() >= PACK_FROM:
            whole = body if rest is None else body + rest
            packed = compress_body(whole)
            if len(packed) < len(whole):
                body, rest = packed, None
                flags |= COMPRESSED
        cdef Py_ssize_t length = PyBytes_GET_SIZE(body)
        if rest is not None:
            length += PyBytes_GET_SIZE(rest)
        to = head
        to[0] = version | 0x80
        to[1] = flags
        if width == HEADER:
            to[2] = (stream >> 8) & 0xFF
            to += 1
        to[2] = stream & 0xFF
        to[3] = reply.opcode
        to[4] = (length >> 24) & 0xFF
        to[5] = (length >> 16) & 0xFF
        to[6] = (length >> 8) & 0xFF
        to[7] = length & 0xFF
        if width + length > LARGE_BYTES:
            header = PyBytes_FromStringAndSize(<const char*>head, width)
            return self.queue(_Large(header, body, b"" if rest is None else rest))
        out = self.envelopes if self.is_segmented else self.out
        if out is None:
            out = bytearray()
            if self.is_segmented:
                self.envelopes = out
            else:
                self.out = out
        elif self.is_segmented and PyByteArray_GET_SIZE(out) + width + length > PAYLOAD_BYTES_MAX:
            self.cut_segment()
        at = PyByteArray_GET_SIZE(out)
        PyByteArray_Resize(out, at + width + length)
        to = <uint8_t*>PyByteArray_AS_STRING(out) + at
        memcpy(to, head, width)
        to += width
        memcpy(to, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
        if rest is not None:
            memcpy(to + PyBytes_GET_SIZE(body), PyBytes_AS_STRING(rest), PyBytes_GET_SIZE(rest))
        return 0

    cdef int queue(self, _Large reply) except -1:
        """Puts a large reply behind those that wait."""
        before = self.finished()
        if self.queued is None:
            self.queued = deque()
        if before is not None:
            self.queued.append(before)
            self.queued_bytes += PyByteArray_GET_SIZE(before)
        self.queued.append(reply)
        self.queued_bytes += reply.left
        return 0

    cdef int cut_segment(self) except -1:
        """Moves the waiting envelopes to `out` as one segment."""
        cdef Py_ssize_t length = PyByteArray_GET_SIZE(self.envelopes)
        if self.out is None:
            self.out = bytearray()
        if length:
            write_segment(
                self.out, <const uint8_t*>PyByteArray_AS_STRING(self.envelopes), length, True,
                self.packs,
            )
        PyByteArray_Resize(self.envelopes, 0)
        return 0

    cdef bint is_within_reply(self) noexcept:
        """Whether a part of a reply has been given, and the rest of it waits."""
        return self.sending is not None or self.has_begun

    cdef Py_ssize_t size(self) noexcept:
        cdef Py_ssize_t total = self.queued_bytes
        if self.out is not None:
            total += PyByteArray_GET_SIZE(self.out)
        if self.envelopes is not None:
            total += PyByteArray_GET_SIZE(self.envelopes)
        if self.sending is not None:
            total += PyByteArray_GET_SIZE(self.sending) - self.sent
        return total

    cpdef object take(self, Py_ssize_t most=0):
        """The bytes to send, at most so many (0 is all); None if there are none."""
        cdef Py_ssize_t first = self.sent, left
        if self.sending is None and not self.go_on():
            return None
        if most == 0 and self.queued is not None:
            return self.take_all()
        left = PyByteArray_GET_SIZE(self.sending) - first
        if first == 0 and (most == 0 or left <= most):
            whole, self.sending = self.sending, None
            return whole
        left = min(left, most or left)
        piece = PyBytes_FromStringAndSize(PyByteArray_AS_STRING(self.sending) + first, left)
        self.sent = first + left
        if self.sent == PyByteArray_GET_SIZE(self.sending):
            self.sending = None
            self.sent = 0
        return piece

    cdef bytes take_all(self):
        """What is sent just now, and all behind it."""
        cdef list pieces = []
        while self.sending is not None or self.go_on():
            pieces.append(self.sending[self.sent:] if self.sent else self.sending)
            self.sending = None
            self.sent = 0
        return b"".join(pieces)

    cdef bint go_on(self) except -1:
        """Makes the next bytes `sending`; False if there are none."""
        cdef _Large large
        if self.queued is None:
            self.sending = self.finished()
            return self.sending is not None
        following = self.queued[0]
        if type(following) is _Large:
            large = following
            self.queued_bytes -= min(large.left, LARGE_BYTES)
            self.sending = large.next(LARGE_BYTES)
            self.has_begun = large.left > 0
            if self.is_segmented:
                piece, self.sending = self.sending, bytearray()
                write_segment(
                    self.sending, <const uint8_t*>PyByteArray_AS_STRING(piece), len(piece), False,
                    self.packs,
                )
            if large.left == 0:
                self.queued.popleft()
        else:
            self.sending = self.queued.popleft()
            self.queued_bytes -= PyByteArray_GET_SIZE(self.sending)
        if not self.queued:
            self.queued = None
        return True

    cdef bytearray finished(self):
        """What was written since it was asked for last, None if there is nothing."""
        cdef bytearray out
        if self.envelopes is not None:
            self.cut_segment()
            self.envelopes = None
        out = self.out
        self.out = None
        return out if out else None

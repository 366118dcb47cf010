"""A commit log record's bytes: writing them into a turn's buffer, finding them in a segment.

    record := header_checksum:u32 body_checksum:u32 length:u32 kind:u8 body[length]

`body_checksum` is the CRC32C of the body. `header_checksum` is the CRC32C of the segment's id
(u64), the offset of the record in its segment (u64), and the header's other fields; so a record
is a record only in its own place, and what a reused segment still holds from its earlier life is
none. See docs/formats/commitlog.md.

A position is the segment's id and the offset of a record's first byte in one integer; positions
grow with time.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy

from storage.buffer cimport Writer
from storage.checksum cimport crc32c_of
from storage.coding cimport get_u32, get_u64, put_u32, put_u64

BROKEN = KIND_BROKEN
MORE = KIND_MORE
START = KIND_START
MUTATION = KIND_MUTATION
MARK = KIND_MARK
END = KIND_END
HEADER_BYTES = RECORD_HEADER_BYTES

cdef enum:
    KEPT_BYTES_MAX = 1 << 20    # a turn's buffer that grew beyond this gives its memory back
    MARK_BODY_BYTES = 8
    SPANS_FIRST = 64            # records which a batch has room for before it grows

cdef bytes _START_BODY = b"pythia commit log\x00\x01"
START_BYTES = RECORD_HEADER_BYTES + len(_START_BODY)


def position_of(uint64_t segment, uint64_t offset):
    """Give the position of an offset in a segment."""
    assert offset < (<uint64_t>1 << POSITION_OFFSET_BITS), "a segment is shorter than 4 GiB"
    return segment << POSITION_OFFSET_BITS | offset


def segment_of(uint64_t position):
    """Give the segment of a position."""
    return position >> POSITION_OFFSET_BITS


def offset_of(uint64_t position):
    """Give the offset of a position in its segment."""
    return position & 0xFFFFFFFF


cdef inline uint32_t _header_checksum(
    uint64_t segment, uint64_t offset, const uint8_t *fields
) noexcept nogil:
    """The checksum of a header, given its fields after the checksum; cannot fail."""
    cdef uint8_t[16 + RECORD_HEADER_BYTES - 4] covered
    put_u64(covered, segment)
    put_u64(covered + 8, offset)
    memcpy(covered + 16, fields, RECORD_HEADER_BYTES - 4)
    return crc32c_of(0, covered, sizeof(covered))


cdef class RecordBuffer:
    """The records of one turn, which one write brings to the kernel."""

    def __cinit__(self):
        self.out = Writer()

    @property
    def size(self):
        """How many bytes wait to be taken."""
        return self.out.size

    def begin(self, uint64_t segment, uint64_t offset):
        """From now on records go to `segment` from `offset` on, where it ends so far."""
        assert self.out.size == 0, "records that wait belong to the segment before"
        self.segment = segment
        self.end = offset
        if offset == 0:
            self.append(KIND_START, _START_BODY)

    def append(self, Kind kind, bytes body not None):
        """Add a record and give its position; raises Overloaded at the buffer's limit."""
        cdef uint64_t offset = self.end
        cdef Py_ssize_t length = PyBytes_GET_SIZE(body)
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(body)
        cdef uint8_t *header
        assert offset + length < 0xFFFFFF00, "a segment is shorter than 4 GiB"
        self.out.reserve(RECORD_HEADER_BYTES + length)
        header = self.out.data + self.out.size
        put_u32(header + 4, crc32c_of(0, data, length))
        put_u32(header + 8, <uint32_t>length)
        header[12] = <uint8_t>kind
        put_u32(header, _header_checksum(self.segment, offset, header + 4))
        self.out.size += RECORD_HEADER_BYTES
        self.out.put_raw(data, length)
        self.end += RECORD_HEADER_BYTES + length
        return self.segment << POSITION_OFFSET_BITS | offset

    def mark(self, uint64_t durable):
        """Note that everything before the position `durable` is durable."""
        cdef uint8_t[MARK_BODY_BYTES] body
        put_u64(body, durable)
        self.append(KIND_MARK, (<const char *>body)[:MARK_BODY_BYTES])

    def take(self):
        """Give the bytes that wait, and start the next turn."""
        cdef bytes taken = self.out.take()
        if self.out.capacity > KEPT_BYTES_MAX:
            self.out = Writer()
        return taken


cdef class RecordScanner:
    """Reads a segment's records from its bytes, which come in pieces."""

    def __init__(self, uint64_t segment, uint64_t offset=0):
        self.segment = segment
        self.offset = offset
        self.window = b""
        self.window_offset = offset
        self.body = b""

    def feed(self, bytes data not None):
        """Take the segment's next bytes."""
        self.window = self.window[self.offset - self.window_offset:] + data
        self.window_offset = self.offset

    def next(self):
        """Go past the record at `offset`: give its kind and set `body`; or say MORE or BROKEN."""
        cdef uint32_t length = 0
        cdef int kind = self.look(self.offset, &length)
        if kind > 0:
            start = self.offset - self.window_offset + RECORD_HEADER_BYTES
            self.body = self.window[start:start + length]
            self.offset += RECORD_HEADER_BYTES + length
        return kind

    def mutations(self):
        """Give the window's mutations, and what came then: MORE, BROKEN or END."""
        cdef RecordBatch found = RecordBatch()
        cdef uint64_t place
        cdef uint32_t length = 0
        cdef int kind
        found.segment = self.segment
        found.window = self.window
        while True:
            place = self.offset
            kind = self.look(place, &length)
            if kind == KIND_MUTATION and place > 0:
                found.add(place, place - self.window_offset + RECORD_HEADER_BYTES, length)
                self.offset += RECORD_HEADER_BYTES + length
                continue
            kind = self.next()
            if kind <= 0 or kind == KIND_END:
                return found, kind
            if (place == 0) != (kind == KIND_START and self.body == _START_BODY):
                self.offset = place
                return found, KIND_BROKEN

    def last_mark(self):
        """Use the window up in search of marks, wherever they start; give the greatest, or 0."""
        cdef const uint8_t *window = <const uint8_t *>PyBytes_AS_STRING(self.window)
        cdef uint64_t size = PyBytes_GET_SIZE(self.window)
        cdef uint64_t at = self.offset - self.window_offset
        cdef uint64_t durable = 0
        cdef uint32_t length = 0
        cdef const uint8_t *kind
        while at + RECORD_HEADER_BYTES + MARK_BODY_BYTES <= size:
            # The kind is looked for first: memchr passes over nearly every byte.
            kind = <const uint8_t *>memchr(
                window + at + 12, KIND_MARK, size - at - 12 - MARK_BODY_BYTES
            )
            if kind == NULL:
                at = size - RECORD_HEADER_BYTES - MARK_BODY_BYTES + 1
                break
            at = kind - window - 12
            if get_u32(window + at + 8) == MARK_BODY_BYTES:
                if self.look(self.window_offset + at, &length) == KIND_MARK:
                    durable = max(durable, get_u64(window + at + RECORD_HEADER_BYTES))
            at += 1
        self.offset = self.window_offset + at
        return durable

    cdef int look(self, uint64_t offset, uint32_t *length) except -2:
        """The kind of the record at an offset, or BROKEN, or MORE; asserts it is in the window."""
        cdef const uint8_t *header
        cdef uint64_t at = offset - self.window_offset
        cdef uint64_t size = PyBytes_GET_SIZE(self.window)
        assert offset >= self.window_offset, "what was used up is gone"
        if at + RECORD_HEADER_BYTES > size:
            return KIND_MORE
        header = <const uint8_t *>PyBytes_AS_STRING(self.window) + at
        if get_u32(header) != _header_checksum(self.segment, offset, header + 4):
            return KIND_BROKEN
        length[0] = get_u32(header + 8)
        if at + RECORD_HEADER_BYTES + length[0] > size:
            return KIND_MORE
        if get_u32(header + 4) != crc32c_of(0, header + RECORD_HEADER_BYTES, length[0]):
            return KIND_BROKEN
        return header[12] if KIND_START <= header[12] <= KIND_END else KIND_BROKEN


cdef class RecordBatch:
    """Mutations that lie in a piece of a segment, checked: a sequence of (position, mutation)."""

    def __dealloc__(self):
        free(self.spans)

    cdef int add(self, uint64_t offset, Py_ssize_t start, Py_ssize_t size) except -1:
        """One more, behind the others."""
        cdef RecordSpan* spans
        cdef Py_ssize_t room
        if self.count == self.room:
            room = max(2 * self.room, SPANS_FIRST)
            spans = <RecordSpan*>realloc(self.spans, room * sizeof(RecordSpan))
            if spans == NULL:
                raise MemoryError()
            self.spans = spans
            self.room = room
        self.spans[self.count] = RecordSpan(offset, start, size)
        self.count += 1
        return 0

    def __len__(self):
        return self.count

    def __getitem__(self, Py_ssize_t index):
        """The position of a mutation and its bytes."""
        cdef RecordSpan* span
        if not 0 <= index < self.count:
            raise IndexError(index)
        span = &self.spans[index]
        return (
            self.segment << POSITION_OFFSET_BITS | span.offset,
            self.window[span.start:span.start + span.size],
        )

    @property
    def last(self):
        """The position of the last of them."""
        assert self.count > 0, "there is a last mutation"
        return self.segment << POSITION_OFFSET_BITS | self.spans[self.count - 1].offset

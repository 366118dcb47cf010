"""The structs of a connection's two directions of bytes."""

from libc.stdint cimport int32_t, uint8_t, uint32_t

from cql.protocol.room cimport Room
from cql.protocol.segment cimport PACKED_HEADER, TRAILER

cdef enum:
    HEADER = 9  # version, flags, stream (2), opcode, length (4)
    OLD_HEADER = 8  # versions 1 and 2: a stream of one byte
    # A longer envelope is not copied before it is sent, so much at a time: with a segment's header
    # and trailer 64 KiB.
    LARGE_BYTES = 64 * 1024 - PACKED_HEADER - TRAILER

cdef enum:
    COMPRESSED = 0x01
    TRACING = 0x02
    PAYLOAD = 0x04
    WARNING = 0x08
    USE_BETA = 0x10

cdef class Frame:
    cdef readonly int version
    cdef readonly int flags
    cdef readonly int stream
    cdef readonly int opcode
    cdef readonly bytes body  # decompressed

cdef class Reply:
    cdef readonly int opcode
    cdef readonly int flags
    cdef readonly bytes body
    cdef readonly bytes rest  # what follows the body, too large to be copied behind it; or None
    cdef readonly bint closes  # nothing is read after it

    cdef Py_ssize_t size(self) noexcept

cdef class FrameReader:
    cdef public uint32_t frame_bytes_max  # of a body; a longer one is skipped and refused
    cdef public bint is_open  # STARTUP is done: before it, every violation is fatal
    cdef int version  # all frames must have it; 0 before it is agreed upon
    cdef bint is_segmented
    cdef bint packs  # lz4 was agreed upon
    cdef bint has_begun  # the first frame has been seen
    cdef const uint8_t* data  # borrowed from the caller of `borrow`, or from `kept`
    cdef Py_ssize_t size
    cdef Py_ssize_t at
    cdef bytearray kept  # bytes that wait for the rest of a frame or segment
    cdef bytes payload  # the segment being read, when it holds more envelopes
    cdef Py_ssize_t payload_at
    cdef bytearray message  # the beginning of an envelope cut over several segments
    cdef Py_ssize_t skip  # bytes of a refused envelope still to be thrown away
    cdef Room room  # shared with the shard's other connections; None is no bound
    cdef Py_ssize_t reserved  # length of an admitted envelope that has not arrived whole
    cdef Py_ssize_t segment_reserved  # the same of a segment
    cdef Py_ssize_t wanted  # length of a segment that waits until there is room for it

    cdef int borrow(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int keep_rest(self) except -1
    # None: more bytes are needed. Raises BadFrame.
    cpdef Frame next_frame(self)
    cdef Frame next_bare(self)
    cdef Frame next_segmented(self)
    cdef bint open_segment(self) except -1
    cdef int reserve_segment(self, Py_ssize_t size) except -1
    cdef Frame continue_message(self)
    # The body's length; raises BadFrame when the header may not be followed.
    cdef Py_ssize_t check_header(self, const uint8_t* header, Py_ssize_t size) except -2
    cdef int check_length(self, const uint8_t* header, uint32_t length) except -1
    # Reserves room for an envelope that goes on; raises BadFrame where there is none.
    cdef int reserve(self, const uint8_t* header, Py_ssize_t length) except -1
    # What the shard must count for this client.
    cdef Py_ssize_t held(self) noexcept
    cdef Frame build(self, const uint8_t* header, Py_ssize_t length)
    # A v3 or v4 body, decompressed. Raises BadFrame.
    cdef bytes unpack(self, Frame frame)
    # Raises the BadFrame that drivers downgrade upon.
    cdef object refuse_version(self, int version, int stream, int flags)
    # These make a BadFrame for the caller to raise.
    cdef object refuse_direction(self, Frame frame)
    cdef object too_long(self, int version, int stream, uint32_t length, uint32_t most)
    cdef object skip_body(self, object error, int version, int stream, uint32_t length)
    cdef object fatal(self, object error)

cdef class _Large:
    cdef tuple parts  # header, and what follows; bytes
    cdef Py_ssize_t at  # how much has been given
    cdef Py_ssize_t left  # and how much has not

    cdef bytearray next(self, Py_ssize_t most)

cdef class FrameWriter:
    cdef object queued  # what is finished, and large replies, in their order; None: nothing
    cdef Py_ssize_t queued_bytes  # of all of them
    cdef bint has_begun  # a part of the first large one has been given
    cdef bytearray out  # behind them, finished bytes; None when there are none
    cdef bytearray envelopes  # v5, behind these: envelopes not yet put into a segment
    cdef bytearray sending  # what `take` gave a part of, or None
    cdef Py_ssize_t sent  # and how much of it
    cdef bint is_segmented
    cdef bint packs

    cdef int write(self, int version, int stream, Reply reply) except -1
    cdef int queue(self, _Large reply) except -1
    cdef int cut_segment(self) except -1
    cdef bint is_within_reply(self) noexcept
    cdef Py_ssize_t size(self) noexcept
    cpdef object take(self, Py_ssize_t most=*)
    cdef bytes take_all(self)
    cdef bint go_on(self) except -1
    cdef bytearray finished(self)

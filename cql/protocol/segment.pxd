"""The struct of protocol v5's segments."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    PAYLOAD_BYTES_MAX = 131071  # 17 bits of length
    PLAIN_HEADER = 6  # 3 bytes of lengths and flag, 3 of CRC24
    PACKED_HEADER = 8  # 5 bytes of lengths and flag, 3 of CRC24
    TRAILER = 4  # CRC32 of the payload as it lies on the wire
    PACK_FROM = 512  # smaller payloads are not worth compressing

cdef struct Header:
    uint32_t wire_length  # bytes of payload on the wire
    uint32_t length  # bytes after decompression; 0 means the payload is not compressed
    bint is_self_contained  # holds whole envelopes, not a part of one

cdef uint32_t crc24_of(uint64_t bits, int count) noexcept nogil
# Fills `header` from PLAIN_HEADER or PACKED_HEADER bytes; raises ProtocolError on a bad CRC.
cdef int read_header(const uint8_t* data, bint packed, Header* header) except -1
# The payload's bytes, decompressed; `data` has wire_length + TRAILER bytes. Raises ProtocolError.
cdef bytes read_payload(const uint8_t* data, Header* header)
# Raises ProtocolError unless the CRC32 behind the payload is its own.
cdef int check_payload(const uint8_t* data, uint32_t length) except -1
# Appends one segment to `out`; `length` is at most PAYLOAD_BYTES_MAX.
cdef int write_segment(
    bytearray out, const uint8_t* payload, uint32_t length, bint is_self_contained, bint packed
) except -1

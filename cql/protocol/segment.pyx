"""Protocol v5's segments: checksummed pieces of the byte stream that envelopes travel in."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from zlib import crc32 as zlib_crc32

from lz4.block import LZ4BlockError
from lz4.block import compress as lz4_compress
from lz4.block import decompress as lz4_decompress

from cql.errors import ProtocolError

cdef extern from "Python.h":
    int PyBUF_READ

# The ordinary CRC-32 after it was fed FA 2D 55 CA, with which the protocol seeds it.
cdef uint32_t CRC32_SEED = 0x44777ED3
cdef uint32_t CRC24_START = 0x875060
cdef uint32_t CRC24_POLYNOMIAL = 0x1974F0B
cdef uint32_t[256] CRC24_STEPS


cdef void fill_crc24_steps() noexcept:
    cdef uint32_t byte, crc
    cdef int _bit
    for byte in range(256):
        crc = byte << 16
        for _bit in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= CRC24_POLYNOMIAL
        CRC24_STEPS[byte] = crc & 0xFFFFFF


fill_crc24_steps()


cdef uint32_t crc24_of(uint64_t bits, int count) noexcept nogil:
    """The CRC24 of `count` bytes, taken from `bits` least significant first."""
    cdef uint32_t crc = CRC24_START
    cdef int _i
    for _i in range(count):
        crc = ((crc << 8) & 0xFFFFFF) ^ CRC24_STEPS[((crc >> 16) ^ <uint32_t>bits) & 0xFF]
        bits >>= 8
    return crc


cdef uint64_t little_endian(const uint8_t* data, int count) noexcept nogil:
    cdef uint64_t bits = 0
    cdef int i
    for i in range(count):
        bits |= <uint64_t>data[i] << (8 * i)
    return bits


cdef int read_header(const uint8_t* data, bint packed, Header* header) except -1:
    """Fills `header`, or raises ProtocolError when the header's CRC24 is wrong."""
    cdef int width = 5 if packed else 3
    cdef uint64_t bits = little_endian(data, width)
    cdef uint32_t read = <uint32_t>little_endian(data + width, 3)
    cdef uint32_t computed = crc24_of(bits, width)
    if read != computed:
        raise ProtocolError(
            f"Unrecoverable CRC mismatch in a segment header: read {read}, computed {computed}"
        )
    header.wire_length = bits & PAYLOAD_BYTES_MAX
    if packed:
        header.length = (bits >> 17) & PAYLOAD_BYTES_MAX
        header.is_self_contained = (bits >> 34) & 1
    else:
        header.length = 0
        header.is_self_contained = (bits >> 17) & 1
    return 0


cdef uint32_t crc32_of(const uint8_t* data, uint32_t length) except? 0:
    return zlib_crc32(PyMemoryView_FromMemory(<char*>data, length, PyBUF_READ), CRC32_SEED)


cdef int check_payload(const uint8_t* data, uint32_t length) except -1:
    """Raises ProtocolError when the CRC32 behind the payload is not the payload's."""
    cdef uint32_t read = <uint32_t>little_endian(data + length, TRAILER)
    cdef uint32_t computed = crc32_of(data, length)
    if read != computed:
        raise ProtocolError(
            f"Unrecoverable CRC mismatch in a segment payload: read {read}, computed {computed}"
        )
    return 0


cdef bytes read_payload(const uint8_t* data, Header* header):
    """The payload, checked and decompressed; raises ProtocolError."""
    cdef bytes payload
    check_payload(data, header.wire_length)
    if header.length == 0:
        return PyBytes_FromStringAndSize(<char*>data, header.wire_length)
    try:
        payload = lz4_decompress(
            PyMemoryView_FromMemory(<char*>data, header.wire_length, PyBUF_READ),
            uncompressed_size=header.length,
        )
    except LZ4BlockError as error:
        raise ProtocolError("A segment's payload is not an LZ4 block") from error
    if PyBytes_GET_SIZE(payload) != <Py_ssize_t>header.length:
        raise ProtocolError("A segment's payload has not the length its header declares")
    return payload


cdef int write_segment(
    bytearray out, const uint8_t* payload, uint32_t length, bint is_self_contained, bint packed
) except -1:
    """Appends one segment to `out`."""
    cdef bytes smaller = None
    cdef uint32_t wire_length = length
    cdef uint64_t bits
    cdef int width = 3
    cdef uint32_t crc
    cdef Py_ssize_t at = PyByteArray_GET_SIZE(out)
    cdef uint8_t* to
    assert length <= PAYLOAD_BYTES_MAX, "a segment's length has 17 bits"
    if packed:
        width = 5
        bits = length
        if length >= PACK_FROM:
            smaller = lz4_compress(
                PyMemoryView_FromMemory(<char*>payload, length, PyBUF_READ), store_size=False
            )
            if PyBytes_GET_SIZE(smaller) < length:
                wire_length = PyBytes_GET_SIZE(smaller)
                payload = <const uint8_t*>PyBytes_AS_STRING(smaller)
                bits = wire_length | (<uint64_t>length << 17)
        bits |= <uint64_t>is_self_contained << 34
    else:
        bits = length | (<uint64_t>is_self_contained << 17)
    crc = crc24_of(bits, width)
    bits |= <uint64_t>crc << (8 * width)
    PyByteArray_Resize(out, at + width + 3 + wire_length + TRAILER)
    to = <uint8_t*>PyByteArray_AS_STRING(out) + at
    put_little_endian(to, bits, width + 3)
    to += width + 3
    memcpy(to, payload, wire_length)
    put_little_endian(to + wire_length, crc32_of(to, wire_length), TRAILER)
    return 0


cdef void put_little_endian(uint8_t* to, uint64_t bits, int count) noexcept nogil:
    cdef int i
    for i in range(count):
        to[i] = <uint8_t>(bits >> (8 * i))


def crc24(bytes data) -> int:
    """The CRC24 of a segment header's first 3 or 5 bytes."""
    assert len(data) <= 8, "a segment header is shorter"
    return crc24_of(little_endian(<const uint8_t*>PyBytes_AS_STRING(data), len(data)), len(data))


def crc32(bytes data) -> int:
    """The CRC32 of a segment's payload, with the protocol's seed."""
    return crc32_of(<const uint8_t*>PyBytes_AS_STRING(data), len(data))


def encode_segment(bytes payload, *, bint is_self_contained=True, bint packed=False) -> bytes:
    """One segment; `packed` where lz4 was agreed upon."""
    out = bytearray()
    write_segment(
        out,
        <const uint8_t*>PyBytes_AS_STRING(payload),
        len(payload),
        is_self_contained,
        packed,
    )
    return bytes(out)


def decode_segment(bytes data, *, bint packed=False):
    """(payload, is it self-contained, bytes used) of the first segment, or None: more bytes."""
    cdef Header header
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t start = PACKED_HEADER if packed else PLAIN_HEADER
    if len(data) < start:
        return None
    read_header(at, packed, &header)
    used = start + header.wire_length + TRAILER
    if len(data) < used:
        return None
    return read_payload(at + start, &header), bool(header.is_self_contained), used

"""A frame's bytes, as they were read, to its payload: checked first, decompressed after that.

Invariant: a payload leaves `open_frame` only after its checksum, which covers the file's identity
and the frame's offset, was found right; nothing is decompressed before.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from storage.checksum cimport crc32c_of

from storage.errors import CorruptData
from storage.sstable.compressors import decompress
from storage.sstable.format import FRAME_BYTES_MAX as _FRAME_BYTES_MAX
from storage.sstable.format import FRAME_HEADER_BYTES as _FRAME_HEADER_BYTES

cdef enum:
    HEAD_BYTES = 12             # kind, compression, two zero bytes, stored and raw length
    HEADER_BYTES = 16           # the head and the checksum
    IDENTITY_BYTES = 16
    STORED_AS_IT_IS = 0

cdef Py_ssize_t PAYLOAD_BYTES_MAX = _FRAME_BYTES_MAX
assert _FRAME_HEADER_BYTES == HEADER_BYTES, "the layout of a frame is the format's"


cdef inline uint32_t big_u32(const uint8_t* p) noexcept:
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]


def open_frame(bytes identity not None, uint64_t offset, int kind, data, Py_ssize_t start=0,
               Py_ssize_t size=-1):
    """The payload of the frame of `kind` that the file has at `offset`; CorruptData if it has none.

    The frame is the `size` bytes of `data` from `start`, as far as they are there; -1 is all.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        start = min(max(start, 0), view.len)
        if size < 0 or size > view.len - start:
            size = view.len - start
        return payload_of(identity, offset, kind, <const uint8_t*>view.buf + start, size)
    finally:
        PyBuffer_Release(&view)


cdef bytes payload_of(
    bytes identity, uint64_t offset, int kind, const uint8_t* frame, Py_ssize_t size
):
    """Raises CorruptData, and CompressorMissing."""
    cdef const uint8_t* stored = frame + HEADER_BYTES
    cdef Py_ssize_t raw_bytes
    if size < HEADER_BYTES:
        raise CorruptData("a frame that is cut off")
    size -= HEADER_BYTES
    if size != big_u32(frame + 4):
        raise CorruptData("a frame of another length than the index says")
    if big_u32(frame + HEAD_BYTES) != checksum_of(identity, offset, frame, size):
        raise CorruptData("a frame whose checksum is wrong")
    raw_bytes = big_u32(frame + 8)
    if frame[0] != kind or frame[2] or frame[3] or not 0 < raw_bytes <= PAYLOAD_BYTES_MAX:
        raise CorruptData(f"a frame of kind {frame[0]} where kind {kind} is expected")
    if frame[1] == STORED_AS_IT_IS and raw_bytes == size:
        return PyBytes_FromStringAndSize(<const char*>stored, size)
    return decompress(frame[1], PyBytes_FromStringAndSize(<const char*>stored, size), raw_bytes)


cdef uint32_t checksum_of(
    bytes identity, uint64_t offset, const uint8_t* frame, Py_ssize_t stored_bytes
) except? 0:
    """Of the identity, the offset, the head and what is stored, one after the other."""
    cdef uint8_t[IDENTITY_BYTES + 8 + HEAD_BYTES] place
    cdef int i
    assert len(identity) == IDENTITY_BYTES, "a file's identity has a fixed length"
    memcpy(place, <const char*>identity, IDENTITY_BYTES)
    for i in range(8):
        place[IDENTITY_BYTES + i] = <uint8_t>(offset >> (56 - 8 * i))
    memcpy(place + IDENTITY_BYTES + 8, frame, HEAD_BYTES)
    return crc32c_of(crc32c_of(0, place, sizeof(place)), frame + HEADER_BYTES, stored_bytes)

"""Integers in bytes, inline: big-endian fixed widths and LEB128 varints."""

from libc.stdint cimport uint8_t, uint64_t

from storage.errors import CorruptData


def encode_uvarint(value: int) -> bytes:
    """The shortest LEB128 form of an unsigned 64-bit integer."""
    cdef uint8_t buffer[UVARINT_MAX]
    cdef int size = put_uvarint(buffer, <uint64_t>value)
    return (<const char*>buffer)[:size]


def decode_uvarint(const uint8_t[::1] data, Py_ssize_t offset=0) -> tuple[int, int]:
    """The integer at `offset` and the offset after it; CorruptData if there is none."""
    cdef uint64_t value = 0
    cdef int size
    if offset < 0 or offset >= data.shape[0]:
        raise CorruptData(f"no varint at byte {offset} of {data.shape[0]}")
    size = get_uvarint(&data[offset], &data[0] + data.shape[0], &value)
    if size == 0:
        raise CorruptData(f"the varint at byte {offset} is cut off or not in its shortest form")
    return value, offset + size

"""Integers in bytes, inline: big-endian fixed widths and LEB128 varints.

Callers own the bounds: the `put_` functions need room for the width they write (`UVARINT_MAX`
for a varint), the `get_` functions need that many readable bytes. Only `get_uvarint` checks,
because its width is in the data.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    UVARINT_MAX = 10        # the most bytes a 64-bit varint takes


cdef inline void put_u16(uint8_t* at, uint16_t value) noexcept nogil:
    at[0] = <uint8_t>(value >> 8)
    at[1] = <uint8_t>value


cdef inline void put_u32(uint8_t* at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t>(value >> 24)
    at[1] = <uint8_t>(value >> 16)
    at[2] = <uint8_t>(value >> 8)
    at[3] = <uint8_t>value


cdef inline void put_u64(uint8_t* at, uint64_t value) noexcept nogil:
    put_u32(at, <uint32_t>(value >> 32))
    put_u32(at + 4, <uint32_t>value)


cdef inline void put_i64(uint8_t* at, int64_t value) noexcept nogil:
    put_u64(at, <uint64_t>value)


cdef inline uint16_t get_u16(const uint8_t* at) noexcept nogil:
    return <uint16_t>((<uint32_t>at[0] << 8) | at[1])


cdef inline uint32_t get_u32(const uint8_t* at) noexcept nogil:
    return ((<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16)
            | (<uint32_t>at[2] << 8) | <uint32_t>at[3])


cdef inline uint64_t get_u64(const uint8_t* at) noexcept nogil:
    return (<uint64_t>get_u32(at) << 32) | get_u32(at + 4)


cdef inline int64_t get_i64(const uint8_t* at) noexcept nogil:
    return <int64_t>get_u64(at)


cdef inline int uvarint_size(uint64_t value) noexcept nogil:
    """How many bytes `put_uvarint` takes for `value`."""
    cdef int size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


cdef inline int put_uvarint(uint8_t* at, uint64_t value) noexcept nogil:
    """Writes the shortest form and returns its size."""
    cdef int size = 0
    while value >= 0x80:
        at[size] = <uint8_t>(value | 0x80)
        value >>= 7
        size += 1
    at[size] = <uint8_t>value
    return size + 1


cdef inline int get_uvarint(const uint8_t* at, const uint8_t* end, uint64_t* value) noexcept nogil:
    """Reads a varint and returns its size; 0 if it is cut off, too big or not the shortest."""
    cdef uint64_t result = 0
    cdef uint8_t byte
    cdef int size = 0
    while at + size < end and size < UVARINT_MAX:
        byte = at[size]
        if size == 9 and byte > 1:
            return 0
        result |= <uint64_t>(byte & 0x7F) << (7 * size)
        size += 1
        if byte < 0x80:
            if byte == 0 and size > 1:
                return 0
            value[0] = result
            return size
    return 0

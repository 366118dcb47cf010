"""The constants of an SSTable's bytes, and how its integers and strings are put and got."""

from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

PAGE_BYTES = 4096
FRAME_HEADER_BYTES = 16
FRAME_BYTES_MAX = LENGTH_MAX
NO_END = b"\xff"
NEVER_S = 0xFFFFFFFF


cdef class Output:
    """A growing run of bytes."""

    def __dealloc__(self) -> None:
        free(self._data)

    cdef int reserve(self, Py_ssize_t more) except -1:
        """Makes room for `more` bytes; MemoryError when there is none."""
        cdef Py_ssize_t room = self._room
        cdef uint8_t* data
        if self.size + more <= room:
            return 0
        room = max(room * 2, self.size + more, 256)
        data = <uint8_t*>realloc(self._data, room)
        if data == NULL:
            raise MemoryError(room)
        self._data = data
        self._room = room
        return 0

    cdef int put_raw(self, const uint8_t* data, Py_ssize_t length) except -1:
        self.reserve(length)
        memcpy(self._data + self.size, data, length)
        self.size += length
        return 0

    cdef int put_bytes(self, bytes data) except -1:
        """Puts a uvarint length and the bytes."""
        return self.put_span(<const uint8_t*><const char*>data, len(data))

    cdef int put_span(self, const uint8_t* data, Py_ssize_t length) except -1:
        """Puts a uvarint length and the bytes."""
        self.put_uvarint(<uint64_t>length)
        return self.put_raw(data, length)

    cdef int put_uvarint(self, uint64_t value) except -1:
        self.reserve(10)
        while value >= 0x80:
            self._data[self.size] = <uint8_t>(value & 0x7f) | 0x80
            self.size += 1
            value >>= 7
        self._data[self.size] = <uint8_t>value
        self.size += 1
        return 0

    cdef int put_u8(self, uint8_t value) except -1:
        self.reserve(1)
        self._data[self.size] = value
        self.size += 1
        return 0

    cdef int put_u32(self, uint32_t value) except -1:
        cdef int i
        self.reserve(4)
        for i in range(4):
            self._data[self.size + i] = <uint8_t>(value >> (24 - 8 * i))
        self.size += 4
        return 0

    cdef int put_u64(self, uint64_t value) except -1:
        self.put_u32(<uint32_t>(value >> 32))
        return self.put_u32(<uint32_t>value)

    cdef bytes take(self):
        """All bytes so far; the output is empty afterwards."""
        cdef bytes data = <bytes>(<char*>self._data)[:self.size] if self.size else b""
        self.size = 0
        return data

    cdef void clear(self) noexcept:
        self.size = 0


cdef int compare_spans(
    const uint8_t* a, Py_ssize_t a_length, const uint8_t* b, Py_ssize_t b_length
) noexcept:
    """Below, at or above zero as `a` sorts below, at or above `b`."""
    cdef int order = memcmp(a, b, min(a_length, b_length))
    if order != 0:
        return order
    return (a_length > b_length) - (a_length < b_length)

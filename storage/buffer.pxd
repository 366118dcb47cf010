"""A growing writer and a bounded reader of bytes."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from storage cimport coding


@cython.final
cdef class Writer:
    cdef uint8_t* data          # owned; may move whenever something is put
    cdef Py_ssize_t size        # bytes written
    cdef Py_ssize_t capacity    # bytes allocated
    cdef Py_ssize_t limit       # never grows beyond this

    cdef int grow(self, Py_ssize_t more) except -1
    cpdef bytes take(self)
    cdef bytes copy(self, Py_ssize_t start)

    cdef inline int reserve(self, Py_ssize_t more) except -1:
        """Makes room for `more` bytes; MemoryError or Overloaded at the limit."""
        if self.size + more > self.capacity:
            self.grow(more)
        return 0

    cdef inline void clear(self) noexcept:
        self.size = 0

    cdef inline int put_u8(self, uint8_t value) except -1:
        self.reserve(1)
        self.data[self.size] = value
        self.size += 1
        return 0

    cdef inline int put_u16(self, uint16_t value) except -1:
        self.reserve(2)
        coding.put_u16(self.data + self.size, value)
        self.size += 2
        return 0

    cdef inline int put_u32(self, uint32_t value) except -1:
        self.reserve(4)
        coding.put_u32(self.data + self.size, value)
        self.size += 4
        return 0

    cdef inline int put_i64(self, int64_t value) except -1:
        self.reserve(8)
        coding.put_i64(self.data + self.size, value)
        self.size += 8
        return 0

    cdef inline int put_uvarint(self, uint64_t value) except -1:
        self.reserve(coding.UVARINT_MAX)
        self.size += coding.put_uvarint(self.data + self.size, value)
        return 0

    cdef inline int put_raw(self, const void* data, Py_ssize_t size) except -1:
        """The bytes alone, without their length."""
        self.reserve(size)
        memcpy(self.data + self.size, data, size)
        self.size += size
        return 0

    cdef inline int put_sized(self, const void* data, Py_ssize_t size) except -1:
        """The length as a varint, then the bytes."""
        self.put_uvarint(size)
        return self.put_raw(data, size)

    cdef inline int put_bytes(self, bytes data) except -1:
        """The length as a varint, then the bytes of a Python object."""
        return self.put_sized(<const char*>data, len(data))


@cython.final
cdef class Reader:
    cdef bytes owner            # keeps what `at` points into alive
    cdef const uint8_t* at      # the next byte
    cdef const uint8_t* end     # one after the last byte

    cdef int fail(self, str what) except -1

    cdef inline Py_ssize_t left(self) noexcept:
        return self.end - self.at

    cdef inline int need(self, Py_ssize_t size) except -1:
        if self.end - self.at < size:
            self.fail("cut off")
        return 0

    cdef inline int u8(self) except -1:
        self.need(1)
        self.at += 1
        return (self.at - 1)[0]

    cdef inline int u16(self) except -1:
        self.need(2)
        self.at += 2
        return coding.get_u16(self.at - 2)

    cdef inline int64_t u32(self) except -1:
        self.need(4)
        self.at += 4
        return coding.get_u32(self.at - 4)

    cdef inline int64_t i64(self) except? -1:
        self.need(8)
        self.at += 8
        return coding.get_i64(self.at - 8)

    cdef inline uint64_t uvarint(self) except? 0xFFFFFFFFFFFFFFFF:
        cdef uint64_t value = 0
        cdef int size = coding.get_uvarint(self.at, self.end, &value)
        if size == 0:
            self.fail("a varint is malformed")
        self.at += size
        return value

    cdef inline const uint8_t* raw(self, Py_ssize_t size) except NULL:
        """A view of the next bytes, valid while the owner lives."""
        if size < 0 or self.end - self.at < size:
            self.fail("a length leads beyond the end")
        self.at += size
        return self.at - size

    cdef inline Py_ssize_t length(self) except -1:
        """A varint that is the length of bytes which are all there."""
        cdef uint64_t value = self.uvarint()
        if value > <uint64_t>(self.end - self.at):
            self.fail("a length leads beyond the end")
        return <Py_ssize_t>value

    cdef inline bytes sized(self):
        """A copy of bytes written by `put_sized`."""
        cdef Py_ssize_t size = self.length()
        self.at += size
        return (<const char*>(self.at - size))[:size]

"""A growing writer and a bounded reader of bytes.

Both are the tools of codecs: the writer grows up to a limit and gives its bytes away, the reader
never looks beyond its end and raises CorruptData instead.
"""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from storage.errors import CorruptData, Overloaded

cdef enum:
    FIRST_CAPACITY = 256
    LIMIT_DEFAULT = 1 << 30     # no message, row or block of ours comes near


cdef class Writer:
    """Bytes that grow at the end, up to `limit`."""

    def __init__(self, Py_ssize_t limit=LIMIT_DEFAULT):
        self.limit = limit

    def __dealloc__(self):
        PyMem_Free(self.data)

    def __len__(self) -> int:
        return self.size

    cdef int grow(self, Py_ssize_t more) except -1:
        """At least doubles, so that appending is linear in the end."""
        cdef Py_ssize_t capacity = max(self.capacity * 2, FIRST_CAPACITY)
        cdef void* moved
        if self.size + more > self.limit:
            raise Overloaded(f"a buffer needs {self.size + more} bytes, its limit is {self.limit}")
        while capacity < self.size + more:
            capacity *= 2
        capacity = min(capacity, self.limit)
        moved = PyMem_Realloc(self.data, capacity)
        if moved is NULL:
            raise MemoryError()
        self.data = <uint8_t*>moved
        self.capacity = capacity
        return 0

    cdef bytes copy(self, Py_ssize_t start):
        """The bytes from `start` on."""
        assert 0 <= start <= self.size, "a copy starts inside of the buffer"
        if start == self.size:
            return b""
        return (<const char*>self.data)[start:self.size]

    cpdef bytes take(self):
        """Gives the bytes away and starts anew, keeping the memory."""
        cdef bytes taken = self.copy(0)
        self.size = 0
        return taken

    def u8(self, uint8_t value) -> None:
        self.put_u8(value)

    def u32(self, uint32_t value) -> None:
        self.put_u32(value)

    def i64(self, int64_t value) -> None:
        self.put_i64(value)

    def uvarint(self, uint64_t value) -> None:
        self.put_uvarint(value)

    def raw(self, bytes data not None) -> None:
        """The bytes alone, without their length."""
        self.put_raw(<const char*>data, len(data))

    def sized(self, bytes data not None) -> None:
        """The length as a varint, then the bytes."""
        self.put_bytes(data)


cdef class Reader:
    """Reads forward through bytes; every step beyond the end is CorruptData."""

    def __init__(self, bytes data not None, Py_ssize_t start=0, Py_ssize_t size=-1):
        if size < 0:
            size = len(data) - start
        assert 0 <= start and start + size <= len(data), "a reader starts within its bytes"
        self.owner = data
        self.at = <const uint8_t*><const char*>data + start
        self.end = self.at + size

    cdef int fail(self, str what) except -1:
        """Raises CorruptData, always."""
        cdef Py_ssize_t offset = self.at - <const uint8_t*><const char*>self.owner
        raise CorruptData(f"{what} at byte {offset} of {len(self.owner)}")

    def remaining(self) -> int:
        return self.left()

    def read_u8(self) -> int:
        return self.u8()

    def read_u32(self) -> int:
        return self.u32()

    def read_i64(self) -> int:
        return self.i64()

    def read_uvarint(self) -> int:
        return self.uvarint()

    def read_raw(self, Py_ssize_t size) -> bytes:
        """The next `size` bytes."""
        return (<const char*>self.raw(size))[:size]

    def read_sized(self) -> bytes:
        """Bytes with their length before them."""
        return self.sized()

    def finish(self) -> None:
        """CorruptData unless everything was read."""
        if self.at != self.end:
            self.fail(f"{self.left()} bytes too many")

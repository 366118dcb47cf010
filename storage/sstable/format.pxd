from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef enum:
    SECTION_DELETED = 1
    SECTION_STATIC = 2
    SECTION_CONTINUED = 4
    SECTION_CONTINUES = 8
    SECTION_FLAGS = 15
    LENGTH_MAX = 0x20000000     # 512 MiB: no frame, hence no length within one, is longer


cdef class Output:
    cdef uint8_t* _data         # owned; `_room` bytes of which `size` are used
    cdef Py_ssize_t _room
    cdef readonly Py_ssize_t size

    cdef int reserve(self, Py_ssize_t more) except -1
    cdef int put_raw(self, const uint8_t* data, Py_ssize_t length) except -1
    cdef int put_bytes(self, bytes data) except -1
    cdef int put_span(self, const uint8_t* data, Py_ssize_t length) except -1
    cdef int put_uvarint(self, uint64_t value) except -1
    cdef int put_u8(self, uint8_t value) except -1
    cdef int put_u32(self, uint32_t value) except -1
    cdef int put_u64(self, uint64_t value) except -1
    cdef bytes take(self)
    cdef void clear(self) noexcept


cdef struct Input:
    const uint8_t* at           # the next byte to read
    const uint8_t* end          # one past the last byte
    bint bad                    # something did not fit; everything read since is zero


cdef inline uint32_t get_u32(Input* source) noexcept:
    cdef const uint8_t* p = source.at
    if source.end - p < 4:
        source.bad = True
        return 0
    source.at = p + 4
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]


cdef inline uint64_t get_u64(Input* source) noexcept:
    cdef uint64_t high = get_u32(source)
    return (high << 32) | get_u32(source)


cdef inline uint8_t get_u8(Input* source) noexcept:
    if source.at >= source.end:
        source.bad = True
        return 0
    cdef uint8_t byte = source.at[0]
    source.at += 1
    return byte


cdef inline uint64_t get_uvarint(Input* source) noexcept:
    cdef uint64_t value = 0
    cdef int shift = 0
    cdef uint8_t byte
    while source.at < source.end and shift < 63:
        byte = source.at[0]
        source.at += 1
        value |= <uint64_t>(byte & 0x7f) << shift
        if byte < 0x80:
            return value
        shift += 7
    source.bad = True
    return 0


cdef inline const uint8_t* get_span(Input* source, Py_ssize_t* length) noexcept:
    """The start of length-prefixed bytes, whose length goes to `length`; 0 bytes when bad."""
    cdef uint64_t size = get_uvarint(source)
    cdef const uint8_t* start = source.at
    if source.bad or size > <uint64_t>(source.end - start):
        source.bad = True
        length[0] = 0
        return start
    source.at = start + size
    length[0] = <Py_ssize_t>size
    return start


cdef int compare_spans(
    const uint8_t* a, Py_ssize_t a_length, const uint8_t* b, Py_ssize_t b_length
) noexcept

"""A frame's bytes, as they were read, to its payload: checked first, decompressed after that."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef bytes payload_of(
    bytes identity, uint64_t offset, int kind, const uint8_t* frame, Py_ssize_t size
)
cdef uint32_t checksum_of(
    bytes identity, uint64_t offset, const uint8_t* frame, Py_ssize_t stored_bytes
) except? 0

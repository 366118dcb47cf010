"""CRC32C, the checksum of everything on disk; by the processor's instruction where it has one."""

from libc.stdint cimport uint8_t, uint32_t

cdef uint32_t crc32c_of(uint32_t seed, const uint8_t *data, size_t size) noexcept nogil

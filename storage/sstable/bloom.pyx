"""A Bloom filter over partition keys."""

import struct

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.math cimport ceil, log, log2
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from storage.errors import CorruptData

BITS_MAX = 64 * 1024 * 1024 * 8
HASHES_MAX = 24
_HEAD = struct.Struct(">BQ")


cdef inline uint64_t _mix(uint64_t h) noexcept:
    h = (h ^ (h >> 30)) * <uint64_t>0xbf58476d1ce4e5b9
    h = (h ^ (h >> 27)) * <uint64_t>0x94d049bb133111eb
    return h ^ (h >> 31)


cdef inline uint64_t _step(uint64_t h) noexcept:
    return ((h << 32) | (h >> 32)) | 1


cpdef uint64_t key_hash(bytes key) noexcept:
    """The 64-bit hash of a decorated key which every filter is asked with."""
    cdef Py_ssize_t left = len(key)
    cdef const uint8_t* p = <const uint8_t*><const char*>key
    cdef uint64_t h = <uint64_t>left * <uint64_t>0x9e3779b97f4a7c15
    cdef uint64_t word
    while left > 0:
        word = 0
        memcpy(&word, p, min(left, 8))   # little-endian machines only, as all we run on are
        h = _mix(h ^ word)
        p += 8
        left -= 8
    return _mix(h)


cdef class BloomFilter:
    """Says of a key's hash that it is surely absent, or that it may be there."""

    def __init__(self, int hashes, uint64_t bits, bytearray store) -> None:
        assert 0 <= hashes <= HASHES_MAX, "a filter sets a handful of bits per key"
        assert len(store) * 8 >= bits, "a filter's bits fit its bytes"
        assert bits > 0 or hashes == 0, "a filter that sets bits has some"
        self.hashes = hashes
        self.bits = bits
        self._store = store
        self._data = <uint8_t*>PyByteArray_AS_STRING(store)

    @staticmethod
    def sized(keys: int, fp_chance: float) -> BloomFilter:
        """An empty filter for so many keys at this rate of false positives."""
        cdef double chance = fp_chance
        cdef double per_key
        if chance >= 1.0:
            return BloomFilter(0, 0, bytearray())
        per_key = -log(chance) / (log(2.0) * log(2.0))
        cdef double wanted = ceil(per_key * max(keys, 1))
        cdef uint64_t bits = BITS_MAX if wanted > BITS_MAX else max(<uint64_t>wanted, 64)
        cdef int hashes = <int>ceil(-log2(chance))
        return BloomFilter(min(hashes, HASHES_MAX), bits, bytearray((bits + 7) // 8))

    cpdef void add(self, uint64_t hashed) noexcept:
        cdef uint64_t step = _step(hashed)
        cdef uint64_t bit
        for _ in range(self.hashes):
            bit = hashed % self.bits
            self._data[bit >> 3] |= <uint8_t>(1 << (bit & 7))
            hashed += step

    cpdef bint may_contain(self, uint64_t hashed) noexcept:
        cdef uint64_t step = _step(hashed)
        cdef uint64_t bit
        for _ in range(self.hashes):
            bit = hashed % self.bits
            if not self._data[bit >> 3] & (1 << (bit & 7)):
                return False
            hashed += step
        return True

    def encode(self) -> bytes:
        """What is written of the filter."""
        return _HEAD.pack(self.hashes, self.bits) + self._store

    @staticmethod
    def decode(data: bytes) -> BloomFilter:
        """The filter of bytes whose checksum was right; CorruptData if they are none."""
        if len(data) < _HEAD.size:
            raise CorruptData("a filter that is cut off")
        hashes, bits = _HEAD.unpack_from(data)
        store = bytearray(memoryview(data)[_HEAD.size:])
        if hashes > HASHES_MAX or len(store) != (bits + 7) // 8 or (hashes and not bits):
            raise CorruptData("a filter of another size than it says")
        return BloomFilter(hashes, bits, store)

    @property
    def memory_bytes(self) -> int:
        """What the filter holds of memory."""
        return len(self._store)

from libc.stdint cimport uint8_t, uint64_t


cdef class BloomFilter:
    cdef readonly int hashes        # bits set per key; 0 means that every key may be there
    cdef readonly uint64_t bits     # size in bits
    cdef bytearray _store           # the bits
    cdef uint8_t* _data             # the bytes of `_store`, which never changes its size

    cpdef bint may_contain(self, uint64_t hashed) noexcept
    cpdef void add(self, uint64_t hashed) noexcept


cpdef uint64_t key_hash(bytes key) noexcept

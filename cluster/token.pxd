from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    typedef unsigned __int128 pythia_uint128;
    """
    ctypedef unsigned long long pythia_uint128

# Never fail: they are arithmetic on bytes that the caller holds.
cdef int64_t token_of_bytes(const unsigned char *data, Py_ssize_t length) noexcept nogil
cdef int shard_of_token(int64_t token, int shards, int ignore_msb) noexcept nogil

cpdef int64_t token_of(bytes partition_key) except? -1
cpdef bytes decorate(bytes partition_key)
cpdef bytes undecorate(bytes key)
cpdef int64_t key_token(bytes key) except? -1
cpdef int shard_of(int64_t token, int shards, int ignore_msb=*) except -1

"""Partition key to token to shard, and the decorated keys that storage sorts by.

A token is the first half of Murmur3 x64-128 of the serialized partition key, with Cassandra's
deviation: the last `length mod 16` bytes are sign-extended before they are mixed in. A decorated
key is the token + 2^63 as eight big-endian bytes, followed by the partition key, so that comparing
decorated keys as bytes is comparing (token, key).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int8_t, int64_t, uint64_t
from libc.string cimport memcpy

TOKEN_MIN = -(2**63)
TOKEN_MAX = 2**63 - 1
SHARDS_MAX = 4096

cdef enum:
    TOKEN_BYTES = 8
    BLOCK_BYTES = 16
    SHARD_LIMIT = 4096
    IGNORE_MSB_LIMIT = 63

cdef uint64_t C1 = 0x87C37B91114253D5ULL
cdef uint64_t C2 = 0x4CF5AD432745937FULL
cdef uint64_t SIGN = 0x8000000000000000ULL


cpdef int64_t token_of(bytes partition_key) except? -1:
    """The token of a serialized partition key."""
    return token_of_bytes(
        <const unsigned char *>PyBytes_AS_STRING(partition_key), PyBytes_GET_SIZE(partition_key)
    )


cpdef bytes decorate(bytes partition_key):
    """The key as every floor below `cql` knows it: position of the token, then the partition
    key.
    """
    cdef Py_ssize_t length = PyBytes_GET_SIZE(partition_key)
    cdef const unsigned char *source = <const unsigned char *>PyBytes_AS_STRING(partition_key)
    cdef bytes key = PyBytes_FromStringAndSize(NULL, TOKEN_BYTES + length)
    cdef unsigned char *target = <unsigned char *>PyBytes_AS_STRING(key)
    write_position(target, token_of_bytes(source, length))
    memcpy(target + TOKEN_BYTES, source, length)
    return key


cpdef bytes undecorate(bytes key):
    """The partition key of a decorated key."""
    cdef Py_ssize_t length = PyBytes_GET_SIZE(key)
    if length < TOKEN_BYTES:
        raise ValueError(f"a decorated key has at least {TOKEN_BYTES} bytes, not {length}")
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(key) + TOKEN_BYTES, length - TOKEN_BYTES)


cpdef int64_t key_token(bytes key) except? -1:
    """The token of a decorated key, read and not computed."""
    if PyBytes_GET_SIZE(key) < TOKEN_BYTES:
        raise ValueError(f"a decorated key has at least {TOKEN_BYTES} bytes, not {len(key)}")
    return read_position(<const unsigned char *>PyBytes_AS_STRING(key))


cpdef int shard_of(int64_t token, int shards, int ignore_msb=12) except -1:
    """The shard that owns a token: the biased multiply that shard-aware drivers compute too."""
    if not 1 <= shards <= SHARD_LIMIT:
        raise ValueError(f"the number of shards must be 1 to {SHARD_LIMIT}, not {shards}")
    if not 0 <= ignore_msb <= IGNORE_MSB_LIMIT:
        raise ValueError(f"ignore_msb must be 0 to {IGNORE_MSB_LIMIT}, not {ignore_msb}")
    return shard_of_token(token, shards, ignore_msb)


def owned_until(token, int shards, int ignore_msb=12):
    """The first token above whose owner may be another shard; None if all above have this one."""
    cdef int owner = shard_of(token, shards, ignore_msb)
    bits = 64 - ignore_msb
    window = (token + 2**63) >> bits
    # The least place in the window whose product reaches the next shard's.
    until = (window << bits) + -(-((owner + 1) << bits) // shards)
    return until - 2**63 if until < 2**64 else None


def key_range(lower=None, upper=None, *, lower_inclusive=True, upper_inclusive=True):
    """The half-open interval of decorated keys whose tokens lie between two bounds, or None if it
    is empty.

    A bound of None does not bound; the end b"" of an interval means that it has no end.
    """
    first = TOKEN_MIN if lower is None else lower if lower_inclusive else lower + 1
    last = TOKEN_MAX if upper is None else upper if upper_inclusive else upper - 1
    if not (first <= last and first <= TOKEN_MAX and last >= TOKEN_MIN):
        return None
    start = b"" if first <= TOKEN_MIN else position(first)
    end = b"" if last >= TOKEN_MAX else position(last + 1)
    return start, end


def position(token):
    """The eight bytes with which every decorated key of that token begins."""
    cdef unsigned char target[TOKEN_BYTES]
    write_position(target, token)
    return PyBytes_FromStringAndSize(<char *>target, TOKEN_BYTES)


cdef int shard_of_token(int64_t token, int shards, int ignore_msb) noexcept nogil:
    cdef uint64_t biased = (<uint64_t>token + SIGN) << ignore_msb
    return <int>((<pythia_uint128>biased * <pythia_uint128>shards) >> 64)


cdef int64_t token_of_bytes(const unsigned char *data, Py_ssize_t length) noexcept nogil:
    cdef uint64_t hash_value
    if length == 0:
        return <int64_t>SIGN
    hash_value = murmur3(data, length)
    # The lowest token stands for "before everything", so no key may have it.
    return <int64_t>(SIGN - 1) if hash_value == SIGN else <int64_t>hash_value


cdef uint64_t murmur3(const unsigned char *data, Py_ssize_t length) noexcept nogil:
    cdef uint64_t h1 = 0, h2 = 0, k1, k2
    cdef Py_ssize_t at = 0, whole = length - length % BLOCK_BYTES
    while at < whole:
        h1 = rotate(h1 ^ mix(read_block(data + at), C1, 31, C2), 27) + h2
        h1 = h1 * 5 + 0x52DCE729
        h2 = rotate(h2 ^ mix(read_block(data + at + 8), C2, 33, C1), 31) + h1
        h2 = h2 * 5 + 0x38495AB5
        at += BLOCK_BYTES
    k1 = read_tail(data + whole, min(length - whole, 8))
    k2 = read_tail(data + whole + 8, length - whole - 8)
    h1 ^= mix(k1, C1, 31, C2) ^ <uint64_t>length
    h2 ^= mix(k2, C2, 33, C1) ^ <uint64_t>length
    h1 += h2
    h2 += h1
    h1 = finish(h1)
    h2 = finish(h2)
    return h1 + h2


cdef inline uint64_t read_tail(const unsigned char *data, Py_ssize_t count) noexcept nogil:
    """Up to eight bytes, little-endian, each one sign-extended: Cassandra's deviation from
    Murmur3.
    """
    cdef uint64_t result = 0
    cdef Py_ssize_t i
    for i in range(count):
        result ^= <uint64_t><int64_t><int8_t>data[i] << (8 * i)
    return result


cdef inline uint64_t read_block(const unsigned char *data) noexcept nogil:
    """Eight bytes, little-endian on every machine."""
    cdef uint64_t result = 0
    cdef int i
    for i in range(8):
        result |= <uint64_t>data[i] << (8 * i)
    return result


cdef inline uint64_t mix(uint64_t k, uint64_t before, int bits, uint64_t after) noexcept nogil:
    return rotate(k * before, bits) * after


cdef inline uint64_t rotate(uint64_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (64 - bits))


cdef inline uint64_t finish(uint64_t value) noexcept nogil:
    value ^= value >> 33
    value *= 0xFF51AFD7ED558CCDULL
    value ^= value >> 33
    value *= 0xC4CEB9FE1A85EC53ULL
    return value ^ (value >> 33)


cdef inline void write_position(unsigned char *target, int64_t token) noexcept nogil:
    cdef uint64_t biased = <uint64_t>token + SIGN
    cdef int i
    for i in range(TOKEN_BYTES):
        target[i] = <unsigned char>(biased >> (56 - 8 * i))


cdef inline int64_t read_position(const unsigned char *source) noexcept nogil:
    cdef uint64_t biased = 0
    cdef int i
    for i in range(TOKEN_BYTES):
        biased = (biased << 8) | source[i]
    return <int64_t>(biased - SIGN)

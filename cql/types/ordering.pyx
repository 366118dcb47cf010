"""Values to bytes that sort as the values do, and back.

Every value becomes a *component*: a header byte, then a body whose form depends on the type.
Components compare as bytes exactly as Cassandra compares the values, and none is a prefix of
another of its type, so that they can be concatenated.
The header is EMPTY for a value of zero bytes and VALUE for any other; inside tuples also NULL. A
component of a descending column has all its bits inverted. Headers are chosen so that neither they
nor their inversions are 0x00, 0x01 or 0xff: what is below keeps those for the ends of ranges.

| type | body |
| --- | --- |
| tinyint smallint int bigint timestamp | big-endian, sign bit inverted |
| date, time | as they are |
| boolean | 0 or 1 |
| float, double | big-endian; all bits inverted if negative, else the sign bit; every NaN is the
same |
| uuid | version in the first four bits, then time (version 1) or the rest, then the last eight
bytes |
| timeuuid | time, then the last eight bytes with their sign bits inverted |
| varint | length, mirrored if negative, then the shortest two's complement |
| decimal | sign, exponent, digits without zeros at either end: all inverted if negative |
| text, ascii, blob, inet, duration, custom | 0x00 written as 0x00 0x01, ended by 0x00 0x00 |
| list, set, map | components of the parts, ended by 0x00 |
| tuple, user type | components of the fields without the nulls at the end, ended by 0x00 |
| vector | components of the elements |

Where equal values have several forms in bytes, decoding gives the plainest: shortest varint, one
NaN, true as 1, all fields of a tuple written out. A decimal comes back equal but without its zeros
at the end; only that is called lossy.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memchr

from cql.types cimport kinds
from cql.types.parts cimport (
    pack_collection,
    pack_tuple,
    pack_vector,
    split_collection,
    split_tuple,
    unpack_vector,
)

from cql.errors import InvalidRequest
from cql.types.catalog import VectorType
from cql.types.numerals import integer_of_digits, integer_text

cdef enum:
    H_END = 0x00
    H_NULL = 0x08
    H_EMPTY = 0x10
    H_VALUE = 0x20

cdef enum:
    ESCAPED_ZERO = 0x01
    # A varint's length up to SHORT_MAX is one byte beside VARINT_MIDDLE; a longer one is four bytes
    # after a mark.
    VARINT_MIDDLE = 0x80
    SHORT_MAX = 0x70
    LONG_POSITIVE = 0xFE
    DECIMAL_ZERO = 0x80
    DECIMAL_POSITIVE = 0x81
    EXPONENT_BYTES = 8

cdef uint64_t SIGN64 = 0x8000000000000000ULL
cdef uint64_t LOW_60 = 0x0FFFFFFFFFFFFFFFULL
cdef uint64_t SIGN_OF_EACH_BYTE = 0x8080808080808080ULL
_SCALE_MIN, _SCALE_MAX = -(2**31), 2**31 - 1
_CODE_OF_DIGITS = 1


cdef class ClusteringCodec:
    """Clustering values to the bytes that storage sorts rows by, and back."""

    def __init__(self, types, is_reversed=()):
        self.types = tuple(types)
        self.is_reversed = tuple(bool(flag) for flag in is_reversed) or (False,) * len(self.types)
        assert len(self.types) == len(self.is_reversed), "each clustering column has one direction"
        self.is_lossy = any(is_lossy(cql_type) for cql_type in self.types)

    cpdef bytes encode(self, object values):
        """The clustering of these values, which may be fewer than the columns: then it is a
        prefix.
        """
        cdef bytearray target = bytearray()
        cdef Py_ssize_t number = 0, start
        cdef bytes value
        assert len(values) <= len(self.types), "more values than clustering columns"
        for value in values:
            start = len(target)
            append_component(target, self.types[number], value)
            if self.is_reversed[number]:
                invert(target, start)
            number += 1
        return bytes(target)

    cpdef list decode(self, bytes clustering):
        """The values of a clustering or of a prefix of one."""
        cdef _ComponentReader reader = _ComponentReader(clustering)
        cdef Py_ssize_t number = 0
        values = []
        while reader.at < reader.size:
            if number == len(self.types):
                raise damaged()
            reader.mask = 0xFF if self.is_reversed[number] else 0
            values.append(reader.read_component(self.types[number]))
            number += 1
        return values


def sortable(cql_type, bytes value):
    """One ascending component."""
    cdef bytearray target = bytearray()
    append_component(target, cql_type, value)
    return bytes(target)


def unsortable(cql_type, bytes data):
    """The value of one ascending component."""
    cdef _ComponentReader reader = _ComponentReader(data)
    value = reader.read_component(cql_type)
    if reader.at != reader.size:
        raise damaged()
    return value


def compare(cql_type, bytes left, bytes right):
    """Negative, zero or positive, as Cassandra compares two values of the type."""
    if is_memcmp(cql_type):
        return (left > right) - (left < right)
    first, second = sortable(cql_type, left), sortable(cql_type, right)
    return (first > second) - (first < second)


def is_memcmp(cql_type):
    """True if values of the type compare as their bytes do."""
    cdef int kind = cql_type.type_id
    if kind == kinds.CUSTOM:
        return not isinstance(cql_type, VectorType)
    return kind in (
        kinds.ASCII, kinds.TEXT, kinds.BLOB, kinds.INET, kinds.DATE, kinds.TIME, kinds.DURATION
    )


def is_lossy(cql_type):
    """True if a value may come back from its component with other bytes that mean something to the
    client.
    """
    return cql_type.type_id == kinds.DECIMAL or any(is_lossy(part) for part in cql_type.inner())


def normalise(cql_type, bytes value):
    """The same value with the elements of frozen sets and maps, at any depth, in order and once
    (the last one wins).
    """
    cdef int kind = cql_type.type_id
    if not has_order_inside(cql_type) or not value:
        return value
    if kind == kinds.LIST:
        parts = split_collection(value, 1, kind)
        return pack_collection([normalise(cql_type.element, part) for part in parts])
    if kind == kinds.SET:
        elements = {}
        for part in split_collection(value, 1, kind):
            part = normalise(cql_type.element, part)
            elements.setdefault(sortable(cql_type.element, part), part)
        return pack_collection([elements[place] for place in sorted(elements)])
    if kind == kinds.MAP:
        return normalise_map(cql_type, value)
    if kind == kinds.CUSTOM:
        parts = unpack_vector(cql_type, value)
        return pack_vector(cql_type, [normalise(cql_type.element, part) for part in parts])
    types = cql_type.inner()
    fields = split_tuple(cql_type, value)
    return pack_tuple([None if f is None else normalise(t, f) for t, f in zip(types, fields)])


cdef bytes normalise_map(object cql_type, bytes value):
    flat = split_collection(value, 2, kinds.MAP)
    entries = {}
    for number in range(0, len(flat), 2):
        key = normalise(cql_type.key, flat[number])
        entries[sortable(cql_type.key, key)] = (key, normalise(cql_type.value, flat[number + 1]))
    ordered = [part for place in sorted(entries) for part in entries[place]]
    return pack_collection(ordered, len(entries))


cdef bint has_order_inside(object cql_type) except -1:
    cdef int kind = cql_type.type_id
    if kind == kinds.SET or kind == kinds.MAP:
        return True
    return any([has_order_inside(part) for part in cql_type.inner()])


# ----------------------------------------------------------------------------------------- encoding


cdef int append_component(bytearray target, object cql_type, bytes value) except -1:
    cdef int kind = cql_type.type_id
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    if size == 0:
        target.append(H_EMPTY)
        return 0
    target.append(H_VALUE)
    if kind in (kinds.TEXT, kinds.BLOB, kinds.ASCII, kinds.INET, kinds.DURATION):
        return append_escaped(target, value)
    if kind in (
        kinds.INT, kinds.BIGINT, kinds.TIMESTAMP, kinds.SMALLINT, kinds.TINYINT, kinds.COUNTER,
        kinds.DATE, kinds.TIME,
    ):
        return append_integer(target, kind, value)
    if kind in (kinds.UUID, kinds.TIMEUUID):
        expect_size(size, 16, value)
        return append_uuid(target, kind, value)
    if kind in (kinds.FLOAT, kinds.DOUBLE):
        expect_size(size, 4 if kind == kinds.FLOAT else 8, value)
        return append_float(target, kind, value)
    if kind == kinds.BOOLEAN:
        expect_size(size, 1, value)
        target.append(0 if value[0] == 0 else 1)
        return 0
    if kind == kinds.VARINT:
        return append_varint(target, value)
    if kind == kinds.DECIMAL:
        return append_decimal(target, value)
    return append_compound(target, kind, cql_type, value)


cdef int append_compound(bytearray target, int kind, object cql_type, bytes value) except -1:
    if kind in (kinds.LIST, kinds.SET):
        for part in split_collection(value, 1, kind):
            append_component(target, cql_type.element, part)
    elif kind == kinds.MAP:
        for number, part in enumerate(split_collection(value, 2, kind)):
            append_component(target, cql_type.value if number & 1 else cql_type.key, part)
    elif kind in (kinds.TUPLE, kinds.USER):
        append_fields(target, cql_type, split_tuple(cql_type, value))
    elif isinstance(cql_type, VectorType):
        for part in unpack_vector(cql_type, value):
            append_component(target, cql_type.element, part)
        return 0
    else:
        return append_escaped(target, value)
    target.append(H_END)
    return 0


cdef int append_fields(bytearray target, object cql_type, list fields) except -1:
    while fields and fields[len(fields) - 1] is None:
        fields.pop()
    for cql_type, part in zip(cql_type.inner(), fields):
        if part is None:
            target.append(H_NULL)
        else:
            append_component(target, cql_type, part)
    return 0


cdef int append_escaped(bytearray target, bytes value) except -1:
    cdef const char *data = PyBytes_AS_STRING(value)
    if memchr(data, 0, PyBytes_GET_SIZE(value)) is NULL:
        target += value
    else:
        target += value.replace(b"\0", b"\0\x01")
    target += b"\0\0"
    return 0


cdef int append_integer(bytearray target, int kind, bytes value) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value), start = len(target)
    expect_size(size, integer_width(kind), value)
    target += value
    if kind != kinds.DATE and kind != kinds.TIME:
        target[start] ^= 0x80
    return 0


cdef inline Py_ssize_t integer_width(int kind) noexcept:
    if kind == kinds.TINYINT:
        return 1
    if kind == kinds.SMALLINT:
        return 2
    return 4 if kind in (kinds.INT, kinds.DATE) else 8


cdef int append_uuid(bytearray target, int kind, bytes value) except -1:
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(value)
    cdef uint64_t high = read_uint64(data), low = read_uint64(data + 8)
    if kind == kinds.TIMEUUID:
        append_uint64(target, time_first(high))
        append_uint64(target, low ^ SIGN_OF_EACH_BYTE)
    elif (high >> 12) & 0xF == 1:
        append_uint64(target, time_first(high))
        append_uint64(target, low)
    else:
        append_uint64(target, version_first(high))
        append_uint64(target, low)
    return 0


cdef inline uint64_t time_first(uint64_t high) noexcept nogil:
    """Version and time in the order of their weight: they lie low, middle, version and high."""
    return (high << 48) | ((high << 16) & 0x0000FFFF00000000ULL) | (high >> 32)


cdef inline uint64_t time_back(uint64_t ordered) noexcept nogil:
    return (ordered << 32) | ((ordered >> 16) & 0xFFFF0000ULL) | (ordered >> 48)


cdef inline uint64_t version_first(uint64_t high) noexcept nogil:
    """The version's four bits moved to the front, the others as they were."""
    return ((high & 0xF000ULL) << 48) | ((high >> 4) & 0x0FFFFFFFFFFFF000ULL) | (high & 0xFFFULL)


cdef inline uint64_t version_back(uint64_t ordered) noexcept nogil:
    return (
        ((ordered >> 48) & 0xF000ULL)
        | ((ordered & 0x0FFFFFFFFFFFF000ULL) << 4)
        | (ordered & 0xFFFULL)
    )


cdef int append_float(bytearray target, int kind, bytes value) except -1:
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(value)
    cdef uint64_t bits
    if kind == kinds.DOUBLE:
        bits = read_uint64(data)
        if bits << 1 > 0xFFE0000000000000ULL:
            bits = 0x7FF8000000000000ULL
        append_uint64(target, ~bits if bits & SIGN64 else bits | SIGN64)
        return 0
    bits = read_uint32(data)
    if bits & 0x7FFFFFFFULL > 0x7F800000ULL:
        bits = 0x7FC00000ULL
    bits = ~bits & 0xFFFFFFFFULL if bits & 0x80000000ULL else bits | 0x80000000ULL
    append_uint32(target, <uint32_t>bits)
    return 0


cdef int append_varint(bytearray target, bytes value) except -1:
    cdef bytes shortest = shortest_integer(value)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(shortest)
    cdef bint negative = shortest[0] >= 0x80
    if size <= SHORT_MAX:
        target.append(VARINT_MIDDLE - size if negative else VARINT_MIDDLE + size)
    else:
        target.append(0xFF - LONG_POSITIVE if negative else LONG_POSITIVE)
        append_uint32(target, ~<uint32_t>size if negative else <uint32_t>size)
    target += shortest
    return 0


cdef bytes shortest_integer(bytes value):
    """The two's complement without needless bytes in front."""
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(value)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value), at = 0
    while at + 1 < size and (
        (data[at] == 0 and data[at + 1] < 0x80) or (data[at] == 0xFF and data[at + 1] >= 0x80)
    ):
        at += 1
    return value[at:] if at else value


cdef int append_decimal(bytearray target, bytes value) except -1:
    cdef Py_ssize_t start
    if PyBytes_GET_SIZE(value) <= 4:
        raise InvalidRequest(f"Expected 0 or at least 4 bytes ({len(value)})")
    unscaled = int.from_bytes(value[4:], "big", signed=True)
    if unscaled == 0:
        target.append(DECIMAL_ZERO)
        return 0
    digits = integer_text(abs(unscaled))
    exponent = len(digits) - <int32_t>read_uint32(<const unsigned char *>PyBytes_AS_STRING(value))
    digits = digits.rstrip("0")
    start = len(target)
    target.append(DECIMAL_POSITIVE)
    append_uint64(target, <uint64_t><int64_t>exponent ^ SIGN64)
    pairs = [digits[at : at + 2].ljust(2, "0") for at in range(0, len(digits), 2)]
    target += bytes([_CODE_OF_DIGITS + int(pair) for pair in pairs])
    target.append(H_END)
    if unscaled < 0:
        invert(target, start)
    return 0


cdef inline int expect_size(Py_ssize_t size, Py_ssize_t wanted, bytes value) except -1:
    if size != wanted:
        raise InvalidRequest(f"Expected {wanted} bytes, got 0x{value.hex()}")
    return 0


cdef int invert(bytearray target, Py_ssize_t start) except -1:
    cdef Py_ssize_t at
    cdef unsigned char[::1] view = target
    for at in range(start, view.shape[0]):
        view[at] ^= 0xFF
    return 0


# ----------------------------------------------------------------------------------------- decoding


cdef class _ComponentReader:
    """Reads components from left to right, undoing the inversion of the present column."""

    cdef bytes data           # what is read
    cdef Py_ssize_t size      # its length
    cdef Py_ssize_t at        # where the next byte is
    cdef unsigned char mask   # 0xff inside a descending column, else 0

    def __init__(self, bytes data):
        self.data = data
        self.size = PyBytes_GET_SIZE(data)

    cdef int next_byte(self) except -1:
        if self.at >= self.size:
            raise damaged()
        self.at += 1
        return (<const unsigned char *>PyBytes_AS_STRING(self.data))[self.at - 1] ^ self.mask

    cdef int peek_byte(self) except -1:
        cdef int result = self.next_byte()
        self.at -= 1
        return result

    cdef bytes take(self, Py_ssize_t count):
        """The next `count` bytes."""
        cdef bytes result
        if count < 0 or count > self.size - self.at:
            raise damaged()
        result = self.data[self.at : self.at + count]
        self.at += count
        return result.translate(_INVERTED) if self.mask else result

    cdef bytes read_component(self, object cql_type):
        cdef int header = self.next_byte()
        cdef int kind = cql_type.type_id
        if header == H_EMPTY:
            return b""
        if header != H_VALUE:
            raise damaged()
        if kind in (kinds.TEXT, kinds.BLOB, kinds.ASCII, kinds.INET, kinds.DURATION):
            return self.read_escaped()
        if kind in (
            kinds.INT, kinds.BIGINT, kinds.TIMESTAMP, kinds.SMALLINT, kinds.TINYINT, kinds.COUNTER,
            kinds.DATE, kinds.TIME,
        ):
            return self.read_integer(kind)
        if kind in (kinds.UUID, kinds.TIMEUUID):
            return self.read_uuid(kind)
        if kind in (kinds.FLOAT, kinds.DOUBLE):
            return self.read_float(kind)
        if kind == kinds.BOOLEAN:
            return self.take(1)
        if kind == kinds.VARINT:
            return self.read_varint()
        if kind == kinds.DECIMAL:
            return self.read_decimal()
        return self.read_compound(kind, cql_type)

    cdef bytes read_compound(self, int kind, object cql_type):
        if kind == kinds.CUSTOM and not isinstance(cql_type, VectorType):
            return self.read_escaped()
        if kind == kinds.CUSTOM:
            element, dimension = cql_type.element, cql_type.dimension
            return pack_vector(
                cql_type, [self.read_component(element) for _ in range(dimension)]
            )
        if kind in (kinds.TUPLE, kinds.USER):
            return self.read_fields(cql_type.inner())
        if kind == kinds.MAP:
            return self.read_map(cql_type)
        parts = []
        while self.peek_byte() != H_END:
            parts.append(self.read_component(cql_type.element))
        self.at += 1
        return pack_collection(parts)

    cdef bytes read_map(self, object cql_type):
        parts = []
        while self.peek_byte() != H_END:
            parts.append(self.read_component(cql_type.key))
            parts.append(self.read_component(cql_type.value))
        self.at += 1
        return pack_collection(parts, len(parts) // 2)

    cdef bytes read_fields(self, tuple types):
        fields = []
        while self.peek_byte() != H_END:
            if len(fields) == len(types):
                raise damaged()
            if self.peek_byte() == H_NULL:
                self.at += 1
                fields.append(None)
            else:
                fields.append(self.read_component(types[len(fields)]))
        self.at += 1
        return pack_tuple(fields + [None] * (len(types) - len(fields)))

    cdef bytes read_escaped(self):
        cdef bytearray result = bytearray()
        cdef bytes zero = b"\xff" if self.mask else b"\0"
        cdef Py_ssize_t found
        cdef int after
        while True:
            found = self.data.find(zero, self.at)
            if found < 0:
                raise damaged()
            result += self.take(found - self.at)
            self.at += 1
            after = self.next_byte()
            if after == H_END:
                return bytes(result)
            if after != ESCAPED_ZERO:
                raise damaged()
            result.append(0)

    cdef bytes read_integer(self, int kind):
        cdef bytes value = self.take(integer_width(kind))
        if kind == kinds.DATE or kind == kinds.TIME:
            return value
        return bytes((value[0] ^ 0x80,)) + value[1:]

    cdef bytes read_uuid(self, int kind):
        cdef bytes value = self.take(16)
        cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(value)
        cdef uint64_t high = read_uint64(data), low = read_uint64(data + 8)
        cdef bytearray result = bytearray()
        if kind == kinds.TIMEUUID or high >> 60 == 1:
            append_uint64(result, time_back(high))
        else:
            append_uint64(result, version_back(high))
        append_uint64(result, low ^ SIGN_OF_EACH_BYTE if kind == kinds.TIMEUUID else low)
        return bytes(result)

    cdef bytes read_float(self, int kind):
        cdef bytes value = self.take(4 if kind == kinds.FLOAT else 8)
        if value[0] >= 0x80:
            return bytes((value[0] ^ 0x80,)) + value[1:]
        return value.translate(_INVERTED)

    cdef bytes read_varint(self):
        cdef int count, mark = self.next_byte()
        cdef bytes length
        if mark == LONG_POSITIVE or mark == 0xFF - LONG_POSITIVE:
            length = self.take(4)
            if mark != LONG_POSITIVE:
                length = length.translate(_INVERTED)
            return self.take(int.from_bytes(length, "big"))
        count = abs(mark - VARINT_MIDDLE)
        if not 0 < count <= SHORT_MAX:
            raise damaged()
        return self.take(count)

    cdef bytes read_decimal(self):
        cdef int sign = self.next_byte()
        cdef int code
        cdef bint negative = sign == 0xFF - DECIMAL_POSITIVE
        if sign == DECIMAL_ZERO:
            return b"\0\0\0\0\0"
        if sign != DECIMAL_POSITIVE and not negative:
            raise damaged()
        if negative:
            self.mask ^= 0xFF
        exponent = int.from_bytes(self.take(EXPONENT_BYTES), "big") - 2**63
        pairs = []
        while True:
            code = self.next_byte()
            if code == H_END:
                break
            if code > 100:
                raise damaged()
            pairs.append(f"{code - _CODE_OF_DIGITS:02}")
        if negative:
            self.mask ^= 0xFF
        return decimal_of_digits("".join(pairs), exponent, negative)


cdef bytes decimal_of_digits(str digits, object exponent, bint negative):
    digits = digits.rstrip("0")
    if not digits:
        raise damaged()
    scale = len(digits) - exponent
    # Zeros taken from a number with the lowest scale have to be put back.
    while scale < _SCALE_MIN and len(digits) < 2**20:
        digits += "0"
        scale += 1
    if not _SCALE_MIN <= scale <= _SCALE_MAX:
        raise damaged()
    unscaled = integer_of_digits(digits)
    if negative:
        unscaled = -unscaled
    size = (unscaled if unscaled >= 0 else ~unscaled).bit_length() // 8 + 1
    return scale.to_bytes(4, "big", signed=True) + unscaled.to_bytes(size, "big", signed=True)


cdef object damaged():
    return InvalidRequest("Invalid bytes of a clustering key")


_INVERTED = bytes(255 - byte for byte in range(256))


# ----------------------------------------------------------------------------------------- integers


cdef inline uint64_t read_uint64(const unsigned char *data) noexcept nogil:
    return (<uint64_t>read_uint32(data) << 32) | read_uint32(data + 4)


cdef inline uint32_t read_uint32(const unsigned char *data) noexcept nogil:
    return (
        (<uint32_t>data[0] << 24) | (<uint32_t>data[1] << 16) | (<uint32_t>data[2] << 8) | data[3]
    )


cdef int append_uint64(bytearray target, uint64_t value) except -1:
    append_uint32(target, <uint32_t>(value >> 32))
    return append_uint32(target, <uint32_t>value)


cdef int append_uint32(bytearray target, uint32_t value) except -1:
    cdef char raw[4]
    raw[0] = <char>(value >> 24)
    raw[1] = <char>(value >> 16)
    raw[2] = <char>(value >> 8)
    raw[3] = <char>value
    target += raw[:4]
    return 0

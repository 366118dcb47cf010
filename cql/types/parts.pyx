"""Values made of values, packed and unpacked: collections, tuples, vectors and partition keys.

Only lengths and counts are looked at here; whether a part is a value of its type is `codec`'s
question.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcpy

from cql.types cimport kinds

import struct

from cql.errors import InvalidRequest
from cql.types.catalog import TupleType, fixed_width

cdef enum:
    LENGTH_BYTES = 4
    KEY_COMPONENT_MAX = 65535
    VINT_BYTES_MAX = 9


cpdef bytes pack_collection(object values, Py_ssize_t count=-1):
    """The bytes of a list or set of these elements; for a map give key, value, key, value... and
    the number of entries.
    """
    cdef Py_ssize_t total = LENGTH_BYTES
    cdef bytes part
    for part in values:
        total += LENGTH_BYTES + PyBytes_GET_SIZE(part)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, total)
    cdef unsigned char *target = <unsigned char *>PyBytes_AS_STRING(result)
    write_int32(target, <int32_t>(len(values) if count < 0 else count))
    target += LENGTH_BYTES
    for part in values:
        target = put_part(target, part)
    return result


cdef inline unsigned char *put_part(unsigned char *target, bytes part) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(part)
    write_int32(target, <int32_t>size)
    memcpy(target + LENGTH_BYTES, PyBytes_AS_STRING(part), size)
    return target + LENGTH_BYTES + size


def pack_map(entries):
    """The bytes of a map with these entries, in this order."""
    flat = [part for entry in entries for part in entry]
    return pack_collection(flat, len(flat) // 2)


cpdef list unpack_list(bytes value):
    """The elements of a list or set; raises InvalidRequest if the bytes are cut or too many."""
    return split_collection(value, 1, kinds.LIST)


cpdef list unpack_map(bytes value):
    """The (key, value) pairs of a map; raises InvalidRequest if the bytes are cut or too many."""
    flat = split_collection(value, 2, kinds.MAP)
    return list(zip(flat[::2], flat[1::2]))


cdef list split_collection(bytes value, int parts_per_entry, int kind):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value), at = LENGTH_BYTES
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(value)
    cdef int64_t count
    cdef int32_t length
    cdef list parts = []
    if size < LENGTH_BYTES:
        raise InvalidRequest(f"Not enough bytes to read a {kind_name(kind)}")
    count = read_int32(data)
    if count < 0:
        raise InvalidRequest(f"The data cannot be deserialized as a {kind_name(kind)}")
    for _ in range(count * parts_per_entry):
        if size - at < LENGTH_BYTES:
            raise InvalidRequest(f"Not enough bytes to read a {kind_name(kind)}")
        length = read_int32(data + at)
        at += LENGTH_BYTES
        if length < 0:
            raise InvalidRequest("Null value read when not allowed")
        if length > size - at:
            raise InvalidRequest(f"Not enough bytes to read a {kind_name(kind)}")
        parts.append(PyBytes_FromStringAndSize(<const char *>data + at, length))
        at += length
    if at != size:
        raise InvalidRequest(f"Unexpected extraneous bytes after {kind_name(kind)} value")
    return parts


cdef str kind_name(int kind):
    return "map" if kind == kinds.MAP else "set" if kind == kinds.SET else "list"


cpdef bytes pack_tuple(object fields):
    """The bytes of a tuple or user type with these fields; None is null."""
    parts = []
    for part in fields:
        if part is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            parts.append(struct.pack(">i", len(part)))
            parts.append(part)
    return b"".join(parts)


cpdef list unpack_tuple(object cql_type, bytes value):
    """All fields of a tuple or user type; the missing ones at the end are null."""
    fields = split_tuple(cql_type, value)
    names = cql_type.elements if isinstance(cql_type, TupleType) else cql_type.field_types
    return fields + [None] * (len(names) - len(fields))


cdef list split_tuple(object cql_type, bytes value):
    """The fields that are there."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value), at = 0, number = 0, count
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(value)
    cdef int32_t length
    cdef list fields = []
    count = len(cql_type.elements if isinstance(cql_type, TupleType) else cql_type.field_types)
    while at < size and number < count:
        if size - at < LENGTH_BYTES:
            title = field_title(cql_type, number)
            raise InvalidRequest(f"Not enough bytes to read size of {title}")
        length = read_int32(data + at)
        at += LENGTH_BYTES
        if length > size - at:
            raise InvalidRequest(f"Not enough bytes to read {field_title(cql_type, number)}")
        if length < 0:
            fields.append(None)
        else:
            fields.append(PyBytes_FromStringAndSize(<const char *>data + at, length))
            at += length
        number += 1
    if at != size:
        title = "tuple" if isinstance(cql_type, TupleType) else "UDT"
        raise InvalidRequest(f"Invalid remaining data after end of {title} value")
    return fields


cdef str field_title(object cql_type, Py_ssize_t number):
    if isinstance(cql_type, TupleType):
        return f"{number}th component"
    return f"{number}th field {cql_type.field_names[number]}"


cpdef bytes pack_vector(object vector_type, object elements):
    """The bytes of a vector; raises InvalidRequest if the number of elements is wrong."""
    if len(elements) != vector_type.dimension:
        raise InvalidRequest(
            f"Invalid vector literal for {vector_type}; expected {vector_type.dimension} elements, "
            f"but given {len(elements)}"
        )
    width = fixed_width(vector_type.element)
    if width is None:
        return b"".join([encode_unsigned_vint(len(part)) + part for part in elements])
    for part in elements:
        if len(part) != width:
            raise InvalidRequest(f"Not enough bytes to read a {vector_type}")
    return b"".join(elements)


cpdef list unpack_vector(object vector_type, bytes value):
    """The elements of a vector; raises InvalidRequest if the bytes are cut or too many."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value), at = 0, length, used
    cdef uint64_t announced
    cdef list parts = []
    width = fixed_width(vector_type.element)
    if size == 0:
        raise InvalidRequest("Invalid empty vector value")
    for _ in range(vector_type.dimension):
        if width is None:
            used = read_unsigned_vint(value, at, &announced)
            at += used
            if used == 0 or announced > <uint64_t>(size - at):
                raise InvalidRequest(f"Not enough bytes to read a {vector_type}")
            length = <Py_ssize_t>announced
        else:
            length = width
            if length > size - at:
                raise InvalidRequest(f"Not enough bytes to read a {vector_type}")
        parts.append(value[at : at + length])
        at += length
    if at != size:
        raise InvalidRequest("Unexpected extraneous bytes after vector value")
    return parts


def pack_key(components):
    """The serialized partition key: the bytes of its only component, or all with lengths and end
    marks.
    """
    if len(components) == 1:
        check_key_length(components[0])
        return components[0]
    parts = []
    for part in components:
        check_key_length(part)
        parts += (struct.pack(">H", len(part)), part, b"\0")
    return b"".join(parts)


cdef int check_key_length(bytes component) except -1:
    if PyBytes_GET_SIZE(component) > KEY_COMPONENT_MAX:
        raise InvalidRequest(
            f"Key length of {len(component)} is longer than maximum of {KEY_COMPONENT_MAX}"
        )
    return 0


def unpack_key(bytes key, Py_ssize_t count):
    """The `count` components of a serialized partition key; raises InvalidRequest if it has not
    that shape.
    """
    cdef Py_ssize_t at = 0, length
    if count == 1:
        return [key]
    components = []
    for _ in range(count):
        if len(key) - at < 2:
            raise InvalidRequest("Not enough bytes to read a composite key")
        length = int.from_bytes(key[at : at + 2], "big")
        at += 2
        if len(key) - at < length + 1 or key[at + length : at + length + 1] != b"\0":
            raise InvalidRequest("Not enough bytes to read a composite key")
        components.append(key[at : at + length])
        at += length + 1
    if at != len(key):
        raise InvalidRequest("Unexpected extraneous bytes after composite key")
    return components


cdef Py_ssize_t read_unsigned_vint(bytes value, Py_ssize_t at, uint64_t *result) noexcept:
    """Number of bytes read, 0 if the value is cut. The leading ones of the first byte count the
    bytes that follow.
    """
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(value)
    cdef Py_ssize_t left = PyBytes_GET_SIZE(value) - at
    cdef int extra = 0, i
    cdef unsigned char first
    if left < 1:
        return 0
    first = data[at]
    while extra < 8 and first & (0x80 >> extra):
        extra += 1
    if left < 1 + extra:
        return 0
    result[0] = first & (0xFF >> extra)
    for i in range(extra):
        result[0] = (result[0] << 8) | data[at + 1 + i]
    return 1 + extra


cdef bytes encode_unsigned_vint(uint64_t value):
    cdef unsigned char target[VINT_BYTES_MAX]
    cdef int extra = 0, i
    while extra < 8 and value >> (7 * (extra + 1)):
        extra += 1
    for i in range(extra, 0, -1):
        target[i] = <unsigned char>value
        value >>= 8
    # With eight bytes following, the first byte is all marks.
    target[0] = 0xFF if extra == 8 else <unsigned char>(value | (0xFF00 >> extra) & 0xFF)
    return PyBytes_FromStringAndSize(<char *>target, 1 + extra)

"""Values to wire bytes and back, and the check that bytes are a value of a type.

Zero bytes are a value of their own ("empty", not null) for most types of a fixed length; `EMPTY`
stands for it in Python.
Python values are: int for the integer types, date (days since 1970), time (nanoseconds of the day)
and timestamp (milliseconds); Decimal, float, bool, str, bytes, uuid.UUID, ipaddress addresses and
Duration; list for lists, sets (in their order) and vectors, a list of pairs for maps, tuple for
tuples, dict for user types. None stands for a null field.
`encode` takes a dict for a map too.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t

from cql.types cimport kinds
from cql.types.parts cimport (
    encode_unsigned_vint,
    pack_collection,
    pack_tuple,
    pack_vector,
    read_unsigned_vint,
    split_collection,
    split_tuple,
    unpack_list,
    unpack_map,
    unpack_tuple,
    unpack_vector,
)

import struct
from decimal import Decimal
from ipaddress import ip_address
from typing import NamedTuple
from uuid import UUID as Uuid

from cql.errors import InvalidRequest
from cql.types import parts
from cql.types.catalog import CustomType, VectorType
from cql.types.numerals import integer_of_digits, integer_text
from cql.types.ordering import normalise

cdef enum:
    LENGTH_BYTES = 4

_DATE_ZERO = 2**31
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

# What is made of values is packed and unpacked in `parts`; callers need only this module.
pack_collection, pack_map, pack_tuple = parts.pack_collection, parts.pack_map, parts.pack_tuple
pack_vector, pack_key = parts.pack_vector, parts.pack_key
unpack_list, unpack_map, unpack_tuple = parts.unpack_list, parts.unpack_map, parts.unpack_tuple
unpack_vector, unpack_key = parts.unpack_vector, parts.unpack_key


class Empty:
    """The type of EMPTY, the value of zero bytes."""

    __slots__ = ()

    def __bool__(self):
        return False

    def __repr__(self):
        return "EMPTY"


EMPTY = Empty()


class Duration(NamedTuple):
    """Months, days and nanoseconds, none of which can be turned into another."""

    months: int
    days: int
    nanoseconds: int


# --------------------------------------------------------------------------------------- validation


cpdef int validate(object cql_type, bytes value) except -1:
    """Returns if `value` is a value of the type, raises InvalidRequest with Cassandra's text if
    not.
    """
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    cdef int kind = cql_type.type_id
    if kind == kinds.TEXT:
        return check_text(value)
    if kind == kinds.ASCII:
        return check_ascii(value)
    if kind == kinds.INT:
        return check_size(size, 4, "Expected 4 or 0 byte int ({})")
    if kind == kinds.BIGINT or kind == kinds.COUNTER:
        return check_size(size, 8, "Expected 8 or 0 byte long ({})")
    if kind == kinds.TIMESTAMP:
        return check_size(size, 8, "Expected 8 or 0 byte long for date ({})")
    if kind == kinds.DOUBLE:
        return check_size(size, 8, "Expected 8 or 0 byte value for a double ({})")
    if kind == kinds.FLOAT:
        return check_size(size, 4, "Expected 4 or 0 byte value for a float ({})")
    if kind == kinds.BOOLEAN:
        return check_size(size, 1, "Expected 1 or 0 byte value ({})")
    if kind == kinds.UUID:
        return check_size(size, 16, "UUID should be 16 or 0 bytes ({})")
    if kind == kinds.BLOB or kind == kinds.VARINT:
        return 0
    return check_rare(kind, cql_type, value, size)


cdef int check_rare(int kind, object cql_type, bytes value, Py_ssize_t size) except -1:
    if kind == kinds.TIMEUUID:
        return check_timeuuid(value)
    if kind == kinds.DATE:
        return check_exact_size(size, 4, "Expected 4 byte long for date ({})")
    if kind == kinds.TIME:
        return check_exact_size(size, 8, "Expected 8 byte long for time ({})")
    if kind == kinds.SMALLINT:
        return check_exact_size(size, 2, "Expected 2 bytes for a smallint ({})")
    if kind == kinds.TINYINT:
        return check_exact_size(size, 1, "Expected 1 byte for a tinyint ({})")
    if kind == kinds.DECIMAL:
        # Four bytes would be a scale without a number.
        if 0 < size <= LENGTH_BYTES:
            raise InvalidRequest(f"Expected 0 or at least 4 bytes ({size})")
        return 0
    if kind == kinds.INET:
        if size != 4 and size != 16 and size != 0:
            raise InvalidRequest(f"Expected 4 or 16 byte inetaddress; got {value.hex()}")
        return 0
    if kind == kinds.DURATION:
        decode_duration(value)
        return 0
    return check_compound(kind, cql_type, value)


cdef int check_compound(int kind, object cql_type, bytes value) except -1:
    if kind == kinds.LIST or kind == kinds.SET:
        for part in split_collection(value, 1, kind):
            validate(cql_type.element, part)
    elif kind == kinds.MAP:
        for number, part in enumerate(split_collection(value, 2, kind)):
            validate(cql_type.value if number & 1 else cql_type.key, part)
    elif kind == kinds.TUPLE:
        for element, part in zip(cql_type.elements, split_tuple(cql_type, value)):
            if part is not None:
                validate(element, part)
    elif kind == kinds.USER:
        check_user_type(cql_type, value)
    elif isinstance(cql_type, VectorType):
        for part in unpack_vector(cql_type, value):
            validate(cql_type.element, part)
    else:
        assert isinstance(cql_type, CustomType), f"{cql_type!r} is not a type"
        if cql_type.class_name.endswith(".EmptyType") and value:
            raise InvalidRequest("EmptyType only accept empty values")
    return 0


cdef inline int check_size(Py_ssize_t size, Py_ssize_t wanted, str text) except -1:
    if size != wanted and size != 0:
        raise InvalidRequest(text.format(size))
    return 0


cdef inline int check_exact_size(Py_ssize_t size, Py_ssize_t wanted, str text) except -1:
    if size != wanted:
        raise InvalidRequest(text.format(size))
    return 0


cdef int check_text(bytes value) except -1:
    if value.isascii():
        return 0
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("String didn't validate.") from None
    return 0


cdef int check_ascii(bytes value) except -1:
    if not value.isascii():
        wrong = next(byte for byte in value if byte > 0x7F)
        raise InvalidRequest(f"Invalid byte for ascii: {wrong - 256}")
    return 0


cdef int check_timeuuid(bytes value) except -1:
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(value)
    check_size(PyBytes_GET_SIZE(value), 16, "UUID should be 16 or 0 bytes ({})")
    if PyBytes_GET_SIZE(value) == 16 and data[6] >> 4 != 1:
        raise InvalidRequest(f"Invalid version for TimeUUID type: 0x{data[6] >> 4:x}")
    return 0


cdef int check_user_type(object user_type, bytes value) except -1:
    fields = split_tuple(user_type, value)
    for number, part in enumerate(fields):
        if part is None:
            continue
        try:
            validate(user_type.field_types[number], part)
        except InvalidRequest as refusal:
            name = user_type.field_names[number]
            raise InvalidRequest(
                f"Failure validating the {number}th field {name}; {refusal.message}"
            ) from None
    return 0


# ------------------------------------------------------------------------------------------ numbers


def encode_duration(months, days, nanoseconds):
    """The bytes of a duration; raises InvalidRequest if the parts are too large or differ in
    sign.
    """
    _check_duration(months, days, nanoseconds)
    return b"".join([encode_unsigned_vint(zigzag(part)) for part in (months, days, nanoseconds)])


cdef uint64_t zigzag(int64_t value) noexcept:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


def decode_duration(bytes value):
    """The duration of these bytes; raises InvalidRequest if they are none."""
    cdef uint64_t raw = 0
    cdef Py_ssize_t at = 0, used
    if len(value) < 3:
        raise InvalidRequest(f"Expected at least 3 bytes for a duration ({len(value)})")
    numbers = []
    for _ in range(3):
        used = read_unsigned_vint(value, at, &raw)
        if used == 0:
            raise InvalidRequest("Not enough bytes to read a duration")
        at += used
        numbers.append(<int64_t>(raw >> 1) ^ -<int64_t>(raw & 1))
    if at != len(value):
        raise InvalidRequest("Unexpected extraneous bytes after duration value")
    _check_duration(*numbers)
    return Duration(*numbers)


def _check_duration(months, days, nanoseconds):
    """Raises InvalidRequest if the three are not the parts of one duration."""
    if not _INT32_MIN <= months <= _INT32_MAX:
        raise InvalidRequest(f"The duration months must be a 32 bits integer but was: {months}")
    if not _INT32_MIN <= days <= _INT32_MAX:
        raise InvalidRequest(f"The duration days must be a 32 bits integer but was: {days}")
    if not _INT64_MIN <= nanoseconds <= _INT64_MAX:
        raise InvalidRequest(
            f"The duration nanoseconds must be a 64 bits integer but was: {nanoseconds}"
        )
    if min(months, days, nanoseconds) < 0 < max(months, days, nanoseconds):
        raise InvalidRequest(
            "The duration months, days and nanoseconds must be all of the same sign "
            f"({months}, {days}, {nanoseconds})"
        )


def encode_varint(value):
    """The shortest two's complement, at least one byte."""
    magnitude = value if value >= 0 else ~value
    return value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def decode_varint(value):
    """The integer of any two's complement bytes."""
    return int.from_bytes(value, "big", signed=True)


def encode_decimal(unscaled, scale):
    """The decimal unscaled * 10^-scale; raises InvalidRequest if the scale does not fit."""
    if not _INT32_MIN <= scale <= _INT32_MAX:
        raise InvalidRequest(f"The scale {scale} of a decimal does not fit in 32 bits")
    return struct.pack(">i", scale) + encode_varint(unscaled)


def decode_decimal(value):
    """(unscaled, scale) of a decimal's bytes, which are not empty."""
    return decode_varint(value[4:]), struct.unpack_from(">i", value)[0]


# ------------------------------------------------------------------------------------ Python values


def encode(cql_type, value):
    """The bytes of a Python value; raises InvalidRequest if it is not a value of the type."""
    if value is EMPTY:
        validate(cql_type, b"")
        return b""
    try:
        encoder = _ENCODERS.get(cql_type.type_id)
        result = (_encode_custom if encoder is None else encoder)(cql_type, value)
    except (TypeError, ValueError, AttributeError, ArithmeticError, struct.error) as wrong:
        raise InvalidRequest(f"{value!r} is not a value of type {cql_type}: {wrong}") from None
    validate(cql_type, result)
    return result


def decode(cql_type, value):
    """The Python value of bytes; raises InvalidRequest if they are not a value of the type."""
    validate(cql_type, value)
    kind = cql_type.type_id
    if not value and kind not in _ORDINARY_WHEN_EMPTY:
        return EMPTY
    decoder = _DECODERS.get(kind)
    return decoder(cql_type, value) if decoder is not None else _decode_custom(cql_type, value)


_ORDINARY_WHEN_EMPTY = frozenset(
    (kinds.ASCII, kinds.TEXT, kinds.BLOB, kinds.CUSTOM, kinds.TUPLE, kinds.USER)
)


def _encode_decimal_value(cql_type, value):
    sign, digits, exponent = Decimal(value).as_tuple()
    unscaled = integer_of_digits("".join(map(str, digits)))
    return encode_decimal(-unscaled if sign else unscaled, -exponent)


def _decode_decimal_value(cql_type, value):
    unscaled, scale = decode_decimal(value)
    # By way of text, because arithmetic would round to the context's precision.
    return Decimal(f"{integer_text(unscaled)}E{-scale}")


def _encode_set(cql_type, value):
    elements = [encode(cql_type.element, part) for part in value]
    return normalise(cql_type.frozen(), pack_collection(elements))


def _encode_map(cql_type, value):
    pairs = value.items() if isinstance(value, dict) else value
    entries = [(encode(cql_type.key, key), encode(cql_type.value, part)) for key, part in pairs]
    return normalise(cql_type.frozen(), parts.pack_map(entries))


def _decode_map(cql_type, value):
    return [(decode(cql_type.key, k), decode(cql_type.value, v)) for k, v in unpack_map(value)]


def _encode_tuple(cql_type, value):
    if len(value) > len(cql_type.elements):
        raise ValueError(f"it has {len(value)} fields")
    return pack_tuple(_encode_fields(cql_type.elements, value))


def _encode_user_type(cql_type, value):
    if not isinstance(value, dict):
        value = dict(zip(cql_type.field_names, value))
    unknown = set(value) - set(cql_type.field_names)
    if unknown:
        raise ValueError(f"unknown field {min(unknown)}")
    fields = [value.get(name) for name in cql_type.field_names]
    return pack_tuple(_encode_fields(cql_type.field_types, fields))


def _encode_fields(types, values):
    return [None if v is None else encode(t, v) for t, v in zip(types, values)]


def _decode_fields(types, fields):
    return [None if f is None else decode(t, f) for t, f in zip(types, fields)]


def _encode_custom(cql_type, value):
    if isinstance(cql_type, VectorType):
        return pack_vector(cql_type, [encode(cql_type.element, part) for part in value])
    return bytes(value)


def _decode_custom(cql_type, value):
    if isinstance(cql_type, VectorType):
        return [decode(cql_type.element, part) for part in unpack_vector(cql_type, value)]
    return value


def _packer(layout):
    """An encoder and a decoder by a struct's layout."""
    shape = struct.Struct(layout)
    return (
        lambda cql_type, value: shape.pack(value),
        lambda cql_type, value: shape.unpack(value)[0],
    )


def _encode_date(cql_type, value):
    return struct.pack(">I", value + _DATE_ZERO)


def _decode_date(cql_type, value):
    return struct.unpack(">I", value)[0] - _DATE_ZERO


_CODECS = {
    kinds.ASCII: (lambda t, v: v.encode("ascii"), lambda t, v: v.decode("ascii")),
    kinds.BIGINT: _packer(">q"),
    kinds.BLOB: (lambda t, v: bytes(v), lambda t, v: v),
    kinds.BOOLEAN: _packer(">?"),
    kinds.COUNTER: _packer(">q"),
    kinds.DATE: (_encode_date, _decode_date),
    kinds.DECIMAL: (_encode_decimal_value, _decode_decimal_value),
    kinds.DOUBLE: _packer(">d"),
    kinds.DURATION: (lambda t, v: encode_duration(*v), lambda t, v: decode_duration(v)),
    kinds.FLOAT: _packer(">f"),
    kinds.INET: (lambda t, v: ip_address(v).packed, lambda t, v: ip_address(v)),
    kinds.INT: _packer(">i"),
    kinds.LIST: (
        lambda t, v: pack_collection([encode(t.element, part) for part in v]),
        lambda t, v: [decode(t.element, part) for part in unpack_list(v)],
    ),
    kinds.MAP: (_encode_map, _decode_map),
    kinds.SET: (_encode_set, lambda t, v: [decode(t.element, part) for part in unpack_list(v)]),
    kinds.SMALLINT: _packer(">h"),
    kinds.TEXT: (lambda t, v: v.encode(), lambda t, v: v.decode()),
    kinds.TIME: _packer(">q"),
    kinds.TIMESTAMP: _packer(">q"),
    kinds.TIMEUUID: (lambda t, v: v.bytes, lambda t, v: Uuid(bytes=v)),
    kinds.TINYINT: _packer(">b"),
    kinds.TUPLE: (
        _encode_tuple,
        lambda t, v: tuple(_decode_fields(t.elements, unpack_tuple(t, v))),
    ),
    kinds.USER: (
        _encode_user_type,
        lambda t, v: dict(zip(t.field_names, _decode_fields(t.field_types, unpack_tuple(t, v)))),
    ),
    kinds.UUID: (lambda t, v: v.bytes, lambda t, v: Uuid(bytes=v)),
    kinds.VARINT: (lambda t, v: encode_varint(v), lambda t, v: decode_varint(v)),
}
_ENCODERS = {kind: codec[0] for kind, codec in _CODECS.items()}
_DECODERS = {kind: codec[1] for kind, codec in _CODECS.items()}

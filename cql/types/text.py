"""Values to text and back: literals of statements, JSON, and the CQL that DESCRIBE prints.

Refusals carry Cassandra's texts. A statement's constant has a *kind* (string, integer, float,
boolean, uuid, hex, duration); `ASSIGNABLE` says for which types a constant of a kind may stand,
`literal` makes its bytes.
"""

from __future__ import annotations

import json
import re
import struct
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from cql.errors import InvalidRequest
from cql.types import catalog
from cql.types.catalog import (
    CqlType,
    ListType,
    MapType,
    NativeType,
    SetType,
    TupleType,
    UserType,
    VectorType,
    quote_name,
)
from cql.types.codec import (
    decode_decimal,
    decode_duration,
    decode_varint,
    encode_decimal,
    encode_duration,
    encode_varint,
    pack_collection,
    pack_map,
    pack_tuple,
    pack_vector,
    unpack_list,
    unpack_map,
    unpack_tuple,
    unpack_vector,
)
from cql.types.numerals import (
    decimal_text,
    double_text,
    float_bytes,
    float_text,
    integer_text,
    parse_decimal,
    parse_float,
    parse_integer,
)
from cql.types.ordering import normalise
from cql.types.temporal import (
    DATE_ZERO,
    date_text,
    duration_text,
    parse_date,
    parse_duration,
    parse_time,
    parse_timestamp,
    time_text,
    timestamp_text,
)

JSON_DEPTH_MAX: Final = 200

_NUMBERS: Final = "bigint counter decimal double float int smallint tinyint varint"
ASSIGNABLE: Final[dict[str, frozenset[str]]] = {
    "string": frozenset(["ascii", "text", "inet", "date", "time", "timestamp"]),
    "integer": frozenset((_NUMBERS + " date duration time timestamp").split()),
    "uuid": frozenset(("uuid", "timeuuid")),
    "float": frozenset(("decimal", "double", "float")),
    "boolean": frozenset(("boolean",)),
    "hex": frozenset(("blob",)),
    "duration": frozenset(("duration",)),
}


# --------------------------------------------------------- literals


def is_assignable(kind: str, cql_type: CqlType) -> bool:
    """True if a constant of that kind may stand where a value of the type is wanted."""
    if isinstance(cql_type, NativeType):
        return cql_type.name in ASSIGNABLE[kind]
    return isinstance(cql_type, catalog.CustomType) and kind == "hex"


def preferred_type(kind: str, text: str) -> NativeType:
    """The type a constant has by itself, which decides between overloads of a function."""
    if kind == "integer":
        number = parse_integer(text) or 0
        if -(2**31) <= number < 2**31:
            return catalog.INT
        return catalog.BIGINT if -(2**63) <= number < 2**63 else catalog.VARINT
    if kind == "float":
        parts, number_near = parse_decimal(text), parse_float(text)
        if parts is None or number_near is None:
            return catalog.DOUBLE
        near = parse_decimal(double_text(number_near))
        is_double = near is not None and _same_decimal(parts, near)
        return catalog.DOUBLE if is_double else catalog.DECIMAL
    if kind == "string":
        return catalog.ASCII if text.isascii() else catalog.TEXT
    if kind == "uuid":
        return catalog.TIMEUUID if text[14:15] == "1" else catalog.UUID
    return {"boolean": catalog.BOOLEAN, "hex": catalog.BLOB, "duration": catalog.DURATION}[kind]


def _same_decimal(left: tuple[int, int], right: tuple[int, int]) -> bool:
    # Compared with as many digits as needed; numbers of absurd scale are no doubles.
    if max(abs(left[1]), abs(right[1])) > 2000:
        return left == right
    lowest = max(left[1], right[1])
    grown = [unscaled * 10 ** (lowest - scale) for unscaled, scale in (left, right)]
    return bool(grown[0] == grown[1])


def literal(cql_type: CqlType, kind: str, text: str, now_ms: int | None = None) -> bytes:
    """The bytes of a constant whose kind is assignable to the type; raises InvalidRequest."""
    if kind == "hex":
        return _hex_bytes(text[2:])
    return from_text(cql_type, text, now_ms)


def _hex_bytes(text: str) -> bytes:
    try:
        if not text.isascii() or (not text.isalnum() and text):
            raise ValueError
        return bytes.fromhex(text)
    except ValueError:
        raise InvalidRequest(f"cannot parse '{text}' as hex bytes") from None


def from_text(cql_type: CqlType, text: str, now_ms: int | None = None) -> bytes:
    """The bytes of a native type's value from its text without quotes; raises InvalidRequest."""
    name = cql_type.name if isinstance(cql_type, NativeType) else ""
    if name == "timestamp":
        return struct.pack(">q", parse_timestamp(text, now_ms)) if text else b""
    parse = _FROM_TEXT.get(name)
    if parse is None:
        raise InvalidRequest(f"Unable to make a value of type {cql_type} from '{text}'")
    if not text and name not in ("text", "ascii", "boolean", "date", "time", "blob"):
        return b""
    return parse(text)


def _integer_parser(layout: str, bits: int, name: str) -> Callable[[str], bytes]:
    def parse(text: str) -> bytes:
        number = parse_integer(text)
        if number is None or not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
            raise InvalidRequest(f"Unable to make {name} from '{text}'")
        return struct.pack(layout, number)

    return parse


def _varint_from_text(text: str) -> bytes:
    number = parse_integer(text)
    if number is None:
        raise InvalidRequest(f"unable to make int from '{text}'")
    return encode_varint(number)


def _decimal_from_text(text: str) -> bytes:
    parts = parse_decimal(text)
    if parts is None:
        raise InvalidRequest(f"unable to make BigDecimal from '{text}'")
    return encode_decimal(*parts)


def _float_from_text(text: str) -> bytes:
    number = parse_float(text)
    if number is None:
        raise InvalidRequest(f"Unable to make float from '{text}'")
    return float_bytes(number)


def _double_from_text(text: str) -> bytes:
    number = parse_float(text)
    if number is None:
        raise InvalidRequest(f"Unable to make double from '{text}'")
    return struct.pack(">d", number)


def _boolean_from_text(text: str) -> bytes:
    if text.lower() in ("", "false"):
        return b"\0"
    if text.lower() == "true":
        return b"\1"
    raise InvalidRequest(f"Unable to make boolean from '{text}'")


_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


def _uuid_from_text(text: str) -> bytes:
    if not _UUID.match(text):
        raise InvalidRequest(f"Unable to make UUID from '{text}'")
    return uuid.UUID(text).bytes


def _timeuuid_from_text(text: str) -> bytes:
    if not _UUID.match(text):
        raise InvalidRequest(f"Unknown timeuuid representation: {text}")
    if text[14] != "1":
        raise InvalidRequest("TimeUUID supports only version 1 UUIDs")
    return uuid.UUID(text).bytes


def _inet_from_text(text: str) -> bytes:
    try:
        address = ip_address(text.replace("%", " "))  # A scope is no part of an address.
    except ValueError:
        raise InvalidRequest(f"Unable to make inet address from '{text}'") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.packed
    return address.packed


def _ascii_from_text(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError as wrong:
        at = wrong.start
        raise InvalidRequest(
            f"Invalid ASCII character in string literal: '{text[at]}' at position {at}"
        ) from None


def _text_from_text(text: str) -> bytes:
    # A lone half of a surrogate pair has no UTF-8 form.
    return text.encode("utf-8", "replace")


_FROM_TEXT: Final[dict[str, Callable[[str], bytes]]] = {
    "ascii": _ascii_from_text,
    "bigint": _integer_parser(">q", 64, "long"),
    "blob": _hex_bytes,
    "boolean": _boolean_from_text,
    "counter": _integer_parser(">q", 64, "long"),
    "date": lambda text: struct.pack(">I", parse_date(text) + DATE_ZERO),
    "decimal": _decimal_from_text,
    "double": _double_from_text,
    "duration": lambda text: encode_duration(*parse_duration(text)),
    "float": _float_from_text,
    "inet": _inet_from_text,
    "int": _integer_parser(">i", 32, "int"),
    "smallint": _integer_parser(">h", 16, "short"),
    "text": _text_from_text,
    "time": lambda text: struct.pack(">q", parse_time(text)),
    "timeuuid": _timeuuid_from_text,
    "tinyint": _integer_parser(">b", 8, "byte"),
    "uuid": _uuid_from_text,
    "varint": _varint_from_text,
}


# --------------------------------------------------------- text and CQL


def to_text(cql_type: CqlType, value: bytes) -> str:
    """A value as text without quotes: what CAST ... AS text gives; compound types as CQL."""
    if not isinstance(cql_type, NativeType):
        return to_cql_literal(cql_type, value)
    if not value and cql_type.name != "blob":
        return ""
    return _TO_TEXT[cql_type.name](value)


def inet_text(value: bytes) -> str:
    """An address; IPv6 in eight groups without the short form."""
    address = ip_address(value)
    if isinstance(address, IPv6Address):
        return ":".join(f"{int.from_bytes(value[at : at + 2], 'big'):x}" for at in range(0, 16, 2))
    return str(address)


def _signed(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


_TO_TEXT: Final[dict[str, Callable[[bytes], str]]] = {
    "ascii": lambda value: value.decode("ascii"),
    "bigint": lambda value: str(_signed(value)),
    "blob": lambda value: "0x" + value.hex(),
    "boolean": lambda value: "true" if value != b"\0" else "false",
    "counter": lambda value: str(_signed(value)),
    "date": lambda value: date_text(int.from_bytes(value, "big") - DATE_ZERO),
    "decimal": lambda value: decimal_text(*decode_decimal(value)),
    "double": lambda value: double_text(struct.unpack(">d", value)[0]),
    "duration": lambda value: duration_text(decode_duration(value)),
    "float": lambda value: float_text(struct.unpack(">f", value)[0]),
    "inet": inet_text,
    "int": lambda value: str(_signed(value)),
    "smallint": lambda value: str(_signed(value)),
    "text": lambda value: value.decode(),
    "time": lambda value: time_text(_signed(value)),
    "timestamp": lambda value: timestamp_text(_signed(value)),
    "timeuuid": lambda value: str(uuid.UUID(bytes=value)),
    "tinyint": lambda value: str(_signed(value)),
    "uuid": lambda value: str(uuid.UUID(bytes=value)),
    "varint": lambda value: integer_text(decode_varint(value)),
}
_QUOTED: Final = frozenset(["ascii", "text", "date", "time", "timestamp", "inet"])


def to_cql_literal(cql_type: CqlType, value: bytes | None) -> str:
    """A term that stands for the value in a statement."""
    if value is None:
        return "null"
    if isinstance(cql_type, NativeType):
        return _native_literal(cql_type, value)
    if isinstance(cql_type, ListType):
        return f"[{_literals(cql_type.element, unpack_list(value))}]"
    if isinstance(cql_type, SetType):
        return f"{{{_literals(cql_type.element, unpack_list(value))}}}"
    if isinstance(cql_type, VectorType):
        return f"[{_literals(cql_type.element, unpack_vector(cql_type, value))}]"
    if isinstance(cql_type, MapType):
        entries = [
            f"{to_cql_literal(cql_type.key, k)}: {to_cql_literal(cql_type.value, v)}"
            for k, v in unpack_map(value)
        ]
        return f"{{{', '.join(entries)}}}"
    if isinstance(cql_type, TupleType | UserType):
        return _fields_literal(cql_type, unpack_tuple(cql_type, value))
    return "0x" + value.hex()


def _native_literal(cql_type: NativeType, value: bytes) -> str:
    if cql_type.name in _QUOTED:
        return "'" + to_text(cql_type, value).replace("'", "''") + "'" if value else "''"
    return to_text(cql_type, value) if value or cql_type.name == "blob" else "null"


def _literals(cql_type: CqlType, values: Sequence[bytes]) -> str:
    return ", ".join([to_cql_literal(cql_type, value) for value in values])


def _fields_literal(cql_type: TupleType | UserType, fields: list[bytes | None]) -> str:
    texts = [to_cql_literal(t, f) for t, f in zip(cql_type.inner(), fields, strict=True)]
    if isinstance(cql_type, TupleType):
        return f"({', '.join(texts)})"
    names = map(quote_name, cql_type.field_names)
    return f"{{{', '.join(f'{n}: {t}' for n, t in zip(names, texts, strict=True))}}}"


# --------------------------------------------------------- to JSON


def to_json(cql_type: CqlType, value: bytes | None) -> str:
    """A value as JSON, with Cassandra's blanks; null for nothing and bytes that mean nothing."""
    if value is None or (not value and _is_nothing_when_empty(cql_type)):
        return "null"
    return _to_json(cql_type, value)


def _is_nothing_when_empty(cql_type: CqlType) -> bool:
    return isinstance(cql_type, NativeType) and cql_type.name not in ("text", "ascii", "blob")


def _to_json(cql_type: CqlType, value: bytes) -> str:
    if isinstance(cql_type, NativeType):
        return _native_json(cql_type.name, value)
    if isinstance(cql_type, ListType | SetType):
        return f"[{', '.join([_to_json(cql_type.element, part) for part in unpack_list(value)])}]"
    if isinstance(cql_type, VectorType):
        parts = unpack_vector(cql_type, value)
        return f"[{', '.join([_to_json(cql_type.element, part) for part in parts])}]"
    if isinstance(cql_type, MapType):
        entries = [
            f"{_json_key(_to_json(cql_type.key, key))}: {_to_json(cql_type.value, part)}"
            for key, part in unpack_map(value)
        ]
        return f"{{{', '.join(entries)}}}"
    if isinstance(cql_type, TupleType | UserType):
        return _fields_json(cql_type, unpack_tuple(cql_type, value))
    return f'"0x{value.hex()}"'


def _native_json(name: str, value: bytes) -> str:
    if not value and name != "blob":
        return '""'
    if name in ("float", "double"):
        text = _TO_TEXT[name](value)
        return text if text[-1].isdigit() else "null"
    if name == "timestamp":
        return f'"{timestamp_text(_signed(value), " ")}"'
    text = _TO_TEXT[name](value)
    if name in _BARE_IN_JSON:
        return text
    return quote_json(text)


_BARE_IN_JSON: Final = frozenset((_NUMBERS + " boolean").split())


def quote_json(text: str) -> str:
    """A JSON string: control characters escaped, everything else as it is."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub(r"(?<!\\)((?:\\\\)*\\u)([0-9a-f]{4})", lambda m: m[1] + m[2].upper(), quoted)


def _json_key(text: str) -> str:
    return text if text.startswith('"') else quote_json(text)


def _fields_json(cql_type: TupleType | UserType, fields: list[bytes | None]) -> str:
    texts = [
        "null" if f is None else _to_json(t, f)
        for t, f in zip(cql_type.inner(), fields, strict=True)
    ]
    if isinstance(cql_type, TupleType):
        return f"[{', '.join(texts)}]"
    names = [n if n == n.lower() else f'"{n}"' for n in cql_type.field_names]
    return f"{{{', '.join(f'{quote_json(n)}: {t}' for n, t in zip(names, texts, strict=True))}}}"


# --------------------------------------------------------- from JSON


def decode_json(text: str) -> Any:
    """The object that JSON text writes; numbers with a point or exponent are Decimal."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError, ArithmeticError) as wrong:
        raise InvalidRequest(f"Error decoding JSON string: {wrong}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def from_json(cql_type: CqlType, value: Any, depth: int = 0) -> bytes:
    """The bytes of a decoded JSON value other than null; raises InvalidRequest."""
    if depth > JSON_DEPTH_MAX:
        raise InvalidRequest("JSON is nested too deeply")
    if isinstance(cql_type, NativeType):
        return _native_from_json(cql_type, value)
    if isinstance(value, str):
        value = decode_json(value)
    if isinstance(cql_type, ListType | SetType):
        return _sequence_from_json(cql_type, value, depth)
    if isinstance(cql_type, VectorType):
        return _vector_from_json(cql_type, value, depth)
    if isinstance(cql_type, MapType):
        return _map_from_json(cql_type, value, depth)
    if isinstance(cql_type, TupleType):
        return _tuple_from_json(cql_type, value, depth)
    if isinstance(cql_type, UserType):
        return _user_type_from_json(cql_type, value, depth)
    raise InvalidRequest(f"Values of type {cql_type} cannot be given as JSON")


# type -> what was expected, for the refusal
_EXPECTED: Final = {
    "ascii": "Expected an ascii string",
    "bigint": "Expected a bigint value",
    "boolean": "Expected a boolean value",
    "date": "Expected a string representation of a date value",
    "double": "Expected a double value",
    "duration": "Expected a string representation of a duration",
    "float": "Expected a float value",
    "inet": "Expected a string representation of an inet value",
    "int": "Expected an int value",
    "smallint": "Expected a short value",
    "text": "Expected a UTF-8 string",
    "time": "Expected a string representation of a time value",
    "timestamp": "Expected a long or a datestring representation of a timestamp value",
    "timeuuid": "Expected a string representation of a timeuuid",
    "tinyint": "Expected a byte value",
    "uuid": "Expected a string representation of a uuid",
}
_WHOLE_NUMBERS: Final = {"int": 32, "bigint": 64, "timestamp": 64}


def _native_from_json(cql_type: NativeType, value: Any) -> bytes:
    name = cql_type.name
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if name in ("varint", "decimal"):
        return _big_number_from_json(name, value)
    if name == "blob":
        return _blob_from_json(value)
    if isinstance(value, str):
        return from_text(cql_type, value)
    if name == "boolean" and isinstance(value, bool):
        return b"\1" if value else b"\0"
    if is_number and name in ("smallint", "tinyint"):
        return from_text(cql_type, _java_text(value))
    if is_number and name in ("float", "double"):
        return from_text(cql_type, str(value))
    if is_number and isinstance(value, int) and name in _WHOLE_NUMBERS:
        bits = _WHOLE_NUMBERS[name]
        if -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            return struct.pack(">i" if bits == 32 else ">q", value)
    expected = _EXPECTED.get(name)
    if expected is None:
        raise InvalidRequest(f"Values of type {name} cannot be given as JSON")
    raise _unexpected(expected, value)


def _big_number_from_json(name: str, value: Any) -> bytes:
    text = _java_text(value)
    parse = _varint_from_text if name == "varint" else _decimal_from_text
    try:
        return parse(text)
    except InvalidRequest:
        raise InvalidRequest(
            f"Value '{text}' is not a valid representation of a {name} value"
        ) from None


def _blob_from_json(value: Any) -> bytes:
    text = _java_text(value)
    if not isinstance(value, str):
        reason = f"{_java_name(value)} cannot be cast to String"
    elif not value.startswith("0x"):
        reason = f"String representation of blob is missing 0x prefix: {value}"
    else:
        try:
            return _hex_bytes(value[2:])
        except InvalidRequest as refusal:
            reason = refusal.message
    raise InvalidRequest(f"Value '{text}' is not a valid blob representation: {reason}")


def _sequence_from_json(cql_type: ListType | SetType, value: Any, depth: int) -> bytes:
    is_list = isinstance(cql_type, ListType)
    if not isinstance(value, list):
        raise _unexpected(
            "Expected a list" if is_list else "Expected a list (representing a set)", value
        )
    if None in value:
        raise InvalidRequest(f"Invalid null element in {'list' if is_list else 'set'}")
    packed = pack_collection([from_json(cql_type.element, part, depth + 1) for part in value])
    return packed if is_list else normalise(cql_type, packed)


def _vector_from_json(cql_type: VectorType, value: Any, depth: int) -> bytes:
    if not isinstance(value, list):
        raise _unexpected("Expected a list", value)
    if len(value) != cql_type.dimension:
        raise InvalidRequest(
            f"List had incorrect size: expected {cql_type.dimension} but given {len(value)}; "
            f"{_java_text(value)}"
        )
    if None in value:
        raise InvalidRequest("Invalid null element in list")
    return pack_vector(cql_type, [from_json(cql_type.element, part, depth + 1) for part in value])


def _map_from_json(cql_type: MapType, value: Any, depth: int) -> bytes:
    if not isinstance(value, dict):
        raise _unexpected("Expected a map", value)
    if any(part is None for part in value.values()):
        raise InvalidRequest("Invalid null value in map")
    entries = [
        (from_json(cql_type.key, key, depth + 1), from_json(cql_type.value, part, depth + 1))
        for key, part in value.items()
    ]
    return normalise(cql_type, pack_map(entries))


def _tuple_from_json(cql_type: TupleType, value: Any, depth: int) -> bytes:
    count = len(cql_type.elements)
    if not isinstance(value, list):
        raise _unexpected("Expected a list representation of a tuple", value)
    if len(value) > count:
        raise InvalidRequest(f"Tuple contains extra items (expected {count}): {_java_text(value)}")
    if len(value) < count:
        raise InvalidRequest(f"Tuple is missing items (expected {count}): {_java_text(value)}")
    return pack_tuple(_fields_from_json(cql_type.elements, value, depth))


def _user_type_from_json(cql_type: UserType, value: Any, depth: int) -> bytes:
    if not isinstance(value, dict):
        raise _unexpected("Expected a map", value)
    named = fold_case(value)
    for name in named:
        if name not in cql_type.field_names:
            raise InvalidRequest(
                f"Unknown field '{name}' in value of user defined type {cql_type.name}"
            )
    fields = [named.get(name) for name in cql_type.field_names]
    return pack_tuple(_fields_from_json(cql_type.field_types, fields, depth))


def _fields_from_json(
    types: tuple[CqlType, ...], values: list[Any], depth: int
) -> list[bytes | None]:
    return [
        None if value is None else from_json(cql_type, value, depth + 1)
        for cql_type, value in zip(types, values, strict=True)
    ]


def fold_case(named: dict[str, Any]) -> dict[str, Any]:
    """JSON names as CQL reads names: in double quotes as they are, otherwise in lower case."""
    return {
        name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name.lower(): value
        for name, value in named.items()
    }


def _unexpected(expected: str, value: Any) -> InvalidRequest:
    return InvalidRequest(f"{expected}, but got a {_java_name(value)}: {_java_text(value)}")


def _java_name(value: Any) -> str:
    """The name that Cassandra's refusals give to what JSON held."""
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return "Integer"
        return "Long" if -(2**63) <= value < 2**63 else "BigInteger"
    names = {str: "String", Decimal: "BigDecimal", list: "ArrayList", dict: "LinkedHashMap"}
    return names.get(type(value), type(value).__name__)


def _java_text(value: Any) -> str:
    """How Cassandra's refusals write what JSON held."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_java_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}={_java_text(v)}' for k, v in value.items())}}}"
    return integer_text(value) if isinstance(value, int) else str(value)


__all__ = [
    "ASSIGNABLE",
    "decode_json",
    "fold_case",
    "from_json",
    "from_text",
    "inet_text",
    "is_assignable",
    "literal",
    "preferred_type",
    "quote_json",
    "to_cql_literal",
    "to_json",
    "to_text",
]

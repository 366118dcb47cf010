"""Names and shapes of all CQL types: text to type and back.

Types are immutable values that compare by content, so they may be shared, hashed and used as
keys. Below the statement parser everything typed speaks of these classes. Collections and user
types come in a *multi-cell* form (one cell per element) and a *frozen* form (one value); tuples and
vectors are always frozen, and so is what stands inside a frozen type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from cql.errors import InvalidRequest, SyntaxException
from storage.values import replace, value_class

MARSHAL: Final = "org.apache.cassandra.db.marshal."
NESTING_MAX: Final = 64
VECTOR_DIMENSION_MAX: Final = 8192


class CqlType:
    """What every type has. `type_id` is the native protocol's id of the option."""

    __slots__ = ()

    type_id: int

    @property
    def is_collection(self) -> bool:
        """True for list, set and map."""
        return False

    @property
    def is_multicell(self) -> bool:
        """True if a column of this type is stored as one cell per element."""
        return False

    @property
    def is_counter(self) -> bool:
        """True for the counter type itself."""
        return False

    def frozen(self) -> CqlType:
        """The same type as one value: frozen, and everything inside it too."""
        return self

    def inner(self) -> tuple[CqlType, ...]:
        """The types this one is directly made of."""
        return ()

    def names_user_type(self, keyspace: str, name: str) -> bool:
        """True if that user type occurs in this type, at any depth."""
        return any(part.names_user_type(keyspace, name) for part in self.inner())


@value_class
class NativeType(CqlType):
    """A type without parameters, e.g. `int`."""

    name: str
    type_id: int
    class_name: str

    @property
    def is_counter(self) -> bool:
        return self.name == "counter"

    def __str__(self) -> str:
        return self.name


@value_class
class ListType(CqlType):
    """`list<element>`."""

    element: CqlType
    is_frozen: bool = False
    type_id = 0x20

    @property
    def is_collection(self) -> bool:
        return True

    @property
    def is_multicell(self) -> bool:
        return not self.is_frozen

    def frozen(self) -> ListType:
        return ListType(self.element.frozen(), True)

    def inner(self) -> tuple[CqlType, ...]:
        return (self.element,)

    def __str__(self) -> str:
        return _maybe_frozen(f"list<{self.element}>", self.is_frozen)


@value_class
class SetType(CqlType):
    """`set<element>`; its elements are kept in the element type's order."""

    element: CqlType
    is_frozen: bool = False
    type_id = 0x22

    @property
    def is_collection(self) -> bool:
        return True

    @property
    def is_multicell(self) -> bool:
        return not self.is_frozen

    def frozen(self) -> SetType:
        return SetType(self.element.frozen(), True)

    def inner(self) -> tuple[CqlType, ...]:
        return (self.element,)

    def __str__(self) -> str:
        return _maybe_frozen(f"set<{self.element}>", self.is_frozen)


@value_class
class MapType(CqlType):
    """`map<key, value>`; its entries are kept in the key type's order."""

    key: CqlType
    value: CqlType
    is_frozen: bool = False
    type_id = 0x21

    @property
    def is_collection(self) -> bool:
        return True

    @property
    def is_multicell(self) -> bool:
        return not self.is_frozen

    def frozen(self) -> MapType:
        return MapType(self.key.frozen(), self.value.frozen(), True)

    def inner(self) -> tuple[CqlType, ...]:
        return (self.key, self.value)

    def __str__(self) -> str:
        return _maybe_frozen(f"map<{self.key}, {self.value}>", self.is_frozen)


@value_class
class TupleType(CqlType):
    """`tuple<a, b, ...>`: always one value."""

    elements: tuple[CqlType, ...]
    type_id = 0x31

    def inner(self) -> tuple[CqlType, ...]:
        return self.elements

    def __str__(self) -> str:
        return f"frozen<tuple<{', '.join(map(str, self.elements))}>>"


@value_class
class UserType(CqlType):
    """A type made by CREATE TYPE."""

    keyspace: str
    name: str
    field_names: tuple[str, ...]
    field_types: tuple[CqlType, ...]
    is_frozen: bool = False
    type_id = 0x30

    @property
    def is_multicell(self) -> bool:
        return not self.is_frozen

    def frozen(self) -> UserType:
        return replace(
            self, field_types=tuple(t.frozen() for t in self.field_types), is_frozen=True
        )

    def inner(self) -> tuple[CqlType, ...]:
        return self.field_types

    def names_user_type(self, keyspace: str, name: str) -> bool:
        if (self.keyspace, self.name) == (keyspace, name):
            return True
        return any(part.names_user_type(keyspace, name) for part in self.field_types)

    def __str__(self) -> str:
        return _maybe_frozen(quote_name(self.name), self.is_frozen)


@value_class
class VectorType(CqlType):
    """`vector<element, dimension>`: one value with exactly that many elements, none null."""

    element: CqlType
    dimension: int
    type_id = 0x00

    def inner(self) -> tuple[CqlType, ...]:
        return (self.element,)

    @property
    def has_fixed_width(self) -> bool:
        """True if the elements are stored without lengths."""
        return fixed_width(self.element) is not None

    def __str__(self) -> str:
        return f"vector<{self.element}, {self.dimension}>"


@value_class
class CustomType(CqlType):
    """A type known by the name of its class only; its values are opaque bytes."""

    class_name: str
    type_id = 0x00

    def __str__(self) -> str:
        return f"'{self.class_name}'"


ASCII: Final = NativeType("ascii", 0x01, MARSHAL + "AsciiType")
BIGINT: Final = NativeType("bigint", 0x02, MARSHAL + "LongType")
BLOB: Final = NativeType("blob", 0x03, MARSHAL + "BytesType")
BOOLEAN: Final = NativeType("boolean", 0x04, MARSHAL + "BooleanType")
COUNTER: Final = NativeType("counter", 0x05, MARSHAL + "CounterColumnType")
DECIMAL: Final = NativeType("decimal", 0x06, MARSHAL + "DecimalType")
DOUBLE: Final = NativeType("double", 0x07, MARSHAL + "DoubleType")
FLOAT: Final = NativeType("float", 0x08, MARSHAL + "FloatType")
INT: Final = NativeType("int", 0x09, MARSHAL + "Int32Type")
TIMESTAMP: Final = NativeType("timestamp", 0x0B, MARSHAL + "TimestampType")
UUID: Final = NativeType("uuid", 0x0C, MARSHAL + "UUIDType")
TEXT: Final = NativeType("text", 0x0D, MARSHAL + "UTF8Type")
VARINT: Final = NativeType("varint", 0x0E, MARSHAL + "IntegerType")
TIMEUUID: Final = NativeType("timeuuid", 0x0F, MARSHAL + "TimeUUIDType")
INET: Final = NativeType("inet", 0x10, MARSHAL + "InetAddressType")
DATE: Final = NativeType("date", 0x11, MARSHAL + "SimpleDateType")
TIME: Final = NativeType("time", 0x12, MARSHAL + "TimeType")
SMALLINT: Final = NativeType("smallint", 0x13, MARSHAL + "ShortType")
TINYINT: Final = NativeType("tinyint", 0x14, MARSHAL + "ByteType")
DURATION: Final = NativeType("duration", 0x15, MARSHAL + "DurationType")

NATIVE_TYPES: Final = (
    *(ASCII, BIGINT, BLOB, BOOLEAN, COUNTER, DATE, DECIMAL, DOUBLE, DURATION, FLOAT, INET, INT),
    *(SMALLINT, TEXT, TIME, TIMESTAMP, TIMEUUID, TINYINT, UUID, VARINT),
)
NATIVE_BY_NAME: Final = {t.name: t for t in NATIVE_TYPES} | {"varchar": TEXT}
NATIVE_BY_CLASS: Final = {t.class_name: t for t in NATIVE_TYPES}

_FIXED_WIDTHS: Final = {
    **{t.name: 8 for t in (BIGINT, COUNTER, DOUBLE, TIMESTAMP)},
    **{t.name: 4 for t in (INT, FLOAT)},
    **{t.name: 16 for t in (UUID, TIMEUUID)},
    "boolean": 1,
}

UserTypeFinder: TypeAlias = Callable[[str], UserType | None]


def fixed_width(cql_type: CqlType) -> int | None:
    """Bytes of every non-empty value of the type, or None where a vector must store lengths.

    tinyint, smallint, date and time have one length too, but count as variable in vectors: so says
    the protocol.
    """
    if isinstance(cql_type, NativeType):
        return _FIXED_WIDTHS.get(cql_type.name)
    if isinstance(cql_type, VectorType):
        width = fixed_width(cql_type.element)
        return None if width is None else width * cql_type.dimension
    return None


def quote_name(name: str) -> str:
    """An identifier as CQL writes it: bare if plain lower case, in double quotes otherwise."""
    plain = name.isascii() and name.replace("_", "a").isalnum() and name[0].isalpha()
    if plain and name == name.lower() and name not in RESERVED_NAMES:
        return name
    return '"' + name.replace('"', '""') + '"'


_RESERVED: Final = (
    "add allow alter and apply asc authorize batch begin by columnfamily create default delete "
    "desc describe drop entries execute from full grant if in index infinity insert into is "
    "keyspace limit materialized modify mbean mbeans nan norecursive not null of on or order "
    "primary rename replace revoke schema select set table to token truncate unlogged unset update "
    "use using view where with"
)
RESERVED_NAMES: Final = frozenset(_RESERVED.split())


def _maybe_frozen(text: str, is_frozen: bool) -> str:
    return f"frozen<{text}>" if is_frozen else text


def java_class(cql_type: CqlType) -> str:
    """The class string of a type, as the protocol's custom option writes it."""
    if isinstance(cql_type, NativeType | CustomType):
        return cql_type.class_name
    if isinstance(cql_type, TupleType):
        return f"{MARSHAL}TupleType({','.join(map(java_class, cql_type.elements))})"
    if isinstance(cql_type, VectorType):
        return f"{MARSHAL}VectorType({java_class(cql_type.element)} , {cql_type.dimension})"
    if isinstance(cql_type, UserType):
        text = _user_type_class(cql_type)
    else:
        inside = ",".join(map(java_class, cql_type.inner()))
        text = f"{MARSHAL}{type(cql_type).__name__}({inside})"
    return text if cql_type.is_multicell else f"{MARSHAL}FrozenType({text})"


def _user_type_class(user_type: UserType) -> str:
    fields = zip(user_type.field_names, user_type.field_types, strict=True)
    parts = [user_type.keyspace, user_type.name.encode().hex()]
    parts += [f"{name.encode().hex()}:{java_class(field)}" for name, field in fields]
    return f"{MARSHAL}UserType({','.join(parts)})"


def parse_type(text: str, keyspace: str, types: UserTypeFinder) -> CqlType:
    """The type that a CQL text names; `types` finds the user types of `keyspace` by name.

    Raises SyntaxException if the text is no type and InvalidRequest if the type is not allowed,
    with Cassandra's texts.
    """
    native = NATIVE_BY_NAME.get(text)
    if native is not None:
        return native
    parser = _TypeParser(text, keyspace, types)
    result = parser.read_type(0)
    parser.expect_end()
    return result


class _TypeParser:
    """Reads one type text from left to right."""

    def __init__(self, text: str, keyspace: str, types: UserTypeFinder) -> None:
        self._text = text
        self._keyspace = keyspace
        self._types = types
        self._tokens = list(_tokens(text))
        self._at = 0

    def read_type(self, depth: int, inside_frozen: bool = False) -> CqlType:
        if depth > NESTING_MAX:
            raise InvalidRequest(f"Types are nested too deeply (more than {NESTING_MAX} levels)")
        kind, word = self._next()
        if kind == "string":
            return type_of_class(word)
        if kind == "name":
            word = word.lower()
            if self._peek() == "<":
                return self._parametrised(word, depth, inside_frozen)
            if self._peek() != "." and word in NATIVE_BY_NAME:
                return NATIVE_BY_NAME[word]
        elif kind != "quoted":
            raise self._wrong(word)
        return self._user_type(word)

    def expect_end(self) -> None:
        if self._at != len(self._tokens):
            raise self._wrong(self._tokens[self._at][1])

    def _parametrised(self, word: str, depth: int, inside_frozen: bool) -> CqlType:
        self._expect("<")
        if word == "vector":
            return self._vector(depth)
        freezes = inside_frozen or word in ("frozen", "tuple")
        parts = [self.read_type(depth + 1, freezes)]
        while self._peek() == ",":
            self._expect(",")
            parts.append(self.read_type(depth + 1, freezes))
        self._expect(">")
        if word == "tuple":
            return _tuple(parts)
        arity = {"frozen": 1, "list": 1, "set": 1, "map": 2}.get(word)
        if arity != len(parts):
            raise self._wrong(word)
        if word == "frozen":
            return _frozen(parts[0])
        return _collection(word, parts, inside_frozen)

    def _vector(self, depth: int) -> CqlType:
        element = self.read_type(depth + 1, True).frozen()
        self._expect(",")
        kind, number = self._next()
        if kind != "integer":
            raise self._wrong(number)
        self._expect(">")
        return vector_of(element, int(number))

    def _user_type(self, word: str) -> CqlType:
        keyspace = self._keyspace
        if self._peek() == ".":
            self._expect(".")
            keyspace = word
            kind, word = self._next()
            word = word.lower() if kind == "name" else word
            if kind not in ("name", "quoted"):
                raise self._wrong(word)
        if keyspace != self._keyspace:
            raise InvalidRequest(
                f"Statement on keyspace {self._keyspace} cannot refer to a user type in keyspace "
                f"{keyspace}; user types can only be used in the keyspace they are defined in"
            )
        found = self._types(word)
        if found is None:
            raise InvalidRequest(f"Unknown type {keyspace}.{word}")
        return found

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise self._wrong("<EOF>")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, sign: str) -> None:
        kind, word = self._next()
        if kind != "sign" or word != sign:
            raise self._wrong(word)

    def _wrong(self, word: str) -> SyntaxException:
        return SyntaxException(f"Invalid type '{self._text}': unexpected '{word}'")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        sign = text[at]
        end = at + 1
        if sign in "<>,.":
            yield "sign", sign
        elif sign in "'\"":
            word, end = _quoted(text, at)
            yield ("string" if sign == "'" else "quoted"), word
        elif (sign.isalnum() and sign.isascii()) or sign == "_":
            while end < len(text) and (
                (text[end].isalnum() and text[end].isascii()) or text[end] == "_"
            ):
                end += 1
            word = text[at:end]
            yield ("integer" if word.isdigit() else "name"), word
        elif not sign.isspace():
            raise SyntaxException(f"Invalid type '{text}': unexpected '{sign}'")
        at = end


def _quoted(text: str, at: int) -> tuple[str, int]:
    """The content of the quoted word that begins at `at`, and the position after it."""
    sign = text[at]
    parts = []
    while True:
        end = text.find(sign, at + 1)
        if end < 0:
            raise SyntaxException(f"Invalid type '{text}': unterminated {sign}")
        parts.append(text[at + 1 : end])
        if text[end + 1 : end + 2] != sign:
            return sign.join(parts), end + 1
        at = end + 1


def _frozen(inner: CqlType) -> CqlType:
    if isinstance(inner, NativeType | CustomType | VectorType):
        raise InvalidRequest(
            f"frozen<> is only allowed on collections, tuples, and user-defined types (got {inner})"
        )
    return inner.frozen()


def _tuple(parts: list[CqlType]) -> CqlType:
    result = TupleType(tuple(part.frozen() for part in parts))
    if any(part.is_counter for part in parts):
        raise InvalidRequest("Counters are not allowed inside tuples")
    return result


def vector_of(element: CqlType, dimension: int) -> VectorType:
    """The vector type, if such a vector may exist."""
    if dimension <= 0:
        raise InvalidRequest(f"vectors may only have positive dimensions; given {dimension}")
    if dimension > VECTOR_DIMENSION_MAX:
        raise InvalidRequest(
            f"vectors may not have more than {VECTOR_DIMENSION_MAX} dimensions; given {dimension}"
        )
    if element.is_counter:
        raise InvalidRequest("Counters are not allowed inside vectors")
    return VectorType(element.frozen(), dimension)


def _collection(word: str, parts: list[CqlType], inside_frozen: bool) -> CqlType:
    shown = f"{word}<{', '.join(map(str, parts))}>"
    for part in parts:
        if part.is_counter:
            raise InvalidRequest(f"Counters are not allowed inside collections: {shown}")
        if part.is_multicell and not inside_frozen:
            what = "collections" if part.is_collection else "UDTs"
            raise InvalidRequest(f"Non-frozen {what} are not allowed inside collections: {shown}")
    if word == "set" and parts[0] == DURATION:
        raise InvalidRequest(f"Durations are not allowed inside sets: {shown}")
    if word == "map" and parts[0] == DURATION:
        raise InvalidRequest(f"Durations are not allowed as map keys: {shown}")
    if word == "map":
        return MapType(parts[0], parts[1])
    return ListType(parts[0]) if word == "list" else SetType(parts[0])


def type_of_class(class_name: str) -> CqlType:
    """The type of a class string such as `...marshal.Int32Type`; the package may be missing."""
    full = class_name if "." in class_name.split("(", 1)[0] else MARSHAL + class_name
    found = NATIVE_BY_CLASS.get(full)
    if found is not None:
        return found
    if full.split("(", 1)[0].removeprefix(MARSHAL) not in _OTHER_CLASSES:
        raise SyntaxException(
            f"Error setting type {class_name}: Unable to find abstract-type class '{full}'"
        )
    return CustomType(full)


_OTHER: Final = (
    "CompositeType CounterColumnType DateType DynamicCompositeType EmptyType FrozenType "
    "LegacyTimeUUIDType LexicalUUIDType ListType MapType PartitionerDefinedOrder ReversedType "
    "SetType TupleType UserType VectorType"
)
_OTHER_CLASSES: Final = frozenset(_OTHER.split())

"""Types in a statement, kept as text in one canonical spelling."""

from __future__ import annotations

from typing import Final

from cql.errors import SyntaxException
from cql.parser.cursor import Cursor
from cql.parser.lexer import INTEGER, NATIVE_TYPE_KINDS, STRING
from cql.parser.names import NAME_START, TYPE_NAME_START, read_type_name
from cql.parser.tree import QualifiedName
from cql.types.catalog import quote_name

TYPE_START: Final = NATIVE_TYPE_KINDS | NAME_START | {STRING, "K_SET"}
_ARITY: Final = {"K_LIST": 1, "K_SET": 1, "K_FROZEN": 1, "K_MAP": 2}
_NOT_FREEZABLE: Final = (
    "frozen<> is only allowed on collections, tuples, and user-defined types (got "
)


def read_type(c: Cursor) -> str:
    """Any type."""
    c.descend()
    result = _read_type(c)
    c.ascend()
    return result


def read_native_type(c: Cursor) -> str:
    """A built-in type without parameters."""
    if c.kind not in NATIVE_TYPE_KINDS:
        raise c.no_viable()
    return _native(c)


def type_text(name: QualifiedName) -> str:
    """A user type's name as type text."""
    shown = quote_name(name.name)
    return shown if name.keyspace is None else f"{quote_name(name.keyspace)}.{shown}"


def _read_type(c: Cursor) -> str:
    if c.kind in NATIVE_TYPE_KINDS and c.peek() != "'.'":
        return _native(c)
    if c.kind == STRING:
        return "'" + c.take().replace("'", "''") + "'"
    if c.peek() == "'<'":
        if c.kind in _ARITY:
            return _collection(c)
        if c.kind == "K_TUPLE":
            return _tuple(c)
        if c.kind == "K_VECTOR":
            return _vector(c)
    elif c.kind == "K_SET":
        c.advance()
        raise c.mismatch("'<'")
    if c.kind in TYPE_NAME_START or (c.kind in NAME_START and c.peek() == "'.'"):
        return type_text(read_type_name(c))
    raise c.no_viable()


def _native(c: Cursor) -> str:
    name = c.take().lower()
    return "text" if name == "varchar" else name


def _collection(c: Cursor) -> str:
    kind = c.kind
    word = c.take().lower()
    c.expect("'<'")
    native = kind == "K_FROZEN" and c.kind in NATIVE_TYPE_KINDS
    parts = [read_type(c)]
    if native:
        raise SyntaxException(f"{_NOT_FREEZABLE}{parts[0]})")
    if _ARITY[kind] == 2:
        c.expect("','")
        parts.append(read_type(c))
    c.expect("'>'")
    return f"{word}<{', '.join(parts)}>"


def _tuple(c: Cursor) -> str:
    c.advance()
    c.expect("'<'")
    parts = [read_type(c)]
    while c.accept("','"):
        parts.append(read_type(c))
    c.expect("'>'")
    return f"tuple<{', '.join(parts)}>"


def _vector(c: Cursor) -> str:
    c.advance()
    c.expect("'<'")
    element = read_type(c)
    c.expect("','")
    dimension = c.expect(INTEGER)
    c.expect("'>'")
    return f"vector<{element}, {int(dimension)}>"

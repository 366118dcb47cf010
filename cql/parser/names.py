"""Identifiers: which words may name what, and how their case is folded."""

from __future__ import annotations

from typing import Final

from cql.errors import SyntaxException
from cql.parser.cursor import Cursor
from cql.parser.lexer import (
    BASIC_UNRESERVED,
    EMPTY_QUOTED_NAME,
    EOF,
    IDENT,
    QMARK,
    QUOTED_NAME,
    STRING,
    UNRESERVED,
    UNRESERVED_FUNCTION,
)
from cql.parser.tree import QualifiedName

NAME_START: Final = UNRESERVED | {IDENT, QUOTED_NAME}
FUNCTION_NAME_START: Final = UNRESERVED_FUNCTION | {IDENT, QUOTED_NAME, "K_TOKEN"}
TYPE_NAME_START: Final = BASIC_UNRESERVED | {IDENT, QUOTED_NAME, "K_KEY"}
RESERVED_TYPE_NAMES: Final = frozenset(
    ("byte", "complex", "enum", "date", "interval", "macaddr", "bitstring")
)

_AFTER_TABLE_NAME: Final = (
    "EOF ';' '(' K_ADD K_ALLOW K_ALTER K_AS K_DROP K_FROM K_GROUP K_JSON K_LIMIT "
    "K_NORECURSIVE K_OF K_ON K_ORDER K_PER K_PRIMARY K_RENAME K_SET K_TO K_USING K_WHERE "
    "K_WITH"
)
AFTER_TABLE_NAME: Final = frozenset(_AFTER_TABLE_NAME.split())
"""What may come after a qualified name, anywhere in the language."""


def read_name(c: Cursor) -> str:
    """An identifier: folded to lower case, or as it stands in double quotes."""
    if c.kind not in NAME_START:
        raise c.no_viable()
    return _folded(c)


def read_column_name(c: Cursor) -> str:
    """An identifier, or `""`, which names the one column of some old tables."""
    if c.accept(EMPTY_QUOTED_NAME):
        return ""
    return read_name(c)


def read_qualified_name(c: Cursor, what: str = "table") -> QualifiedName:
    """`[keyspace.]name`."""
    start = c.at
    first = _read_object_name(c, "keyspace" if c.peek() == "'.'" else what)
    if c.kind == "'.'":
        c.advance()
        return QualifiedName(first, _read_object_name(c, what))
    if c.kind not in AFTER_TABLE_NAME and not c.is_word("bypass"):
        raise c.no_viable(start)
    return QualifiedName(None, first)


def read_index_name(c: Cursor) -> QualifiedName:
    """`[keyspace.]index`."""
    return read_qualified_name(c, "index")


def read_keyspace_name(c: Cursor) -> str:
    """A keyspace's name."""
    return _read_object_name(c, "keyspace")


def read_type_name(c: Cursor) -> QualifiedName:
    """`[keyspace.]type`: the name of a user type, which can not be the name of a built-in one."""
    keyspace = None
    if c.kind in NAME_START and c.peek() == "'.'":
        keyspace = _folded(c)
        c.advance()
    if c.kind not in TYPE_NAME_START:
        raise c.no_viable()
    if c.kind == IDENT and c.value in RESERVED_TYPE_NAMES:
        raise SyntaxException(f"Invalid (reserved) user type name {c.value}")
    return QualifiedName(keyspace, _folded(c))


def read_function_name(c: Cursor) -> QualifiedName:
    """`[keyspace.]function`."""
    keyspace = None
    if c.kind in NAME_START and c.peek() == "'.'":
        keyspace = _folded(c)
        c.advance()
    return QualifiedName(keyspace, read_simple_function_name(c))


def read_simple_function_name(c: Cursor) -> str:
    """A function's name without keyspace."""
    if c.kind not in FUNCTION_NAME_START and c.kind != "K_COUNT":
        raise c.no_viable()
    return _folded(c)


def read_role_name(c: Cursor) -> str:
    """A role's name: an identifier or a string."""
    if c.kind == STRING:
        return c.take()
    return _read_object_name(c, "role")


def begins_function_call(c: Cursor) -> bool:
    """True if `name(` or `keyspace.name(` stands here."""
    if c.peek() == "'('":
        return c.kind in FUNCTION_NAME_START or c.kind == "K_COUNT"
    if c.kind in NAME_START and c.peek() == "'.'":
        return c.peek(3) == "'('"
    return False


def _read_object_name(c: Cursor, what: str) -> str:
    if c.kind in NAME_START:
        return _folded(c)
    if c.kind == QMARK:
        raise SyntaxException(f"Bind variables cannot be used for {what} names")
    raise c.no_viable()


def _folded(c: Cursor) -> str:
    assert c.kind != EOF
    return c.take() if c.kind == QUOTED_NAME else c.take().lower()

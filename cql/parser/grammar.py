"""Text to statement: the first words choose what to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cql.parser import definitions, roles
from cql.parser.cursor import Cursor
from cql.parser.data import (
    read_batch,
    read_delete,
    read_insert,
    read_select,
    read_truncate,
    read_update,
    read_use,
)
from cql.parser.names import (
    NAME_START,
    read_function_name,
    read_keyspace_name,
    read_name,
    read_qualified_name,
    read_type_name,
)
from cql.parser.tree import Describe, QualifiedName, Statement


def parse(text: str) -> Statement:
    """The one statement in `text`, which may end with semicolons.

    Raises SyntaxException, and nothing else, with the place and the words that drivers and people
    know.
    """
    c = Cursor(text)
    read = _STATEMENTS.get(c.kind)
    if read is None:
        raise c.no_viable()
    statement = read(c)
    while c.accept("';'"):
        pass
    if c.kind != "EOF":
        raise c.mismatch("EOF")
    return statement


Reader = Callable[[Cursor], Statement]


def _create(c: Cursor) -> Statement:
    if c.peek() in ("K_INDEX", "K_CUSTOM"):
        c.advance()
        return definitions.create_index(c)
    if c.peek() == "K_OR":
        return _create_or_replace(c)
    return _second_word(c, _CREATE)


def _create_or_replace(c: Cursor) -> Statement:
    c.advance()
    c.advance()
    c.expect("K_REPLACE")
    if c.accept("K_FUNCTION"):
        return definitions.create_function(c, or_replace=True)
    c.expect("K_AGGREGATE")
    return definitions.create_aggregate(c, or_replace=True)


def _alter(c: Cursor) -> Statement:
    return _second_word(c, _ALTER)


def _drop(c: Cursor) -> Statement:
    return _second_word(c, _DROP)


def _second_word(c: Cursor, readers: dict[str, Reader]) -> Statement:
    read = readers.get(c.peek())
    if read is None:
        raise c.no_viable_ahead(1)
    c.advance()
    c.advance()
    return read(c)


# ---------------------------------------------------------------- describe

_LISTS: Final = {
    "K_CLUSTER": "cluster",
    "K_KEYSPACES": "keyspaces",
    "K_TABLES": "tables",
    "K_TYPES": "types",
    "K_FUNCTIONS": "functions",
    "K_AGGREGATES": "aggregates",
}
_ELEMENTS: Final[dict[str, tuple[str, Callable[[Cursor], QualifiedName]]]] = {
    "K_COLUMNFAMILY": ("table", read_qualified_name),
    "K_INDEX": ("index", read_qualified_name),
    "K_TYPE": ("type", read_type_name),
    "K_FUNCTION": ("function", read_function_name),
    "K_AGGREGATE": ("aggregate", read_function_name),
}
_ENDS: Final = frozenset(("EOF", "';'", "K_WITH"))


def _describe(c: Cursor) -> Describe:
    c.advance()
    kind, keyspace, name = _described(c)
    with_internals = c.accept("K_WITH")
    if with_internals:
        c.expect("K_INTERNALS")
    return Describe(kind, keyspace, name, with_internals)


def _described(c: Cursor) -> tuple[str, str | None, str | None]:
    listed = _LISTS.get(c.kind)
    if listed is not None and c.peek() != "'.'":
        c.advance()
        return listed, None, None
    if c.kind == "K_FULL":
        c.advance()
        c.expect("K_SCHEMA")
        return "full schema", None, None
    if c.accept("K_SCHEMA"):
        return "schema", None, None
    only = c.kind == "K_ONLY" and c.peek() == "K_KEYSPACE"
    if only:
        c.advance()
    if c.accept("K_KEYSPACE"):
        name = None if c.kind in _ENDS else read_keyspace_name(c)
        return ("only keyspace" if only else "keyspace"), name, None
    if c.kind == "K_MATERIALIZED":
        c.advance()
        c.expect("K_VIEW")
        found = read_qualified_name(c)
        return "view", found.keyspace, found.name
    element = _ELEMENTS.get(c.kind)
    if element is not None and c.peek() != "'.'" and c.peek() not in _ENDS:
        c.advance()
        found = element[1](c)
        return element[0], found.keyspace, found.name
    return _generic(c)


def _generic(c: Cursor) -> tuple[str, str | None, str | None]:
    if c.kind not in NAME_START:
        raise c.no_viable()
    first = read_name(c)
    if c.accept("'.'"):
        return "generic", first, read_name(c)
    return "generic", None, first


_CREATE: Final[dict[str, Reader]] = {**definitions.CREATE, **roles.CREATE}
_ALTER: Final[dict[str, Reader]] = {**definitions.ALTER, **roles.ALTER}
_DROP: Final[dict[str, Reader]] = {**definitions.DROP, **roles.DROP}

_STATEMENTS: Final[dict[str, Reader]] = {
    "K_SELECT": read_select,
    "K_INSERT": read_insert,
    "K_UPDATE": read_update,
    "K_DELETE": read_delete,
    "K_BEGIN": read_batch,
    "K_USE": read_use,
    "K_TRUNCATE": read_truncate,
    "K_CREATE": _create,
    "K_ALTER": _alter,
    "K_DROP": _drop,
    "K_GRANT": roles.read_grant,
    "K_REVOKE": roles.read_revoke,
    "K_LIST": roles.read_list,
    "K_ADD": roles.read_add_identity,
    "K_DESCRIBE": _describe,
    "K_DESC": _describe,
}

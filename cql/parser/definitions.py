"""Statements on the schema: CREATE, ALTER and DROP of everything but roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cql.errors import SyntaxException
from cql.parser.cursor import Cursor
from cql.parser.data import read_if_not_exists
from cql.parser.lexer import IDENT, INTEGER, STRING, UNRESERVED
from cql.parser.names import (
    read_column_name,
    read_function_name,
    read_index_name,
    read_keyspace_name,
    read_name,
    read_qualified_name,
    read_simple_function_name,
    read_type_name,
)
from cql.parser.selectors import read_selectors
from cql.parser.terms import CONSTANT_START, read_constant, read_map, read_term
from cql.parser.tree import (
    AddColumns,
    AddField,
    AlterColumnType,
    AlterFieldType,
    AlterKeyspace,
    AlterTable,
    AlterType,
    AlterView,
    ColumnDefinition,
    CreateAggregate,
    CreateFunction,
    CreateIndex,
    CreateKeyspace,
    CreateTable,
    CreateTrigger,
    CreateType,
    CreateView,
    DropAggregate,
    DropColumns,
    DropCompactStorage,
    DropFunction,
    DropIndex,
    DropKeyspace,
    DropTable,
    DropTrigger,
    DropType,
    DropView,
    Expression,
    IndexTarget,
    Literal,
    Marker,
    Mask,
    MaskColumn,
    PropertyValue,
    QualifiedName,
    RenameColumns,
    RenameFields,
    SetProperties,
    Statement,
    TableChange,
)
from cql.parser.types import read_type
from cql.parser.where import read_where

Properties = tuple[tuple[str, PropertyValue], ...]
ClusteringOrder = tuple[tuple[str, bool], ...]
_INDEX_TARGETS: Final = {
    "K_VALUES": "values",
    "K_KEYS": "keys",
    "K_ENTRIES": "entries",
    "K_FULL": "full",
}


def read_if_exists(c: Cursor) -> bool:
    """IF EXISTS, or nothing."""
    if not c.accept("K_IF"):
        return False
    c.expect("K_EXISTS")
    return True


# ---------------------------------------------------------------- properties


def read_properties(c: Cursor) -> Properties:
    """`name = value AND ...`, where a value is a constant, a word or a map of constants."""
    properties = [_property(c)]
    while c.accept("K_AND"):
        properties.append(_property(c))
    return _without_repetition(properties)


def convert_map(entries: tuple[tuple[Expression, Expression], ...]) -> tuple[tuple[str, str], ...]:
    """A map literal of constants as texts; raises SyntaxException for anything else."""
    result: dict[str, str] = {}
    for key, value in entries:
        if not isinstance(key, Literal):
            raise SyntaxException(f"Invalid property name: {_shown(key)}{_hint(key)}")
        if not isinstance(value, Literal):
            raise SyntaxException(
                f"Invalid property value: {_shown(value)} "
                f"for property: {_quoted(key)}{_hint(value)}"
            )
        if key.text in result:
            raise SyntaxException(f"Multiple definition for property {key.text}")
        result[key.text] = value.text
    return tuple(result.items())


def _property(c: Cursor) -> tuple[str, PropertyValue]:
    start = c.at
    name = read_name(c)
    c.expect("'='")
    if c.kind == "'{'":
        return name, convert_map(read_map(c).entries)
    if c.kind in CONSTANT_START:
        return name, read_constant(c).text
    if c.kind in UNRESERVED:
        return name, c.take().lower()
    raise c.no_viable(start)


def _without_repetition(properties: list[tuple[str, PropertyValue]]) -> Properties:
    names = set()
    for name, _ in properties:
        if name in names:
            raise SyntaxException(f"Multiple definitions for property '{name}'")
        names.add(name)
    return tuple(properties)


def _shown(term: Expression) -> str:
    if isinstance(term, Literal):
        return _quoted(term)
    if isinstance(term, Marker):
        return "?" if term.name is None else f":{term.name}"
    return type(term).__name__


def _quoted(literal: Literal) -> str:
    return f"'{literal.text}'" if literal.kind == "string" else literal.text


def _hint(term: Expression) -> str:
    is_marker = isinstance(term, Marker)
    return " (bind variables are not supported in DDL queries)" if is_marker else ""


# ---------------------------------------------------------------- keyspaces


def create_keyspace(c: Cursor) -> CreateKeyspace:
    """CREATE KEYSPACE, from the keyspace's IF NOT EXISTS on; so too for all that follow here."""
    if_not_exists = read_if_not_exists(c)
    name = read_keyspace_name(c)
    c.expect("K_WITH")
    return CreateKeyspace(name, if_not_exists, read_properties(c))


def alter_keyspace(c: Cursor) -> AlterKeyspace:
    """ALTER KEYSPACE."""
    if_exists = read_if_exists(c)
    name = read_keyspace_name(c)
    c.expect("K_WITH")
    return AlterKeyspace(name, if_exists, read_properties(c))


def drop_keyspace(c: Cursor) -> DropKeyspace:
    """DROP KEYSPACE."""
    if_exists = read_if_exists(c)
    return DropKeyspace(read_keyspace_name(c), if_exists)


# ---------------------------------------------------------------- tables


def create_table(c: Cursor) -> CreateTable:
    """CREATE TABLE."""
    if_not_exists = read_if_not_exists(c)
    table = read_qualified_name(c)
    columns: list[ColumnDefinition] = []
    keys: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    c.expect("'('")
    _column_or_key(c, columns, keys)
    while c.accept("','"):
        if c.kind not in ("','", "')'"):
            _column_or_key(c, columns, keys)
    c.expect("')'")
    compact, order, properties = _table_properties(c)
    return CreateTable(
        table, if_not_exists, tuple(columns), tuple(keys), order, compact, properties
    )


def _column_or_key(
    c: Cursor,
    columns: list[ColumnDefinition],
    keys: list[tuple[tuple[str, ...], tuple[str, ...]]],
) -> None:
    if c.accept("K_PRIMARY"):
        c.expect("K_KEY")
        keys.append(_primary_key(c))
        return
    definition = _column_definition(c)
    columns.append(definition)
    if c.accept("K_PRIMARY"):
        c.expect("K_KEY")
        keys.append(((definition.name,), ()))


def _column_definition(c: Cursor) -> ColumnDefinition:
    name = read_name(c)
    type_text = read_type(c)
    is_static = c.accept("K_STATIC")
    mask = _mask(c) if c.kind == "K_MASKED" else None
    return ColumnDefinition(name, type_text, is_static, mask)


def _mask(c: Cursor) -> Mask:
    c.expect("K_MASKED")
    c.expect("K_WITH")
    if c.accept("K_DEFAULT"):
        return Mask(QualifiedName("system", "mask_default"), ())
    function = read_function_name(c)
    c.expect("'('")
    args: list[Expression] = []
    if c.kind != "')'":
        args.append(read_term(c))
        while c.accept("','"):
            args.append(read_term(c))
    c.expect("')'")
    return Mask(function, tuple(args))


def _primary_key(c: Cursor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    c.expect("'('")
    if c.kind == "'('":
        c.advance()
        partition = [read_name(c)]
        while c.accept("','"):
            partition.append(read_name(c))
        c.expect("')'")
    else:
        partition = [read_name(c)]
    clustering = []
    while c.accept("','"):
        clustering.append(read_name(c))
    c.expect("')'")
    return tuple(partition), tuple(clustering)


def _table_properties(c: Cursor) -> tuple[bool, ClusteringOrder, Properties]:
    compact = False
    order: list[tuple[str, bool]] = []
    properties: list[tuple[str, PropertyValue]] = []
    more = c.accept("K_WITH")
    while more:
        if c.kind == "K_COMPACT" and c.peek() == "K_STORAGE":
            c.advance()
            c.advance()
            compact = True
        elif c.kind == "K_CLUSTERING" and c.peek() == "K_ORDER":
            order.extend(_clustering_order(c))
        else:
            properties.append(_property(c))
        more = c.accept("K_AND")
    return compact, tuple(order), _without_repetition(properties)


def _clustering_order(c: Cursor) -> list[tuple[str, bool]]:
    c.advance()
    c.expect("K_ORDER")
    c.expect("K_BY")
    c.expect("'('")
    order = [_clustering_direction(c)]
    while c.accept("','"):
        order.append(_clustering_direction(c))
    c.expect("')'")
    return order


def _clustering_direction(c: Cursor) -> tuple[str, bool]:
    name = read_name(c)
    if c.kind not in ("K_ASC", "K_DESC"):
        raise c.no_viable()
    return name, c.take().lower() == "desc"


def alter_table(c: Cursor) -> AlterTable:
    """ALTER TABLE."""
    if_exists = read_if_exists(c)
    table = read_qualified_name(c)
    change = _TABLE_CHANGES.get(c.kind)
    if change is None:
        raise c.no_viable()
    c.advance()
    return AlterTable(table, if_exists, change(c))


def _add_columns(c: Cursor) -> AddColumns:
    if_not_exists = read_if_not_exists(c)
    if not c.accept("'('"):
        return AddColumns((_column_definition(c),), if_not_exists)
    columns = [_column_definition(c)]
    while c.accept("','"):
        columns.append(_column_definition(c))
    c.expect("')'")
    return AddColumns(tuple(columns), if_not_exists)


def _drop_columns(c: Cursor) -> DropColumns | DropCompactStorage:
    if c.kind == "K_COMPACT" and c.peek() == "K_STORAGE":
        c.advance()
        c.advance()
        return DropCompactStorage()
    if_exists = read_if_exists(c)
    if c.accept("'('"):
        names = [read_name(c)]
        while c.accept("','"):
            names.append(read_name(c))
        c.expect("')'")
    else:
        names = [read_name(c)]
    timestamp = None
    if c.accept("K_USING"):
        c.expect("K_TIMESTAMP")
        timestamp = int(c.expect(INTEGER))
    return DropColumns(tuple(names), if_exists, timestamp)


def _renames(c: Cursor, read: Callable[[Cursor], str]) -> tuple[tuple[tuple[str, str], ...], bool]:
    if_exists = read_if_exists(c)
    renames = []
    while True:
        old = read(c)
        c.expect("K_TO")
        renames.append((old, read(c)))
        if not c.accept("K_AND"):
            return tuple(renames), if_exists


def _rename_columns(c: Cursor) -> RenameColumns:
    return RenameColumns(*_renames(c, read_name))


def _alter_column(c: Cursor) -> AlterColumnType | MaskColumn:
    if_exists = read_if_exists(c)
    name = read_column_name(c)
    if c.accept("K_TYPE"):
        return AlterColumnType(name, read_type(c))
    if c.accept("K_DROP"):
        c.expect("K_MASKED")
        return MaskColumn(name, None, if_exists)
    if c.kind != "K_MASKED":
        raise c.no_viable()
    return MaskColumn(name, _mask(c), if_exists)


def _set_properties(c: Cursor) -> SetProperties:
    return SetProperties(read_properties(c))


_TABLE_CHANGES: Final[dict[str, Callable[[Cursor], TableChange]]] = {
    "K_ADD": _add_columns,
    "K_DROP": _drop_columns,
    "K_RENAME": _rename_columns,
    "K_ALTER": _alter_column,
    "K_WITH": _set_properties,
}


def drop_table(c: Cursor) -> DropTable:
    """DROP TABLE."""
    if_exists = read_if_exists(c)
    return DropTable(read_qualified_name(c), if_exists)


# ---------------------------------------------------------------- user types


def create_type(c: Cursor) -> CreateType:
    """CREATE TYPE."""
    if_not_exists = read_if_not_exists(c)
    name = read_type_name(c)
    c.expect("'('")
    fields = [_field(c)]
    while c.accept("','"):
        if c.kind not in ("','", "')'"):
            fields.append(_field(c))
    c.expect("')'")
    return CreateType(name, if_not_exists, tuple(fields))


def _field(c: Cursor) -> tuple[str, str]:
    name = read_name(c)
    return name, read_type(c)


def alter_type(c: Cursor) -> AlterType:
    """ALTER TYPE."""
    if_exists = read_if_exists(c)
    name = read_type_name(c)
    change: AddField | RenameFields | AlterFieldType
    if c.accept("K_ADD"):
        if_not_exists = read_if_not_exists(c)
        change = AddField(*_field(c), if_not_exists)
    elif c.accept("K_RENAME"):
        change = RenameFields(*_renames(c, read_name))
    elif c.accept("K_ALTER"):
        field = read_name(c)
        c.expect("K_TYPE")
        change = AlterFieldType(field, read_type(c))
    else:
        raise c.no_viable()
    return AlterType(name, if_exists, change)


def drop_type(c: Cursor) -> DropType:
    """DROP TYPE."""
    if_exists = read_if_exists(c)
    return DropType(read_type_name(c), if_exists)


# ---------------------------------------------------------------- indexes and views


def create_index(c: Cursor) -> CreateIndex:
    """CREATE [CUSTOM] INDEX, from CUSTOM or INDEX on."""
    is_custom = c.accept("K_CUSTOM")
    c.expect("K_INDEX")
    if_not_exists = read_if_not_exists(c)
    name = None if c.kind == "K_ON" else read_index_name(c)
    c.expect("K_ON")
    table = read_qualified_name(c)
    c.expect("'('")
    targets = []
    if c.kind != "')'":
        targets.append(_index_target(c))
        while c.accept("','"):
            targets.append(_index_target(c))
    c.expect("')'")
    using = c.expect(STRING) if c.accept("K_USING") else None
    properties = read_properties(c) if c.accept("K_WITH") else ()
    return CreateIndex(name, table, tuple(targets), if_not_exists, is_custom, using, properties)


def _index_target(c: Cursor) -> IndexTarget:
    kind = _INDEX_TARGETS.get(c.kind)
    if kind is None or c.peek() != "'('":
        return IndexTarget(read_column_name(c))
    c.advance()
    c.advance()
    column = read_column_name(c)
    c.expect("')'")
    return IndexTarget(column, kind)


def drop_index(c: Cursor) -> DropIndex:
    """DROP INDEX."""
    if_exists = read_if_exists(c)
    return DropIndex(read_index_name(c), if_exists)


def create_view(c: Cursor) -> CreateView:
    """CREATE MATERIALIZED VIEW, from VIEW on."""
    c.expect("K_VIEW")
    if_not_exists = read_if_not_exists(c)
    view = read_qualified_name(c)
    c.expect("K_AS")
    c.expect("K_SELECT")
    selectors = read_selectors(c)
    c.expect("K_FROM")
    base = read_qualified_name(c)
    where = read_where(c) if c.accept("K_WHERE") else ()
    c.expect("K_PRIMARY")
    c.expect("K_KEY")
    partition, clustering = _primary_key(c)
    compact, order, properties = _table_properties(c)
    if compact:
        raise SyntaxException("COMPACT STORAGE tables are not allowed starting with version 4.0")
    return CreateView(
        view, base, if_not_exists, selectors, where, partition, clustering, order, properties
    )


def alter_view(c: Cursor) -> AlterView:
    """ALTER MATERIALIZED VIEW, from VIEW on."""
    c.expect("K_VIEW")
    if_exists = read_if_exists(c)
    view = read_qualified_name(c)
    c.expect("K_WITH")
    return AlterView(view, if_exists, read_properties(c))


def drop_view(c: Cursor) -> DropView:
    """DROP MATERIALIZED VIEW, from VIEW on."""
    c.expect("K_VIEW")
    if_exists = read_if_exists(c)
    return DropView(read_qualified_name(c), if_exists)


# ---------------------------------------------------------------- functions and triggers


def create_function(c: Cursor, or_replace: bool = False) -> CreateFunction:
    """CREATE [OR REPLACE] FUNCTION."""
    if_not_exists = read_if_not_exists(c)
    name = read_function_name(c)
    c.expect("'('")
    args = []
    if c.kind != "')'":
        args.append(_field(c))
        while c.accept("','"):
            args.append(_field(c))
    c.expect("')'")
    called = c.accept("K_CALLED")
    if not called:
        if c.kind != "K_RETURNS":
            raise c.no_viable()
        c.advance()
        c.expect("K_NULL")
    for kind in ("K_ON", "K_NULL", "K_INPUT", "K_RETURNS"):
        c.expect(kind)
    returns = read_type(c)
    c.expect("K_LANGUAGE")
    language = c.expect(IDENT).lower()
    c.expect("K_AS")
    body = c.expect(STRING)
    return CreateFunction(
        name, or_replace, if_not_exists, tuple(args), called, returns, language, body
    )


def read_argument_types(c: Cursor) -> tuple[str, ...]:
    """`(type, ...)`, possibly empty."""
    c.expect("'('")
    types = []
    if c.kind != "')'":
        types.append(read_type(c))
        while c.accept("','"):
            types.append(read_type(c))
    c.expect("')'")
    return tuple(types)


def drop_function(c: Cursor) -> DropFunction:
    """DROP FUNCTION."""
    if_exists = read_if_exists(c)
    name = read_function_name(c)
    return DropFunction(name, if_exists, read_argument_types(c) if c.kind == "'('" else None)


def create_aggregate(c: Cursor, or_replace: bool = False) -> CreateAggregate:
    """CREATE [OR REPLACE] AGGREGATE."""
    if_not_exists = read_if_not_exists(c)
    name = read_function_name(c)
    arg_types = read_argument_types(c)
    c.expect("K_SFUNC")
    state_function = read_simple_function_name(c)
    c.expect("K_STYPE")
    state_type = read_type(c)
    final = read_simple_function_name(c) if c.accept("K_FINALFUNC") else None
    initial = read_term(c) if c.accept("K_INITCOND") else None
    return CreateAggregate(
        name, or_replace, if_not_exists, arg_types, state_function, state_type, final, initial
    )


def drop_aggregate(c: Cursor) -> DropAggregate:
    """DROP AGGREGATE."""
    if_exists = read_if_exists(c)
    name = read_function_name(c)
    return DropAggregate(name, if_exists, read_argument_types(c) if c.kind == "'('" else None)


def create_trigger(c: Cursor) -> CreateTrigger:
    """CREATE TRIGGER."""
    if_not_exists = read_if_not_exists(c)
    name = read_name(c)
    c.expect("K_ON")
    table = read_qualified_name(c)
    c.expect("K_USING")
    return CreateTrigger(name, table, if_not_exists, c.expect(STRING))


def drop_trigger(c: Cursor) -> DropTrigger:
    """DROP TRIGGER."""
    if_exists = read_if_exists(c)
    name = read_name(c)
    c.expect("K_ON")
    return DropTrigger(name, read_qualified_name(c), if_exists)


CREATE: Final[dict[str, Callable[[Cursor], Statement]]] = {
    "K_KEYSPACE": create_keyspace,
    "K_SCHEMA": create_keyspace,
    "K_COLUMNFAMILY": create_table,
    "K_TYPE": create_type,
    "K_MATERIALIZED": create_view,
    "K_FUNCTION": create_function,
    "K_AGGREGATE": create_aggregate,
    "K_TRIGGER": create_trigger,
}
"""What follows CREATE; the word itself has been passed when the function is called."""

ALTER: Final[dict[str, Callable[[Cursor], Statement]]] = {
    "K_KEYSPACE": alter_keyspace,
    "K_SCHEMA": alter_keyspace,
    "K_COLUMNFAMILY": alter_table,
    "K_TYPE": alter_type,
    "K_MATERIALIZED": alter_view,
}
"""What follows ALTER."""

DROP: Final[dict[str, Callable[[Cursor], Statement]]] = {
    "K_KEYSPACE": drop_keyspace,
    "K_SCHEMA": drop_keyspace,
    "K_COLUMNFAMILY": drop_table,
    "K_TYPE": drop_type,
    "K_INDEX": drop_index,
    "K_MATERIALIZED": drop_view,
    "K_FUNCTION": drop_function,
    "K_AGGREGATE": drop_aggregate,
    "K_TRIGGER": drop_trigger,
}
"""What follows DROP."""

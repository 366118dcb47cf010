"""Statements on data: SELECT, INSERT, UPDATE, DELETE, BATCH, TRUNCATE, USE."""

from __future__ import annotations

from cql.errors import SyntaxException
from cql.parser.cursor import Cursor
from cql.parser.lexer import DURATION, INTEGER, STRING
from cql.parser.names import (
    NAME_START,
    read_column_name,
    read_keyspace_name,
    read_name,
    read_qualified_name,
)
from cql.parser.selectors import read_selected, read_selectors
from cql.parser.terms import read_integer, read_marker, read_term
from cql.parser.tree import (
    AddTo,
    Attributes,
    Batch,
    BatchKind,
    Column,
    Condition,
    Delete,
    Element,
    Expression,
    Field,
    Insert,
    InsertJson,
    Literal,
    Marker,
    Modification,
    Operation,
    Ordering,
    PrependTo,
    QualifiedName,
    Select,
    SetColumn,
    SetElement,
    SetField,
    SubtractFrom,
    Term,
    Truncate,
    Update,
    Use,
)
from cql.parser.where import read_conditions, read_where

NO_ATTRIBUTES = Attributes()
BATCH_KINDS = {"K_UNLOGGED": BatchKind.UNLOGGED, "K_COUNTER": BatchKind.COUNTER}
_NOT_A_SELECTOR = frozenset(("K_FROM", "','", "K_AS", "'.'", "'['", "'+'", "'-'", "'/'", "'%'"))


def read_use(c: Cursor) -> Use:
    """USE keyspace."""
    c.advance()
    return Use(read_keyspace_name(c))


def read_truncate(c: Cursor) -> Truncate:
    """TRUNCATE [TABLE] table."""
    c.advance()
    c.accept("K_COLUMNFAMILY")
    table = read_qualified_name(c)
    return Truncate(table, _using(c))


# ---------------------------------------------------------------- select


def read_select(c: Cursor) -> Select:
    """SELECT ... to its last word."""
    c.advance()
    is_json = c.kind == "K_JSON" and _is_modifier(c)
    if is_json:
        c.advance()
    is_distinct = c.kind == "K_DISTINCT" and _is_modifier(c)
    if is_distinct:
        c.advance()
    selectors = read_selectors(c)
    c.expect("K_FROM")
    table = read_qualified_name(c)
    where = read_where(c) if c.accept("K_WHERE") else ()
    group_by = _group_by(c)
    order_by = _order_by(c)
    per_partition_limit = None
    if c.accept("K_PER"):
        c.expect("K_PARTITION")
        c.expect("K_LIMIT")
        per_partition_limit = read_integer(c)
    limit = read_integer(c) if c.accept("K_LIMIT") else None
    allow_filtering = c.accept("K_ALLOW")
    if allow_filtering:
        c.expect("K_FILTERING")
    bypass_cache = c.is_word("bypass") and c.is_word("cache", 1)
    if bypass_cache:
        c.advance()
        c.advance()
    return Select(
        table,
        selectors,
        is_json,
        is_distinct,
        where,
        group_by,
        order_by,
        per_partition_limit,
        limit,
        allow_filtering,
        bypass_cache,
        _using(c),
        tuple(c.markers),
    )


def _is_modifier(c: Cursor) -> bool:
    """JSON and DISTINCT are columns' names too: they are so if the selector goes on or ends right
    after them.
    """
    following = c.peek()
    if following == "'('":
        return False
    if following == "'*'":
        return c.peek(2) == "K_FROM"
    return following not in _NOT_A_SELECTOR


def _group_by(c: Cursor) -> tuple[Expression, ...]:
    if not c.accept("K_GROUP"):
        return ()
    c.expect("K_BY")
    groups = [read_selected(c)]
    while c.accept("','"):
        groups.append(read_selected(c))
    return tuple(groups)


def _order_by(c: Cursor) -> tuple[Ordering, ...]:
    if not c.accept("K_ORDER"):
        return ()
    c.expect("K_BY")
    orderings = [_ordering(c)]
    while c.accept("','"):
        orderings.append(_ordering(c))
    return tuple(orderings)


def _ordering(c: Cursor) -> Ordering:
    column = read_column_name(c)
    ann = None
    if c.accept("K_ANN"):
        c.expect("K_OF")
        ann = read_term(c)
    descending = c.accept("K_DESC")
    if not descending:
        c.accept("K_ASC")
    return Ordering(column, descending, ann)


# ---------------------------------------------------------------- using


def _using(c: Cursor, *, may_expire: bool = True) -> Attributes:
    """USING TIMESTAMP, TTL and TIMEOUT, each at most once in effect: the last one written wins."""
    if not c.accept("K_USING"):
        return NO_ATTRIBUTES
    given: dict[str, Term] = {}
    while True:
        if c.accept("K_TIMESTAMP"):
            given["timestamp"] = read_integer(c)
        elif not may_expire and c.kind == "K_TTL":
            raise c.mismatch("K_TIMESTAMP")
        elif c.accept("K_TTL"):
            given["ttl"] = read_integer(c)
        elif c.is_word("timeout"):
            c.advance()
            given["timeout"] = _timeout(c)
        else:
            raise c.no_viable()
        if not c.accept("K_AND"):
            return Attributes(**given)


def _timeout(c: Cursor) -> Term:
    return Literal("duration", c.take()) if c.kind == DURATION else read_marker(c)


# ---------------------------------------------------------------- insert


def read_insert(c: Cursor) -> Insert | InsertJson:
    """INSERT INTO table (columns) VALUES (...) or JSON ..."""
    c.advance()
    c.expect("K_INTO")
    table = read_qualified_name(c)
    if c.accept("K_JSON"):
        return _insert_json(c, table)
    if c.kind != "'('":
        raise c.no_viable()
    c.advance()
    columns = [read_column_name(c)]
    while c.accept("','"):
        columns.append(read_column_name(c))
    c.expect("')'")
    c.expect("K_VALUES")
    c.expect("'('")
    values = [read_term(c)]
    while c.accept("','"):
        values.append(read_term(c))
    c.expect("')'")
    if_not_exists = read_if_not_exists(c)
    attributes = _using(c)
    markers = tuple(c.markers)
    return Insert(table, tuple(columns), tuple(values), if_not_exists, attributes, markers)


def _insert_json(c: Cursor, table: QualifiedName) -> InsertJson:
    value: Literal | Marker
    value = Literal("string", c.take()) if c.kind == STRING else read_marker(c)
    default_unset = False
    if c.accept("K_DEFAULT"):
        default_unset = c.kind == "K_UNSET"
        if not default_unset and c.kind != "K_NULL":
            raise c.no_viable()
        c.advance()
    if_not_exists = read_if_not_exists(c)
    attributes = _using(c)
    return InsertJson(table, value, default_unset, if_not_exists, attributes, tuple(c.markers))


# ---------------------------------------------------------------- update


def read_update(c: Cursor) -> Update:
    """UPDATE table SET ... WHERE ... [IF ...]."""
    c.advance()
    table = read_qualified_name(c)
    attributes = _using(c)
    c.expect("K_SET")
    operations = [_operation(c)]
    while c.accept("','"):
        operation = _operation(c)
        _check_compatible(operations, operation)
        operations.append(operation)
    c.expect("K_WHERE")
    where = read_where(c)
    conditions, if_exists = _if_clause(c)
    markers = tuple(c.markers)
    return Update(table, tuple(operations), where, conditions, if_exists, attributes, markers)


def _operation(c: Cursor) -> Operation:
    start = c.at
    column = read_column_name(c)
    if c.accept("'='"):
        return _assignment(c, column)
    if c.accept("'+='"):
        return AddTo(column, read_term(c))
    if c.accept("'-='"):
        return SubtractFrom(column, read_term(c))
    if c.accept("'['"):
        key = read_term(c)
        c.expect("']'")
        c.expect("'='")
        return SetElement(column, key, read_term(c))
    if c.accept("'.'"):
        field = read_name(c)
        c.expect("'='")
        return SetField(column, field, read_term(c))
    raise c.no_viable(start if c.kind == "EOF" else None)


def _assignment(c: Cursor, column: str) -> Operation:
    if c.kind in NAME_START or c.kind == "EMPTY_QUOTED_NAME":
        following = c.peek()
        if following in ("'+'", "'-'"):
            return _relative(c, column)
        if following == INTEGER:
            return _counted(c, column)
    value = read_term(c)
    if not c.accept("'+'"):
        return SetColumn(column, value)
    if read_column_name(c) != column:
        raise SyntaxException("Only expressions of the form X = <value> + X are supported.")
    return PrependTo(column, value)


def _relative(c: Cursor, column: str) -> Operation:
    """`column = column + term`; a sum that begins with another column is refused."""
    same = read_column_name(c) == column
    sign = c.take()
    value = read_term(c)
    if not same:
        raise SyntaxException(f"Only expressions of the form X = X {sign}<value> are supported.")
    return AddTo(column, value) if sign == "+" else SubtractFrom(column, value)


def _counted(c: Cursor, column: str) -> Operation:
    """`column = column -3`, where the sign belongs to the number."""
    same = read_column_name(c) == column
    number = c.take()
    if not same:
        sign = "-" if number.startswith("-") else "+"
        raise SyntaxException(f"Only expressions of the form X = X {sign} <value> are supported.")
    return AddTo(column, Literal("integer", number))


def _check_compatible(earlier: list[Operation], operation: Operation) -> None:
    for other in earlier:
        if other.column != operation.column:
            continue
        clash = isinstance(other, SetColumn) or isinstance(operation, SetColumn)
        if isinstance(other, SetField) and isinstance(operation, SetField):
            clash = other.field == operation.field
        if clash:
            raise SyntaxException(f"Multiple incompatible setting of column {operation.column}")


def _if_clause(c: Cursor) -> tuple[tuple[Condition, ...], bool]:
    if not c.accept("K_IF"):
        return (), False
    if c.kind == "K_EXISTS" and c.peek() not in _CONDITION_SIGNS:
        c.advance()
        return (), True
    return read_conditions(c), False


_CONDITION_SIGNS = frozenset(
    ("'='", "'<'", "'<='", "'>'", "'>='", "'!='", "K_IN", "'['", "'.'", "K_CONTAINS")
)


# ---------------------------------------------------------------- delete and batch


def read_delete(c: Cursor) -> Delete:
    """DELETE [columns] FROM table WHERE ... [IF ...]."""
    c.advance()
    deletions: list[Column | Element | Field] = []
    if c.kind != "K_FROM":
        deletions.append(_deletion(c))
        while c.accept("','"):
            deletions.append(_deletion(c))
    c.expect("K_FROM")
    table = read_qualified_name(c)
    attributes = _using(c, may_expire=False)
    c.expect("K_WHERE")
    where = read_where(c)
    conditions, if_exists = _if_clause(c)
    markers = tuple(c.markers)
    return Delete(table, tuple(deletions), where, conditions, if_exists, attributes, markers)


def _deletion(c: Cursor) -> Column | Element | Field:
    start = c.at
    column = Column(read_column_name(c))
    if c.accept("'['"):
        key = read_term(c)
        c.expect("']'")
        return Element(column, key)
    if c.accept("'.'"):
        return Field(column, read_name(c))
    c.require(("','", "K_FROM"), start)
    return column


def read_batch(c: Cursor) -> Batch:
    """BEGIN [UNLOGGED | COUNTER] BATCH ... APPLY BATCH."""
    c.advance()
    kind = BATCH_KINDS.get(c.kind, BatchKind.LOGGED)
    if kind is not BatchKind.LOGGED:
        c.advance()
    c.expect("K_BATCH")
    attributes = _using(c)
    statements: list[Modification] = []
    while c.kind in _MODIFICATIONS:
        statements.append(_MODIFICATIONS[c.kind](c))
        c.accept("';'")
    c.expect("K_APPLY")
    c.expect("K_BATCH")
    return Batch(kind, tuple(statements), attributes, tuple(c.markers))


_MODIFICATIONS = {"K_INSERT": read_insert, "K_UPDATE": read_update, "K_DELETE": read_delete}


def read_if_not_exists(c: Cursor) -> bool:
    """IF NOT EXISTS, or nothing."""
    if not c.accept("K_IF"):
        return False
    c.expect("K_NOT")
    c.expect("K_EXISTS")
    return True

"""WHERE and IF clauses."""

from __future__ import annotations

from typing import Final

from cql.parser.cursor import Cursor
from cql.parser.lexer import EMPTY_QUOTED_NAME, EXPR, QMARK
from cql.parser.names import NAME_START, read_column_name, read_name
from cql.parser.terms import read_marker, read_term, read_tuple
from cql.parser.tree import (
    Column,
    Columns,
    Condition,
    CustomExpression,
    Element,
    Field,
    InList,
    Null,
    Operator,
    QualifiedName,
    Relation,
    Term,
    Token,
)

COMPARISONS: Final = {
    f"'{operator.value}'": operator
    for operator in (
        Operator.EQ,
        Operator.NEQ,
        Operator.LT,
        Operator.LTE,
        Operator.GT,
        Operator.GTE,
    )
}
COLUMN_START: Final = NAME_START | {EMPTY_QUOTED_NAME}


def read_where(c: Cursor) -> tuple[Relation | CustomExpression, ...]:
    """Relations joined by AND, after the word WHERE."""
    relations = [_relation_or_expression(c)]
    while c.accept("K_AND"):
        relations.append(_relation_or_expression(c))
    return tuple(relations)


def read_conditions(c: Cursor) -> tuple[Condition, ...]:
    """Conditions joined by AND, after the word IF."""
    conditions = [_condition(c)]
    while c.accept("K_AND"):
        conditions.append(_condition(c))
    return tuple(conditions)


def _relation_or_expression(c: Cursor) -> Relation | CustomExpression:
    if c.kind != EXPR:
        return _relation(c)
    c.advance()
    index = QualifiedName(None, read_name(c))
    c.expect("','")
    term = read_term(c)
    c.expect("')'")
    return CustomExpression(index, term)


def _relation(c: Cursor) -> Relation:
    if c.kind == "K_TOKEN":
        c.advance()
        return _token_relation(c, Token(_names(c)))
    if c.kind == "'('":
        if c.peek() in COLUMN_START and c.peek(2) in ("','", "')'"):
            return _multi_column_relation(c, Columns(_names(c)))
        c.descend()
        c.advance()
        relation = _relation(c)
        c.expect("')'")
        c.ascend()
        return relation
    return _column_relation(c)


def _token_relation(c: Cursor, target: Token) -> Relation:
    return Relation(target, _comparison(c), read_term(c))


def _multi_column_relation(c: Cursor, target: Columns) -> Relation:
    if c.kind == "K_IN" or (c.kind == "K_NOT" and c.peek() == "K_IN"):
        operator = Operator.IN if c.take().lower() == "in" else _after_not(c)
        return Relation(target, operator, _multi_column_in(c))
    return Relation(target, _comparison(c), _multi_column_value(c))


def _multi_column_value(c: Cursor) -> Term:
    return read_tuple(c) if c.kind == "'('" else read_marker(c)


def _multi_column_in(c: Cursor) -> Term | InList:
    if c.kind != "'('":
        return read_marker(c)
    c.advance()
    items: list[Term] = []
    if c.kind != "')'":
        items.append(_multi_column_value(c))
        while c.accept("','"):
            items.append(_multi_column_value(c))
    c.expect("')'")
    return InList(tuple(items))


def _column_relation(c: Cursor) -> Relation:
    start = c.at
    column = Column(read_column_name(c))
    comparison = COMPARISONS.get(c.kind)
    if comparison is not None:
        c.advance()
        return Relation(column, comparison, read_term(c))
    if c.accept("'['"):
        key = read_term(c)
        c.expect("']'")
        return Relation(Element(column, key), _comparison(c), read_term(c))
    if c.accept("K_IN"):
        return Relation(column, Operator.IN, _in_values(c))
    if c.kind == "K_CONTAINS":
        return Relation(column, _contains(c), read_term(c))
    if c.accept("K_LIKE"):
        return Relation(column, Operator.LIKE, read_term(c))
    if c.accept("K_IS"):
        operator = Operator.IS_NOT if c.accept("K_NOT") else Operator.IS
        c.expect("K_NULL")
        return Relation(column, operator, Null())
    if c.accept("K_NOT"):
        operator = _after_not(c)
        value = _in_values(c) if operator is Operator.NOT_IN else read_term(c)
        return Relation(column, operator, value)
    raise c.no_viable(start)


def _after_not(c: Cursor) -> Operator:
    if c.accept("K_IN"):
        return Operator.NOT_IN
    if c.kind != "K_CONTAINS":
        raise c.no_viable()
    contains = _contains(c)
    return Operator.NOT_CONTAINS if contains is Operator.CONTAINS else Operator.NOT_CONTAINS_KEY


def _contains(c: Cursor) -> Operator:
    c.expect("K_CONTAINS")
    return Operator.CONTAINS_KEY if c.accept("K_KEY") else Operator.CONTAINS


def _comparison(c: Cursor) -> Operator:
    found = COMPARISONS.get(c.kind)
    if found is None:
        raise c.no_viable()
    c.advance()
    return found


def _in_values(c: Cursor) -> Term | InList:
    if c.kind == QMARK or c.kind == "':'":
        return read_marker(c)
    if c.kind != "'('":
        raise c.no_viable()
    c.advance()
    items: list[Term] = []
    if c.kind != "')'":
        items.append(read_term(c))
        while c.accept("','"):
            items.append(read_term(c))
    c.expect("')'")
    return InList(tuple(items))


def _names(c: Cursor) -> tuple[str, ...]:
    c.expect("'('")
    names = [read_column_name(c)]
    while c.accept("','"):
        names.append(read_column_name(c))
    c.expect("')'")
    return tuple(names)


def _condition(c: Cursor) -> Condition:
    column = Column(read_column_name(c))
    target: Column | Element | Field = column
    if c.accept("'['"):
        target = Element(column, read_term(c))
        c.expect("']'")
    elif c.accept("'.'"):
        target = Field(column, read_name(c))
    elif c.kind == "K_CONTAINS":
        return Condition(column, _contains(c), read_term(c))
    if c.accept("K_IN"):
        return Condition(target, Operator.IN, _in_values(c))
    return Condition(target, _comparison(c), read_term(c))

"""What a SELECT asks for: columns, parts of them, functions and arithmetic over them."""

from __future__ import annotations

from typing import Final

from cql.parser.cursor import Cursor
from cql.parser.lexer import QMARK
from cql.parser.names import (
    NAME_START,
    begins_function_call,
    read_function_name,
    read_name,
)
from cql.parser.terms import CONSTANT_START, read_constant, read_marker, read_term
from cql.parser.tree import (
    Binary,
    Cast,
    Column,
    Count,
    Element,
    ElementSlice,
    Expression,
    Field,
    FunctionCall,
    ListTerm,
    Literal,
    MapTerm,
    Negate,
    Null,
    Selector,
    SetTerm,
    TupleTerm,
    TypeHint,
    UserTypeTerm,
    WritetimeOrTtl,
)
from cql.parser.types import TYPE_START, read_native_type, read_type

_WRITETIME: Final = {
    "K_WRITETIME": "writetime",
    "K_MAXWRITETIME": "maxwritetime",
    "K_TTL": "ttl",
}
_AFTER_COLUMN_SIGNS: Final = ", ) ] } : + - * / % . [ ;"
_AFTER_COLUMN_WORDS: Final = "EOF K_FROM K_AS K_ORDER K_PER K_LIMIT K_ALLOW INTEGER"
AFTER_COLUMN: Final = frozenset(
    [f"'{sign}'" for sign in _AFTER_COLUMN_SIGNS.split()] + _AFTER_COLUMN_WORDS.split()
)


def read_selectors(c: Cursor) -> tuple[Selector, ...]:
    """The comma-separated list, or () for `*`."""
    if c.accept("'*'"):
        return ()
    selectors = [_selector(c)]
    while c.accept("','"):
        selectors.append(_selector(c))
    return tuple(selectors)


def read_selected(c: Cursor) -> Expression:
    """One expression over columns, without alias."""
    c.descend()
    result = _product(c)
    while c.kind == "'+'" or c.kind == "'-'":
        sign = c.take_operator()
        result = Binary(sign, result, _product(c))
    c.ascend()
    return result


def _selector(c: Cursor) -> Selector:
    expression = read_selected(c)
    alias = read_name(c) if c.accept("K_AS") else None
    return Selector(expression, alias)


def _product(c: Cursor) -> Expression:
    result = _signed(c)
    while c.kind in ("'*'", "'/'", "'%'"):
        sign = c.take_operator()
        result = Binary(sign, result, _signed(c))
    return result


def _signed(c: Cursor) -> Expression:
    if c.accept("'-'"):
        c.descend()
        operand = _signed(c)
        c.ascend()
        return Negate(operand)
    return _modified(c, _primary(c))


def _modified(c: Cursor, expression: Expression) -> Expression:
    """The expression with the `.field`, `[key]` and `[from..to]` after it."""
    while True:
        if c.kind == "'.'":
            c.take_operator()
            expression = Field(expression, read_name(c))
        elif c.kind == "'['":
            c.take_operator()
            expression = _subscript(c, expression)
        else:
            return expression


def _subscript(c: Cursor, operand: Expression) -> Expression:
    if c.accept("RANGE"):
        part: Expression = ElementSlice(operand, None, read_term(c))
    else:
        first = read_term(c)
        if c.accept("RANGE"):
            part = ElementSlice(operand, first, None if c.kind == "']'" else read_term(c))
        else:
            part = Element(operand, first)
    c.expect("']'")
    return part


def _primary(c: Cursor) -> Expression:
    if c.kind in CONSTANT_START:
        return read_constant(c)
    if c.kind in _WRITETIME and c.peek() == "'('":
        return _writetime(c)
    if c.kind == "K_CAST" and c.peek() == "'('":
        return _cast(c)
    if begins_function_call(c):
        return _call(c)
    if c.kind in NAME_START:
        return _column(c)
    if c.kind == QMARK or c.kind == "':'":
        return read_marker(c)
    if c.accept("K_NULL"):
        return Null()
    if c.kind == "'('":
        return _parenthesised(c)
    if c.kind == "'['":
        return _list(c)
    if c.kind == "'{'":
        return _braces(c)
    if c.kind == "K_TOKEN":
        raise c.no_viable_ahead(1)
    raise c.no_viable()


def _column(c: Cursor) -> Column:
    start = c.at
    name = read_name(c)
    if c.kind not in AFTER_COLUMN and not c.is_word("bypass"):
        raise c.no_viable(start)
    return Column(name)


def _writetime(c: Cursor) -> WritetimeOrTtl:
    function = _WRITETIME[c.kind]
    c.advance()
    c.expect("'('")
    operand = _modified(c, Column(read_name(c)))
    c.expect("')'")
    return WritetimeOrTtl(function, operand)


def _cast(c: Cursor) -> Cast:
    c.advance()
    c.expect("'('")
    operand = read_selected(c)
    c.expect("K_AS")
    type_text = read_native_type(c)
    c.expect("')'")
    return Cast(operand, type_text)


def _call(c: Cursor) -> Expression:
    if c.kind == "K_COUNT" and c.peek(2) == "'*'":
        c.advance()
        c.advance()
        c.advance()
        c.expect("')'")
        return Count()
    name = read_function_name(c)
    c.expect("'('")
    args = _expressions_until(c, "')'")
    is_count = name.name == "count" and name.keyspace in (None, "system")
    if is_count and len(args) == 1 and isinstance(args[0], Literal):
        return Count()
    return FunctionCall(name.keyspace, name.name, args)


def _expressions_until(c: Cursor, closing: str) -> tuple[Expression, ...]:
    items: list[Expression] = []
    if c.kind != closing:
        items.append(read_selected(c))
        while c.accept("','"):
            items.append(read_selected(c))
    c.expect(closing)
    return tuple(items)


def _parenthesised(c: Cursor) -> Expression:
    if c.peek() in TYPE_START:
        hint = c.attempt(_type_hint)
        if hint is not None:
            return hint
    c.advance()
    if c.kind == "')'":
        raise c.no_viable()
    return TupleTerm(_expressions_until(c, "')'"))


def _type_hint(c: Cursor) -> TypeHint:
    c.expect("'('")
    type_text = read_type(c)
    c.expect("')'")
    c.descend()
    hint = TypeHint(type_text, _primary(c))
    c.ascend()
    return hint


def _list(c: Cursor) -> ListTerm:
    c.advance()
    return ListTerm(_expressions_until(c, "']'"))


def _braces(c: Cursor) -> Expression:
    c.advance()
    if c.accept("'}'"):
        return SetTerm(())
    first = read_selected(c)
    if c.kind != "':'":
        items = [first]
        while c.accept("','"):
            items.append(read_selected(c))
        c.expect("'}'")
        return SetTerm(tuple(items))
    entries = [(first, _value_after_colon(c))]
    while c.accept("','"):
        key = read_selected(c)
        entries.append((key, _value_after_colon(c)))
    c.expect("'}'")
    fields = tuple((key.name, value) for key, value in entries if isinstance(key, Column))
    return UserTypeTerm(fields) if len(fields) == len(entries) else MapTerm(tuple(entries))


def _value_after_colon(c: Cursor) -> Expression:
    c.expect("':'")
    return read_selected(c)

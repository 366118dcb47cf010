"""Values as they are written: constants, markers, collections, calls, arithmetic."""

from __future__ import annotations

from typing import Final

from cql.parser.cursor import Cursor
from cql.parser.lexer import (
    BOOLEAN,
    DURATION,
    FLOAT,
    HEX,
    INTEGER,
    QMARK,
    STRING,
    UUID,
)
from cql.parser.names import (
    FUNCTION_NAME_START,
    NAME_START,
    begins_function_call,
    read_function_name,
    read_name,
)
from cql.parser.tree import (
    Binary,
    Cast,
    FunctionCall,
    ListTerm,
    Literal,
    MapTerm,
    Marker,
    Negate,
    Null,
    SetTerm,
    Term,
    TupleTerm,
    TypeHint,
    UserTypeTerm,
)
from cql.parser.types import TYPE_START, read_native_type, read_type

LITERAL_KINDS: Final = {
    STRING: "string",
    INTEGER: "integer",
    FLOAT: "float",
    BOOLEAN: "boolean",
    DURATION: "duration",
    UUID: "uuid",
    HEX: "hex",
}
SPECIAL_FLOATS: Final = {
    "K_POSITIVE_NAN": "NaN",
    "K_NEGATIVE_NAN": "NaN",
    "K_POSITIVE_INFINITY": "Infinity",
    "K_NEGATIVE_INFINITY": "-Infinity",
}
CONSTANT_START: Final = LITERAL_KINDS.keys() | SPECIAL_FLOATS.keys()
VALUE_START: Final = CONSTANT_START | {"K_NULL", QMARK, "':'", "'['", "'{'", "'('"}
TERM_START: Final = VALUE_START | FUNCTION_NAME_START | {"K_COUNT", "K_CAST", "'-'"}

_AFTER_TERM_SIGNS: Final = "; , ) ] } : + - * / % < <= > >= = !="
_AFTER_TERM_WORDS: Final = (
    "EOF RANGE K_AND K_IF K_WHERE K_GROUP K_ORDER K_PER K_LIMIT K_ALLOW K_APPLY K_INSERT "
    "K_UPDATE K_DELETE K_PRIMARY K_ASC K_DESC K_AS K_WITH K_USING K_FROM K_DEFAULT"
)
AFTER_TERM: Final = frozenset(
    [f"'{sign}'" for sign in _AFTER_TERM_SIGNS.split()] + _AFTER_TERM_WORDS.split()
)
"""What may come after a term, anywhere in the language."""
_AFTER_LONE_TERM: Final = frozenset(("','", "')'", "EOF", "';'", "K_AND", "K_LIMIT"))


def read_term(c: Cursor) -> Term:
    """Any term, sums included."""
    if c.peek() in _AFTER_LONE_TERM:
        lone = _lone_term(c)
        if lone is not None:
            return lone
    c.descend()
    result = _product(c)
    while c.kind == "'+'" or c.kind == "'-'":
        if _begins_prepended_column(c):
            break
        sign = c.take_operator()
        result = Binary(sign, result, _product(c))
    if c.kind not in AFTER_TERM and not c.is_word("bypass"):
        raise c.no_viable()
    c.ascend()
    return result


def _lone_term(c: Cursor) -> Term | None:
    """The short way for what most terms are: one constant or one `?`."""
    if c.kind == QMARK:
        c.advance()
        return c.new_marker(None)
    kind = LITERAL_KINDS.get(c.kind)
    return None if kind is None else Literal(kind, c.take())


def read_constant(c: Cursor) -> Literal:
    """A constant that is not NULL."""
    kind = LITERAL_KINDS.get(c.kind)
    if kind is not None:
        return Literal(kind, c.take())
    special = SPECIAL_FLOATS.get(c.kind)
    if special is None:
        raise c.no_viable()
    c.advance()
    return Literal("float", special)


def read_marker(c: Cursor) -> Marker:
    """`?` or `:name`."""
    if c.accept(QMARK):
        return c.new_marker(None)
    if not c.accept("':'"):
        raise c.no_viable()
    return c.new_marker(read_name(c))


def read_integer(c: Cursor) -> Term:
    """An integer constant or a marker, as LIMIT and USING take them."""
    if c.kind == INTEGER:
        return Literal("integer", c.take())
    return read_marker(c)


def read_tuple(c: Cursor) -> TupleTerm:
    """`(a, b)`."""
    c.expect("'('")
    items = [read_term(c)]
    while c.accept("','"):
        items.append(read_term(c))
    c.expect("')'")
    return TupleTerm(tuple(items))


def read_map(c: Cursor) -> MapTerm:
    """`{a: b}` or `{}`, where only a map can be meant."""
    c.expect("'{'")
    if c.accept("'}'"):
        return MapTerm(())
    return _map_from(c, read_term(c))


def _product(c: Cursor) -> Term:
    result = _signed(c)
    while c.kind in ("'*'", "'/'", "'%'"):
        sign = c.take_operator()
        result = Binary(sign, result, _signed(c))
    return result


def _signed(c: Cursor) -> Term:
    if c.accept("'-'"):
        return Negate(read_simple_term(c))
    return read_simple_term(c)


def read_simple_term(c: Cursor) -> Term:
    """A term without arithmetic outside of brackets."""
    kind = LITERAL_KINDS.get(c.kind)
    if kind is not None:
        return Literal(kind, c.take())
    if c.kind == QMARK or c.kind == "':'":
        return read_marker(c)
    if c.accept("K_NULL"):
        return Null()
    if c.kind in SPECIAL_FLOATS:
        return read_constant(c)
    bracket = _BRACKETS.get(c.kind)
    if bracket is not None:
        return bracket(c)
    if c.kind == "K_CAST" and c.peek() == "'('":
        return _cast(c)
    return _call(c)


def _begins_prepended_column(c: Cursor) -> bool:
    """In `SET l = [1] + l` the sum ends before the sign, for the column is no term."""
    following = c.peek()
    if c.kind != "'+'" or following not in NAME_START:
        return False
    return c.peek(2) not in ("'('", "'.'") and following not in ("K_CAST",)


def _call(c: Cursor) -> FunctionCall:
    if not begins_function_call(c):
        if c.kind in NAME_START or c.kind in FUNCTION_NAME_START:
            raise c.no_viable_ahead(1)
        raise c.no_viable()
    name = read_function_name(c)
    c.expect("'('")
    args: list[Term] = []
    if c.kind != "')'":
        args.append(read_term(c))
        while c.accept("','"):
            args.append(read_term(c))
    c.expect("')'")
    return FunctionCall(name.keyspace, name.name, tuple(args))


def _cast(c: Cursor) -> Term:
    c.advance()
    c.expect("'('")
    c.descend()
    operand = read_simple_term(c)
    c.ascend()
    c.expect("K_AS")
    type_text = read_native_type(c)
    c.expect("')'")
    return Cast(operand, type_text)


def _parenthesised(c: Cursor) -> Term:
    if c.peek() in TYPE_START:
        hint = c.attempt(_type_hint)
        if hint is not None:
            c.descend()
            term = TypeHint(hint, read_simple_term(c))
            c.ascend()
            return term
    return read_tuple(c)


def _type_hint(c: Cursor) -> str:
    """`(type)` before a term."""
    c.expect("'('")
    text = read_type(c)
    c.expect("')'")
    c.require(TERM_START)
    if c.kind == "'-'":
        raise c.no_viable()
    return text


def _list(c: Cursor) -> ListTerm:
    c.advance()
    items: list[Term] = []
    if c.kind != "']'":
        items.append(read_term(c))
        while c.accept("','"):
            items.append(read_term(c))
    c.expect("']'")
    return ListTerm(tuple(items))


def _braces(c: Cursor) -> Term:
    if c.peek() == "'}'":
        c.advance()
        c.advance()
        return SetTerm(())
    if c.peek() in NAME_START and c.peek(2) == "':'":
        return _user_type(c)
    c.advance()
    first = read_term(c)
    if c.kind == "':'":
        return _map_from(c, first)
    items = [first]
    while c.accept("','"):
        items.append(read_term(c))
    c.expect("'}'")
    return SetTerm(tuple(items))


def _map_from(c: Cursor, key: Term) -> MapTerm:
    c.expect("':'")
    entries = [(key, read_term(c))]
    while c.accept("','"):
        key = read_term(c)
        c.expect("':'")
        entries.append((key, read_term(c)))
    c.expect("'}'")
    return MapTerm(tuple(entries))


def _user_type(c: Cursor) -> UserTypeTerm:
    fields: dict[str, Term] = {}
    c.advance()
    while True:
        name = read_name(c)
        c.expect("':'")
        fields[name] = read_term(c)
        if not c.accept("','"):
            break
    c.expect("'}'")
    return UserTypeTerm(tuple(fields.items()))


_BRACKETS: Final = {"'('": _parenthesised, "'['": _list, "'{'": _braces}

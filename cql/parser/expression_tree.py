"""Names, expressions, relations and conditions, as they were written."""

from __future__ import annotations

from enum import Enum

from storage.values import value_class


class Operator(Enum):
    """What stands between the two sides of a relation or a condition; the value is how it is
    written.
    """

    EQ = "="
    NEQ = "!="
    LT = "<"
    LTE = "<="
    GT = ">"
    GTE = ">="
    IN = "IN"
    NOT_IN = "NOT IN"
    CONTAINS = "CONTAINS"
    CONTAINS_KEY = "CONTAINS KEY"
    NOT_CONTAINS = "NOT CONTAINS"
    NOT_CONTAINS_KEY = "NOT CONTAINS KEY"
    LIKE = "LIKE"
    IS_NOT = "IS NOT"
    IS = "IS"


# ---------------------------------------------------------------- names


@value_class
class QualifiedName:
    """A name of a table, type, index, function or view, with its keyspace where one was written."""

    keyspace: str | None
    name: str


# ---------------------------------------------------------------- expressions


@value_class
class Literal:
    """A constant. `kind` is string, integer, float, boolean, uuid, hex or duration; `text` is
    without quotes.
    """

    kind: str
    text: str


@value_class
class Null:
    """The word NULL."""


@value_class
class Marker:
    """A bind marker; `index` counts all markers of the whole statement, two uses of one name are
    two markers.
    """

    index: int
    name: str | None = None


@value_class
class ListTerm:
    """`[a, b]`: a list or a vector."""

    items: tuple[Expression, ...]


@value_class
class SetTerm:
    """`{a, b}`. `{}` is a SetTerm too, although the receiver may be a map."""

    items: tuple[Expression, ...]


@value_class
class MapTerm:
    """`{a: b}` with at least one entry, at least one key of which is not a plain name."""

    entries: tuple[tuple[Expression, Expression], ...]


@value_class
class TupleTerm:
    """`(a, b)`. Around a selector, parentheses with one item may only group: `TupleTerm((a,))`."""

    items: tuple[Expression, ...]


@value_class
class UserTypeTerm:
    """`{field: value}`."""

    fields: tuple[tuple[str, Expression], ...]


@value_class
class FunctionCall:
    """`[ks.]name(args)`; `token(...)`, `count(x)`, `toJson(...)` come as ordinary calls."""

    keyspace: str | None
    name: str
    args: tuple[Expression, ...]


@value_class
class TypeHint:
    """`(type) term`."""

    type_text: str
    term: Expression


@value_class
class Cast:
    """`CAST(operand AS type)`."""

    operand: Expression
    type_text: str


@value_class
class Binary:
    """`left op right`, op one of + - * / %."""

    operator: str
    left: Expression
    right: Expression


@value_class
class Negate:
    """`-operand`, where the operand is not a number literal."""

    operand: Expression


@value_class
class Column:
    """A column by its name."""

    name: str


@value_class
class Count:
    """`count(*)`, and `count(1)` which means the same."""


@value_class
class Field:
    """`operand.field` of a user type."""

    operand: Expression
    field: str


@value_class
class Element:
    """`operand[key]` of a map, set or list."""

    operand: Expression
    key: Expression


@value_class
class ElementSlice:
    """`operand[start..end]`; a missing bound is None."""

    operand: Expression
    start: Expression | None
    end: Expression | None


@value_class
class WritetimeOrTtl:
    """`writetime(x)`, `maxwritetime(x)` or `ttl(x)`; `function` is that name, `operand` a Column,
    Element, slice or Field.
    """

    function: str
    operand: Expression


Expression = (
    Literal
    | Null
    | Marker
    | ListTerm
    | SetTerm
    | MapTerm
    | TupleTerm
    | UserTypeTerm
    | FunctionCall
    | TypeHint
    | Cast
    | Binary
    | Negate
    | Column
    | Count
    | Field
    | Element
    | ElementSlice
    | WritetimeOrTtl
)

Term = Expression


@value_class
class InList:
    """`(a, b, c)` after IN; `IN ?` is a Marker instead."""

    items: tuple[Term, ...]


@value_class
class Columns:
    """`(a, b)` on the left of a multi-column relation."""

    names: tuple[str, ...]


@value_class
class Token:
    """`token(a, b)` on the left of a relation."""

    names: tuple[str, ...]


@value_class
class Relation:
    """One part of a WHERE clause. An Element's operand is a Column; after IN the value is an InList
    or a Marker.
    """

    target: Column | Element | Columns | Token
    operator: Operator
    value: Term | InList


@value_class
class CustomExpression:
    """`expr(index, term)` in a WHERE clause."""

    index: QualifiedName
    term: Term


@value_class
class Condition:
    """One part of an IF clause. Element's and Field's operands are Columns; after IN the value is
    an InList or a Marker.
    """

    target: Column | Element | Field
    operator: Operator
    value: Term | InList


@value_class
class Selector:
    """One selected expression, with its alias."""

    expression: Expression
    alias: str | None = None

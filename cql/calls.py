"""Function calls, casts and arithmetic: which function is meant, and how its arguments are found.

The same calls stand in terms (values for a receiver, without a row) and in the selection. A
*compiler* knows which of the two it is: it compiles what has a type by itself, and makes slots of
terms that take the type of the parameter they are given to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from cql.assemble import FetchedRow
from cql.bind import Binding, Slot
from cql.errors import InvalidRequest
from cql.function import Argument, Context, Function, Match
from cql.functions import (
    find_cast,
    find_function,
    find_negation,
    find_operation,
    is_aggregate,
)
from cql.functions_bytes import token_function
from cql.parser import tree
from cql.protocol.requests import UNSET
from cql.results import ColumnSpec
from cql.schema import Table
from cql.selection import Aggregate, Evaluate, Frame
from cql.types.catalog import CqlType
from cql.wording import text_of
from storage.values import replace, value_class

if TYPE_CHECKING:
    from cql.terms import Scope

_JSON_READERS = ("from_json", "fromjson")


@value_class
class Compiled:
    """An expression: the name of its column, its type, and how to compute it."""

    name: str
    type: CqlType
    evaluate: Evaluate


class Compiler(Protocol):
    """Where a call stands: what columns and aggregates mean there."""

    @property
    def table(self) -> Table | None:
        """The statement's table."""

    @property
    def is_selection(self) -> bool:
        """Whether rows are at hand."""

    def compile(self, expression: tree.Expression) -> Compiled:
        """An expression whose type is known by itself."""

    def slot(self, term: tree.Term, name: str, type_: CqlType) -> Slot:
        """The slot of a term that takes its type from where it stands."""

    def aggregate(self, aggregate: Aggregate) -> Evaluate:
        """Add an aggregate; its result."""

    def parse_type(self, text: str) -> CqlType:
        """The type named in a hint."""


def slot_value(slot: Slot, frame: Frame) -> bytes | None:
    """The bound value of a term inside an expression."""
    value = slot.resolve(frame.binding)
    if value is UNSET:
        raise InvalidRequest("Invalid unset value for argument in call to function")
    result: bytes | None = value
    return result


def compile_call(
    expression: tree.FunctionCall | tree.Cast | tree.Binary | tree.Negate,
    compiler: Compiler,
    receiver: CqlType | None = None,
) -> Compiled:
    """The computation of a call, cast or arithmetic."""
    match expression:
        case tree.FunctionCall(keyspace, name, args):
            return _call(keyspace, name.lower(), args, compiler, receiver)
        case tree.Cast(operand, type_text):
            return _cast(operand, type_text, compiler)
        case tree.Binary(operator, left, right):
            parts = [_Operand(left, compiler), _Operand(right, compiler)]
            arguments = [part.argument for part in parts]
            function = find_operation(operator, arguments[0], arguments[1], receiver)
            return _applied(function, parts, compiler)
        case tree.Negate(operand):
            part = _Operand(operand, compiler)
            return _applied(find_negation(part.argument, receiver), [part], compiler)


def _call(
    keyspace: str | None,
    name: str,
    args: Sequence[tree.Expression],
    compiler: Compiler,
    receiver: CqlType | None,
) -> Compiled:
    if compiler.is_selection and name in _JSON_READERS:
        raise InvalidRequest(
            f"{name}() cannot be used in the selection clause of a SELECT statement"
        )
    if is_aggregate(keyspace, name) and not compiler.is_selection:
        raise InvalidRequest("Aggregation function are not supported in the where clause")
    parts = [_Operand(arg, compiler) for arg in args]
    table = compiler.table
    if name == "token" and keyspace in (None, "system") and table is not None:
        function = token_function(tuple(column.type for column in table.partition_key))
        if len(args) != len(table.partition_key):
            raise InvalidRequest(
                "Invalid number of arguments in call to function system.token: "
                f"{len(table.partition_key)} required but {len(args)} provided"
            )
    else:
        arguments = [part.argument for part in parts]
        function = find_function(keyspace, name, arguments, receiver)
    return _applied(function, parts, compiler)


def _cast(operand: tree.Expression, type_text: str, compiler: Compiler) -> Compiled:
    part = _Operand(operand, compiler)
    function = find_cast(part.argument, type_text)
    if function is None:
        assert part.compiled is not None, "only a typed operand is of the type already"
        shown = part.compiled
        return replace(shown, name=f"cast({shown.name} as {type_text.strip().lower()})")
    return _applied(function, [part], compiler)


class _Operand:
    """One argument: compiled when its type is known by itself, a term to be prepared otherwise."""

    def __init__(self, expression: tree.Expression, compiler: Compiler) -> None:
        if isinstance(expression, tree.TupleTerm) and len(expression.items) == 1:
            expression = expression.items[0]
        self.expression = expression
        self.compiled: Compiled | None = None
        self.argument = self._argument(expression, compiler)

    def _argument(self, expression: tree.Expression, compiler: Compiler) -> Argument:
        from cql.terms import accepts

        shown = text_of(expression)
        match expression:
            case tree.Literal(kind, text):
                return Argument(shown, kind=kind, constant=text)
            case tree.Null() | tree.Marker():
                return Argument(shown)
            case tree.TypeHint(type_text, _):
                return Argument(shown, type=compiler.parse_type(type_text))
            case (
                tree.ListTerm()
                | tree.SetTerm()
                | tree.MapTerm()
                | tree.TupleTerm()
                | tree.UserTypeTerm()
            ):
                return Argument(shown, accepts=lambda wanted: accepts(expression, wanted))
        self.compiled = compiler.compile(expression)
        return Argument(self.compiled.name, self.compiled.type)

    def evaluate(self, function: Function, index: int, compiler: Compiler) -> Evaluate:
        """How to compute the argument of a function."""
        if self.compiled is not None:
            return self.compiled.evaluate
        name = f"arg{index}(system.{function.name})"
        slot = compiler.slot(self.expression, name, function.argument_types[index])
        return lambda row, frame: slot_value(slot, frame)


def _applied(function: Function, parts: Sequence[_Operand], compiler: Compiler) -> Compiled:
    """The call of a function with its arguments."""
    evaluates = tuple(part.evaluate(function, i, compiler) for i, part in enumerate(parts))
    name = function.title([part.argument.text for part in parts])
    if function.aggregate is not None:
        found = function.aggregate
        aggregate = Aggregate(found.start, evaluates, found.add, found.finish)
        return Compiled(name, function.return_type, compiler.aggregate(aggregate))

    def evaluate(row: FetchedRow, frame: Frame) -> bytes | None:
        return function.call(context_of(frame), [part(row, frame) for part in evaluates])

    return Compiled(name, function.return_type, evaluate)


def context_of(frame: Frame) -> Context:
    """Time and chance for the calls of one execution."""
    if frame.context is None:
        frame.context = Context(frame.binding.moment, frame.binding.environment)
    return frame.context


# -------------------------------------------------------------------- terms


class _TermCompiler:
    """Calls in terms: there is no row, so columns mean nothing."""

    is_selection = False

    def __init__(self, receiver: ColumnSpec, scope: Scope) -> None:
        self._receiver = receiver
        self._scope = scope
        self.table = scope.schema.find_table(receiver.keyspace, receiver.table)

    def compile(self, expression: tree.Expression) -> Compiled:
        if isinstance(expression, tree.FunctionCall | tree.Cast | tree.Binary | tree.Negate):
            return compile_call(expression, self)
        raise InvalidRequest(f"{text_of(expression)} cannot be used as a value")

    def slot(self, term: tree.Term, name: str, type_: CqlType) -> Slot:
        from cql.terms import prepare

        spec = ColumnSpec(self._receiver.keyspace, self._receiver.table, name, type_)
        return prepare(term, spec, self._scope)

    def aggregate(self, aggregate: Aggregate) -> Evaluate:
        raise InvalidRequest("Aggregation function are not supported in the where clause")

    def parse_type(self, text: str) -> CqlType:
        return self._scope.parse_type(text)


NO_ROW = FetchedRow(b"", b"", [], None, None)


def prepare_term(
    term: tree.FunctionCall | tree.Cast | tree.Binary | tree.Negate,
    receiver: ColumnSpec,
    scope: Scope,
) -> Slot:
    """The slot of a computed term."""
    compiled = compile_call(term, _TermCompiler(receiver, scope), receiver.type)
    if Argument("", compiled.type).match(receiver.type) is Match.NONE:
        name = compiled.name.partition("(")[0]
        raise InvalidRequest(
            f"Type error: cannot assign result of function {name} (type {compiled.type}) "
            f"to {receiver.name} (type {receiver.type})"
        )
    evaluate = compiled.evaluate

    def compute(binding: Binding) -> bytes | None:
        return evaluate(NO_ROW, Frame(binding))

    return Slot.of_expression(receiver.type, compute)

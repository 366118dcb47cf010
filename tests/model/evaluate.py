"""Selected expressions over one row, evaluated in the plainest way, for tests of functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cql.errors import InvalidRequest
from cql.functions import (
    Argument,
    Context,
    Function,
    find_cast,
    find_function,
    find_negation,
    find_operation,
)
from cql.parser import tree
from cql.parser.grammar import parse
from cql.types.catalog import CqlType, VectorType
from tests.model.terms import value_of


@dataclass(frozen=True, slots=True)
class Result:
    """A value with its type and the title of its column."""

    type: CqlType
    value: bytes | None
    title: str


class Evaluator:
    """Evaluates expressions over a row given as column -> (type, value)."""

    def __init__(self, row: Mapping[str, tuple[CqlType, bytes | None]], context: Context) -> None:
        self._row = row
        self._context = context

    def select(self, expression: str) -> Result:
        """The value of the text of a selector."""
        statement = parse(f"SELECT {expression} FROM t")
        assert isinstance(statement, tree.Select)
        return self._evaluate(statement.selectors[0].expression)

    def _evaluate(self, node: tree.Expression) -> Result:
        if isinstance(node, tree.Column):
            return Result(*self._row[node.name], node.name)
        if isinstance(node, tree.Count):
            return self._apply(find_function(None, "count_rows", ()), ())
        if isinstance(node, tree.FunctionCall):
            found = find_function(
                node.keyspace, node.name.lower(), [self._argument(a) for a in node.args]
            )
            return self._apply(found, node.args)
        if isinstance(node, tree.Binary):
            left, right = self._argument(node.left), self._argument(node.right)
            return self._apply(find_operation(node.operator, left, right), (node.left, node.right))
        if isinstance(node, tree.Negate):
            return self._apply(find_negation(self._argument(node.operand)), (node.operand,))
        assert isinstance(node, tree.Cast), f"{node} is not a function"
        cast = find_cast(self._argument(node.operand), node.type_text)
        if cast is None:
            return self._evaluate(node.operand)
        return self._apply(cast, (node.operand,))

    def _argument(self, node: tree.Expression) -> Argument:
        if isinstance(node, tree.Literal):
            shown = f"'{node.text}'" if node.kind == "string" else node.text
            return Argument(shown, kind=node.kind, constant=node.text)
        if isinstance(node, tree.ListTerm):
            return Argument("[...]", accepts=lambda wanted: isinstance(wanted, VectorType))
        result = self._evaluate(node)
        return Argument(result.title, result.type)

    def _apply(self, function: Function, nodes: Sequence[tree.Expression]) -> Result:
        values, titles = [], []
        for node, wanted in zip(nodes, function.argument_types, strict=True):
            if isinstance(node, tree.Literal | tree.ListTerm):
                values.append(value_of(wanted, node))
                titles.append(_text(node))
            else:
                result = self._evaluate(node)
                values.append(result.value)
                titles.append(result.title)
        title = function.title(titles)
        if function.aggregate is not None:
            state = function.aggregate.add(function.aggregate.start(), values)
            return Result(function.return_type, function.aggregate.finish(state), title)
        return Result(function.return_type, function.call(self._context, values), title)


def _text(node: tree.Expression) -> str:
    if isinstance(node, tree.Literal):
        return f"'{node.text}'" if node.kind == "string" else node.text
    if isinstance(node, tree.ListTerm):
        return f"[{', '.join(map(_text, node.items))}]"
    raise InvalidRequest(f"{node} is no constant")

"""Selected expressions that must be computed: functions, casts, elements, write times, aggregates."""

from __future__ import annotations

from dataclasses import dataclass

from cql.errors import InvalidRequest
from cql.parser import tree
from cql.selection import Aggregate, Evaluate, Fetch
from cql.terms import Scope
from cql.types.catalog import BIGINT, CqlType
from cql.wording import text_of


@dataclass(frozen=True, slots=True)
class Compiled:
    """A selected expression: its column's name and type, and how to compute it."""

    name: str
    type: CqlType
    evaluate: Evaluate


def select_expression(
    expression: tree.Expression, fetch: Fetch, aggregates: list[Aggregate], scope: Scope
) -> Compiled:
    """The computation of `expression`; what it reads is added to `fetch` and `aggregates`."""
    if isinstance(expression, tree.Count):
        index = len(aggregates)
        aggregates.append(_COUNT)
        return Compiled("count", BIGINT, lambda row, frame: frame.aggregates[index])
    raise InvalidRequest(f"{text_of(expression)} is not supported yet")


_COUNT = Aggregate(
    start=lambda: 0,
    arguments=(),
    add=lambda state, values: state + 1,
    finish=lambda state: state.to_bytes(8, "big"),
)

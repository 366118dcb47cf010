"""What a SELECT shows: fetched columns, and how each result column is computed from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cql.assemble import FetchedRow
from cql.bind import Binding
from cql.function import Context
from cql.results import ColumnSpec
from cql.schema import Column, Table
from cql.types.catalog import CqlType
from storage.values import value_class

KEY, CLUSTERING, STATIC, REGULAR = range(4)
_KINDS = {"partition_key": KEY, "clustering": CLUSTERING, "static": STATIC, "regular": REGULAR}


@dataclass(slots=True)
class Frame:
    """What an expression may use besides the row: bound values and the results of aggregates."""

    binding: Binding
    aggregates: Sequence[Any] = ()
    context: Context | None = None


Evaluate = Callable[[FetchedRow, Frame], "bytes | None"]


class Fetch:
    """The columns that a SELECT reads, each once, in the order in which they were asked for."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns: list[Column] = []
        self._index: dict[str, int] = {}
        self.needs_times = False

    def index_of(self, column: Column) -> int:
        """The position of the column's value in a fetched row."""
        if column.name not in self._index:
            self._index[column.name] = len(self.columns)
            self.columns.append(column)
        return self._index[column.name]

    def layout(self) -> tuple[tuple[int, int, CqlType], ...]:
        """What the assembler must know: (kind, position or column id, type)."""
        return tuple(
            (_KINDS[c.kind], c.position if c.is_key else c.id, c.type) for c in self.columns
        )

    def cell_ids(self) -> frozenset[int]:
        """Ids of the columns that are cells."""
        return frozenset(c.id for c in self.columns if not c.is_key)


@value_class
class Aggregate:
    """One call of an aggregate function: how to start, add a row's arguments, and finish."""

    start: Callable[[], Any]
    arguments: tuple[Evaluate, ...]
    add: Callable[[Any, list[bytes | None]], Any]
    finish: Callable[[Any], bytes | None]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a SELECT shows.

    `outputs` are fetched columns, when nothing must be computed; `expressions` otherwise compute
    the result columns, after `aggregates` when there are any.
    """

    specs: tuple[ColumnSpec, ...]
    layout: tuple[tuple[int, int, CqlType], ...]
    outputs: tuple[int, ...] | None
    expressions: tuple[Evaluate, ...] = ()
    aggregates: tuple[Aggregate, ...] = field(default=())
    needs_times: bool = False

    @property
    def is_aggregate(self) -> bool:
        """Whether rows are summed up."""
        return bool(self.aggregates)


def column_value(index: int) -> Evaluate:
    """The expression that shows a fetched column."""
    return lambda row, frame: row.values[index]

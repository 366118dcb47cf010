"""Rows -> groups: the running state of aggregates, in memory that does not grow with the rows."""

from __future__ import annotations

from typing import Any

from cql.assemble import FetchedRow
from cql.bind import Binding
from cql.plan import GroupKey
from cql.selection import Frame, Selection


class GroupedRows:
    """Takes rows in key order and gives the result row of each group when the next one begins.

    `resumed` is a partition and how many of its groups an earlier page has shown.
    """

    def __init__(
        self,
        selection: Selection,
        group: GroupKey | None,
        binding: Binding,
        partition_limit: int = 0,
        resumed: tuple[bytes, int] = (b"", 0),
    ) -> None:
        self._selection = selection
        self._group = group
        self._frame = Frame(binding)
        self._limit = partition_limit
        self._name: Any = None
        self._first: FetchedRow | None = None
        self._states: list[Any] = []
        self._partition, self._given = resumed
        self.last_row: FetchedRow | None = None

    def add(self, row: FetchedRow) -> list[bytes | None] | None:
        """Count a row in; the result row of the group before it, if that one has ended."""
        shown = None
        name = self._name_of(row)
        if self._first is None or name != self._name:
            if self._first is not None:
                shown = self._show()
            self._start(row, name)
        self.last_row = row
        for i, aggregate in enumerate(self._selection.aggregates):
            values = [argument(row, self._frame) for argument in aggregate.arguments]
            self._states[i] = aggregate.add(self._states[i], values)
        return shown

    def finish(self, columns: int) -> list[bytes | None] | None:
        """The last group's row; without GROUP BY there is one even if no row came."""
        if self._first is None:
            if self._group is not None:
                return None
            nothing: list[Any] = [None] * columns
            self._start(FetchedRow(b"", b"", nothing, nothing, nothing), None)
        return self._show()

    def given_in(self, key: bytes) -> int:
        """Groups already shown of that partition."""
        return self._given if key == self._partition else 0

    def _name_of(self, row: FetchedRow) -> Any:
        if self._group is None:
            return None
        return row.key, tuple(row.values[i] for i in self._group.fetched)

    def _start(self, row: FetchedRow, name: Any) -> None:
        self._name, self._first = name, row
        self._states = [aggregate.start() for aggregate in self._selection.aggregates]

    def _show(self) -> list[bytes | None] | None:
        assert self._first is not None, "a group has a row"
        if self._first.key != self._partition:
            self._partition, self._given = self._first.key, 0
        if self._limit and self._given >= self._limit:
            return None
        self._given += 1
        self._frame.aggregates = [
            aggregate.finish(state)
            for aggregate, state in zip(self._selection.aggregates, self._states, strict=True)
        ]
        return [evaluate(self._first, self._frame) for evaluate in self._selection.expressions]

"""Runs conditional writes: reads the rows, decides, and shows what stood in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cql.assemble import Assembler, FetchedRow
from cql.bind import Binding
from cql.conditions import merged_columns
from cql.errors import InvalidRequest
from cql.plan import WritePlan
from cql.results import ColumnSpec, Rows
from cql.schema import Column, Table
from cql.selection import Fetch
from cql.types.catalog import BOOLEAN
from cql.writing import (
    STATIC,
    add_changes,
    elements_in,
    keys_of,
    rows_of,
    slice_of_rows,
    stored_row,
)
from storage.mutation import Mutation, MutationBuilder
from storage.row import timestamps
from storage.slice import Page, Slice

APPLIED = "[applied]"
_TRUE = b"\x00\x00\x00\x01\x01"


@dataclass(slots=True)
class Part:
    """One statement of a conditional batch, bound."""

    plan: WritePlan
    binding: Binding


class ConditionalWrite:
    """One conditional statement or batch: all its conditions hold, or nothing is written."""

    def __init__(self, parts: Sequence[Part], *, in_batch: bool) -> None:
        self._parts = parts
        self._in_batch = in_batch
        self.table: Table = parts[0].plan.table
        keys = {key for part in parts for key in keys_of(part.plan, part.binding)}
        if len(keys) != 1:
            raise InvalidRequest("Batch with conditions cannot span multiple partitions")
        self._key = keys.pop()
        self._fetch = Fetch(self.table)
        for column in self.table.all_columns:
            self._fetch.index_of(column)

    def slice(self) -> Slice:
        """The rows that the conditions are about."""
        plan = self._parts[0].plan
        rows = [row for part in self._parts for row in self._rows_of(part)]
        statics = any(
            part.plan.conditions is not None and part.plan.conditions.on_static_columns
            for part in self._parts
        )
        if self.table.static and statics and STATIC not in rows:
            return Slice(plan.table_id, key=self._key, ranges=((b"\x01", b""),))
        if STATIC in rows and len(set(rows)) > 1 and self.table.clustering:
            return Slice(plan.table_id, key=self._key, ranges=((b"\x01", b""),))
        return slice_of_rows(plan, self._key, rows)

    def _rows_of(self, part: Part) -> list[bytes]:
        """Clusterings of the rows that a part asks or changes."""
        plan = part.plan
        if plan.row is None and (plan.static_row is not None or plan.clustering.is_whole):
            return [STATIC]
        if plan.clustering.fixed_columns < len(self.table.clustering):
            return []
        return [clustering for clustering, _ in rows_of(plan, part.binding)]

    def decide(self, page: Page) -> Mutation | None:
        """The mutation to apply, or None when a condition does not hold."""
        for part in self._parts:
            if part.plan.conditions is not None and not self._holds(part, page):
                return None
        builder = MutationBuilder(self._parts[0].plan.table_id, self._key)
        newest = _newest(page)
        for part in self._parts:
            binding = part.binding
            binding.timestamp_us = max(binding.timestamp_us, newest + 1)
            if part.plan.needs_read:
                rows = self._rows_of(part) or [STATIC]
                row = stored_row(page, rows[0], bool(self.table.clustering))
                binding.found = elements_in(row, self.table) if row else {}
            add_changes(part.plan, binding, builder)
        return builder.finish()

    def _holds(self, part: Part, page: Page) -> bool:
        conditions = part.plan.conditions
        assert conditions is not None, "only conditional parts are asked"
        rows = self._fetched(page, part.binding)
        for clustering in self._rows_of(part) or [STATIC]:
            row = _find(rows, clustering)
            exists = bool(stored_row(page, clustering, bool(self.table.clustering)))
            if row is None and self.table.static and rows:
                row = _static_view(rows[0], self._fetch.columns)
            values = self._by_name(row)
            if not conditions.hold(exists, values, part.binding):
                return False
        return True

    def _by_name(self, row: FetchedRow | None) -> dict[str, Any]:
        if row is None:
            return {}
        return {
            column.name: value
            for column, value in zip(self._fetch.columns, row.values, strict=True)
        }

    def _assembler(self, outputs: tuple[int, ...], binding: Binding) -> Assembler:
        codec = self._parts[0].plan.codec
        return Assembler(
            self._fetch.layout(),
            outputs,
            len(self.table.partition_key),
            codec,
            codec.is_lossy,
            self.table.is_counter,
            False,
            binding.wall_s,
        )

    def _fetched(self, page: Page, binding: Binding) -> list[FetchedRow]:
        assembler = self._assembler((), binding)
        rows: list[FetchedRow] = []
        for partition in page.partitions:
            rows += assembler.fetch_partition(partition)
        return rows

    # ---------------------------------------------------------------- the answer

    def result(self, applied: bool, page: Page) -> Rows:
        """`[applied]`, and the current values when the answer is no."""
        spec = ColumnSpec(self.table.keyspace, self.table.name, APPLIED, BOOLEAN)
        if applied:
            return Rows((spec,), 1, _TRUE, is_conditional=True)
        columns = self._shown_columns()
        rows = self._shown_rows(page)
        if not rows:
            return Rows((spec,), 1, _TRUE[:4] + b"\x00", is_conditional=True)
        assembler = self._assembler((), self._parts[0].binding)
        indexes = [self._fetch.index_of(column) for column in columns]
        for row in rows:
            assembler.add_values([b"\x00", *(row.values[i] for i in indexes)])
        data, count = assembler.take()
        shown = tuple(
            ColumnSpec(self.table.keyspace, self.table.name, c.name, c.type) for c in columns
        )
        return Rows((spec, *shown), count, data, is_conditional=True)

    def _shown_columns(self) -> tuple[Column, ...]:
        conditions = [p.plan.conditions for p in self._parts if p.plan.conditions is not None]
        columns = merged_columns(conditions)
        if columns is None:
            return self.table.all_columns
        if self._in_batch:
            key = self.table.partition_key + self.table.clustering
            return tuple(dict.fromkeys(key + columns))
        return columns

    def _shown_rows(self, page: Page) -> list[FetchedRow]:
        """The rows that conditions ask about and that exist, in clustering order."""
        rows = self._fetched(page, self._parts[0].binding)
        wanted = {
            clustering
            for part in self._parts
            if part.plan.conditions is not None
            for clustering in self._rows_of(part)
        }
        found = [row for row in rows if row.clustering in wanted]
        if found or not rows:
            return found
        statics = any(
            part.plan.conditions is not None
            and (part.plan.conditions.on_static_columns or part.plan.row is None)
            for part in self._parts
        )
        has_static = any(partition.static_row for partition in page.partitions)
        if self.table.static and statics and has_static:
            return [_static_view(rows[0], self._fetch.columns)]
        return []


def _find(rows: Sequence[FetchedRow], clustering: bytes) -> FetchedRow | None:
    return next((row for row in rows if row.clustering == clustering), None)


def _static_view(row: FetchedRow, columns: Sequence[Column]) -> FetchedRow:
    """What a row that does not exist shares with its partition."""
    values = [
        value if column.kind in ("partition_key", "static") else None
        for column, value in zip(columns, row.values, strict=True)
    ]
    return FetchedRow(row.key, b"", values, None, None)


def _newest(page: Page) -> int:
    """The highest write timestamp among the rows read; a decided write must be later."""
    newest = 0
    for partition in page.partitions:
        for row in (partition.static_row, *partition.rows):
            span = timestamps(row) if row else None
            if span is not None:
                newest = max(newest, span[1])
    return newest

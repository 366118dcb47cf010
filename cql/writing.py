"""Runs INSERT, UPDATE and DELETE: a plan and its values -> mutations, after reading if need be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from cql.assemble import sort_elements
from cql.bind import Binding, RowTemplate, pack_clustering
from cql.errors import InvalidRequest
from cql.plan import TimeSlots, WritePlan
from cql.protocol.requests import UNSET
from cql.schema import Table
from cql.steps import Steps
from storage.mutation import Mutation, MutationBuilder
from storage.row import CellCursor, RowBuilder
from storage.slice import Page, Slice

TTL_MAX = 20 * 365 * 24 * 3600
TIMESTAMP_MIN = -(1 << 63) + 1
STATIC = b""

Read = Callable[[Table, Slice], "Page | Awaitable[Page]"]


def set_times(plan: WritePlan, times: TimeSlots, binding: Binding) -> None:
    """Take timestamp and TTL from USING, the table's default otherwise."""
    if times.timestamp is not None:
        timestamp = times.timestamp.resolve(binding)
        if timestamp is None:
            raise InvalidRequest("Invalid null value of timestamp")
        if timestamp is not UNSET:
            number = int.from_bytes(timestamp, "big", signed=True)
            binding.timestamp_us = max(number, TIMESTAMP_MIN)
    binding.ttl = plan.table.options.default_time_to_live
    if times.ttl is not None:
        ttl = times.ttl.resolve(binding)
        if ttl is not UNSET:
            binding.ttl = 0 if ttl is None else int.from_bytes(ttl, "big", signed=True)
    check_ttl(binding.ttl)


def check_ttl(ttl: int) -> None:
    """Refuse lifetimes that cannot be."""
    if ttl < 0:
        raise InvalidRequest(f"A TTL must be greater or equal to 0, but was {ttl}")
    if ttl > TTL_MAX:
        raise InvalidRequest(f"ttl is too large. requested ({ttl}) maximum ({TTL_MAX})")


def keys_of(plan: WritePlan, binding: Binding) -> list[bytes]:
    """The partitions which the statement writes to."""
    return plan.key.keys(binding)


def mutations_of(plan: WritePlan, binding: Binding) -> list[Mutation]:
    """The mutations of a statement that needs no read: one for each partition."""
    if plan.one is not None:
        return [plan.one.bind(binding)]
    result = []
    for key in keys_of(plan, binding):
        builder = MutationBuilder(plan.table_id, key)
        add_changes(plan, binding, builder)
        result.append(builder.finish())
    return result


def add_changes(plan: WritePlan, binding: Binding, builder: MutationBuilder) -> None:
    """Add what the statement does to one partition."""
    if plan.deletes_rows:
        _add_deletions(plan, binding, builder)
        return
    if plan.row is not None:
        for clustering, values in rows_of(plan, binding):
            raw = pack_clustering(values) if plan.row.lossy else b""
            _add_row(plan.row, clustering, raw, binding, builder)
    if plan.static_row is not None:
        _add_row(plan.static_row, STATIC, b"", binding, builder)


def rows_of(plan: WritePlan, binding: Binding) -> list[tuple[bytes, list[bytes]]]:
    """The rows which the statement names, as clustering bytes and values."""
    return plan.clustering.prefix_values(binding)


def _add_row(
    template: RowTemplate, clustering: bytes, raw: bytes, binding: Binding, builder: MutationBuilder
) -> None:
    row = template.bind(binding, raw)
    if row:
        builder.row(clustering, row)


def _add_deletions(plan: WritePlan, binding: Binding, builder: MutationBuilder) -> None:
    timestamp, wall_s = binding.timestamp_us, binding.wall_s
    if plan.clustering.is_whole:
        builder.delete_partition(timestamp, wall_s)
        return
    if plan.clustering.fixed_columns == len(plan.table.clustering):
        for clustering, _ in rows_of(plan, binding):
            row = RowBuilder()
            row.begin(timestamp, False)
            row.delete_row(timestamp, wall_s)
            builder.row(clustering, row.finish())
        return
    for start, end in plan.clustering.ranges(binding):
        builder.range_tombstone(start, end, timestamp, wall_s)


# -------------------------------------------------------------------- reading before writing


def mutations_after_reading(plan: WritePlan, binding: Binding, read: Read) -> Steps[list[Mutation]]:
    """The mutations of a statement whose list operations depend on what is stored."""
    result = []
    for key in keys_of(plan, binding):
        rows = [clustering for clustering, _ in rows_of(plan, binding)] if plan.row else []
        if plan.static_row is not None:
            rows.append(STATIC)
        page = yield read(plan.table, slice_of_rows(plan, key, rows))
        builder = MutationBuilder(plan.table_id, key)
        for clustering, values in rows_of(plan, binding) if plan.row else []:
            assert plan.row is not None, "the loop is over its rows"
            binding.found = stored_elements(plan, page, clustering)
            raw = pack_clustering(values) if plan.row.lossy else b""
            _add_row(plan.row, clustering, raw, binding, builder)
        if plan.static_row is not None:
            binding.found = stored_elements(plan, page, STATIC)
            _add_row(plan.static_row, STATIC, b"", binding, builder)
        result.append(builder.finish())
    return result


def slice_of_rows(plan: WritePlan, key: bytes, rows: list[bytes]) -> Slice:
    """The rows of a partition as they are stored, all their columns; `STATIC` is one of them."""
    if not plan.table.clustering:
        return Slice(plan.table_id, key=key)
    if rows == [STATIC]:
        return Slice(plan.table_id, key=key, ranges=((b"\x01", b""),), distinct=True)
    ranges = tuple((row, row + b"\x00") for row in sorted(set(rows)))
    return Slice(plan.table_id, key=key, ranges=ranges, static=bool(plan.table.static))


def stored_row(page: Page, clustering: bytes, has_clustering: bool) -> bytes:
    """The bytes of one row of a page; empty when it is not there."""
    for partition in page.partitions:
        if clustering == STATIC and has_clustering:
            return partition.static_row
        for found, row in zip(partition.clusterings, partition.rows, strict=True):
            if found == clustering:
                return row
    return b""


def stored_elements(
    plan: WritePlan, page: Page, clustering: bytes
) -> dict[int, list[tuple[bytes, bytes]]]:
    """The elements of every collection in a row, by column id, in the collection's order."""
    row = stored_row(page, clustering, bool(plan.table.clustering))
    return elements_in(row, plan.table) if row else {}


def elements_in(row: bytes, table: Table) -> dict[int, list[tuple[bytes, bytes]]]:
    """The (path, value) cells of a row by column id."""
    found: dict[int, list[tuple[bytes, bytes]]] = {}
    types: dict[int, Any] = {c.id: c.type for c in table.regular + table.static}
    cursor = CellCursor()
    cursor.reset(row)
    while cursor.next():
        type_ = types.get(cursor.column)
        if type_ is not None and type_.is_multicell and not cursor.flags & 1:
            found.setdefault(cursor.column, []).append((cursor.path(), cursor.value()))
    for column, elements in found.items():
        sort_elements(types[column], elements)
    return found

"""INSERT, UPDATE, DELETE and BATCH -> WritePlan."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from cql.bind import KeyTemplate, OneRow, RowTemplate, SetCell, Slot
from cql.clustering import ClusteringRanges
from cql.conditions import Conditions, plan_conditions
from cql.errors import InvalidRequest
from cql.json_insert import json_slots
from cql.operations import Operation, SetCollection
from cql.parser import tree
from cql.plan import NO_TIMES, BatchPlan, TimeSlots, WriteKind, WritePlan
from cql.restrictions import KeyRestriction, Restrictions, analyse_for_write, find_column
from cql.results import ColumnSpec
from cql.schema import Column, Table
from cql.set_clause import deletion_of, operation_of, set_column, spec_of
from cql.terms import Scope, prepare
from cql.types.catalog import BIGINT, DURATION, INT
from cql.types.ordering import ClusteringCodec

Operations = list[tuple[Column, Operation]]


@lru_cache(maxsize=4096)
def _codec(columns: tuple[Column, ...]) -> ClusteringCodec:
    return ClusteringCodec([c.type for c in columns], [c.reversed for c in columns])


def codec_of(table: Table) -> ClusteringCodec:
    """The codec of the table's clustering columns."""
    return _codec(table.clustering)


def plan_times(attributes: tree.Attributes, table: Table, scope: Scope) -> TimeSlots:
    """The slots of USING."""
    where = (table.keyspace, table.name)
    if attributes == tree.Attributes():
        return NO_TIMES

    def slot(term: tree.Term | None, spec: ColumnSpec) -> Slot | None:
        return None if term is None else prepare(term, spec, scope)

    return TimeSlots(
        slot(attributes.timestamp, ColumnSpec(*where, "[timestamp]", BIGINT)),
        slot(attributes.ttl, ColumnSpec(*where, "[ttl]", INT)),
        slot(attributes.timeout, ColumnSpec(*where, "[timeout]", DURATION)),
    )


def plan_write(statement: tree.Modification, scope: Scope, *, in_batch: bool = False) -> WritePlan:
    """The plan of one modification."""
    table = scope.schema.get_table(statement.table.keyspace or scope.keyspace, statement.table.name)
    if table.is_virtual:
        raise InvalidRequest(f"Modification is not supported by table {table.full_name}")
    match statement:
        case tree.Insert() | tree.InsertJson():
            return _InsertPlanner(statement, table, scope).plan()
        case tree.Update():
            return _plan_update(statement, table, scope)
        case tree.Delete():
            return _plan_delete(statement, table, scope)


class _InsertPlanner:
    """One INSERT: key columns are the WHERE, the others the SET."""

    def __init__(
        self, statement: tree.Insert | tree.InsertJson, table: Table, scope: Scope
    ) -> None:
        self.statement = statement
        self.table = table
        self.scope = scope
        self.operations: Operations = []
        self.keys: dict[str, Slot] = {}

    def plan(self) -> WritePlan:
        statement, table = self.statement, self.table
        if table.is_counter:
            raise InvalidRequest(
                "INSERT statements are not allowed on counter tables, use UPDATE instead"
            )
        if isinstance(statement, tree.Insert):
            self._read_values(statement)
        else:
            self._read_json(statement)
        times = plan_times(statement.attributes, table, self.scope)
        self._check_keys()
        conditions = Conditions.not_exists(table) if statement.if_not_exists else None
        whole_key = all(c.name in self.keys for c in table.clustering)
        clustering = ClusteringRanges(table.clustering, codec_of(table), bool(table.static))
        if whole_key:
            for column in table.clustering:
                clustering.add_slot(column, self.keys[column.name])
        clustering.finish()
        key = KeyTemplate(
            tuple(self.keys[c.name] for c in table.partition_key),
            tuple(c.name for c in table.partition_key),
        )
        return _finish(
            WriteKind.INSERT,
            table,
            self.scope,
            (KeyRestriction(key), clustering),
            self.operations,
            times,
            conditions,
            writes_row=whole_key,
        )

    def _read_values(self, statement: tree.Insert) -> None:
        if len(statement.columns) != len(statement.values):
            for name in statement.columns:
                find_column(self.table, name)
            raise InvalidRequest("Unmatched column names/values")
        if len(set(statement.columns)) != len(statement.columns):
            raise InvalidRequest("The column names contains duplicates")
        for name, term in zip(statement.columns, statement.values, strict=True):
            column = find_column(self.table, name)
            if column.is_key:
                self.keys[name] = prepare(term, spec_of(column, self.table), self.scope)
            else:
                self.operations.append((column, set_column(column, term, self.table, self.scope)))

    def _read_json(self, statement: tree.InsertJson) -> None:
        slots = json_slots(statement, self.table, self.scope)
        for column in self.table.all_columns:
            slot = slots[column.name]
            if column.is_key:
                self.keys[column.name] = slot
            elif column.type.is_multicell:
                operation: Operation = SetCollection(column.id, column.name, column.type, slot)
                self.operations.append((column, operation))
            else:
                self.operations.append((column, SetCell(column.id, slot)))

    def _check_keys(self) -> None:
        table = self.table
        missing = [c.name for c in table.partition_key if c.name not in self.keys]
        if missing:
            raise InvalidRequest(f"Some partition key parts are missing: {', '.join(missing)}")
        missing = [c.name for c in table.clustering if c.name not in self.keys]
        static_only = bool(self.operations) and all(
            column.kind == "static" for column, _ in self.operations
        )
        if missing and not (static_only and len(missing) == len(table.clustering)):
            raise InvalidRequest(f"Some clustering keys are missing: {', '.join(missing)}")


def _plan_update(statement: tree.Update, table: Table, scope: Scope) -> WritePlan:
    times = plan_times(statement.attributes, table, scope)
    operations = [operation_of(part, table, scope) for part in statement.operations]
    restrictions = analyse_for_write(table, statement.where, scope, codec_of(table), "UPDATE")
    conditions = plan_conditions(statement, table, scope)
    clustering = restrictions.clustering
    static_only = _static_only(operations, conditions)
    _check_static(static_only, clustering, table, "UPDATE")
    if not static_only:
        if clustering.has_slice:
            raise InvalidRequest(
                "Slice restrictions are not supported on the clustering columns in UPDATE "
                "statements"
            )
        missing = table.clustering[clustering.fixed_columns :]
        if missing:
            names = ", ".join(column.name for column in missing)
            raise InvalidRequest(f"Some clustering keys are missing: {names}")
    _check_conditional(restrictions, conditions, "updates")
    return _finish(
        WriteKind.UPDATE,
        table,
        scope,
        (restrictions.key, clustering),
        operations,
        times,
        conditions,
        writes_row=not static_only,
    )


def _plan_delete(statement: tree.Delete, table: Table, scope: Scope) -> WritePlan:
    times = plan_times(statement.attributes, table, scope)
    operations = [deletion_of(part, table, scope) for part in statement.deletions]
    restrictions = analyse_for_write(table, statement.where, scope, codec_of(table), "DELETE")
    conditions = plan_conditions(statement, table, scope)
    clustering = restrictions.clustering
    static_only = _static_only(operations, conditions)
    _check_static(static_only, clustering, table, "DELETE")
    whole_rows = clustering.fixed_columns == len(table.clustering)
    if conditions is not None and not whole_rows:
        if any(column.kind == "regular" for column, _ in operations) or not operations:
            raise InvalidRequest(
                "DELETE statements must restrict all PRIMARY KEY columns with equality relations "
                "in order to delete non static columns"
            )
        if conditions.on_regular_columns:
            raise InvalidRequest(
                "DELETE statements must restrict all PRIMARY KEY columns with equality relations "
                "in order to use IF condition on non static columns"
            )
    if operations and not static_only and not whole_rows:
        raise InvalidRequest("Range deletions are not supported for specific columns")
    _check_conditional(restrictions, conditions, "deletions")
    return _finish(
        WriteKind.DELETE,
        table,
        scope,
        (restrictions.key, clustering),
        operations,
        times,
        conditions,
        writes_row=not static_only,
    )


def _static_only(operations: Operations, conditions: Conditions | None) -> bool:
    if not operations or any(column.kind != "static" for column, _ in operations):
        return False
    return conditions is None or not conditions.on_regular_columns


def _check_static(
    static_only: bool, clustering: ClusteringRanges, table: Table, statement: str
) -> None:
    if static_only and table.clustering and not clustering.is_whole:
        raise InvalidRequest(
            f"Invalid restrictions on clustering columns since the {statement} statement modifies "
            "only static columns"
        )


def _check_conditional(
    restrictions: Restrictions, conditions: Conditions | None, what: str
) -> None:
    if conditions is None:
        return
    if restrictions.key.template is None:
        raise InvalidRequest(f"IN on the partition key is not supported with conditional {what}")
    if restrictions.clustering.has_in:
        raise InvalidRequest(
            f"IN on the clustering key columns is not supported with conditional {what}"
        )


def _finish(
    kind: WriteKind,
    table: Table,
    scope: Scope,
    where: tuple[KeyRestriction, ClusteringRanges],
    operations: Operations,
    times: TimeSlots,
    conditions: Conditions | None,
    *,
    writes_row: bool,
) -> WritePlan:
    """Sort the operations into the static and the regular row, and check USING."""
    key, clustering = where
    _check_times(kind, table, times, conditions)
    codec = codec_of(table)
    regular = _sorted(operations, "regular")
    static = _sorted(operations, "static")
    lossy = bool(table.clustering) and codec.is_lossy
    inserts = kind is WriteKind.INSERT
    row = RowTemplate(inserts, regular, lossy) if writes_row and (regular or inserts) else None
    if kind is WriteKind.UPDATE and writes_row and row is None:
        row = RowTemplate(False, regular, False)
    template = key.template
    slots = template.slots if template is not None else ()
    static_row = RowTemplate(False, static) if static else None
    needs_read = any(operation.needs_read for _, operation in operations)
    one = None
    exact = clustering.template if writes_row else None
    is_plain = conditions is None and not needs_read and not table.is_counter
    if is_plain and template is not None and exact is not None and row is not None:
        one = OneRow(table.id.bytes, template, exact, row, static_row)
    return WritePlan(
        bind_specs=_specs(scope),
        pk_indices=_markers(slots),
        tables=frozenset({(table.keyspace, table.name)}),
        is_conditional=conditions is not None,
        kind=kind,
        table=table,
        table_id=table.id.bytes,
        codec=codec,
        key=key,
        clustering=clustering,
        one=one,
        row=row,
        static_row=static_row,
        times=times,
        conditions=conditions,
        is_counter=table.is_counter,
        needs_read=needs_read,
        default_ttl=table.options.default_time_to_live,
    )


def _sorted(operations: Operations, kind: str) -> tuple[Operation, ...]:
    wanted = [(column.id, op) for column, op in operations if column.kind == kind]
    return tuple(op for _, op in sorted(wanted, key=lambda pair: pair[0]))


def _check_times(
    kind: WriteKind, table: Table, times: TimeSlots, conditions: Conditions | None
) -> None:
    if times.timestamp is not None and conditions is not None:
        raise InvalidRequest("Cannot provide custom timestamp for conditional updates")
    if table.is_counter and kind is not WriteKind.INSERT:
        if times.timestamp is not None:
            raise InvalidRequest("Cannot provide custom timestamp for counter updates")
        if times.ttl is not None:
            raise InvalidRequest("Cannot provide custom TTL for counter updates")
        if conditions is not None:
            raise InvalidRequest("Conditional updates are not supported on counter tables")


def _specs(scope: Scope) -> tuple[ColumnSpec, ...]:
    return tuple(spec for _, spec in sorted(scope.bind_specs.items()))


def _markers(slots: Sequence[Slot]) -> tuple[int, ...]:
    """The markers of a partition key, when it is made of nothing else."""
    if not slots or not all(slot.is_marker for slot in slots):
        return ()
    return tuple(slot.index for slot in slots)


def plan_batch(statement: tree.Batch, scope: Scope) -> BatchPlan:
    """The plan of BEGIN BATCH ... APPLY BATCH."""
    parts = tuple(plan_write(part, scope, in_batch=True) for part in statement.statements)
    times = TimeSlots()
    if parts:
        times = plan_times(statement.attributes, parts[0].table, scope)
    elif statement.attributes.timestamp is not None:
        raise InvalidRequest("A batch without statements has no timestamp")
    check_batch(statement.kind, parts, times)
    tables = frozenset(name for part in parts for name in part.tables)
    return BatchPlan(
        bind_specs=_specs(scope),
        pk_indices=parts[0].pk_indices if len(tables) == 1 else (),
        tables=tables,
        is_conditional=any(part.is_conditional for part in parts),
        kind=statement.kind,
        parts=parts,
        times=times,
    )


def check_batch(kind: tree.BatchKind, parts: Sequence[WritePlan], times: TimeSlots) -> None:
    """Refuse what may not stand together in a batch."""
    if times.ttl is not None:
        raise InvalidRequest("Global TTL on the BATCH statement is not supported.")
    has_timestamp = times.timestamp is not None
    conditional = any(part.is_conditional for part in parts)
    counters = [part.is_counter for part in parts]
    if has_timestamp and conditional:
        raise InvalidRequest("Cannot provide custom timestamp for conditional BATCH")
    if has_timestamp and any(counters):
        raise InvalidRequest("Cannot provide custom timestamp for counter BATCH")
    if has_timestamp and any(part.times.timestamp is not None for part in parts):
        raise InvalidRequest("Timestamp must be set either on BATCH or individual statements")
    if kind is tree.BatchKind.COUNTER:
        if not all(counters):
            raise InvalidRequest("Cannot include non-counter statement in a counter batch")
    elif any(counters):
        if not all(counters):
            raise InvalidRequest("Counter and non-counter mutations cannot exist in the same batch")
        if kind is tree.BatchKind.LOGGED:
            raise InvalidRequest("Cannot include a counter statement in a logged batch")
    if conditional and len({part.table_id for part in parts}) > 1:
        raise InvalidRequest("Batch with conditions cannot span multiple tables")


__all__ = ["check_batch", "codec_of", "plan_batch", "plan_times", "plan_write"]

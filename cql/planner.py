"""Tree + schema -> Plan: one door for every kind of statement."""

from __future__ import annotations

from typing import get_args

from cql.errors import InvalidRequest
from cql.parser import tree
from cql.plan import DescribePlan, Plan, RolePlan, SchemaPlan, TruncatePlan, UsePlan
from cql.reading import rows_by_key
from cql.schema import Schema
from cql.select_planner import plan_select
from cql.terms import Scope
from cql.write_planner import plan_batch, plan_times, plan_write
from storage.values import replace


def plan(statement: tree.Statement, schema: Schema, keyspace: str | None) -> Plan:
    """What the statement will do; InvalidRequest when it cannot be done with this schema."""
    scope = Scope(schema, keyspace)
    match statement:
        case tree.Select():
            select = plan_select(statement, scope)
            return replace(select, by_key=rows_by_key(select))
        case tree.Insert() | tree.InsertJson() | tree.Update() | tree.Delete():
            return plan_write(statement, scope)
        case tree.Batch():
            return plan_batch(statement, scope)
        case tree.Truncate():
            return _plan_truncate(statement, scope)
        case tree.Use():
            if statement.keyspace not in schema.keyspaces:
                raise InvalidRequest(f"Keyspace '{statement.keyspace}' does not exist")
            return UsePlan(keyspace=statement.keyspace)
        case tree.Describe():
            return DescribePlan(statement=statement)
    if isinstance(statement, get_args(tree.RoleStatement)):
        return RolePlan(statement=statement)
    return SchemaPlan(statement=statement)  # type: ignore[arg-type]


def _plan_truncate(statement: tree.Truncate, scope: Scope) -> TruncatePlan:
    table = scope.schema.get_table(statement.table.keyspace or scope.keyspace, statement.table.name)
    if table.is_virtual:
        raise InvalidRequest("Cannot truncate virtual tables")
    times = plan_times(statement.attributes, table, scope)
    return TruncatePlan(
        tables=frozenset({(table.keyspace, table.name)}), table=table, timeout=times.timeout
    )

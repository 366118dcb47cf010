"""Which tables an operator means by names of keyspaces and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cql.schema import SYSTEM_KEYSPACES
from node.all_shards import CommandFailed

if TYPE_CHECKING:
    from cql.schema import Schema, Table


def chosen_tables(schema: Schema, names: Sequence[str]) -> list[Table]:
    """The stored tables that `keyspace` or `keyspace.table` name; without any, the users'."""
    chosen = []
    for table in schema.tables():
        is_named = table.keyspace in names or table.full_name in names
        if not table.is_virtual and (
            is_named or (not names and table.keyspace not in SYSTEM_KEYSPACES)
        ):
            chosen.append(table)
    known = {name for table in chosen for name in (table.keyspace, table.full_name)}
    for name in names:
        if name not in known and name not in schema.keyspaces:
            raise CommandFailed(f"there is no keyspace or table {name!r}")
    return chosen

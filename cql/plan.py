"""What a statement will do, as values: planned once against a schema, bound and run many times."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from cql.bind import OneRow, RowTemplate, Slot
from cql.clustering import ClusteringRanges
from cql.parser import tree
from cql.results import ColumnSpec
from cql.schema import Table
from cql.types.ordering import ClusteringCodec
from storage.values import keyword_value_class, value_class

if TYPE_CHECKING:
    from cql.by_key import RowsByKey
    from cql.conditions import Conditions
    from cql.restrictions import KeyRestriction, Restrictions
    from cql.selection import Selection

TableName = tuple[str, str]


@keyword_value_class
class Plan:
    """What every plan has.

    `tables`: those whose change makes the plan stale. `pk_indices`: bind markers that make up the
    partition key; empty unless each component is a plain marker.
    """

    bind_specs: tuple[ColumnSpec, ...] = ()
    pk_indices: tuple[int, ...] = ()
    result_columns: tuple[ColumnSpec, ...] = ()
    tables: frozenset[TableName] = frozenset()
    is_conditional: bool = False
    warnings: tuple[str, ...] = ()


class WriteKind(Enum):
    """The statements that write rows; the value is the word in messages."""

    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@value_class
class TimeSlots:
    """What USING gave: slots for timestamp, TTL and timeout; None is not given."""

    timestamp: Slot | None = None
    ttl: Slot | None = None
    timeout: Slot | None = None


NO_TIMES = TimeSlots()
"""USING said nothing, or was not there."""


@keyword_value_class
class WritePlan(Plan):
    """One INSERT, UPDATE or DELETE.

    `row` and `static_row` are the cells to write; both None for a DELETE of whole rows. `one` is
    set when the statement writes exactly one row and needs nothing else: the hot path.
    """

    kind: WriteKind
    table: Table
    table_id: bytes
    codec: ClusteringCodec
    key: KeyRestriction
    clustering: ClusteringRanges
    one: OneRow | None
    row: RowTemplate | None
    static_row: RowTemplate | None
    times: TimeSlots
    conditions: Conditions | None = None
    is_counter: bool = False
    needs_read: bool = False
    default_ttl: int = 0

    @property
    def deletes_rows(self) -> bool:
        """Whether whole rows, ranges or the partition go."""
        return self.kind is WriteKind.DELETE and self.row is None and self.static_row is None

    @property
    def is_static_only(self) -> bool:
        """Whether only the static row is written."""
        return self.static_row is not None and self.row is None


@keyword_value_class
class BatchPlan(Plan):
    """BEGIN BATCH ... APPLY BATCH."""

    kind: tree.BatchKind
    parts: tuple[WritePlan, ...]
    times: TimeSlots = TimeSlots()


@value_class
class GroupKey:
    """GROUP BY: how many leading primary key columns make a group, as fetched columns."""

    fetched: tuple[int, ...]


@keyword_value_class
class SelectPlan(Plan):
    """One SELECT."""

    table: Table
    table_id: bytes
    codec: ClusteringCodec
    restrictions: Restrictions
    selection: Selection
    metadata_id: bytes
    filter_columns: tuple[int, ...] = ()
    """For each filter, the fetched column it looks at."""
    is_distinct: bool = False
    is_reversed: bool = False
    sorts_partitions: bool = False
    """ORDER BY over several partitions of an IN: rows are sorted after reading."""
    order_columns: int = 0
    """How many clustering columns that sort looks at."""
    has_static: bool = False
    is_counter: bool = False
    limit: Slot | None = None
    partition_limit: Slot | None = None
    group: GroupKey | None = None
    columns: frozenset[int] = frozenset()
    """Ids of the cells to read."""
    bypass_cache: bool = False
    timeout: Slot | None = None
    by_key: RowsByKey | None = None
    """The short way, when one partition is read and nothing computed."""


@keyword_value_class
class UsePlan(Plan):
    """USE keyspace."""

    keyspace: str


@keyword_value_class
class TruncatePlan(Plan):
    """TRUNCATE table."""

    table: Table
    timeout: Slot | None = None


@keyword_value_class
class SchemaPlan(Plan):
    """A schema statement, run elsewhere from its text."""

    statement: tree.SchemaStatement


@keyword_value_class
class DescribePlan(Plan):
    """DESCRIBE."""

    statement: tree.Describe


@keyword_value_class
class RolePlan(Plan):
    """A statement about roles or permissions."""

    statement: tree.RoleStatement

"""What a statement answers, as values: void, rows, a keyspace, a prepared id, a schema change."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

from cql.rows import Result, Rows
from cql.types.catalog import CqlType, java_class
from storage.values import keyword_value_class, replace, value_class

__all__ = [
    "NO_METADATA_ID",
    "VOID",
    "ColumnSpec",
    "Prepared",
    "Result",
    "Rows",
    "SchemaChange",
    "SetKeyspace",
    "Void",
    "result_metadata_id",
    "traced",
]


@value_class
class ColumnSpec:
    """One column of a result, or one bind marker: where it comes from, its name and type."""

    keyspace: str
    table: str
    name: str
    type: CqlType


@keyword_value_class
class Short(Result):
    """Every answer but rows."""

    warnings: tuple[str, ...] = ()
    tracing_id: UUID | None = None


@value_class
class Void(Short):
    """Done, and there is nothing to say about it."""


VOID = Void()
"""The `Void` without warnings: most writes answer with this very object."""


@value_class
class SetKeyspace(Short):
    """`USE`: the connection's keyspace is now this one."""

    keyspace: str


@value_class
class SchemaChange(Short):
    """A schema statement changed something.

    `change`: CREATED, UPDATED or DROPPED. `target`: KEYSPACE, TABLE, TYPE, FUNCTION or AGGREGATE.
    `name` is empty for a keyspace; `argument_types` is for functions and aggregates.
    """

    change: str
    target: str
    keyspace: str
    name: str = ""
    argument_types: tuple[str, ...] = ()


@value_class
class Prepared(Short):
    """A prepared statement's id and what it binds and returns.

    `pk_indices`: positions of the bind markers that make up the partition key, in its order;
    empty when not every component is a plain marker.
    `result`: the columns of a SELECT, empty for everything else.
    """

    id: bytes
    result_metadata_id: bytes
    bind: tuple[ColumnSpec, ...]
    pk_indices: tuple[int, ...] = ()
    result: tuple[ColumnSpec, ...] = ()
    is_conditional: bool = False


def result_metadata_id(columns: Sequence[ColumnSpec]) -> bytes:
    """The id that changes when a name or type of the result does, equal on every node."""
    digest = hashlib.md5(usedforsecurity=False)
    for column in columns:
        digest.update(column.name.encode())
        digest.update(b"\x00")
        digest.update(java_class(column.type).encode())
        digest.update(b"\x00\x00")
    return digest.digest()


def traced(result: Result, tracing_id: UUID) -> Result:
    """The same answer as part of a trace."""
    if isinstance(result, Rows):
        return result.traced(tracing_id)
    assert isinstance(result, Short), "there are no other answers"
    return replace(result, tracing_id=tracing_id)


NO_METADATA_ID = hashlib.md5(b"", usedforsecurity=False).digest()
"""The metadata id of statements that return no rows."""

"""Rows of system_schema and system_virtual_schema: the schema as drivers read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from cql.schema import VIRTUAL_KEYSPACES, Column, Keyspace, Table
from cql.system.values import (
    bigint,
    boolean,
    double,
    integer,
    text,
    text_list,
    text_map,
    text_set,
    uuid,
)
from cql.system.virtual import RowValues
from cql.types.codec import pack_map

Keyspaces = Mapping[str, Keyspace]
RowSource = Callable[[Keyspaces], Iterable[RowValues]]
US_PER_MS: Final = 1000
NO_CHANCE: Final = double(0.0)


def _stored(keyspaces: Keyspaces) -> Iterator[Keyspace]:
    return (keyspace for name, keyspace in keyspaces.items() if name not in VIRTUAL_KEYSPACES)


def _virtual(keyspaces: Keyspaces) -> Iterator[Keyspace]:
    return (keyspace for name, keyspace in keyspaces.items() if name in VIRTUAL_KEYSPACES)


def _keyspace_rows(keyspaces: Keyspaces) -> Iterator[RowValues]:
    for keyspace in _stored(keyspaces):
        yield (
            text(keyspace.name),
            boolean(keyspace.durable_writes),
            text_map(keyspace.replication),
        )


def _table_rows(keyspaces: Keyspaces) -> Iterator[RowValues]:
    for keyspace in _stored(keyspaces):
        for table in keyspace.tables.values():
            yield _table_row(table)


def _table_row(table: Table) -> RowValues:
    """In the order of the columns' names: `flags` tells drivers that it is no compact table."""
    options = table.options
    flags = ("compound", "counter") if table.is_counter else ("compound",)
    return (
        text(table.keyspace),
        text(table.name),
        text(options.additional_write_policy),
        boolean(options.allow_auto_snapshot),
        double(options.bloom_filter_fp_chance),
        text_map(options.caching),
        boolean(options.cdc),
        text(options.comment),
        text_map(options.compaction),
        text_map(options.compression),
        double(options.crc_check_chance),
        NO_CHANCE,
        integer(options.default_time_to_live),
        pack_map([(text(key), _extension(value)) for key, value in options.extensions]),
        text_set(flags),
        integer(options.gc_grace_seconds),
        uuid(table.id),
        boolean(options.incremental_backups),
        integer(options.max_index_interval),
        text(options.memtable),
        integer(options.memtable_flush_period_in_ms),
        integer(options.min_index_interval),
        text(options.read_repair),
        NO_CHANCE,
        text(options.speculative_retry),
    )


def _extension(value: str) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except ValueError:
        return text(value)


def _column_rows(keyspaces: Iterable[Keyspace]) -> Iterator[RowValues]:
    for keyspace in keyspaces:
        for table in keyspace.tables.values():
            for column in table.all_columns:
                yield _column_row(table, column)


def _column_row(table: Table, column: Column) -> RowValues:
    order = b"none"
    if column.kind == "clustering":
        order = b"desc" if column.reversed else b"asc"
    return (
        text(table.keyspace),
        text(table.name),
        text(column.name),
        order,
        text(column.name),
        text(column.kind),
        integer(column.position),
        text(str(column.type)),
    )


def _dropped_rows(keyspaces: Keyspaces) -> Iterator[RowValues]:
    for keyspace in _stored(keyspaces):
        for table in keyspace.tables.values():
            for dropped in table.dropped:
                yield (
                    text(table.keyspace),
                    text(table.name),
                    text(dropped.name),
                    bigint(dropped.dropped_us // US_PER_MS),
                    text(dropped.kind),
                    text(str(dropped.type)),
                )


def _type_rows(keyspaces: Keyspaces) -> Iterator[RowValues]:
    for keyspace in _stored(keyspaces):
        for user_type in keyspace.types.values():
            yield (
                text(keyspace.name),
                text(user_type.name),
                text_list(user_type.field_names),
                text_list(map(str, user_type.field_types)),
            )


def _virtual_keyspace_rows(keyspaces: Keyspaces) -> Iterator[RowValues]:
    for keyspace in _virtual(keyspaces):
        yield (text(keyspace.name),)


def _virtual_table_rows(keyspaces: Keyspaces) -> Iterator[RowValues]:
    for keyspace in _virtual(keyspaces):
        for table in keyspace.tables.values():
            yield text(keyspace.name), text(table.name), text(table.options.comment)


SOURCES: Final[dict[str, dict[str, RowSource]]] = {
    "system_schema": {
        "keyspaces": _keyspace_rows,
        "tables": _table_rows,
        "columns": lambda keyspaces: _column_rows(_stored(keyspaces)),
        "dropped_columns": _dropped_rows,
        "types": _type_rows,
    },
    "system_virtual_schema": {
        "keyspaces": _virtual_keyspace_rows,
        "tables": _virtual_table_rows,
        "columns": lambda keyspaces: _column_rows(_virtual(keyspaces)),
    },
}
"""Keyspace -> table -> its rows; the other tables of these keyspaces are empty."""

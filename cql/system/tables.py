"""All system keyspaces of a node: their tables, and the rows of those that are answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from uuid import UUID

from cql.replication_options import CLASS, FACTOR, LOCAL, SIMPLE
from cql.schema import (
    FIRST_COLUMN_ID,
    LOCAL_KEYSPACES,
    VIRTUAL_KEYSPACES,
    Column,
    ColumnKind,
    Keyspace,
    SchemaHolder,
    Table,
    make_table,
)
from cql.system import node_rows, schema_rows
from cql.system.definitions import DEFINITIONS
from cql.system.facts import NodeFacts, SystemSources
from cql.system.virtual import RowValues, VirtualTable
from cql.table_options import DEFAULT_OPTIONS, TableOptions
from cql.types.catalog import parse_type
from storage.slice import Page, Slice
from storage.values import replace

STORED_KEYSPACES: Final = frozenset(("system_traces",))
"""System keyspaces whose tables are written and read like users' tables."""
TRACE_TTL_S: Final = 86_400
REPLICATION_FACTORS: Final = {"system_auth": 1, "system_distributed": 3, "system_traces": 2}


def system_keyspaces() -> dict[str, Keyspace]:
    """The system keyspaces as every node has them, to build a Schema with."""
    return dict(_KEYSPACES)


class SystemTables:
    """Answers reads of the virtual tables of one node."""

    def __init__(
        self, facts: NodeFacts, schema: SchemaHolder, sources: SystemSources | None = None
    ) -> None:
        self._schema = schema
        self._tables: dict[bytes, VirtualTable] = {}
        self._names: dict[tuple[str, str], VirtualTable] = {}
        for keyspace in system_keyspaces().values():
            for table in keyspace.tables.values():
                if table.is_virtual:
                    self.provide(keyspace.name, table.name, _no_rows, _always_the_same)
        self._provide_schema_tables()
        self._provide_node_tables(facts, sources or SystemSources())

    def read(self, wanted: Slice) -> Page:
        """The rows of a virtual table; KeyError for the id of any other table."""
        return self._tables[wanted.table_id].answer(wanted)

    def is_virtual(self, table_id: bytes) -> bool:
        """True if `read` answers for this table."""
        return table_id in self._tables

    def provide(
        self,
        keyspace: str,
        name: str,
        rows: Callable[[], Iterable[RowValues]],
        version: Callable[[], object] | None = None,
    ) -> None:
        """Let a virtual table's rows come from `rows`; see VirtualTable for `version`."""
        table = _TABLES[keyspace, name]
        provided = VirtualTable(table, rows, version)
        self._tables[table.id.bytes] = self._names[keyspace, name] = provided

    def check(self) -> None:
        """Prove that every table's rows are in order."""
        for table in self._tables.values():
            table.check()

    def _provide_schema_tables(self) -> None:
        holder = self._schema

        def current() -> object:
            return holder.current

        for keyspace, tables in schema_rows.SOURCES.items():
            for name, rows in tables.items():
                self.provide(keyspace, name, _with_schema(rows, holder), current)

    def _provide_node_tables(self, facts: NodeFacts, sources: SystemSources) -> None:
        holder = self._schema

        def local() -> Iterable[RowValues]:
            return (node_rows.local_row(facts, holder.current.version),)

        def current() -> object:
            return holder.current

        self.provide("system", "local", local, current)
        self.provide(
            "system", "versions", lambda: (node_rows.version_row(facts),), _always_the_same
        )
        for (keyspace, name), rows in node_rows.from_sources(sources).items():
            self.provide(keyspace, name, rows)


def _no_rows() -> Iterable[RowValues]:
    return ()


def _always_the_same() -> object:
    return None


def _with_schema(
    rows: Callable[[Mapping[str, Keyspace]], Iterable[RowValues]], holder: SchemaHolder
) -> Callable[[], Iterable[RowValues]]:
    return lambda: rows(holder.current.keyspaces)


# ---------------------------------------------------------------- definitions


def _keyspace(name: str, text: str) -> Keyspace:
    tables = [_table(name, paragraph) for paragraph in _paragraphs(text)]
    return Keyspace(name, _replication(name), True, {t.name: t for t in tables})


def _replication(keyspace: str) -> dict[str, str]:
    if keyspace in LOCAL_KEYSPACES | VIRTUAL_KEYSPACES:
        return {CLASS: LOCAL}
    return {CLASS: SIMPLE, FACTOR: str(REPLICATION_FACTORS[keyspace])}


def _paragraphs(text: str) -> list[str]:
    """One text per table; a line that begins with a blank goes on with the line before."""
    paragraphs: list[str] = []
    for line in text.strip().splitlines():
        if line.startswith(" "):
            paragraphs[-1] += " " + line.strip()
        else:
            paragraphs.append(line)
    return paragraphs


def _table(keyspace: str, paragraph: str) -> Table:
    name, _, columns_text = paragraph.partition(": ")
    columns: list[Column] = []
    counts: dict[ColumnKind, int] = {"partition_key": 0, "clustering": 0}
    for column_id, text in enumerate(columns_text.split("; "), FIRST_COLUMN_ID):
        written, _, type_text = text.partition(" ")
        kind = _KINDS.get(written[-1], "regular")
        position = counts.get(kind, -1)
        if kind in counts:
            counts[kind] += 1
        cql_type = parse_type(type_text, keyspace, lambda _: None)
        columns.append(Column(written.rstrip("*^"), cql_type, kind, position, column_id))
    return make_table(
        keyspace,
        name,
        _table_id(keyspace, name),
        columns,
        _options(keyspace),
        FIRST_COLUMN_ID + len(columns),
        is_virtual=keyspace not in STORED_KEYSPACES,
    )


_KINDS: Final[dict[str, ColumnKind]] = {"*": "partition_key", "^": "clustering"}


def _options(keyspace: str) -> TableOptions:
    if keyspace in STORED_KEYSPACES:
        return replace(DEFAULT_OPTIONS, default_time_to_live=TRACE_TTL_S, gc_grace_seconds=0)
    return replace(DEFAULT_OPTIONS, gc_grace_seconds=0)


def _table_id(keyspace: str, name: str) -> UUID:
    """The name-based id by which other implementations know the table too."""
    digest = hashlib.md5((keyspace + name).encode(), usedforsecurity=False).digest()
    return UUID(bytes=digest, version=3)


_KEYSPACES: Final = {name: _keyspace(name, text) for name, text in DEFINITIONS.items()}
_TABLES: Final = {
    (keyspace.name, table.name): table
    for keyspace in _KEYSPACES.values()
    for table in keyspace.tables.values()
}

"""The schema as CQL text, and the answers to DESCRIBE.

Every text but those of virtual tables, when executed in an empty node in the order of DESCRIBE
SCHEMA, makes the same schema again. The words and blanks are those of Cassandra, because tools
compare them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from cql.errors import InvalidRequest, ProtocolError
from cql.parser.tree import Describe
from cql.replication_options import CLASS, PACKAGE
from cql.results import ColumnSpec, Rows
from cql.schema import (
    SYSTEM_KEYSPACES,
    VIRTUAL_KEYSPACES,
    Column,
    Keyspace,
    Schema,
    Table,
    sorted_types,
)
from cql.system.facts import PARTITIONER, NodeFacts
from cql.system.values import text_list
from cql.table_options import Pairs, TableOptions
from cql.types.catalog import TEXT, CqlType, ListType, MapType, UserType, quote_name
from cql.types.codec import pack_map

INDENT: Final = "    "
NO_KEYSPACE: Final = "No keyspace specified and no current keyspace"
CHANGED: Final = (
    "The schema has changed since the previous page of the DESCRIBE statement result. "
    "Please retry the DESCRIBE statement."
)
Row = tuple[str, ...]
RangeOwnership = Callable[[str], Mapping[str, Sequence[str]]]
"""Keyspace -> the end token of each range -> the nodes which have it."""
_Answer = tuple[Sequence[str], Sequence[CqlType], Sequence[Sequence[bytes]]]
"""Names and types of columns, and all rows."""
_STATE: Final = struct.Struct(">16sQ")
"""A paging state: the schema's version, and how many rows were given."""


# ---------------------------------------------------------------- texts


def keyspace_text(keyspace: Keyspace) -> str:
    """CREATE KEYSPACE."""
    name = quote_name(keyspace.name)
    if keyspace.name in VIRTUAL_KEYSPACES:
        return (
            f"/*\nWarning: Keyspace {name} is a virtual keyspace "
            "and cannot be recreated with CQL.\n"
            f"Structure, for reference:*/\nVIRTUAL KEYSPACE {name};"
        )
    shown = {CLASS: keyspace.replication[CLASS].removeprefix(PACKAGE)}
    shown |= {key: value for key, value in keyspace.replication.items() if key != CLASS}
    return (
        f"CREATE KEYSPACE {name} WITH replication = {_map_text(shown.items())} "
        f" AND durable_writes = {_boolean_text(keyspace.durable_writes)};"
    )


def type_text(user_type: UserType) -> str:
    """CREATE TYPE."""
    fields = zip(user_type.field_names, user_type.field_types, strict=True)
    lines = [f"{INDENT}{quote_name(name)} {field}" for name, field in fields]
    return f"CREATE TYPE {_qualified(user_type)} (\n" + ",\n".join(lines) + "\n);"


def table_text(table: Table, with_internals: bool = False) -> str:
    """CREATE TABLE; `with_internals` adds the table's id."""
    options = _options_lines(table)
    order = _clustering_order_text(table)
    if order:
        options.insert(0, order)
    if with_internals:
        options.insert(0, f"ID = {table.id}")
    body = ",\n".join(INDENT + line for line in _column_lines(table))
    text = f"{_qualified(table)} (\n{body}\n) WITH " + f"\n{INDENT}AND ".join(options) + ";"
    if table.keyspace not in VIRTUAL_KEYSPACES:
        return "CREATE TABLE " + text
    return (
        f"/*\nWarning: Table {_qualified(table)} is a virtual table "
        "and cannot be recreated with CQL.\n"
        f"Structure, for reference:\nVIRTUAL TABLE {text}\n*/"
    )


def _qualified(element: Table | UserType) -> str:
    return f"{quote_name(element.keyspace)}.{quote_name(element.name)}"


def _column_lines(table: Table) -> list[str]:
    """Keys first, then what has one cell, then what has many; the primary key stands last unless it
    is a single column."""
    is_single = len(table.partition_key) == 1 and not table.clustering
    values = (*_simple_first(table.static), *_simple_first(table.regular))
    lines = []
    for column in (*table.partition_key, *table.clustering, *values):
        line = f"{quote_name(column.name)} {column.type}"
        if column.kind == "static":
            line += " static"
        if is_single and column.kind == "partition_key":
            line += " PRIMARY KEY"
        lines.append(line)
    if not is_single:
        lines.append(_primary_key_text(table))
    return lines


def _simple_first(columns: Sequence[Column]) -> list[Column]:
    return sorted(columns, key=lambda column: (column.type.is_multicell, column.name))


def _primary_key_text(table: Table) -> str:
    partition = ", ".join(quote_name(column.name) for column in table.partition_key)
    if len(table.partition_key) > 1:
        partition = f"({partition})"
    clustering = [quote_name(column.name) for column in table.clustering]
    return f"PRIMARY KEY ({', '.join((partition, *clustering))})"


def _clustering_order_text(table: Table) -> str:
    if not table.clustering:
        return ""
    parts = (f"{quote_name(c.name)} {'DESC' if c.reversed else 'ASC'}" for c in table.clustering)
    return f"CLUSTERING ORDER BY ({', '.join(parts)})"


def _options_lines(table: Table) -> list[str]:
    options = table.options
    if table.keyspace in VIRTUAL_KEYSPACES:
        return [f"comment = {_quoted(options.comment)}"]
    return [f"{name} = {value}" for name, value in _option_texts(options)]


def _option_texts(options: TableOptions) -> Iterator[tuple[str, str]]:
    extensions = ", ".join(f"{_quoted(key)}: {value}" for key, value in options.extensions)
    yield "additional_write_policy", _quoted(options.additional_write_policy)
    yield "allow_auto_snapshot", _boolean_text(options.allow_auto_snapshot)
    yield "bloom_filter_fp_chance", _double_text(options.bloom_filter_fp_chance)
    yield "caching", _map_text(options.caching)
    yield "cdc", _boolean_text(options.cdc)
    yield "comment", _quoted(options.comment)
    yield "compaction", _map_text(options.compaction)
    yield "compression", _map_text(options.compression)
    yield "memtable", _quoted(options.memtable)
    yield "crc_check_chance", _double_text(options.crc_check_chance)
    yield "default_time_to_live", str(options.default_time_to_live)
    yield "extensions", f"{{{extensions}}}"
    yield "gc_grace_seconds", str(options.gc_grace_seconds)
    yield "incremental_backups", _boolean_text(options.incremental_backups)
    yield "max_index_interval", str(options.max_index_interval)
    yield "memtable_flush_period_in_ms", str(options.memtable_flush_period_in_ms)
    yield "min_index_interval", str(options.min_index_interval)
    yield "read_repair", _quoted(options.read_repair)
    yield "speculative_retry", _quoted(options.speculative_retry)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _map_text(pairs: Pairs | Iterable[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{_quoted(key)}: {_quoted(value)}" for key, value in pairs) + "}"


def _boolean_text(value: bool) -> str:
    return "true" if value else "false"


def _double_text(value: float) -> str:
    """As Java writes it: `1.0E-4` below a thousandth."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(float(value))
    digits, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        digits, _, exponent = f"{value:.16e}".partition("e")
        digits = digits.rstrip("0")
    mantissa = digits if "." in digits else digits + ".0"
    mantissa = mantissa + "0" if mantissa.endswith(".") else mantissa
    return f"{mantissa}E{int(exponent)}"


# ---------------------------------------------------------------- answers


class Describer:
    """Answers DESCRIBE for one node."""

    def __init__(self, facts: NodeFacts, ownership: RangeOwnership | None = None) -> None:
        self._facts = facts
        self._ownership = ownership

    def describe(
        self,
        statement: Describe,
        schema: Schema,
        keyspace: str | None,
        page_size: int = 0,
        paging_state: bytes | None = None,
    ) -> Rows:
        """One page of the answer, all of it without a page size; InvalidRequest if what is asked
        for does not exist, or the schema is not that of the page before.
        """
        names, types, rows = self._answer(statement, schema, keyspace)
        start = _start_of_page(paging_state, schema)
        end = min(start + page_size, len(rows)) if page_size > 0 else len(rows)
        state = _STATE.pack(schema.version.bytes, end) if end < len(rows) else None
        return _rows(names, types, rows[start:end], state)

    def _answer(self, statement: Describe, schema: Schema, keyspace: str | None) -> _Answer:
        kind = statement.kind
        if kind == "cluster":
            return self._cluster(keyspace)
        if kind == "keyspaces":
            return _list_rows(
                (quote_name(name), "keyspace", quote_name(name)) for name in schema.keyspaces
            )
        if kind in _LISTS:
            keyspaces = [_get(schema, keyspace)] if keyspace else schema.keyspaces.values()
            return _list_rows(row for found in keyspaces for row in _LISTS[kind](found))
        if kind in ("schema", "full schema"):
            return _element_rows(_schema_elements(schema, statement))
        return _element_rows(_elements(schema, statement, keyspace))

    def _cluster(self, keyspace: str | None) -> _Answer:
        facts = self._facts
        names = ["cluster", "partitioner", "snitch"]
        types: list[CqlType] = [TEXT, TEXT, TEXT]
        values = [
            facts.cluster_name.encode(),
            PARTITIONER.removeprefix("org.apache.cassandra.dht.").encode(),
            facts.snitch.removeprefix(PACKAGE).encode(),
        ]
        if self._ownership and keyspace and keyspace not in SYSTEM_KEYSPACES:
            names.append("range_ownership")
            types.append(MapType(TEXT, ListType(TEXT, True), True))
            owned = self._ownership(keyspace)
            entries = [(token.encode(), text_list(nodes)) for token, nodes in owned.items()]
            values.append(pack_map(sorted(entries)))
        return names, types, [values]


def _start_of_page(paging_state: bytes | None, schema: Schema) -> int:
    """How many rows were given before this page."""
    if paging_state is None:
        return 0
    if len(paging_state) != _STATE.size:
        raise ProtocolError("Invalid value for the paging state")
    version, start = _STATE.unpack(paging_state)
    if version != schema.version.bytes:
        raise InvalidRequest(CHANGED)
    return int(start)


def _element_rows(rows: Iterable[Row]) -> _Answer:
    return _text_rows(("keyspace_name", "type", "name", "create_statement"), rows)


def _list_rows(rows: Iterable[Row]) -> _Answer:
    return _text_rows(("keyspace_name", "type", "name"), rows)


def _text_rows(names: Sequence[str], rows: Iterable[Row]) -> _Answer:
    return names, [TEXT] * len(names), [[value.encode() for value in row] for row in rows]


def _rows(
    names: Sequence[str],
    types: Sequence[CqlType],
    rows: Sequence[Sequence[bytes]],
    paging_state: bytes | None,
) -> Rows:
    columns = tuple(
        ColumnSpec("system", "describe", name, cql_type)
        for name, cql_type in zip(names, types, strict=True)
    )
    data = b"".join(struct.pack(">i", len(value)) + value for row in rows for value in row)
    return Rows(columns, len(rows), data, paging_state)


# ---------------------------------------------------------------- elements


def _schema_elements(schema: Schema, statement: Describe) -> Iterator[Row]:
    for keyspace in schema.keyspaces.values():
        if statement.kind == "full schema" or keyspace.name not in SYSTEM_KEYSPACES:
            yield from _keyspace_elements(keyspace, statement.with_internals)


def _elements(schema: Schema, statement: Describe, session_keyspace: str | None) -> Iterator[Row]:
    """One element, and what belongs to it."""
    if statement.kind == "generic":
        return _generic(schema, statement, session_keyspace)
    keyspace = _get(schema, statement.keyspace or session_keyspace)
    if statement.kind == "only keyspace":
        return iter((_row(keyspace.name, "keyspace", keyspace.name, keyspace_text(keyspace)),))
    if statement.kind == "keyspace":
        return _keyspace_elements(keyspace, statement.with_internals)
    name = statement.name or ""
    if statement.kind == "table":
        if name not in keyspace.tables:
            raise InvalidRequest(f"Table '{name}' not found in keyspace '{keyspace.name}'")
        return iter((_table_row(keyspace.tables[name], statement.with_internals),))
    if statement.kind == "type" and name in keyspace.types:
        return iter((_type_row(keyspace.types[name]),))
    raise InvalidRequest(_ABSENT[statement.kind].format(name, keyspace.name))


_ABSENT: Final = {
    "type": "User defined type '{}' not found in '{}'",
    "index": "Table for existing index '{}' not found in '{}'",
    "view": "Materialized view '{}' not found in '{}'",
    "function": "User defined function '{}' not found in '{}'",
    "aggregate": "User defined aggregate '{}' not found in '{}'",
}


def _generic(schema: Schema, statement: Describe, session_keyspace: str | None) -> Iterator[Row]:
    """A keyspace or else a table by that name."""
    name = statement.name or ""
    if statement.keyspace is None and name in schema.keyspaces:
        return _keyspace_elements(schema.keyspaces[name], statement.with_internals)
    keyspace = _get(schema, statement.keyspace or session_keyspace or name)
    table = keyspace.tables.get(name)
    if table is None:
        raise InvalidRequest(f"'{name}' not found in keyspace '{keyspace.name}'")
    return iter((_table_row(table, statement.with_internals),))


def _keyspace_elements(keyspace: Keyspace, with_internals: bool) -> Iterator[Row]:
    yield _row(keyspace.name, "keyspace", keyspace.name, keyspace_text(keyspace))
    for user_type in sorted_types(keyspace):
        yield _type_row(user_type)
    for table in keyspace.tables.values():
        yield _table_row(table, with_internals)


def _table_row(table: Table, with_internals: bool) -> Row:
    return _row(table.keyspace, "table", table.name, table_text(table, with_internals))


def _type_row(user_type: UserType) -> Row:
    return _row(user_type.keyspace, "type", user_type.name, type_text(user_type))


def _row(keyspace: str, kind: str, name: str, *text: str) -> Row:
    return (quote_name(keyspace), kind, quote_name(name), *text)


def _get(schema: Schema, keyspace: str | None) -> Keyspace:
    if keyspace is None:
        raise InvalidRequest(NO_KEYSPACE)
    found = schema.keyspaces.get(keyspace)
    if found is None:
        raise InvalidRequest(f"'{keyspace}' not found in keyspaces")
    return found


_LISTS: Final[dict[str, Callable[[Keyspace], Iterator[Row]]]] = {
    "tables": lambda keyspace: (_row(keyspace.name, "table", name) for name in keyspace.tables),
    "types": lambda keyspace: (_row(keyspace.name, "type", name) for name in keyspace.types),
    "functions": lambda keyspace: iter(()),
    "aggregates": lambda keyspace: iter(()),
}

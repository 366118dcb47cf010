"""Keyspaces, tables and user types: immutable, versioned by content, changed by operations.

A schema is a value: `apply` gives a new one and shares what did not change. Operations say the new
state, not the way to it ("table x is now this"), so applying one twice changes nothing. Every node
that applied the same operations has the same `version`. Column ids are never used twice in a table,
so data of a dropped column can not come back under its name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType
from typing import Any, Literal, TypeAlias
from uuid import UUID

from cql.errors import InvalidRequest
from cql.table_options import DEFAULT_OPTIONS, TableOptions
from cql.types.catalog import CqlType, UserType, parse_type
from storage.layout import Layout
from storage.values import replace, value_class

ColumnKind: TypeAlias = Literal["partition_key", "clustering", "regular", "static"]
Op: TypeAlias = dict[str, Any]
"""One operation: `do` names it, the rest are its arguments; only JSON's types occur."""

COLUMN_ID_MAX = 0xFFFF
HIDDEN_CLUSTERING_COLUMN = 0
FIRST_COLUMN_ID = 1
LOCAL_KEYSPACES = frozenset({"system", "system_schema"})
VIRTUAL_KEYSPACES = frozenset({"system_views", "system_virtual_schema"})
REPLICATED_SYSTEM_KEYSPACES = frozenset({"system_auth", "system_distributed", "system_traces"})
SYSTEM_KEYSPACES = LOCAL_KEYSPACES | VIRTUAL_KEYSPACES | REPLICATED_SYSTEM_KEYSPACES


@value_class
class Column:
    """One column. `position` counts within the key it belongs to, and is -1 for regular and static
    columns.
    """

    name: str
    type: CqlType
    kind: ColumnKind
    position: int
    id: int
    reversed: bool = False

    @property
    def is_key(self) -> bool:
        """True for a component of the primary key."""
        return self.kind in ("partition_key", "clustering")


@value_class
class DroppedColumn:
    """A column that is no more: its name may come back only with a compatible type."""

    name: str
    type: CqlType
    kind: ColumnKind
    dropped_us: int


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `static` and `regular` are sorted by name; `columns` finds any column by name."""

    keyspace: str
    name: str
    id: UUID
    partition_key: tuple[Column, ...]
    clustering: tuple[Column, ...] = ()
    static: tuple[Column, ...] = ()
    regular: tuple[Column, ...] = ()
    options: TableOptions = DEFAULT_OPTIONS
    next_column_id: int = FIRST_COLUMN_ID
    dropped: tuple[DroppedColumn, ...] = ()
    is_virtual: bool = False
    """True if its rows are answers of this node, not stored data."""
    columns: Mapping[str, Column] = field(init=False, compare=False, repr=False)
    digest: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        by_name = {column.name: column for column in self.all_columns}
        assert len(by_name) == len(self.all_columns), "column names are unique in a table"
        assert all(c.id < self.next_column_id for c in self.all_columns), "ids are given in order"
        object.__setattr__(self, "columns", MappingProxyType(by_name))
        object.__setattr__(self, "digest", _digest(_table_op(self, with_times=False)))

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Every column in the order of `SELECT *`."""
        return self.partition_key + self.clustering + self.static + self.regular

    @property
    def is_counter(self) -> bool:
        """True if the table's values are counters."""
        return any(column.type.is_counter for column in self.regular + self.static)

    @property
    def full_name(self) -> str:
        """`keyspace.table`, as messages name it."""
        return f"{self.keyspace}.{self.name}"

    def check(self) -> None:
        """Prove the invariants that the constructor does not."""
        assert self.partition_key, "a table has a partition key"
        for key in (self.partition_key, self.clustering):
            assert [column.position for column in key] == list(range(len(key)))
        for rest in (self.static, self.regular):
            assert [column.name for column in rest] == sorted(column.name for column in rest)
            assert all(column.position == -1 for column in rest)
        ids = [column.id for column in self.all_columns]
        assert len(set(ids)) == len(ids) and HIDDEN_CLUSTERING_COLUMN not in ids


@dataclass(frozen=True, slots=True)
class Keyspace:
    """One keyspace; `replication` has the key `class` with the full class name."""

    name: str
    replication: Mapping[str, str]
    durable_writes: bool = True
    tables: Mapping[str, Table] = field(default_factory=dict)
    types: Mapping[str, UserType] = field(default_factory=dict)

    def find_type(self, name: str) -> UserType | None:
        """The user type of that name."""
        return self.types.get(name)


class Schema:
    """All keyspaces, system ones included, at one version."""

    __slots__ = ("_keyspaces", "_tables", "_version")

    def __init__(self, keyspaces: Mapping[str, Keyspace]) -> None:
        self._keyspaces = MappingProxyType(dict(sorted(keyspaces.items())))
        self._tables = {
            (name, table.name): table
            for name, keyspace in self._keyspaces.items()
            for table in keyspace.tables.values()
        }
        self._version: UUID | None = None

    @property
    def keyspaces(self) -> Mapping[str, Keyspace]:
        """Keyspaces by name, in the order of their names."""
        return self._keyspaces

    @property
    def version(self) -> UUID:
        """Equal for equal content, on every node."""
        if self._version is None:
            self._version = _version_of(self._keyspaces.values())
        return self._version

    def find_table(self, keyspace: str, table: str) -> Table | None:
        """The table, or None."""
        return self._tables.get((keyspace, table))

    def get_table(self, keyspace: str | None, table: str) -> Table:
        """The table that a statement names; raises InvalidRequest as Cassandra words it."""
        if keyspace is None:
            raise InvalidRequest(
                "No keyspace has been specified. USE a keyspace, "
                "or explicitly specify keyspace.tablename"
            )
        found = self._tables.get((keyspace, table))
        if found is not None:
            return found
        if keyspace not in self._keyspaces:
            raise InvalidRequest(f"keyspace {keyspace} does not exist")
        raise InvalidRequest(f"table {table} does not exist")

    def find_type(self, keyspace: str, name: str) -> UserType | None:
        """The user type, or None."""
        found = self._keyspaces.get(keyspace)
        return None if found is None else found.types.get(name)

    def tables(self) -> Iterable[Table]:
        """Every table, by keyspace and name."""
        return self._tables.values()

    def apply(self, ops: Iterable[Op]) -> Schema:
        """The schema after these operations, in their order."""
        keyspaces = dict(self._keyspaces)
        for (do, keyspace), group in groupby(ops, lambda op: (op["do"], op.get("keyspace"))):
            if do == "put table":
                _apply_put_tables(keyspaces, keyspace, group)
            else:
                for op in group:
                    _APPLY[do](keyspaces, op)
        return Schema(keyspaces)

    def ops(self) -> list[Op]:
        """Operations that make this schema's user keyspaces from nothing."""
        result: list[Op] = []
        for keyspace in self._keyspaces.values():
            if keyspace.name in SYSTEM_KEYSPACES:
                continue
            result.append(put_keyspace(keyspace))
            result.extend(put_type(user_type) for user_type in sorted_types(keyspace))
            result.extend(put_table(keyspace.tables[name]) for name in sorted(keyspace.tables))
        return result


class SchemaHolder:
    """The one place of a shard where the current schema is; told when it is replaced."""

    __slots__ = ("_listeners", "current")

    def __init__(self, schema: Schema) -> None:
        self.current = schema
        self._listeners: list[Callable[[Schema, Schema], None]] = []

    def subscribe(self, listener: Callable[[Schema, Schema], None]) -> None:
        """Call `listener(old, new)` after every replacement, in the order of subscription."""
        self._listeners.append(listener)

    def replace(self, schema: Schema) -> None:
        """Make `schema` the current one."""
        old, self.current = self.current, schema
        for listener in self._listeners:
            listener(old, schema)


# ---------------------------------------------------------------- operations


def put_keyspace(keyspace: Keyspace) -> Op:
    """The keyspace exists with this replication; its tables and types stay as they are."""
    return {
        "do": "put keyspace",
        "name": keyspace.name,
        "replication": dict(keyspace.replication),
        "durable_writes": keyspace.durable_writes,
    }


def drop_keyspace(name: str) -> Op:
    """The keyspace and everything in it is gone."""
    return {"do": "drop keyspace", "name": name}


def put_table(table: Table) -> Op:
    """The table exists and is exactly this."""
    return _table_op(table, with_times=True)


def drop_table(table: Table) -> Op:
    """The table with this id is gone."""
    return {"do": "drop table", "keyspace": table.keyspace, "name": table.name, "id": str(table.id)}


def put_type(user_type: UserType) -> Op:
    """The user type exists and is exactly this; whatever uses it follows."""
    return {
        "do": "put type",
        "keyspace": user_type.keyspace,
        "name": user_type.name,
        "fields": [
            [name, str(kind)]
            for name, kind in zip(user_type.field_names, user_type.field_types, strict=True)
        ],
    }


def drop_type(keyspace: str, name: str) -> Op:
    """The user type is gone."""
    return {"do": "drop type", "keyspace": keyspace, "name": name}


def encode_ops(ops: Iterable[Op]) -> bytes:
    """The operations as canonical JSON."""
    return _canonical(list(ops))


def decode_ops(data: bytes) -> list[Op]:
    """The inverse of `encode_ops`; raises ValueError for anything else."""
    ops = json.loads(data)
    if not isinstance(ops, list) or not all(
        isinstance(op, dict) and op.get("do") in _KNOWN for op in ops
    ):
        raise ValueError("not a list of schema operations")
    return ops


def sorted_types(keyspace: Keyspace) -> list[UserType]:
    """The user types so that each comes after those it is made of, by name otherwise."""
    result: dict[str, UserType] = {}

    def add(user_type: UserType) -> None:
        for name in sorted(keyspace.types):
            if name == user_type.name or name in result:
                continue
            if any(part.names_user_type(keyspace.name, name) for part in user_type.field_types):
                add(keyspace.types[name])
        result[user_type.name] = user_type

    for name in sorted(keyspace.types):
        if name not in result:
            add(keyspace.types[name])
    return list(result.values())


def layout_of(table: Table) -> Layout:
    """What storage must know of the table."""
    ids = {column.id for column in table.static + table.regular}
    if table.clustering:
        ids.add(HIDDEN_CLUSTERING_COLUMN)
    options = table.options
    return Layout(
        table_id=table.id.bytes,
        name=table.full_name,
        live_columns=frozenset(ids),
        has_clustering=bool(table.clustering),
        has_static=bool(table.static),
        counter=table.is_counter,
        gc_grace_s=options.gc_grace_seconds,
        compression=options.compressor,
        chunk_bytes=options.chunk_bytes,
        bloom_fp_chance=options.bloom_filter_fp_chance,
        compaction=options.compaction,
        compression_options=options.compression,
        caching_rows=options.row_cache,
        memtable_flush_period_ms=options.memtable_flush_period_in_ms,
    )


# ---------------------------------------------------------------- applying


def _apply_put_keyspace(keyspaces: dict[str, Keyspace], op: Op) -> None:
    old = keyspaces.get(op["name"])
    keyspaces[op["name"]] = Keyspace(
        op["name"],
        MappingProxyType(dict(op["replication"])),
        op["durable_writes"],
        old.tables if old else MappingProxyType({}),
        old.types if old else MappingProxyType({}),
    )


def _apply_drop_keyspace(keyspaces: dict[str, Keyspace], op: Op) -> None:
    keyspaces.pop(op["name"], None)


def _apply_put_tables(keyspaces: dict[str, Keyspace], name: str, ops: Iterable[Op]) -> None:
    """Many tables at once, as a start finds them: the keyspace is made anew once."""
    keyspace = keyspaces.get(name)
    if keyspace is not None:
        tables = (_table_from(op, keyspace) for op in ops)
        put = {table.name: table for table in tables}
        _set_tables(keyspaces, keyspace, {**keyspace.tables, **put})


def _apply_drop_table(keyspaces: dict[str, Keyspace], op: Op) -> None:
    keyspace = keyspaces.get(op["keyspace"])
    found = keyspace.tables.get(op["name"]) if keyspace else None
    if keyspace is not None and found is not None and str(found.id) == op["id"]:
        rest = {name: table for name, table in keyspace.tables.items() if name != op["name"]}
        _set_tables(keyspaces, keyspace, rest)


def _apply_put_type(keyspaces: dict[str, Keyspace], op: Op) -> None:
    keyspace = keyspaces.get(op["keyspace"])
    if keyspace is None:
        return
    definitions: dict[str, list[list[str]]] = {
        user_type.name: put_type(user_type)["fields"] for user_type in sorted_types(keyspace)
    }
    definitions[op["name"]] = op["fields"]
    types = _resolve_types(keyspace.name, definitions)
    changed = replace(keyspace, types=MappingProxyType(types))
    tables = {
        name: _table_from(put_table(table), changed)
        if any(c.type.names_user_type(keyspace.name, op["name"]) for c in table.all_columns)
        else table
        for name, table in keyspace.tables.items()
    }
    _set_tables(keyspaces, changed, tables)


def _apply_drop_type(keyspaces: dict[str, Keyspace], op: Op) -> None:
    keyspace = keyspaces.get(op["keyspace"])
    if keyspace is not None:
        rest = {name: found for name, found in keyspace.types.items() if name != op["name"]}
        keyspaces[keyspace.name] = replace(keyspace, types=MappingProxyType(rest))


_APPLY: Mapping[str, Callable[[dict[str, Keyspace], Op], None]] = {
    "put keyspace": _apply_put_keyspace,
    "drop keyspace": _apply_drop_keyspace,
    "drop table": _apply_drop_table,
    "put type": _apply_put_type,
    "drop type": _apply_drop_type,
}


_KNOWN = {"put table", *_APPLY}


def _set_tables(
    keyspaces: dict[str, Keyspace], keyspace: Keyspace, tables: dict[str, Table]
) -> None:
    in_order = MappingProxyType(dict(sorted(tables.items())))
    keyspaces[keyspace.name] = replace(keyspace, tables=in_order)


def _resolve_types(keyspace: str, definitions: dict[str, list[list[str]]]) -> dict[str, UserType]:
    """User types from the texts of their fields, whatever their order; they do not name each other
    in a circle.
    """
    done: dict[str, UserType] = {}

    def find(name: str) -> UserType | None:
        if name not in done and name in definitions:
            fields = definitions[name]
            types = tuple(parse_type(text, keyspace, find) for _, text in fields)
            done[name] = UserType(keyspace, name, tuple(f for f, _ in fields), types)
        return done.get(name)

    for name in sorted(definitions):
        find(name)
    return dict(sorted(done.items()))


def _table_op(table: Table, *, with_times: bool) -> Op:
    return {
        "do": "put table",
        "keyspace": table.keyspace,
        "name": table.name,
        "id": str(table.id),
        "columns": [
            [c.name, str(c.type), c.kind, c.position, c.id, c.reversed] for c in table.all_columns
        ],
        "options": table.options.to_json(),
        "next_column_id": table.next_column_id,
        "dropped": [
            [d.name, str(d.type), d.kind, d.dropped_us if with_times else 0] for d in table.dropped
        ],
    }


def _table_from(op: Op, keyspace: Keyspace) -> Table:
    columns = [
        Column(name, parse_type(text, keyspace.name, keyspace.find_type), kind, position, id_, rev)
        for name, text, kind, position, id_, rev in op["columns"]
    ]
    return make_table(
        keyspace.name,
        op["name"],
        UUID(op["id"]),
        columns,
        TableOptions.from_json(op["options"]),
        op["next_column_id"],
        tuple(
            DroppedColumn(name, parse_type(text, keyspace.name, keyspace.find_type), kind, when)
            for name, text, kind, when in op["dropped"]
        ),
    )


def make_table(
    keyspace: str,
    name: str,
    table_id: UUID,
    columns: Iterable[Column],
    options: TableOptions,
    next_column_id: int,
    dropped: tuple[DroppedColumn, ...] = (),
    is_virtual: bool = False,
) -> Table:
    """A table from its columns in any order."""
    by_kind: dict[ColumnKind, list[Column]] = {
        "partition_key": [],
        "clustering": [],
        "static": [],
        "regular": [],
    }
    for column in columns:
        by_kind[column.kind].append(column)
    return Table(
        keyspace,
        name,
        table_id,
        tuple(sorted(by_kind["partition_key"], key=lambda c: c.position)),
        tuple(sorted(by_kind["clustering"], key=lambda c: c.position)),
        tuple(sorted(by_kind["static"], key=lambda c: c.name)),
        tuple(sorted(by_kind["regular"], key=lambda c: c.name)),
        options,
        next_column_id,
        dropped,
        is_virtual,
    )


# ---------------------------------------------------------------- version


def _version_of(keyspaces: Iterable[Keyspace]) -> UUID:
    """A name-based UUID over the content; of built-in keyspaces only what can be altered counts."""
    digest = hashlib.md5(b"pythia schema 1", usedforsecurity=False)
    for keyspace in keyspaces:
        digest.update(_canonical(put_keyspace(keyspace)))
        if keyspace.name not in SYSTEM_KEYSPACES:
            for user_type in sorted_types(keyspace):
                digest.update(_canonical(put_type(user_type)))
            for name in sorted(keyspace.tables):
                digest.update(keyspace.tables[name].digest)
    return UUID(bytes=digest.digest(), version=3)


def _digest(op: Op) -> bytes:
    return hashlib.md5(_canonical(op), usedforsecurity=False).digest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

"""Tests cql/system/tables, definitions and the rows of system tables."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cql.schema import (
    VIRTUAL_KEYSPACES,
    Column,
    DroppedColumn,
    Keyspace,
    Schema,
    SchemaHolder,
    Table,
    make_table,
    put_keyspace,
    put_table,
    put_type,
)
from cql.system.facts import (
    CacheFacts,
    ClientFacts,
    CompactionFacts,
    NodeFacts,
    PeerFacts,
    SizeEstimate,
    StallFacts,
    SystemSources,
    TableFacts,
    TaskFacts,
)
from cql.system.tables import SystemTables, system_keyspaces
from cql.table_options import DEFAULT_OPTIONS
from cql.types.catalog import INT, TEXT, ListType, MapType, SetType, UserType
from cql.types.codec import decode, pack_collection, pack_map
from cql.types.ordering import ClusteringCodec
from storage.row import CellCursor
from storage.slice import Slice
from storage.values import replace

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "system_schema.json").read_text())
FACTS = NodeFacts(
    host_id=UUID(int=1),
    cluster_name="Test Cluster",
    datacenter="dc1",
    rack="r1",
    tokens=(5, -7),
    listen_address="127.0.0.1",
    broadcast_address="127.0.0.2",
    rpc_address="127.0.0.3",
    storage_port=7000,
    native_port=9042,
    generation=3,
    version="0.1.0",
)
USER_TYPE = UserType("k", "u", ("a", "B"), (INT, ListType(INT).frozen()))
KEYSPACE = Keyspace("k", {"class": "x.SimpleStrategy", "replication_factor": "1"})
TIME_UUID = UUID("50554d6e-29bb-11e5-b345-feff819cdc9f")
FIRST_READ_MAX_S = 0.25
"""The bound users are promised is 50 ms on a quiet machine; tests run on busy ones."""


def user_table(name: str = "t", number: int = 9) -> Table:
    columns = [
        Column("p", INT, "partition_key", 0, 1),
        Column("c", INT, "clustering", 0, 2, True),
        Column("s", TEXT, "static", -1, 3),
        Column("v", USER_TYPE.frozen(), "regular", -1, 4),
    ]
    return make_table("k", name, UUID(int=number), columns, DEFAULT_OPTIONS, 5)


class Node:
    """The system tables of a node, read as Python values."""

    def __init__(self, sources: SystemSources | None = None) -> None:
        self.holder = SchemaHolder(Schema(system_keyspaces()))
        self.system = SystemTables(FACTS, self.holder, sources)

    def create(self, *tables: Table) -> None:
        ops = [put_keyspace(KEYSPACE), put_type(USER_TYPE), *map(put_table, tables)]
        self.holder.replace(self.holder.current.apply(ops))

    def rows(self, keyspace: str, name: str) -> list[dict[str, Any]]:
        table = self.holder.current.get_table(keyspace, name)
        codec = ClusteringCodec([column.type for column in table.clustering])
        result = []
        for partition in self.system.read(Slice(table.id.bytes)).partitions:
            for clustering, row in zip(partition.clusterings, partition.rows, strict=True):
                found = _cells(table, row)
                if len(table.partition_key) == 1:
                    key = table.partition_key[0]
                    found[key.name] = decode(key.type, partition.key[8:])
                values = codec.decode(clustering) if clustering else []
                for column, value in zip(table.clustering, values, strict=True):
                    found[column.name] = decode(column.type, value)
                result.append(found)
        return result


def _cells(table: Table, row: bytes) -> dict[str, Any]:
    by_id = {column.id: column for column in table.all_columns}
    cells: dict[str, list[tuple[bytes, bytes]]] = {}
    cursor = CellCursor()
    cursor.reset(row)
    while cursor.next():
        cells.setdefault(by_id[cursor.column].name, []).append((cursor.path(), cursor.value()))
    result: dict[str, Any] = {column.name: None for column in table.regular}
    for name, found in cells.items():
        cql_type = table.columns[name].type
        value = found[0][1]
        if cql_type.is_multicell and isinstance(cql_type, SetType):
            value = pack_collection([path for path, _ in found])
        elif cql_type.is_multicell and isinstance(cql_type, MapType):
            value = pack_map(found)
        result[name] = decode(cql_type, value)
    return result


# ---------------------------------------------------------------- definitions


@pytest.mark.parametrize("full_name", sorted(GOLDEN["data"]))
def test_tables_have_the_columns_they_have_in_cassandra(full_name: str) -> None:
    keyspace, name = full_name.split(".")
    table = system_keyspaces()[keyspace].tables.get(name)
    if table is None:
        assert keyspace == "system_views", "only views of the node's inner life may be missing"
        return
    table.check()
    columns = [
        [
            column.name,
            column.kind,
            column.position,
            "asc" if column.kind == "clustering" else "none",
            str(column.type),
        ]
        for column in table.all_columns
    ]
    assert sorted(columns) == sorted(GOLDEN["data"][full_name])


def test_tables_that_scylla_drivers_read_exist() -> None:
    tables = system_keyspaces()["system_schema"].tables
    assert {"scylla_tables", "scylla_keyspaces", "scylla_aggregates", "computed_columns"} <= set(
        tables
    )
    assert {"cdc", "in_memory", "partitioner", "version"} <= set(tables["scylla_tables"].columns)


def test_ids_of_system_tables_are_those_of_cassandra() -> None:
    """The name-based id of system.local is the same in every cluster there is."""
    table = system_keyspaces()["system"].tables["local"]
    assert table.id == UUID("7ad54392-bcdd-35a6-8417-4e047860b377")


def test_traces_are_stored_and_expire() -> None:
    for table in system_keyspaces()["system_traces"].tables.values():
        assert not table.is_virtual
        assert table.options.default_time_to_live == 86_400


def test_every_virtual_table_answers() -> None:
    node = Node()
    node.system.check()
    for table in node.holder.current.tables():
        assert node.system.is_virtual(table.id.bytes) == table.is_virtual
        if table.is_virtual:
            node.system.read(Slice(table.id.bytes))


# ---------------------------------------------------------------- this node


def test_local_has_no_nulls_that_drivers_trip_over() -> None:
    node = Node()
    (row,) = node.rows("system", "local")
    assert row["key"] == "local"
    assert row["schema_version"] == node.holder.current.version
    assert row["host_id"] == FACTS.host_id
    assert row["release_version"].startswith("5.0.0-")
    assert row["cql_version"] == "3.4.7"
    assert row["native_protocol_version"] == "5"
    assert sorted(row["tokens"]) == ["-7", "5"]
    assert (str(row["rpc_address"]), row["rpc_port"]) == ("127.0.0.3", 9042)
    assert [name for name, value in row.items() if value is None] == ["truncated_at"]


def test_the_schema_version_in_local_follows_the_schema() -> None:
    node = Node()
    (before,) = node.rows("system", "local")
    node.create(user_table())
    (after,) = node.rows("system", "local")
    assert before["schema_version"] != after["schema_version"] == node.holder.current.version


def test_versions_tells_our_own_version() -> None:
    assert Node().rows("system", "versions")[0]["version"] == "0.1.0"


def test_peers_stand_in_both_tables() -> None:
    peer = PeerFacts(
        host_id=UUID(int=2),
        datacenter="dc2",
        rack="r2",
        tokens=(1, 2),
        address="127.0.0.9",
        storage_port=7001,
        native_address="127.0.0.8",
        native_port=9043,
        release_version="5.0.0-x",
        schema_version=UUID(int=3),
    )
    node = Node(SystemSources(peers=lambda: [peer]))
    (old,) = node.rows("system", "peers")
    (new,) = node.rows("system", "peers_v2")
    assert str(old["rpc_address"]) == str(new["native_address"]) == "127.0.0.8"
    assert (new["peer_port"], new["native_port"]) == (7001, 9043)
    for row in (old, new):
        assert str(row["peer"]) == "127.0.0.9"
        assert row["host_id"] == UUID(int=2)
        assert row["schema_version"] == UUID(int=3)
        assert sorted(row["tokens"]) == ["1", "2"]


def test_sources_fill_the_tables_of_the_nodes_state() -> None:
    client = ClientFacts("127.0.0.1", 5, "ready", "k", "d", "1", (("a", "b"),), 5, 7)
    node = Node(
        SystemSources(
            clients=lambda: [client],
            settings=lambda: [("name", "value")],
            size_estimates=lambda: [SizeEstimate("k", "t", -5, 5, 100, 3)],
            compactions=lambda: [CompactionFacts(TIME_UUID, "k", "t", 5, 9, 8, ((1, 2),))],
            tasks=lambda: [TaskFacts(TIME_UUID, "k", "t", 4, 25, 100)],
            prepared_statements=lambda: [(b"id", None, "SELECT")],
            caches=lambda: [CacheFacts("rows", 100, 50, 3, 6, 8)],
            tables=lambda: [
                TableFacts("k", "t", (1 << 20) + 1, 5, 3, 4),
                TableFacts("k", "unread", 0, 0, 0, 0),
            ],
            stalls=lambda: [
                StallFacts(1, "wall", 2, 0.03, 0.02, "a flush"),
                StallFacts(1, "cpu", 0, 0.0, 0.0, ""),
            ],
        )
    )
    node.system.check()
    assert node.rows("system_views", "clients")[0]["client_options"] == [("a", "b")]
    assert node.rows("system_views", "settings") == [{"name": "name", "value": "value"}]
    (size,) = node.rows("system", "size_estimates")
    assert (size["range_start"], size["range_end"], size["partitions_count"]) == ("-5", "5", 3)
    assert node.rows("system", "table_estimates")[0]["range_type"] == "primary"
    assert node.rows("system", "compaction_history")[0]["rows_merged"] == [(1, 2)]
    (task,) = node.rows("system_views", "sstable_tasks")
    assert (task["completion_ratio"], task["progress"], task["total"]) == (0.25, 25, 100)
    assert (task["task_id"], task["kind"], task["sstables"]) == (TIME_UUID, "compaction", 4)
    assert node.rows("system", "prepared_statements")[0]["query_string"] == "SELECT"
    (cache,) = node.rows("system_views", "caches")
    assert (cache["name"], cache["capacity_bytes"], cache["size_bytes"]) == ("rows", 100, 50)
    assert (cache["entry_count"], cache["hit_count"], cache["request_count"]) == (3, 6, 8)
    assert cache["hit_ratio"] == 0.75
    read, unread = node.rows("system_views", "table_caches")
    assert (read["table_name"], unread["table_name"]) == ("t", "unread")
    assert (read["row_hit_count"], read["row_request_count"], read["row_hit_ratio"]) == (3, 4, 0.75)
    of_cpu, of_wall = node.rows("system_views", "stalls")
    assert (of_wall["shard"], of_wall["clock"], of_wall["turns"]) == (1, "wall", 2)
    assert (of_wall["longest_ms"], of_wall["total_ms"]) == (20, 30)
    assert (of_wall["longest_turn"], of_cpu["longest_turn"]) == ("a flush", None)
    assert (read["row_partition_count"], unread["row_hit_ratio"]) == (5, 0.0)
    assert [row["mebibytes"] for row in node.rows("system_views", "disk_usage")].count(2) == 1


# ---------------------------------------------------------------- the schema


def test_the_schema_tables_tell_what_drivers_need() -> None:
    node = Node()
    node.create(user_table())
    (keyspace,) = (r for r in node.rows("system_schema", "keyspaces") if r["keyspace_name"] == "k")
    assert dict(keyspace["replication"]) == {"class": "x.SimpleStrategy", "replication_factor": "1"}
    (table,) = (r for r in node.rows("system_schema", "tables") if r["keyspace_name"] == "k")
    assert list(table["flags"]) == ["compound"]
    assert table["id"] == UUID(int=9)
    assert dict(table["compaction"])["class"].endswith("SizeTieredCompactionStrategy")
    assert [name for name, value in table.items() if value is None] == []
    columns = [r for r in node.rows("system_schema", "columns") if r["keyspace_name"] == "k"]
    shown = [(r["column_name"], r["kind"], r["position"], r["clustering_order"]) for r in columns]
    assert shown == [
        ("c", "clustering", 0, "desc"),
        ("p", "partition_key", 0, "none"),
        ("s", "static", -1, "none"),
        ("v", "regular", -1, "none"),
    ]
    assert [r["type"] for r in columns] == ["int", "int", "text", "frozen<u>"]
    (user_type,) = node.rows("system_schema", "types")
    assert list(user_type["field_names"]) == ["a", "B"]
    assert list(user_type["field_types"]) == ["int", "frozen<list<int>>"]


def test_virtual_keyspaces_stand_in_their_own_schema_only() -> None:
    node = Node()
    stored = {row["keyspace_name"] for row in node.rows("system_schema", "tables")}
    virtual = {row["keyspace_name"] for row in node.rows("system_virtual_schema", "tables")}
    assert virtual == VIRTUAL_KEYSPACES
    assert not stored & virtual
    assert {"system", "system_schema", "system_auth", "system_traces"} <= stored


def test_dropped_columns_are_told() -> None:
    node = Node()
    node.create(user_table())
    table = node.holder.current.get_table("k", "t")
    gone = replace(table, dropped=(DroppedColumn("x", INT, "regular", 1_234_567),))
    node.holder.replace(node.holder.current.apply([put_table(gone)]))
    (row,) = node.rows("system_schema", "dropped_columns")
    assert (row["column_name"], row["type"], row["kind"]) == ("x", "int", "regular")


def test_the_columns_of_many_tables_are_read_quickly() -> None:
    node = Node()
    node.create(*(user_table(f"t{number}", number + 10) for number in range(200)))
    table = node.holder.current.get_table("system_schema", "columns")
    start = time.process_time()
    page = node.system.read(Slice(table.id.bytes))
    assert time.process_time() - start < FIRST_READ_MAX_S
    assert sum(len(found.rows) for found in page.partitions) > 800

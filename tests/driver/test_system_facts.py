"""What docs/features.md promises of the system's tables (S rows)."""

from __future__ import annotations

import time
from typing import Any

import pytest

# name -> type, as drivers read them; the letters behind are the column's kind.
TABLES = {
    "system.local": "key text, bootstrapped text, broadcast_address inet, broadcast_port int, "
    "cluster_name text, cql_version text, data_center text, gossip_generation int, host_id uuid, "
    "listen_address inet, listen_port int, native_protocol_version text, partitioner text, "
    "rack text, release_version text, rpc_address inet, rpc_port int, schema_version uuid, "
    "tokens set<text>, truncated_at map<uuid, blob>",
    "system.peers": "peer inet, data_center text, host_id uuid, preferred_ip inet, rack text, "
    "release_version text, rpc_address inet, schema_version uuid, tokens set<text>",
    "system.peers_v2": "peer inet, peer_port int, data_center text, host_id uuid, "
    "native_address inet, native_port int, preferred_ip inet, preferred_port int, rack text, "
    "release_version text, schema_version uuid, tokens set<text>",
    "system_schema.columns": "keyspace_name text, table_name text, column_name text, "
    "clustering_order text, column_name_bytes blob, kind text, position int, type text",
    "system_schema.keyspaces": "keyspace_name text, durable_writes boolean, "
    "replication frozen<map<text, text>>",
    "system.size_estimates": "keyspace_name text, table_name text, range_start text, "
    "range_end text, mean_partition_size bigint, partitions_count bigint",
}
READ_BY_CLIENTS = (
    *(f"system_schema.{name}" for name in (
        *("keyspaces", "tables", "columns", "types", "functions", "aggregates", "triggers"),
        *("indexes", "views", "dropped_columns", "column_masks", "scylla_tables"),
        *("scylla_keyspaces", "scylla_aggregates", "computed_columns"),
    )),
    *(f"system_virtual_schema.{name}" for name in ("keyspaces", "tables", "columns")),
    *(f"system.{name}" for name in (
        *("local", "peers", "peers_v2", "size_estimates", "table_estimates"),
        *("prepared_statements", "compaction_history", "built_views", "view_builds_in_progress"),
        *('"IndexInfo"', "available_ranges_v2", "transferred_ranges_v2", "repairs"),
        *("top_partitions", "paxos", "batches", "peer_events_v2", "sstable_activity_v2"),
        "versions",
    )),
)  # fmt: skip
TABLE_COUNT = 200
UNLOADED_SECONDS, LOAD_ALLOWANCE = 0.05, 10


@pytest.mark.parametrize("name", READ_BY_CLIENTS)
def test_a_table_that_clients_read_is_there(session: Any, name: str) -> None:
    session.execute(f"SELECT * FROM {name}").all()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_columns_that_drivers_know(session: Any, name: str) -> None:
    keyspace, _, table = name.partition(".")
    found = session.execute(
        "SELECT column_name, type FROM system_schema.columns "
        "WHERE keyspace_name = %s AND table_name = %s",
        (keyspace, table),
    )
    wanted = dict(column.rsplit(" ", 1) if "<" not in column else column.split(" ", 1)
                  for column in split_columns(TABLES[name]))  # fmt: skip
    assert {row.column_name: row.type for row in found}.items() >= wanted.items()


def split_columns(text: str) -> list[str]:
    """Cuts at the commas that stand in no angle brackets."""
    out, depth = [""], 0
    for letter in text:
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "," and not depth:
            out.append("")
        else:
            out[-1] += letter
    return [part.strip() for part in out]


def test_the_local_row_has_no_null_that_a_driver_minds(session: Any) -> None:
    (row,) = session.execute("SELECT * FROM system.local")
    for name in (
        *("cluster_name", "partitioner", "tokens", "data_center", "rack", "host_id"),
        *("release_version", "schema_version", "rpc_address", "rpc_port", "cql_version"),
    ):
        assert getattr(row, name), name
    assert session.execute("SELECT * FROM system.peers").all() == []
    assert session.execute("SELECT * FROM system.peers_v2").all() == []


def test_a_table_is_compound_so_that_no_driver_takes_it_for_compact(session: Any) -> None:
    session.execute("CREATE TABLE t (k int, c int, s int STATIC, PRIMARY KEY (k, c))")
    found = session.execute(
        "SELECT flags FROM system_schema.tables WHERE keyspace_name = %s", (session.keyspace,)
    )
    assert [set(row.flags) for row in found] == [{"compound"}]


def test_the_virtual_schema_lists_the_tables_of_system_views(session: Any) -> None:
    names = {
        row.table_name
        for row in session.execute(
            "SELECT table_name FROM system_virtual_schema.tables "
            "WHERE keyspace_name = 'system_views'"
        )
    }
    assert {"settings", "clients", "caches"} <= names


def test_the_schema_of_many_tables_is_read_at_once(session: Any) -> None:
    for number in range(TABLE_COUNT):
        session.execute(f"CREATE TABLE t{number} (k int PRIMARY KEY, a text, b text)")
    session.default_fetch_size, fetch_size = None, session.default_fetch_size
    try:
        took = []
        for _ in range(5):
            start = time.perf_counter()
            found = session.execute("SELECT * FROM system_schema.tables").all()
            took.append(time.perf_counter() - start)
            assert len(found) >= TABLE_COUNT
    finally:
        session.default_fetch_size = fetch_size
    print(f"{len(found)} tables in {min(took) * 1000:.1f} ms")
    assert min(took) < UNLOADED_SECONDS * LOAD_ALLOWANCE


def test_estimates_tell_at_once_of_all_partitions(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v blob)")
    insert = session.prepare("INSERT INTO t (k, v) VALUES (?, ?)")
    for k in range(100):
        session.execute(insert, (k, bytes(100)))
    found = session.execute(
        "SELECT * FROM system.size_estimates WHERE keyspace_name = %s", (session.keyspace,)
    ).all()
    tokens = session.execute("SELECT tokens FROM system.local").one().tokens
    assert len(found) == len(tokens) + 1, "the range over the end of the ring is told in two"
    assert sum(row.partitions_count for row in found) == 100
    assert all(row.mean_partition_size >= 100 for row in found)


def test_a_prepared_statement_is_listed(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY)")
    prepared = session.prepare(f"SELECT k FROM {session.keyspace}.t WHERE k = ?")
    until = time.monotonic() + 10
    ids: set[bytes] = set()
    while prepared.query_id not in ids and time.monotonic() < until:
        ids = {
            row.prepared_id
            for row in session.execute("SELECT prepared_id FROM system.prepared_statements")
        }
    assert prepared.query_id in ids


def test_stalls_of_all_shards_are_shown_by_both_clocks(session: Any) -> None:
    rows = session.execute("SELECT * FROM system_views.stalls").all()
    counted = {(row.shard, row.clock): row for row in rows}
    shards = {shard for shard, _ in counted}
    assert shards == set(range(len(shards))) and len(shards) > 1
    assert len(rows) == 2 * len(shards)
    for shard in shards:
        wall, cpu = counted[shard, "wall"], counted[shard, "cpu"]
        assert wall.turns >= cpu.turns >= 0 and wall.total_ms >= cpu.total_ms
        assert wall.longest_ms >= (5 if wall.turns else 0)
        assert (wall.longest_turn is None) == (wall.turns == 0)


def test_rows_read_from_files_are_answered_by_the_cache_unless_it_is_bypassed(session: Any) -> None:
    session.execute(
        "CREATE TABLE t (k int PRIMARY KEY, v int) WITH memtable_flush_period_in_ms = 1"
    )
    session.execute("INSERT INTO t (k, v) VALUES (1, 2)")

    def hits() -> int:
        rows = session.execute("SELECT * FROM system_views.caches").all()
        return int({row.name: row.hit_count for row in rows}["rows"])

    def hits_after_reads(text: str) -> int:
        before = hits()
        for _ in range(10):
            assert session.execute(text).one().v == 2
        return hits() - before

    until = time.monotonic() + 20
    while hits_after_reads("SELECT v FROM t WHERE k = 1") < 10:
        assert time.monotonic() < until, "the memtable is flushed after its period"
        time.sleep(0.1)
    bypassing = hits_after_reads("SELECT v FROM t WHERE k = 1 BYPASS CACHE")
    session.execute("ALTER TABLE t WITH caching = {'enabled': 'false'}")
    # Statements about the schema read system tables, which have cached rows too.
    assert bypassing < 10
    assert hits_after_reads("SELECT v FROM t WHERE k = 1") < 10

"""The public Python driver, with no options, lives on a node."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import pytest
from cassandra import (
    AlreadyExists,
    ConsistencyLevel,
    InvalidRequest,
    Unavailable,
)
from cassandra.cluster import NoHostAvailable
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.protocol import SyntaxException
from cassandra.query import BatchStatement, BatchType, SimpleStatement
from cassandra.util import Date, Duration, Time

KEYS = 2000

VALUES: list[tuple[str, Any]] = [
    ("ascii", "plain"),
    ("bigint", -(1 << 63)),
    ("blob", b"\x00\xff"),
    ("boolean", True),
    ("date", Date(datetime.date(2024, 2, 29))),
    ("decimal", decimal.Decimal("-12.3450")),
    ("double", 1.5e300),
    ("duration", Duration(1, 2, 3)),
    ("float", -2.5),
    ("inet", "2001:db8::1"),
    ("int", 1 << 30),
    ("smallint", -7),
    ("text", "héllo 世界"),
    ("time", Time(3661000000001)),
    ("timestamp", datetime.datetime(2024, 2, 29, 12, 30, 15, 250000)),
    ("timeuuid", uuid.uuid1()),
    ("tinyint", -8),
    ("uuid", uuid.uuid4()),
    ("varint", -(10**40)),
    ("list<int>", [3, 1, 2]),
    ("set<text>", {"a", "b"}),
    ("map<text, int>", {"x": 1, "y": 2}),
    ("tuple<int, text>", (9, "nine")),
    ("frozen<list<text>>", ["a", "b"]),
    ("map<int, frozen<list<int>>>", {1: [2, 3]}),
]


@pytest.mark.parametrize(("type_name", "value"), VALUES, ids=[name for name, _ in VALUES])
def test_every_type_comes_back_as_it_went(session: Any, type_name: str, value: Any) -> None:
    session.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {type_name})")
    insert = session.prepare("INSERT INTO t (id, v) VALUES (?, ?)")
    session.execute(insert, (1, value))
    session.execute(insert, (2, None))
    found = {row.id: row.v for row in session.execute("SELECT id, v FROM t")}
    got = found[1]
    if "list" in type_name and "map" not in type_name:
        got = list(got)
    if "map" in type_name:
        got = {k: list(v) if isinstance(value[k], list) else v for k, v in got.items()}
    assert got == (set(value) if isinstance(value, set) else value)
    assert found[2] is None


def test_keys_written_through_any_connection_are_read_through_any_other(session: Any) -> None:
    session.execute("CREATE TABLE t (k text, c int, v blob, PRIMARY KEY (k, c))")
    insert = session.prepare("INSERT INTO t (k, c, v) VALUES (?, ?, ?)")
    rows = [(f"key {i}", i, bytes([i % 256])) for i in range(KEYS)]
    execute_concurrent_with_args(session, insert, rows)
    select = session.prepare("SELECT k, c, v FROM t WHERE k = ?")
    results = execute_concurrent_with_args(session, select, [(row[0],) for row in rows])
    assert [tuple(result.result_or_exc.one()) for result in results] == rows


def test_a_scan_is_paged_and_complete(session: Any) -> None:
    session.execute("CREATE TABLE t (k int, c int, PRIMARY KEY (k, c))")
    insert = session.prepare("INSERT INTO t (k, c) VALUES (?, ?)")
    execute_concurrent_with_args(session, insert, [(i % 37, i) for i in range(KEYS)])
    result = session.execute(SimpleStatement("SELECT k, c FROM t", fetch_size=100))
    assert result.has_more_pages
    assert sorted(row.c for row in result) == list(range(KEYS))


def test_a_wide_partition_pages_forward_and_backward(session: Any) -> None:
    session.execute("CREATE TABLE t (k int, c int, PRIMARY KEY (k, c))")
    insert = session.prepare("INSERT INTO t (k, c) VALUES (1, ?)")
    execute_concurrent_with_args(session, insert, [(i,) for i in range(KEYS)])
    forward = SimpleStatement("SELECT c FROM t WHERE k = 1", fetch_size=99)
    backward = SimpleStatement("SELECT c FROM t WHERE k = 1 ORDER BY c DESC", fetch_size=99)
    assert [row.c for row in session.execute(forward)] == list(range(KEYS))
    assert [row.c for row in session.execute(backward)] == list(reversed(range(KEYS)))


def test_a_batch_applies_all_its_statements(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
    insert = session.prepare("INSERT INTO t (k, v) VALUES (?, ?)")
    for kind in (BatchType.LOGGED, BatchType.UNLOGGED):
        batch = BatchStatement(batch_type=kind)
        for i in range(10):
            batch.add(insert, (i, i))
        batch.add(SimpleStatement("DELETE FROM t WHERE k = 3"))
        session.execute(batch)
    assert sorted(row.k for row in session.execute("SELECT k FROM t")) == [
        i for i in range(10) if i != 3
    ]


def test_a_udt_round_trips(session: Any) -> None:
    session.execute("CREATE TYPE place (street text, number int)")
    session.execute("CREATE TABLE t (k int PRIMARY KEY, p frozen<place>, q place)")
    insert = session.prepare("INSERT INTO t (k, p, q) VALUES (?, ?, ?)")
    session.execute(insert, (1, ("Main", 7), ("Side", 8)))
    session.execute("UPDATE t SET q.number = 9 WHERE k = 1")
    row = session.execute("SELECT p, q FROM t").one()
    assert (row.p.street, row.p.number, row.q.street, row.q.number) == ("Main", 7, "Side", 9)


def test_time_to_live_and_write_time_are_visible(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
    session.execute("INSERT INTO t (k, v) VALUES (1, 2) USING TTL 1000 AND TIMESTAMP 123456")
    row = session.execute("SELECT ttl(v) AS left, writetime(v) AS at FROM t").one()
    assert 990 < row.left <= 1000
    assert row.at == 123456


def test_errors_have_the_types_of_the_driver(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
    with pytest.raises(SyntaxException):
        session.execute("SELEC")
    with pytest.raises(InvalidRequest, match="table nosuch does not exist"):
        session.execute("SELECT * FROM nosuch")
    with pytest.raises(AlreadyExists):
        session.execute("CREATE TABLE t (k int PRIMARY KEY)")
    statement = SimpleStatement("SELECT * FROM t", consistency_level=ConsistencyLevel.THREE)
    with pytest.raises(NoHostAvailable) as refused:
        session.execute(statement)
    (error,) = refused.value.errors.values()
    assert isinstance(error, Unavailable)
    assert (error.required_replicas, error.alive_replicas) == (3, 1)


def test_the_drivers_metadata_sees_what_was_created(session: Any, node: Any) -> None:
    session.execute(
        "CREATE TABLE t (k int, c text, s int STATIC, v int, PRIMARY KEY (k, c)) "
        "WITH CLUSTERING ORDER BY (c DESC)"
    )
    cluster = node.cluster()
    cluster.connect()
    try:
        table = cluster.metadata.keyspaces[session.keyspace].tables["t"]
        assert [column.name for column in table.partition_key] == ["k"]
        assert [column.name for column in table.clustering_key] == ["c"]
        assert table.columns["s"].is_static
        assert table.columns["c"].is_reversed
    finally:
        cluster.shutdown()


def test_another_connection_hears_of_a_schema_change(session: Any, node: Any) -> None:
    import threading

    heard = threading.Event()
    cluster = node.cluster(schema_event_refresh_window=0)
    cluster.connect()
    cluster.control_connection._connection.register_watcher(
        "SCHEMA_CHANGE", lambda event: heard.set() if event.get("table") == "announced" else None
    )
    try:
        session.execute("CREATE TABLE announced (k int PRIMARY KEY)")
        assert heard.wait(10)
    finally:
        cluster.shutdown()


def test_a_statement_prepared_before_a_table_is_altered_follows_the_change(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
    select = session.prepare("SELECT * FROM t WHERE k = ?")
    session.execute("INSERT INTO t (k, v) VALUES (1, 2)")
    assert tuple(session.execute(select, (1,)).one()) == (1, 2)
    session.execute("ALTER TABLE t ADD w int")
    session.execute("INSERT INTO t (k, v, w) VALUES (1, 2, 3)")
    row = session.execute(select, (1,)).one()
    assert row._asdict() == {"k": 1, "v": 2, "w": 3}


@pytest.mark.parametrize("version", [3, 4, 5])
def test_every_protocol_version_works(node: Any, session: Any, version: int) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v text)")
    cluster = node.cluster(protocol_version=version)
    try:
        other = cluster.connect(session.keyspace)
        insert = other.prepare("INSERT INTO t (k, v) VALUES (?, ?)")
        other.execute(insert, (version, "x" * 200_000))
        found = other.execute("SELECT v FROM t WHERE k = %s", (version,)).one()
        assert found.v == "x" * 200_000
    finally:
        cluster.shutdown()


def test_lz4_frames_work_both_ways(node: Any, session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v text)")
    for version in (4, 5):
        cluster = node.cluster(protocol_version=version, compression="lz4")
        try:
            other = cluster.connect(session.keyspace)
            insert = other.prepare("INSERT INTO t (k, v) VALUES (?, ?)")
            other.execute(insert, (version, "x" * 300_000))
            found = other.execute("SELECT v FROM t WHERE k = %s", (version,)).one()
            assert found.v == "x" * 300_000
        finally:
            cluster.shutdown()


def test_tracing_gives_a_session_and_its_events(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY)")
    future = session.execute_async("SELECT * FROM t", trace=True)
    future.result()
    trace = future.get_query_trace(max_wait=10)
    assert trace.duration is not None
    assert trace.events

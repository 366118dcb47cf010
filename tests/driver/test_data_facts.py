"""What docs/features.md promises of values and of statements on data (T, M and F rows)."""

from __future__ import annotations

import decimal
import time
import uuid
from typing import Any

import pytest
from cassandra import InvalidRequest
from cassandra.protocol import ProtocolException
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType, SimpleStatement

from tests.harness.node_process import NodeProcess


def rows(session: Any, text: str, values: Any = None) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in session.execute(text, values)]


@pytest.fixture
def table(session: Any) -> Any:
    """A table of most things that statements touch, and the session it is in use on."""
    session.execute("CREATE TYPE u (a int, b text)")
    session.execute(
        "CREATE TABLE t (k int, c int, v int, s int STATIC, l list<int>, e set<int>, "
        "m map<text, int>, f u, PRIMARY KEY (k, c))"
    )
    return session


# Types.


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ascii", "'é'"),
        ("tinyint", "128"),
        ("smallint", "-32769"),
        ("int", "2147483648"),
        ("bigint", "9223372036854775808"),
        ("timeuuid", "5a1c395e-b41f-41e5-9f22-ba0be0483c18"),
        ("uuid", "'x'"),
        ("inet", "'300.1.1.1'"),
        ("date", "'2021-02-29'"),
        ("time", "'24:00:00'"),
        ("timestamp", "'2021-02-32'"),
        ("vector<float, 3>", "[1, 2]"),
        ("tuple<int, int>", "(1, 2, 3)"),
    ],
)
def test_a_literal_that_is_no_value_of_its_type_is_refused(
    session: Any, kind: str, value: str
) -> None:
    session.execute(f"CREATE TABLE t (k int PRIMARY KEY, v {kind})")
    with pytest.raises(InvalidRequest):
        session.execute(f"INSERT INTO t (k, v) VALUES (1, {value})")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("ascii", b"\x80"),
        ("text", b"\xff"),
        ("int", b"\0"),
        ("bigint", b"\0" * 7),
        ("boolean", b"\0\0"),
        ("timeuuid", uuid.UUID("7d444840-9dc0-41d1-b245-5ffdce74fad2").bytes),
        ("inet", b"\0" * 5),
        ("time", b"\xff" * 7),
        ("list<int>", b"\0\0\0\x01"),
    ],
)
def test_bytes_that_are_no_value_of_their_type_are_refused(
    session: Any, kind: str, data: bytes
) -> None:
    session.execute(f"CREATE TABLE t (k int PRIMARY KEY, v {kind})")
    insert = session.prepare("INSERT INTO t (k, v) VALUES (1, ?)")
    bound = insert.bind((None,))
    bound.values = [data]
    with pytest.raises(InvalidRequest):
        session.execute(bound)


def test_equal_decimals_are_one_clustering_value(session: Any) -> None:
    session.execute("CREATE TABLE t (k int, c decimal, v int, PRIMARY KEY (k, c))")
    session.execute("INSERT INTO t (k, c, v) VALUES (1, 1.0, 1)")
    session.execute("INSERT INTO t (k, c, v) VALUES (1, 1.00, 2)")
    assert rows(session, "SELECT c, v FROM t") == [(decimal.Decimal(1), 2)]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1000", 1000),
        ("'2024-02-29'", 1709164800000),
        ("'2024-02-29 12:30'", 1709209800000),
        ("'2024-02-29 12:30:15.250+0100'", 1709206215250),
        ("'2024-02-29T12:30:15Z'", 1709209815000),
    ],
)
def test_a_timestamp_is_a_number_or_iso_text(session: Any, text: str, milliseconds: int) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v timestamp)")
    session.execute(f"INSERT INTO t (k, v) VALUES (1, {text})")
    assert rows(session, "SELECT to_unix_timestamp(v) FROM t") == [(milliseconds,)]


def test_an_empty_collection_that_is_not_frozen_is_null(table: Any) -> None:
    table.execute("INSERT INTO t (k, c, l, e, m) VALUES (1, 1, [], {}, {})")
    assert rows(table, "SELECT l, e, m FROM t") == [(None, None, None)]
    table.execute("CREATE TABLE z (k int PRIMARY KEY, l frozen<list<int>>)")
    table.execute("INSERT INTO z (k, l) VALUES (1, [])")
    assert list(rows(table, "SELECT l FROM z")[0][0]) == []


def test_tuples_are_frozen_without_saying_so(session: Any) -> None:
    session.execute("CREATE TABLE t (k tuple<int, text> PRIMARY KEY, v tuple<int, int>)")
    session.execute("INSERT INTO t (k, v) VALUES ((1, 'a'), (1, null))")
    assert rows(session, "SELECT v FROM t WHERE k = (1, 'a')") == [((1, None),)]
    with pytest.raises(InvalidRequest):
        session.execute("UPDATE t SET v[0] = 1 WHERE k = (1, 'a')")


def test_a_field_of_a_user_type_is_updated_alone(table: Any) -> None:
    table.execute("INSERT INTO t (k, c, f) VALUES (1, 1, {a: 1, b: 'x'})")
    table.execute("UPDATE t SET f.a = 2 WHERE k = 1 AND c = 1")
    assert rows(table, "SELECT f.a, f.b FROM t") == [(2, "x")]
    table.execute("DELETE f.b FROM t WHERE k = 1 AND c = 1")
    assert rows(table, "SELECT f.a, f.b FROM t") == [(2, None)]
    table.execute("CREATE TYPE nest (i frozen<u>, l list<frozen<u>>)")
    table.execute("CREATE TABLE z (k int PRIMARY KEY, n frozen<nest>)")
    table.execute("INSERT INTO z (k, n) VALUES (1, {i: {a: 1}, l: [{a: 2}]})")
    assert rows(table, "SELECT n.i.a FROM z") == [(1,)]


@pytest.mark.parametrize("kind", ["int", "bigint", "double", "boolean", "timestamp", "uuid"])
def test_a_value_of_no_bytes_is_kept_as_it_is(session: Any, kind: str) -> None:
    session.execute(f"CREATE TABLE t (k int PRIMARY KEY, v {kind})")
    bound = session.prepare("INSERT INTO t (k, v) VALUES (1, ?)").bind((None,))
    bound.values = [b""]
    session.execute(bound)
    found = rows(session, f"SELECT {kind}_as_blob(v) FROM t")
    assert found == [(b"",)]


# Writing.


def test_an_insert_leaves_a_row_and_an_update_only_its_cells(table: Any) -> None:
    table.execute("INSERT INTO t (k, c) VALUES (1, 1)")
    table.execute("INSERT INTO t (k, c, v) VALUES (1, 2, 1)")
    table.execute("INSERT INTO t (k, c, v) VALUES (1, 2, null)")
    table.execute("UPDATE t SET v = 1 WHERE k = 1 AND c = 3")
    table.execute("UPDATE t SET v = null WHERE k = 1 AND c = 3")
    assert rows(table, "SELECT c, v FROM t") == [(1, None), (2, None)]


def test_a_timestamp_is_microseconds_whatever_it_looks_like(table: Any) -> None:
    milliseconds = 1700000000000
    table.execute(f"INSERT INTO t (k, c, v) VALUES (1, 1, 1) USING TIMESTAMP {milliseconds}")
    assert rows(table, "SELECT writetime(v) FROM t") == [(milliseconds,)]
    table.execute("UPDATE t USING TTL 100 AND TIMESTAMP 1800000000000 SET v = 2 WHERE k=1 AND c=1")
    ((written, left),) = rows(table, "SELECT writetime(v), ttl(v) FROM t")
    assert written == 1800000000000 and 0 < left <= 100
    insert = table.prepare("INSERT INTO t (k, c, v) VALUES (2, 1, 1) USING TIMESTAMP ? AND TTL ?")
    table.execute(insert, (5, 50))
    assert rows(table, "SELECT writetime(v), ttl(v) FROM t WHERE k = 2")[0][0] == 5


def test_what_has_a_time_to_live_goes(table: Any) -> None:
    table.execute("INSERT INTO t (k, c, v) VALUES (1, 1, 1) USING TTL 1")
    until = time.monotonic() + 10
    while rows(table, "SELECT * FROM t") and time.monotonic() < until:
        pass
    assert rows(table, "SELECT * FROM t") == []


def test_every_way_to_change_a_collection(table: Any) -> None:
    for change in (
        "l = [1, 2], e = {1}, m = {'a': 1}",
        "l = l + [3], e = e + {2}, m = m + {'b': 2}",
        "l = [0] + l, e += {3}, m['c'] = 3",
        "l[1] = 9, e = e - {1}, m = m - {'a'}",
        "l -= [3]",
    ):
        table.execute(f"UPDATE t SET {change} WHERE k = 1 AND c = 1")
    ((lists, elements, entries),) = rows(table, "SELECT l, e, m FROM t")
    assert (list(lists), set(elements), dict(entries)) == ([0, 9, 2], {2, 3}, {"b": 2, "c": 3})
    table.execute("DELETE l[0], e[2], m['b'] FROM t WHERE k = 1 AND c = 1")
    ((lists, elements, entries),) = rows(table, "SELECT l, e, m FROM t")
    assert (list(lists), set(elements), dict(entries)) == ([9, 2], {3}, {"c": 3})
    with pytest.raises(InvalidRequest):
        table.execute("UPDATE t SET l[7] = 1 WHERE k = 1 AND c = 1")


def test_counters_count_and_mix_with_nothing(session: Any) -> None:
    session.execute("CREATE TABLE n (k int PRIMARY KEY, a counter, b counter)")
    session.execute("UPDATE n SET a = a + 5, b -= 2 WHERE k = 1")
    session.execute("UPDATE n SET a += 1 WHERE k = 1")
    assert rows(session, "SELECT a, b FROM n") == [(6, -2)]
    for text in ("INSERT INTO n (k, a) VALUES (1, 1)", "UPDATE n SET a = 1 WHERE k = 1"):
        with pytest.raises(InvalidRequest):
            session.execute(text)


def test_a_static_counter_counts_with_rows_and_without(session: Any) -> None:
    session.execute(
        "CREATE TABLE n (k int, c int, a counter, s counter STATIC, PRIMARY KEY (k, c))"
    )
    for _ in range(3):
        session.execute("UPDATE n SET s += 2 WHERE k = 1")
    assert rows(session, "SELECT c, a, s FROM n") == [(None, None, 6)]
    for _ in range(2):
        session.execute("UPDATE n SET a += 1, s += 1 WHERE k = 1 AND c = 5")
    session.execute("UPDATE n SET s -= 1 WHERE k = 1")
    assert rows(session, "SELECT c, a, s FROM n") == [(5, 2, 7)]


def test_lists_of_a_static_row_and_of_a_missing_one_are_read_before_they_change(
    session: Any,
) -> None:
    session.execute(
        "CREATE TABLE n (k int, c int, l list<int>, s list<int> STATIC, PRIMARY KEY (k, c))"
    )
    session.execute("UPDATE n SET s = [1, 2, 1] WHERE k = 1")
    session.execute("UPDATE n SET s = s - [1], l = l - [7] WHERE k = 1 AND c = 5")
    assert rows(session, "SELECT c, l, s FROM n") == [(None, None, [2])]


def test_in_reaches_several_rows_and_a_static_needs_no_clustering(table: Any) -> None:
    table.execute("UPDATE t SET v = 1 WHERE k IN (1, 2) AND c IN (1, 2)")
    table.execute("UPDATE t SET s = 7 WHERE k = 1")
    assert sorted(rows(table, "SELECT k, c, s FROM t")) == [
        *((1, 1, 7), (1, 2, 7), (2, 1, None), (2, 2, None)),
    ]
    table.execute("DELETE FROM t WHERE k IN (1, 2) AND c IN (1)")
    assert sorted(rows(table, "SELECT k, c FROM t")) == [(1, 2), (2, 2)]


def test_every_kind_of_delete(table: Any) -> None:
    for c in range(10):
        table.execute("INSERT INTO t (k, c, v) VALUES (1, %s, 1) USING TIMESTAMP 10", (c,))
    table.execute("DELETE v FROM t WHERE k = 1 AND c = 0")
    table.execute("DELETE FROM t WHERE k = 1 AND c = 1")
    table.execute("DELETE FROM t WHERE k = 1 AND c >= 2 AND c < 5")
    table.execute("DELETE FROM t USING TIMESTAMP 9 WHERE k = 1 AND c > 6")
    assert [row[0] for row in rows(table, "SELECT c FROM t")] == [0, 5, 6, 7, 8, 9]
    table.execute("DELETE FROM t WHERE k = 1")
    assert rows(table, "SELECT c FROM t") == []


def test_batches_of_every_kind(table: Any) -> None:
    table.execute("CREATE TABLE n (k int PRIMARY KEY, a counter)")
    insert = table.prepare("INSERT INTO t (k, c, v) VALUES (?, ?, ?)")
    for kind in (BatchType.LOGGED, BatchType.UNLOGGED):
        batch = BatchStatement(kind)
        for k in range(5):
            batch.add(insert, (k, kind.value, 1))
        batch.add(SimpleStatement("UPDATE t SET s = 3 WHERE k = 0"))
        table.execute(batch)
    counting = BatchStatement(BatchType.COUNTER)
    counting.add("UPDATE n SET a = a + 2 WHERE k = 1")
    table.execute(counting)
    assert rows(table, "SELECT count(*), max(s) FROM t") == [(10, 3)]
    assert rows(table, "SELECT a FROM n") == [(2,)]
    table.execute(
        "BEGIN UNLOGGED BATCH USING TIMESTAMP 5 UPDATE t SET v = 5 WHERE k = 9 AND c = 1; "
        "DELETE FROM t WHERE k = 9 AND c = 2; APPLY BATCH"
    )
    assert rows(table, "SELECT writetime(v) FROM t WHERE k = 9") == [(5,)]
    conditional = (
        "BEGIN BATCH INSERT INTO t (k, c, v) VALUES (20, 1, 1) IF NOT EXISTS "
        "INSERT INTO t (k, c, v) VALUES (20, 2, 1) APPLY BATCH"
    )
    assert table.execute(conditional).was_applied
    assert not table.execute(conditional).was_applied


def test_a_batch_that_is_too_large_is_warned_about_and_then_refused(table: Any) -> None:
    table.execute("CREATE TABLE z (k int PRIMARY KEY, v blob)")
    insert = table.prepare("INSERT INTO z (k, v) VALUES (?, ?)")

    def send(size: int) -> str:
        batch = BatchStatement(BatchType.LOGGED)
        for k in range(10):
            batch.add(insert, (k, bytes(size)))
        future = table.execute_async(batch)
        future.result()
        return " ".join(future.warnings or ())

    assert send(100) == ""
    assert "exceeding specified threshold of 5.000KiB" in send(600)
    with pytest.raises(InvalidRequest, match="Batch too large"):
        send(6000)


# Reading.


def test_parts_of_values_are_selected(table: Any) -> None:
    table.execute(
        "INSERT INTO t (k, c, v, e, m, f) "
        "VALUES (1, 1, 5, {1, 2, 3}, {'a': 1, 'b': 2, 'c': 3}, {a: 7})"
    )
    found = table.execute(
        "SELECT v AS \"Name\", m['b'], m['a'..'b'], e[2..], f.a, (int) 3, (text) 'x', v + 1, -v "
        "FROM t"
    )
    (row,) = list(found)
    assert (row[0], row[1], dict(row[2]), set(row[3]), *row[4:]) == (
        *(5, 2, {"a": 1, "b": 2}, {2, 3}, 7, 3, "x", 6, -5),
    )
    assert found.column_names[0] == "Name"


def test_distinct_gives_each_partition_once(table: Any) -> None:
    for k in range(5):
        for c in range(3):
            table.execute("INSERT INTO t (k, c) VALUES (%s, %s)", (k, c))
    assert sorted(rows(table, "SELECT DISTINCT k FROM t")) == [(k,) for k in range(5)]
    with pytest.raises(InvalidRequest):
        table.execute("SELECT DISTINCT c FROM t")


def test_relations_on_keys(session: Any) -> None:
    session.execute("CREATE TABLE t (k int, a int, b int, PRIMARY KEY (k, a, b))")
    for a in (1, 2, 3):
        for b in (1, 2, 3):
            session.execute("INSERT INTO t (k, a, b) VALUES (1, %s, %s)", (a, b))

    def found(where: str) -> list[tuple[Any, ...]]:
        return rows(session, f"SELECT a, b FROM t WHERE k = 1 AND {where}")

    assert found("a = 2 AND b > 1") == [(2, 2), (2, 3)]
    assert found("a IN (3, 1, 3) AND b = 1") == [(1, 1), (3, 1)]
    assert found("(a, b) > (2, 2)") == [(2, 3), (3, 1), (3, 2), (3, 3)]
    assert found("(a, b) IN ((3, 3), (1, 2), (3, 3))") == [(1, 2), (3, 3)]
    assert found("a >= 2 AND a < 3") == [(2, 1), (2, 2), (2, 3)]
    both = rows(session, "SELECT k FROM t WHERE token(k) > token(7) LIMIT 1")
    rest = rows(session, "SELECT k FROM t WHERE token(k) <= token(7) LIMIT 1")
    assert len(both) + len(rest) == 1


def test_the_order_is_the_keys_or_its_reverse(table: Any) -> None:
    for c in range(5):
        table.execute("INSERT INTO t (k, c) VALUES (1, %s)", (c,))
        table.execute("INSERT INTO t (k, c) VALUES (2, %s)", (c,))
    turned = rows(table, "SELECT c FROM t WHERE k = 1 ORDER BY c DESC LIMIT 2")
    assert turned == [(4,), (3,)]
    unpaged = SimpleStatement("SELECT c FROM t WHERE k IN (1, 2) ORDER BY c", fetch_size=None)
    assert [row.c for row in table.execute(unpaged)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    with pytest.raises(InvalidRequest, match="Cannot page queries with both ORDER BY and a IN"):
        table.execute("SELECT c FROM t WHERE k IN (1, 2) ORDER BY c")
    with pytest.raises(InvalidRequest):
        table.execute("SELECT c FROM t WHERE k = 1 ORDER BY v")


def test_limits_of_all_and_of_each_partition(table: Any) -> None:
    for k in range(3):
        for c in range(5):
            table.execute("INSERT INTO t (k, c) VALUES (%s, %s)", (k, c))
    assert len(rows(table, "SELECT * FROM t PER PARTITION LIMIT 2")) == 6
    assert len(rows(table, "SELECT * FROM t PER PARTITION LIMIT 2 LIMIT 5")) == 5
    select = table.prepare("SELECT * FROM t PER PARTITION LIMIT ? LIMIT ?")
    assert len(table.execute(select, (1, 10)).all()) == 3


def test_filtering_must_be_allowed_and_is_paged(table: Any) -> None:
    for c in range(100):
        table.execute("INSERT INTO t (k, c, v) VALUES (1, %s, %s)", (c, c % 2))
    with pytest.raises(InvalidRequest, match="use ALLOW FILTERING"):
        table.execute("SELECT c FROM t WHERE v = 1")
    paged = SimpleStatement("SELECT c FROM t WHERE v = 1 ALLOW FILTERING", fetch_size=7)
    assert [row.c for row in table.execute(paged)] == list(range(1, 100, 2))
    assert rows(table, "SELECT key FROM system.local WHERE rack = 'rack1'") == [("local",)]


def test_unset_null_and_empty_are_three_things(table: Any) -> None:
    table.execute("CREATE TABLE z (k int PRIMARY KEY, a text, b text, c text)")
    insert = table.prepare("INSERT INTO z (k, a, b, c) VALUES (?, ?, ?, ?)")
    table.execute(insert, (1, "a", "b", "c"))
    table.execute(insert, (1, UNSET_VALUE, None, ""))
    assert rows(table, "SELECT a, b, c FROM z") == [("a", None, "")]


def test_of_two_writes_at_one_time_the_same_wins_in_both_orders(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
    first, second = "UPDATE t USING TIMESTAMP 5 SET v = 1", "UPDATE t USING TIMESTAMP 5 SET v = 2"
    deleting = "UPDATE t USING TIMESTAMP 5 SET v = null"
    for k, (one, other) in enumerate(((first, second), (second, first))):
        session.execute(f"{one} WHERE k = {k}")
        session.execute(f"{other} WHERE k = {k}")
    assert sorted(rows(session, "SELECT k, v FROM t")) == [(0, 2), (1, 2)]
    for k, (one, other) in enumerate(((first, deleting), (deleting, first))):
        session.execute(f"{one} WHERE k = {k + 10}")
        session.execute(f"{other} WHERE k = {k + 10}")
    assert sorted(rows(session, "SELECT k FROM t")) == [(0,), (1,)]
    lasting = "UPDATE t USING TIMESTAMP 5 AND TTL 100 SET v = 1"
    for k, (one, other) in enumerate(((lasting, second), (second, lasting))):
        session.execute(f"{one} WHERE k = {k + 20}")
        session.execute(f"{other} WHERE k = {k + 20}")
    kept = rows(session, "SELECT v, ttl(v) FROM t WHERE k IN (20, 21)")
    assert [value for value, left in kept if left] == [1, 1]


# Paging.


def test_a_page_follows_a_page_after_a_restart_and_on_another_connection(
    node: NodeProcess, session: Any, tmp_path: Any
) -> None:
    own = NodeProcess(tmp_path / "data", shards=2, is_pinned=False).start()
    try:
        cluster = own.cluster()
        with cluster.connect() as first:
            first.execute(
                "CREATE KEYSPACE ks WITH replication = "
                "{'class': 'SimpleStrategy', 'replication_factor': 1}"
            )
            first.execute("CREATE TABLE ks.t (k int PRIMARY KEY)")
            insert = first.prepare("INSERT INTO ks.t (k) VALUES (?)")
            for k in range(50):
                first.execute(insert, (k,))
            select = SimpleStatement("SELECT k FROM ks.t", fetch_size=20)
            page = first.execute(select)
            seen, state = [row.k for row in page.current_rows], page.paging_state
        cluster.shutdown()
        own.kill()
        own.start()
        cluster = own.cluster()
        with cluster.connect() as again:
            rest = again.execute(select, paging_state=state)
            assert sorted(seen + [row.k for row in rest]) == list(range(50))
            forged = state[:-1] + bytes([state[-1] ^ 1])
            with pytest.raises(ProtocolException, match="Invalid value for the paging state"):
                again.execute(select, paging_state=forged)
        cluster.shutdown()
    finally:
        own.close()


# Functions.


def test_token_and_uuid(session: Any) -> None:
    session.execute("CREATE TABLE t (a text, b int, u uuid, PRIMARY KEY ((a, b)))")
    session.execute("INSERT INTO t (a, b, u) VALUES ('a', 1, uuid())")
    ((token, made),) = rows(session, "SELECT token(a, b), u FROM t")
    assert token == 8247712171917364652 and made.version == 4


@pytest.mark.parametrize(
    "text",
    [
        "now() = now()",
        "min_timeuuid('2024-01-01') < now()",
        "mintimeuuid('2024-01-01') < now()",
        "minTimeuuid('2024-01-01') < now()",
        "max_timeuuid('2024-01-01') < now()",
        "maxTimeuuid('2024-01-01') < now()",
    ],
)
def test_both_spellings_of_the_time_functions(session: Any, text: str) -> None:
    session.execute("CREATE TABLE t (k int, c timeuuid, PRIMARY KEY (k, c))")
    session.execute("INSERT INTO t (k, c) VALUES (1, now())")
    function = text.split(" ")[0]
    assert len(rows(session, f"SELECT c FROM t WHERE k = 1 AND c > {function}")) == (
        0 if function.startswith("now") else 1
    )


def test_aggregates_have_the_types_of_their_columns(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, i int, d double, x text)")
    for k, i in enumerate((1, 2, 2147483647)):
        session.execute("INSERT INTO t (k, i, d, x) VALUES (%s, %s, 0.5, %s)", (k, i, f"x{k}"))
    session.execute("INSERT INTO t (k) VALUES (9)")
    assert rows(session, "SELECT count(*), count(1), count(i), count_rows() FROM t") == [
        (4, 4, 3, 4)
    ]
    assert rows(session, "SELECT sum(i), min(x), max(x), avg(d) FROM t") == [
        (-2147483646, "x0", "x2", 0.5)
    ]
    assert rows(session, "SELECT avg(i) FROM t WHERE k IN (0, 1)") == [(1,)]


def test_write_times_and_times_to_live(table: Any) -> None:
    table.execute("INSERT INTO t (k, c, v, m) VALUES (1, 1, 1, {'a': 1}) USING TIMESTAMP 5")
    table.execute("UPDATE t USING TIMESTAMP 9 SET m['b'] = 2 WHERE k = 1 AND c = 1")
    ((written, most, each, left, nothing),) = rows(
        table, "SELECT writetime(v), maxwritetime(m), writetime(m), ttl(v), writetime(s) FROM t"
    )
    assert (written, most, list(each), left, nothing) == (5, 9, [5, 9], None, None)
    assert rows(table, "SELECT writetime(m['b']) FROM t") == [(9,)]
    with pytest.raises(InvalidRequest):
        table.execute("SELECT writetime(k) FROM t")

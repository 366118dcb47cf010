"""Whole INSERT, UPDATE, DELETE and BATCH statements over a fake coordinator."""

from __future__ import annotations

import pytest

from cql.errors import InvalidRequest
from cql.protocol.requests import UNSET
from tests.cql.fakes import Harness, rows_of


def int_of(value: int) -> bytes:
    return value.to_bytes(4, "big", signed=True)


def packed(*values: bytes) -> bytes:
    parts = [len(values).to_bytes(4, "big")]
    for value in values:
        parts += [len(value).to_bytes(4, "big"), value]
    return b"".join(parts)


@pytest.fixture
def harness() -> Harness:
    made = Harness()
    made.run(
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    made.run("USE k")
    made.run("CREATE TABLE t (a int, c int, d int, s text static, PRIMARY KEY (a, c))")
    made.run("CREATE TYPE u (x int, y text)")
    made.run(
        "CREATE TABLE m (k int PRIMARY KEY, l list<int>, s set<text>, m map<text, int>, u u, v int)"
    )
    made.run("CREATE TABLE n (k int PRIMARY KEY, n counter)")
    return made


def test_an_unset_value_leaves_the_column_alone(harness: Harness) -> None:
    prepared = harness.prepare("INSERT INTO t (a, c, d) VALUES (?, ?, ?)")
    assert prepared.pk_indices == (0,)
    harness.execute(prepared, int_of(1), int_of(1), int_of(7))
    harness.execute(prepared, int_of(1), int_of(1), UNSET)
    assert harness.rows("SELECT d FROM t WHERE a = 1") == [[int_of(7)]]
    harness.execute(prepared, int_of(1), int_of(1), None)
    assert harness.rows("SELECT d FROM t WHERE a = 1") == [[None]]


def test_a_value_of_the_wrong_size_is_refused(harness: Harness) -> None:
    prepared = harness.prepare("INSERT INTO t (a, c, d) VALUES (?, ?, ?)")
    with pytest.raises(InvalidRequest, match="Expected 4 or 0 byte int"):
        harness.execute(prepared, int_of(1), int_of(1), b"123")


def test_an_empty_value_stays_empty(harness: Harness) -> None:
    prepared = harness.prepare("INSERT INTO t (a, c, d) VALUES (?, ?, ?)")
    harness.execute(prepared, int_of(1), b"", b"")
    assert harness.rows("SELECT c, d FROM t WHERE a = 1") == [[b"", b""]]


def test_an_empty_partition_key_is_refused(harness: Harness) -> None:
    prepared = harness.prepare("INSERT INTO t (a, c) VALUES (?, ?)")
    with pytest.raises(InvalidRequest, match="Key may not be empty"):
        harness.execute(prepared, b"", int_of(1))


def test_an_update_makes_no_row_that_outlives_its_cells(harness: Harness) -> None:
    harness.run("UPDATE t SET d = 1 WHERE a = 1 AND c = 1")
    harness.run("INSERT INTO t (a, c, d) VALUES (1, 2, 1)")
    harness.run("DELETE d FROM t WHERE a = 1 AND c IN (1, 2)")
    assert harness.rows("SELECT c, d FROM t WHERE a = 1") == [[int_of(2), None]]


def test_cells_expire_and_show_how_long_they_live(harness: Harness) -> None:
    harness.run("INSERT INTO t (a, c, d) VALUES (1, 1, 1) USING TTL 100 AND TIMESTAMP 42")
    harness.wall_s += 40
    query = "SELECT d, ttl(d), writetime(d) FROM t WHERE a = 1"
    assert harness.rows(query) == [[int_of(1), int_of(60), (42).to_bytes(8, "big")]]
    harness.wall_s += 60
    assert harness.rows(query) == []


def test_a_later_timestamp_wins_whatever_came_last(harness: Harness) -> None:
    harness.run("INSERT INTO t (a, c, d) VALUES (1, 1, 5) USING TIMESTAMP 10")
    harness.run("INSERT INTO t (a, c, d) VALUES (1, 1, 4) USING TIMESTAMP 9")
    assert harness.rows("SELECT d FROM t WHERE a = 1") == [[int_of(5)]]


def test_deletions_of_every_width(harness: Harness) -> None:
    for c in range(6):
        harness.run(f"INSERT INTO t (a, c, d, s) VALUES (1, {c}, {c}, 's')")
    harness.run("DELETE FROM t WHERE a = 1 AND c > 3")
    harness.run("DELETE FROM t WHERE a = 1 AND c = 0")
    assert harness.rows("SELECT c FROM t WHERE a = 1") == [[int_of(c)] for c in (1, 2, 3)]
    mutation = harness.coordinator.writes[-2]
    assert [len(item) for item in mutation.items()] == [4]
    harness.run("DELETE FROM t WHERE a = 1")
    assert harness.rows("SELECT c, s FROM t WHERE a = 1") == []


def test_lists_keep_the_order_in_which_they_were_made(harness: Harness) -> None:
    harness.run("INSERT INTO m (k, l) VALUES (1, [3, 4])")
    harness.run("UPDATE m SET l = l + [5, 6] WHERE k = 1")
    harness.run("UPDATE m SET l = [1, 2] + l WHERE k = 1")
    harness.run("UPDATE m SET l = [-1, 0] + l WHERE k = 1")
    expected = packed(*(int_of(i) for i in (-1, 0, 1, 2, 3, 4, 5, 6)))
    assert harness.rows("SELECT l FROM m WHERE k = 1") == [[expected]]
    harness.run("UPDATE m SET l[0] = 9, l = l - [3] WHERE k = 1")
    harness.run("DELETE l[1] FROM m WHERE k = 1")
    expected = packed(*(int_of(i) for i in (9, 1, 2, 4, 5, 6)))
    assert harness.rows("SELECT l FROM m WHERE k = 1") == [[expected]]


def test_an_empty_collection_is_null(harness: Harness) -> None:
    harness.run("INSERT INTO m (k, l, s, m) VALUES (1, [], {}, {})")
    harness.run("INSERT INTO m (k, s) VALUES (2, {'a'})")
    harness.run("UPDATE m SET s = s - {'a'} WHERE k = 2")
    assert sorted(harness.rows("SELECT k, l, s, m FROM m"), key=str) == [
        [int_of(1), None, None, None],
        [int_of(2), None, None, None],
    ]


def test_sets_and_maps_change_by_element(harness: Harness) -> None:
    harness.run("INSERT INTO m (k, s, m) VALUES (1, {'b', 'a'}, {'x': 1, 'y': 2})")
    harness.run("UPDATE m SET s = s + {'c'}, m = m + {'z': 3} WHERE k = 1")
    harness.run("UPDATE m SET m['y'] = 5, m['x'] = null WHERE k = 1")
    harness.run("DELETE s['a'] FROM m WHERE k = 1")
    expected_map = packed(b"y", int_of(5), b"z", int_of(3))
    expected_map = (2).to_bytes(4, "big") + expected_map[4:]
    assert harness.rows("SELECT s, m FROM m") == [[packed(b"b", b"c"), expected_map]]


def test_fields_of_a_user_type_change_alone(harness: Harness) -> None:
    harness.run("INSERT INTO m (k, u) VALUES (1, {x: 1, y: 'why'})")
    harness.run("UPDATE m SET u.x = 2 WHERE k = 1")
    harness.run("DELETE u.y FROM m WHERE k = 1")
    assert harness.rows("SELECT u, u.x FROM m") == [
        [b"\x00\x00\x00\x04" + int_of(2) + b"\xff\xff\xff\xff", int_of(2)]
    ]


def test_counters_count(harness: Harness) -> None:
    harness.run("UPDATE n SET n = n + 5 WHERE k = 1")
    harness.run("UPDATE n SET n = n - 7 WHERE k = 1")
    assert harness.rows("SELECT n FROM n") == [[(-2).to_bytes(8, "big", signed=True)]]


def test_a_batch_message_joins_what_is_of_one_partition(harness: Harness) -> None:
    prepared = harness.prepare("INSERT INTO t (a, c, d) VALUES (?, ?, ?)")
    parts = [(prepared.id, [int_of(1), int_of(c), int_of(c)]) for c in range(3)]
    harness.batch(0, *parts, ("DELETE FROM t WHERE a = 1 AND c = 1", []))
    ((logged, mutations),) = harness.coordinator.batches
    assert logged and len(mutations) == 1
    assert harness.rows("SELECT c FROM t WHERE a = 1") == [[int_of(0)], [int_of(2)]]


def test_large_batches_are_warned_about_and_then_refused(harness: Harness) -> None:
    statement = "INSERT INTO t (a, s) VALUES (?, ?)"
    parts = [(statement, [int_of(i), b"x" * 600]) for i in range(10)]
    (warning,) = harness.batch(0, *parts).warnings
    assert warning.startswith("Batch for [k.t] is of size ")
    with pytest.raises(InvalidRequest, match="Batch too large"):
        harness.batch(0, *[(statement, [int_of(i), b"x" * 6000]) for i in range(10)])
    warnings = harness.batch(1, *[(statement, [int_of(i), b""]) for i in range(11)]).warnings
    assert warnings[0].startswith("Unlogged batch covering 11 partitions")


def test_a_condition_on_a_static_column_needs_no_row(harness: Harness) -> None:
    harness.run("UPDATE t SET s = 'x' WHERE a = 1")
    rows = rows_of(harness.run("UPDATE t SET d = 1 WHERE a = 1 AND c = 1 IF s = 'y'"))
    assert rows == [[b"\x00", b"x"]]
    assert rows_of(harness.run("UPDATE t SET d = 1 WHERE a = 1 AND c = 1 IF s = 'x'")) == [
        [b"\x01"]
    ]
    assert harness.rows("SELECT c, d FROM t WHERE a = 1") == [[int_of(1), int_of(1)]]


def test_conditions_on_elements_and_fields(harness: Harness) -> None:
    harness.run("INSERT INTO m (k, l, m, u) VALUES (1, [1, 2], {'a': 1}, {x: 1})")
    for condition, applies in (
        ("m['a'] = 1", True),
        ("m['b'] = null", True),
        ("m['a'] > 1", False),
        ("l[1] = 2", True),
        ("l = [1, 2]", True),
        ("l = [1]", False),
        ("u.x IN (1, 2)", True),
        ("u.x != 1", False),
    ):
        result = harness.run(f"UPDATE m SET v = 1 WHERE k = 1 IF {condition}")
        assert rows_of(result)[0][0] == bytes([applies]), condition
        assert result.is_conditional


def test_a_conditional_batch_shows_the_rows_in_the_way(harness: Harness) -> None:
    harness.run("INSERT INTO t (a, c, d) VALUES (1, 1, 1)")
    result = harness.run(
        "BEGIN BATCH UPDATE t SET d = 2 WHERE a = 1 AND c = 1 IF d = 9; "
        "INSERT INTO t (a, c) VALUES (1, 2); APPLY BATCH"
    )
    assert [c.name for c in result.columns] == ["[applied]", "a", "c", "d"]
    assert rows_of(result) == [[b"\x00", int_of(1), int_of(1), int_of(1)]]
    assert harness.rows("SELECT c FROM t WHERE a = 1") == [[int_of(1)]]


def test_a_decided_write_is_later_than_what_it_decided_on(harness: Harness) -> None:
    harness.run("INSERT INTO t (a, c, d) VALUES (1, 1, 1) USING TIMESTAMP 9000000000000000")
    harness.run("UPDATE t SET d = 2 WHERE a = 1 AND c = 1 IF d = 1")
    assert harness.rows("SELECT d FROM t WHERE a = 1") == [[int_of(2)]]


def test_json_fills_what_it_names_and_nulls_the_rest(harness: Harness) -> None:
    harness.run("INSERT INTO t (a, c, d) VALUES (1, 1, 1)")
    prepared = harness.prepare("INSERT INTO t JSON ? DEFAULT UNSET")
    assert [s.name for s in prepared.bind] == ["[json]"]
    harness.execute(prepared, b'{"a": 1, "c": 1, "s": "text"}')
    assert harness.rows("SELECT d, s FROM t WHERE a = 1") == [[int_of(1), b"text"]]
    harness.run("""INSERT INTO t JSON '{"A": 1, "c": 1}'""")
    assert harness.rows("SELECT d, s FROM t WHERE a = 1") == [[None, None]]


def test_a_default_time_to_live_is_used_unless_another_is_given(harness: Harness) -> None:
    harness.run("CREATE TABLE e (k int PRIMARY KEY, v int) WITH default_time_to_live = 50")
    harness.run("INSERT INTO e (k, v) VALUES (1, 1)")
    harness.run("INSERT INTO e (k, v) VALUES (2, 2) USING TTL 0")
    harness.wall_s += 50
    assert harness.rows("SELECT k FROM e") == [[int_of(2)]]


def test_a_write_that_has_to_wait_is_waited_for(harness: Harness) -> None:
    harness.coordinator.waits = True
    harness.run("INSERT INTO t (a, c, d) VALUES (1, 1, 1)")
    harness.run("UPDATE t SET d = 2 WHERE a IN (1, 2) AND c = 1")
    assert len(harness.rows("SELECT c FROM t")) == 2

"""Statements that cannot be done are refused in Cassandra's words, never with an accident."""

from __future__ import annotations

import pytest

from cql.errors import CqlError
from cql.results import Rows
from tests.cql.fakes import Harness

KEY = "a = 1 AND b = 1 AND c = 1 AND d = 1"

REFUSED = {
    "SELECT * FROM t WHERE (a, b) = (1, 2)": (
        "Multi-column relations can only be applied to clustering columns but was applied to: a"
    ),
    "SELECT * FROM t WHERE a = 1 AND b = 1 AND (d, c) > (1, 2)": (
        "Clustering columns must appear in the PRIMARY KEY order in multi-column relations: (d, c)"
    ),
    "SELECT * FROM t WHERE token(a, b) > 1 AND a = 1": (
        'Columns "a" cannot be restricted by both a normal relation and a token relation'
    ),
    "SELECT * FROM t WHERE token(b, a) > 1": (
        "The token function arguments must be in the partition key order: a, b"
    ),
    "SELECT * FROM t WHERE du > 1h ALLOW FILTERING": (
        "Slice restrictions are not supported on duration columns"
    ),
    "SELECT DISTINCT a FROM t": (
        "SELECT DISTINCT queries must request all the partition key columns (missing b)"
    ),
    "SELECT a FROM t GROUP BY a": "Group by is not supported on only a part of the partition key",
    "SELECT sum(count(c)) FROM t": (
        "aggregate functions cannot be used as arguments of aggregate functions"
    ),
    "UPDATE t SET l[0] = 5 WHERE " + KEY: "Attempted to set an element on a list which is null",
    "UPDATE t SET v = 1 WHERE token(a, b) = 1": (
        "The token function cannot be used in WHERE clauses for UPDATE statements"
    ),
    "UPDATE t SET v = 1 WHERE " + KEY + " AND s = 'x'": (
        "Non PRIMARY KEY columns found in where clause: s "
    ),
    "UPDATE t SET s = 'x' WHERE a = 1 AND b = 1 AND c = 1": (
        "Invalid restrictions on clustering columns since the UPDATE statement modifies only "
        "static columns"
    ),
    "UPDATE t SET v = 1 WHERE a IN (1, 2) AND b = 1 AND c = 1 AND d = 1 IF v = 1": (
        "IN on the partition key is not supported with conditional updates"
    ),
    "UPDATE t SET v = 1 WHERE " + KEY + " IF a = 1": (
        "PRIMARY KEY column 'a' cannot have IF conditions"
    ),
    "UPDATE t SET v = 1 WHERE " + KEY + " IF v > null": (
        'Invalid comparison with null for operator ">"'
    ),
    "DELETE FROM t WHERE a = 1 AND b = 1 AND c = 1 IF EXISTS": (
        "DELETE statements must restrict all PRIMARY KEY columns with equality relations in order "
        "to delete non static columns"
    ),
    "UPDATE n SET n = n - -9223372036854775808 WHERE k = 1": (
        "The negation of -9223372036854775808 overflows supported counter precision (signed 8 "
        "bytes integer)"
    ),
    "BEGIN BATCH USING TIMESTAMP 5 UPDATE n SET n = n + 1 WHERE k = 1; APPLY BATCH": (
        "Cannot provide custom timestamp for counter BATCH"
    ),
}

ALLOWED = (
    "SELECT * FROM t WHERE a = 1 AND b = 1 AND (c) = (1) AND d > 1",
    "SELECT * FROM t WHERE a = 1 AND b = 1 AND (c) IN ((1), (2))",
    "SELECT * FROM t WHERE a = 1 AND b = 1 AND (d) > (1) ALLOW FILTERING",
    "SELECT * FROM t WHERE a = 1 AND b IN ()",
    "SELECT count(*), writetime(v), ttl(l), v + 1, m['a'], m['a'..'c'] FROM t",
    "SELECT * FROM t WHERE a = 1 AND b = 1 BYPASS CACHE USING TIMEOUT 50ms",
    "INSERT INTO t (a, b, c, d) VALUES (1 + 1, (int) 2, 3, -4) USING TIMEOUT 1s",
)


@pytest.fixture(scope="module")
def harness() -> Harness:
    made = Harness()
    made.run(
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    made.run("USE k")
    made.run(
        "CREATE TABLE t (a int, b int, c int, d int, s text static, m map<text, int>, l list<int>, "
        "v int, du duration, PRIMARY KEY ((a, b), c, d))"
    )
    made.run("CREATE TABLE n (k int PRIMARY KEY, n counter)")
    return made


@pytest.mark.parametrize("statement", REFUSED)
def test_a_statement_is_refused_in_cassandras_words(harness: Harness, statement: str) -> None:
    with pytest.raises(CqlError) as refused:
        harness.run(statement)
    assert refused.value.message == REFUSED[statement]
    assert refused.value.code == 0x2200


@pytest.mark.parametrize("statement", ALLOWED)
def test_an_unusual_statement_is_answered(harness: Harness, statement: str) -> None:
    result = harness.run(statement)
    assert isinstance(result, Rows) == statement.startswith("SELECT")

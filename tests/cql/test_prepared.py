"""Prepared statements: ids that every node computes alike, and a bound on how many are kept."""

from __future__ import annotations

import hashlib

import pytest

from cql.errors import Unprepared
from cql.parser.grammar import parse
from cql.plan import Plan
from cql.prepared import PreparedStatement, PreparedStatements, RecentPlans, statement_id
from cql.schema import Schema
from cql.system.tables import system_keyspaces
from tests.cql.fakes import Harness

SCHEMA = Schema(system_keyspaces())


def statement(name: bytes) -> PreparedStatement:
    return PreparedStatement(name, "text", None, Plan())


def test_an_id_is_the_digest_of_keyspace_and_text() -> None:
    assert statement_id("SELECT 1", None) == hashlib.md5(b"SELECT 1").digest()
    assert statement_id("SELECT 1", "ks") == hashlib.md5(b"ksSELECT 1").digest()


def test_the_least_recently_used_statement_goes_first() -> None:
    kept = PreparedStatements(statements_max=2)
    kept.put(statement(b"a"))
    kept.put(statement(b"b"))
    kept.get(b"a", SCHEMA)
    kept.put(statement(b"c"))
    assert [found.id for found in kept.statements()] == [b"a", b"c"]
    assert kept.evicted == 1
    with pytest.raises(Unprepared) as refused:
        kept.get(b"b", SCHEMA)
    assert refused.value.id == b"b"


def test_a_qualified_statement_has_one_id_in_every_keyspace() -> None:
    harness = Harness()
    harness.run(
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    harness.run("CREATE TABLE k.t (a int PRIMARY KEY)")
    first = harness.prepare("SELECT * FROM k.t")
    harness.run("USE k")
    assert harness.prepare("SELECT * FROM k.t").id == first.id
    assert harness.prepare("SELECT * FROM t").id == statement_id("SELECT * FROM t", "k")


def test_plans_of_texts_are_forgotten_with_their_schema() -> None:
    harness = Harness()
    harness.run(
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    harness.run("CREATE TABLE k.t (a int PRIMARY KEY)")
    recent = RecentPlans()
    text = "SELECT * FROM k.t"
    first = recent.plan(text, None, harness.holder.current)
    assert recent.plan(text, None, harness.holder.current) is first
    harness.run("ALTER TABLE k.t ADD b int")
    second = recent.plan(text, None, harness.holder.current)
    assert [column.name for column in second.result_columns] == ["a", "b"]
    assert parse(text)

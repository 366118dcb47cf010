"""Tests cql/ddl, cql/ddl_tables and cql/ddl_common."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from cql.ddl import execute_ddl
from cql.ddl_common import DdlEnvironment, DdlOutcome
from cql.errors import CqlError, SyntaxException
from cql.parser import tree
from cql.parser.grammar import parse
from cql.results import SchemaChange
from cql.schema import Schema
from cql.system.tables import system_keyspaces
from cql.types.catalog import INT, TEXT, TupleType

TRANSCRIPT = json.loads((Path(__file__).parents[1] / "golden" / "transcript.json").read_text())[
    "data"
]
INVALID, CONFIGURATION, EXISTS, UNAUTHORIZED = 0x2200, 0x2300, 0x2400, 0x2100
SIMPLE = "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"


class Session:
    """Executes schema statements one after the other."""

    def __init__(self, *statements: str) -> None:
        self.schema = Schema(system_keyspaces())
        self.keyspace: str | None = None
        self.environment = DdlEnvironment(random.Random(1), 5_000_000, {"datacenter1": 1})
        for statement in statements:
            self.run(statement)

    def run(self, text: str) -> DdlOutcome:
        statement = parse(text)
        if isinstance(statement, tree.Use):
            self.keyspace = statement.keyspace
            return DdlOutcome()
        assert isinstance(statement, tree.SchemaStatement | tree.RoleStatement)
        outcome = execute_ddl(statement, self.schema, self.keyspace, self.environment)
        self.schema = self.schema.apply(outcome.ops)
        return outcome

    def error(self, text: str) -> tuple[int, str]:
        with pytest.raises(CqlError) as caught:
            self.run(text)
        return caught.value.code, caught.value.message


@pytest.fixture
def session() -> Session:
    return Session(
        f"CREATE KEYSPACE k {SIMPLE}",
        "USE k",
        "CREATE TYPE u (f int, g text)",
        "CREATE TABLE t (p int, c int, s text STATIC, v int, w frozen<u>, PRIMARY KEY (p, c))",
        "CREATE TABLE n (p int PRIMARY KEY, n counter)",
    )


# ---------------------------------------------------------------- golden


def test_schema_statements_of_the_transcript_answer_as_cassandra_did() -> None:
    session = Session()
    compared = 0
    for entry in TRANSCRIPT:
        text = entry["cql"]
        if text.startswith(("CREATE INDEX c_n", "CREATE INDEX IF", "CREATE CUSTOM")):
            continue
        if text == "DROP INDEX c_n" and "error" not in entry:
            continue
        try:
            statement = parse(text)
        except SyntaxException:
            continue
        if isinstance(statement, tree.Use) and statement.keyspace in session.schema.keyspaces:
            session.keyspace = statement.keyspace
        if isinstance(statement, tree.SchemaStatement | tree.RoleStatement):
            expected = {key: value for key, value in entry.items() if key != "cql"}
            assert _answer(session, text) == expected, text
            compared += 1
    assert compared == 69 - 5


def _answer(session: Session, text: str) -> dict[str, Any]:
    try:
        change = session.run(text).change
    except CqlError as error:
        return {"error": [error.code, error.message]}
    if change is None:
        return {}
    words = [change.change, change.target, change.keyspace, *([change.name] if change.name else [])]
    body = b"".join(len(word).to_bytes(2, "big") + word.encode() for word in words)
    return {"kind": 5, "result": body.hex()}


# ---------------------------------------------------------------- keyspaces


def test_a_keyspace_is_created_altered_and_dropped() -> None:
    session = Session()
    created = session.run(f"CREATE KEYSPACE k {SIMPLE} AND durable_writes = false")
    assert created.change == SchemaChange("CREATED", "KEYSPACE", "k")
    assert not session.schema.keyspaces["k"].durable_writes
    altered = session.run(
        "ALTER KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}"
    )
    assert altered.change == SchemaChange("UPDATED", "KEYSPACE", "k")
    assert len(altered.warnings) == 2
    assert not session.schema.keyspaces["k"].durable_writes
    assert session.run("DROP KEYSPACE k").change == SchemaChange("DROPPED", "KEYSPACE", "k")
    assert "k" not in session.schema.keyspaces


def test_altering_nothing_is_no_change(session: Session) -> None:
    assert session.run(f"ALTER KEYSPACE k {SIMPLE}") == DdlOutcome()
    assert session.run("ALTER TABLE t WITH comment = ''") == DdlOutcome()


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (f"CREATE KEYSPACE {'x' * 49} {SIMPLE}", INVALID, "Keyspace name must not be more than 48"),
        (f'CREATE KEYSPACE "a b" {SIMPLE}', INVALID, "Keyspace name must not be empty and"),
        (
            "CREATE KEYSPACE x WITH durable_writes = true",
            INVALID,
            "Missing mandatory option 'replication'",
        ),
        (f"CREATE KEYSPACE x {SIMPLE} AND nosuch = 1", 0x2000, "Unknown property 'nosuch'"),
        ("ALTER KEYSPACE x WITH durable_writes = true", INVALID, "Keyspace 'x' doesn't exist"),
        ("DROP KEYSPACE system", UNAUTHORIZED, "system keyspace is not user-modifiable."),
        (f"CREATE KEYSPACE system {SIMPLE}", INVALID, "System keyspace 'system' is not user"),
        ("DROP KEYSPACE system_views", UNAUTHORIZED, "system_views keyspace is not user-mod"),
        (
            f"CREATE KEYSPACE x {SIMPLE} AND durable_writes = 'maybe'",
            0x2000,
            "Invalid boolean value maybe for 'durable_writes'",
        ),
        ("ALTER TABLE system_auth.r ADD a int", UNAUTHORIZED, "Cannot ALTER <table system_auth.r>"),
        ("DROP KEYSPACE system_auth", UNAUTHORIZED, "Cannot DROP <keyspace system_auth>"),
        (
            "CREATE TABLE system_views.x (a int PRIMARY KEY)",
            INVALID,
            "Virtual keyspace 'system_views' is not user-modifiable",
        ),
    ],
)
def test_wrong_keyspace_statements(session: Session, text: str, code: int, message: str) -> None:
    found = session.error(text)
    assert found[0] == code
    assert found[1].startswith(message)


def test_the_replication_of_system_auth_may_be_altered(session: Session) -> None:
    outcome = session.run(
        "ALTER KEYSPACE system_auth WITH replication = "
        "{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}"
    )
    assert outcome.change == SchemaChange("UPDATED", "KEYSPACE", "system_auth")


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "CREATE TABLE x (a int PRIMARY KEY, PRIMARY KEY (a))",
            "Multiple PRIMARY KEY specified for table 'x' (exactly one required)",
        ),
        (
            "CREATE TABLE x (a int, PRIMARY KEY (b))",
            "Unknown column 'b' referenced in PRIMARY KEY for table 'x'",
        ),
        (
            "CREATE TABLE x (a int, PRIMARY KEY (a, a))",
            "Duplicate column 'a' in PRIMARY KEY clause for table 'x'",
        ),
        (
            "CREATE TABLE x (a u PRIMARY KEY)",
            'Invalid non-frozen user-defined type "k.u" for PRIMARY',
        ),
        ("CREATE TABLE x (a counter PRIMARY KEY)", "counter type is not supported for PRIMARY KEY"),
        (
            "CREATE TABLE x (a frozen<list<duration>> PRIMARY KEY)",
            "duration type is not supported for PRIMARY KEY column 'a'",
        ),
        (
            "CREATE TABLE x (a int, b int STATIC, PRIMARY KEY (a, b))",
            "Static column 'b' cannot be part of the PRIMARY KEY",
        ),
        (
            "CREATE TABLE x (a int, b int, c int, PRIMARY KEY (a, b, c)) "
            "WITH CLUSTERING ORDER BY (c DESC)",
            "Missing CLUSTERING ORDER for column b",
        ),
        (
            "CREATE TABLE x (a int, b int, c int, PRIMARY KEY (a, b, c)) "
            "WITH CLUSTERING ORDER BY (c DESC, b ASC)",
            "The order of columns in the CLUSTERING ORDER directive must match that of the "
            "clustering columns (b must appear before c)",
        ),
        (
            "CREATE TABLE x (a int, b int, PRIMARY KEY (a, b)) "
            "WITH CLUSTERING ORDER BY (b ASC, b DESC)",
            "Duplicate column 'b' in CLUSTERING ORDER BY clause for table 'x'",
        ),
        (
            "CREATE TABLE x (a int PRIMARY KEY, b counter) WITH default_time_to_live = 5",
            "Cannot set default_time_to_live on a table with counters",
        ),
        (
            "CREATE TABLE x (a int PRIMARY KEY, b z.u)",
            "Statement on keyspace k cannot refer to a user type in keyspace z; "
            "user types can only be used in the keyspace they are defined in",
        ),
        ("CREATE TABLE x (a int PRIMARY KEY) WITH COMPACT STORAGE", "Guardrail compact_tables"),
        ("CREATE TABLE z.x (a int PRIMARY KEY)", "Keyspace 'z' doesn't exist"),
        (
            "CREATE TABLE x (a int PRIMARY KEY, b text MASKED WITH DEFAULT)",
            "Cannot mask columns because dynamic data masking is not enabled.",
        ),
    ],
)
def test_wrong_create_tables(session: Session, text: str, message: str) -> None:
    code, found = session.error(text)
    assert (code, found[: len(message)]) == (INVALID, message)


def test_a_table_that_is_there_is_a_kind_of_error_of_its_own(session: Session) -> None:
    code, message = session.error("CREATE TABLE t (a int PRIMARY KEY)")
    assert (code, message) == (EXISTS, 'Cannot add already existing table "t" to keyspace "k"')


def test_a_tables_name_has_a_longest_length(session: Session) -> None:
    session.run(f"CREATE TABLE {'x' * 222} (a int PRIMARY KEY)")
    code, message = session.error(f"CREATE TABLE {'x' * 223} (a int PRIMARY KEY)")
    assert code == CONFIGURATION
    assert "Table name must not be more than 222 characters long (got 223 " in message


def test_a_tables_id_may_be_chosen_once(session: Session) -> None:
    text = "CREATE TABLE {} (a int PRIMARY KEY) WITH id = 50554d6e-29bb-11e5-b345-feff819cdc9f"
    session.run(text.format("x"))
    table = session.schema.get_table("k", "x")
    assert str(table.id) == "50554d6e-29bb-11e5-b345-feff819cdc9f"
    assert session.error(text.format("y"))[0] == CONFIGURATION
    assert session.error(f"ALTER TABLE x WITH id = {table.id}")[1] == "Cannot alter table id."


def test_without_a_keyspace_nothing_can_be_created() -> None:
    code, message = Session().error("CREATE TABLE t (a int PRIMARY KEY)")
    assert code == INVALID
    assert message.startswith("No keyspace has been specified.")


def test_columns_get_their_kinds_and_orders(session: Session) -> None:
    session.run(
        "CREATE TABLE x (v int, c2 text, p2 int, c1 int, p1 int, s int STATIC, "
        "PRIMARY KEY ((p1, p2), c1, c2)) WITH CLUSTERING ORDER BY (c1 DESC)"
    )
    table = session.schema.get_table("k", "x")
    table.check()
    assert [c.name for c in table.all_columns] == ["p1", "p2", "c1", "c2", "s", "v"]
    assert [c.reversed for c in table.clustering] == [True, False]


# ---------------------------------------------------------------- alter table


def test_ids_of_dropped_columns_are_never_used_again(session: Session) -> None:
    first = session.schema.get_table("k", "t").columns["v"].id
    session.run("ALTER TABLE t DROP v")
    session.run("ALTER TABLE t ADD v int")
    table = session.schema.get_table("k", "t")
    assert table.columns["v"].id > first
    assert table.dropped == ()
    table.check()


def test_a_dropped_user_type_is_remembered_as_a_tuple(session: Session) -> None:
    session.run("ALTER TABLE t DROP w USING TIMESTAMP 7")
    (dropped,) = session.schema.get_table("k", "t").dropped
    assert dropped.type == TupleType((INT, TEXT))
    assert dropped.dropped_us == 7
    session.run("DROP TYPE u")
    session.run("ALTER TABLE t ADD x int")


def test_if_exists_and_if_not_exists_skip_columns(session: Session) -> None:
    session.run("ALTER TABLE t ADD IF NOT EXISTS (v text, x int)")
    session.run("ALTER TABLE t DROP IF EXISTS (nosuch, x)")
    session.run("ALTER TABLE t RENAME IF EXISTS nosuch TO y AND c TO d")
    table = session.schema.get_table("k", "t")
    assert [c.name for c in table.all_columns] == ["p", "d", "s", "v", "w"]
    assert table.columns["v"].type == INT


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("ALTER TABLE n ADD s int STATIC", INVALID, "Static columns are only useful"),
        ("ALTER TABLE n ADD x int", CONFIGURATION, "k.n: Cannot have a non counter column"),
        ("ALTER TABLE t ADD x counter", CONFIGURATION, "k.t: Cannot have a counter column"),
        ("ALTER TABLE t RENAME p TO c", INVALID, "Cannot rename column p to c in table 'k.t'; "),
        ("ALTER TABLE t RENAME z TO y", INVALID, "Undefined column name z in table k.t"),
        ("ALTER TABLE n WITH default_time_to_live = 1", INVALID, "Cannot set default_time_to_live"),
        ("ALTER TABLE t DROP COMPACT STORAGE", INVALID, "DROP COMPACT STORAGE is disabled."),
        ("ALTER TABLE t ALTER v MASKED WITH DEFAULT", INVALID, "Cannot mask columns"),
        ("ALTER TABLE system.local ADD x int", UNAUTHORIZED, "system keyspace is not"),
    ],
)
def test_wrong_alter_tables(session: Session, text: str, code: int, message: str) -> None:
    found = session.error(text)
    assert found[0] == code
    assert found[1].startswith(message)


def test_a_dropped_name_comes_back_only_as_what_it_was(session: Session) -> None:
    session.run("ALTER TABLE t DROP (v, s)")
    assert session.error("ALTER TABLE t ADD v text")[1] == (
        "Cannot add a column 'v' of type text, incompatible with previously dropped column 'v' "
        "of type int"
    )
    assert (
        "of kind REGULAR, incompatible with previous kind STATIC"
        in (session.error("ALTER TABLE t ADD s text")[1])
    )
    session.run("ALTER TABLE n DROP n")
    assert session.error("ALTER TABLE n ADD n counter")[1] == (
        "Cannot re-add previously dropped counter column n"
    )


# ---------------------------------------------------------------- user types


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CREATE TYPE x (a int, a int)", "Duplicate field name 'a' in type 'x'"),
        ("CREATE TYPE x (a counter)", "A user type cannot contain counters"),
        ("CREATE TYPE x (a u)", "A user type cannot contain non-frozen UDTs"),
        ("ALTER TYPE x ADD a int", "Type k.x doesn't exist"),
        ("ALTER TYPE u ADD f int", "Cannot add field f to type k.u: a field with name f already"),
        ("ALTER TYPE u ADD h frozen<u>", "Cannot add new field h of type frozen<k.u> to user type"),
        ("ALTER TYPE u RENAME z TO y", "Unkown field z in user type k.u"),
        ("ALTER TYPE u RENAME f TO g", "Duplicate field name g in type k"),
        ("ALTER TYPE u ALTER f TYPE text", "Altering field types is no longer supported"),
        ("DROP TYPE x", "Type 'k.x' doesn't exist"),
        ("DROP TYPE u", "Cannot drop user type 'k.u' as it is still used by tables t"),
    ],
)
def test_wrong_type_statements(session: Session, text: str, message: str) -> None:
    code, found = session.error(text)
    assert code == INVALID
    assert found.startswith(message)


def test_a_type_in_a_partition_key_gets_no_fields(session: Session) -> None:
    session.run("CREATE TABLE x (a frozen<u> PRIMARY KEY)")
    assert (
        "is being used in partition key by the following tables: k.x"
        in (session.error("ALTER TYPE u ADD h int")[1])
    )


def test_altered_types_reach_tables_and_types(session: Session) -> None:
    session.run("CREATE TYPE outer_type (i frozen<u>)")
    session.run("ALTER TYPE u ADD IF NOT EXISTS h int")
    session.run("ALTER TYPE u RENAME IF EXISTS f TO ff AND nosuch TO x")
    altered = session.schema.find_type("k", "u")
    assert altered is not None
    assert altered.field_names == ("ff", "g", "h")
    assert session.schema.get_table("k", "t").columns["w"].type == altered.frozen()
    assert session.error("DROP TYPE u")[1].endswith("still used by user types outer_type")


# ---------------------------------------------------------------- what does not exist yet


@pytest.mark.parametrize(
    "text",
    [
        "DROP INDEX IF EXISTS i",
        "DROP MATERIALIZED VIEW IF EXISTS v",
        "DROP FUNCTION IF EXISTS f",
        "DROP AGGREGATE IF EXISTS f(int)",
        "DROP TRIGGER IF EXISTS x ON t",
        "DROP TYPE IF EXISTS x",
        "DROP TABLE IF EXISTS x",
        "ALTER TABLE IF EXISTS x ADD a int",
        "ALTER TYPE IF EXISTS x ADD a int",
        "ALTER KEYSPACE IF EXISTS x WITH durable_writes = true",
        "CREATE TYPE IF NOT EXISTS u (f int)",
    ],
)
def test_if_exists_makes_absence_no_error(session: Session, text: str) -> None:
    assert session.run(text) == DdlOutcome()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CREATE INDEX ON t (v)", "CREATE INDEX is not supported yet"),
        ("CREATE TRIGGER x ON t USING 'y'", "CREATE TRIGGER is not supported yet"),
        ("DROP FUNCTION f", "Function 'k.f' doesn't exist"),
        ("DROP AGGREGATE f", "Aggregate 'k.f' doesn't exist"),
        ("DROP MATERIALIZED VIEW v", "Materialized view 'k.v' doesn't exist"),
        ("DROP TRIGGER x ON t", "Trigger 'x' on 'k.t' doesn't exist"),
    ],
)
def test_what_is_not_there_yet_says_so(session: Session, text: str, message: str) -> None:
    assert session.error(text) == (INVALID, message)

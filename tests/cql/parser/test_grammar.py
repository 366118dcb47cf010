"""Tests cql/parser/grammar and the readers behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cql.errors import SyntaxException
from cql.parser import lexer, tree
from cql.parser.cursor import NESTING_MAX, OPERATORS_MAX
from cql.parser.grammar import parse
from cql.parser.tree import (
    AddTo,
    Attributes,
    Binary,
    Cast,
    Column,
    Columns,
    Condition,
    Count,
    Element,
    ElementSlice,
    Field,
    FunctionCall,
    InList,
    ListTerm,
    Literal,
    MapTerm,
    Marker,
    Negate,
    Null,
    Operator,
    Ordering,
    PrependTo,
    QualifiedName,
    Relation,
    Selector,
    SetColumn,
    SetElement,
    SetField,
    SetTerm,
    SubtractFrom,
    Token,
    TupleTerm,
    TypeHint,
    UserTypeTerm,
    WritetimeOrTtl,
)

GOLDEN = Path(__file__).parents[2] / "golden"
TRANSCRIPT = json.loads((GOLDEN / "transcript.json").read_text())["data"]
SYNTAX_ERROR = 0x2000


def integer(text: str) -> Literal:
    return Literal("integer", text)


def string(text: str) -> Literal:
    return Literal("string", text)


def selected(text: str) -> tree.Expression:
    """The expression of a SELECT that has one."""
    statement = parse(f"SELECT {text} FROM t")
    assert isinstance(statement, tree.Select)
    (selector,) = statement.selectors
    return selector.expression


def relations(text: str) -> tuple[Any, ...]:
    statement = parse(f"SELECT * FROM t WHERE {text}")
    assert isinstance(statement, tree.Select)
    return statement.where


def term(text: str) -> tree.Term:
    (relation,) = relations(f"a = {text}")
    assert isinstance(relation, Relation) and not isinstance(relation.value, InList)
    return relation.value


def operations(text: str) -> tuple[tree.Operation, ...]:
    statement = parse(f"UPDATE t SET {text} WHERE k = 1")
    assert isinstance(statement, tree.Update)
    return statement.operations


# ---------------------------------------------------------------- golden


@pytest.mark.parametrize("entry", TRANSCRIPT, ids=lambda entry: entry["cql"][:60])
def test_statements_of_the_transcript_parse_or_fail_as_in_cassandra(entry: dict[str, Any]) -> None:
    code, message = entry.get("error", (0, ""))
    if code != SYNTAX_ERROR or message.startswith("Unknown property"):
        parse(entry["cql"])
        return
    with pytest.raises(SyntaxException) as caught:
        parse(entry["cql"])
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELEC", "line 1:0 no viable alternative at input 'SELEC' ([SELEC])"),
        ("", "line 0:-1 no viable alternative at input '<EOF>'"),
        (
            "SELECT * FORM t",
            "line 1:9 mismatched input 'FORM' expecting K_FROM (SELECT * [FORM]...)",
        ),
        ("CREATE TABL x", "line 1:7 no viable alternative at input 'TABL' ([CREATE] TABL...)"),
        ("USE ks x", "line 1:7 mismatched input 'x' expecting EOF (USE ks [x])"),
        (
            "SELECT a FROM t; x",
            "line 1:17 mismatched input 'x' expecting EOF (SELECT a FROM t; [x])",
        ),
        (
            "INSERT INTO t (a) VALUES (b)",
            "line 1:27 no viable alternative at input ')' (... t (a) VALUES ([b]))",
        ),
        (
            "SELECT *\nFROM t\nWHERE a = 1 1",
            "line 3:12 no viable alternative at input '1' (...tWHERE a = 1 [1])",
        ),
        (
            "DELETE FROM t USING TTL 5 WHERE a = 1",
            "line 1:20 mismatched input 'TTL' expecting K_TIMESTAMP (DELETE FROM t USING [TTL]...)",
        ),
    ],
)
def test_syntax_errors_name_place_and_token(text: str, message: str) -> None:
    with pytest.raises(SyntaxException) as caught:
        parse(text)
    assert caught.value.message == message


# ---------------------------------------------------------------- names and ends


@pytest.mark.parametrize("text", ["USE ks", "use KS;", "USE ks;;", "-- c\nUSE ks", "USE ks -- c"])
def test_case_ends_and_comments_do_not_matter(text: str) -> None:
    assert parse(text) == tree.Use("ks")


def test_quoted_names_keep_their_case() -> None:
    assert parse('USE "Ks""x"') == tree.Use('Ks"x')


@pytest.mark.parametrize(
    "word", sorted(w for w, k in lexer.KEYWORDS.items() if k in lexer.UNRESERVED)
)
def test_unreserved_words_name_columns_and_tables(word: str) -> None:
    statement = parse(f"SELECT {word} FROM {word} WHERE {word} = 1 ORDER BY {word} DESC")
    assert isinstance(statement, tree.Select)
    assert statement.selectors == (Selector(Column(word)),)
    assert statement.table.name == word
    assert statement.order_by == (Ordering(word, True),)
    created = parse(f"CREATE TABLE {word} ({word} int PRIMARY KEY)")
    assert isinstance(created, tree.CreateTable)
    assert created.columns[0].name == word
    inserted = parse(f"INSERT INTO {word} ({word}) VALUES (1)")
    assert isinstance(inserted, tree.Insert)


@pytest.mark.parametrize("word", sorted(lexer.RESERVED_WORDS))
def test_reserved_words_need_quotes(word: str) -> None:
    with pytest.raises(SyntaxException):
        parse(f"CREATE TABLE t ({word} int PRIMARY KEY)")
    parse(f'CREATE TABLE t ("{word}" int PRIMARY KEY)')


# ---------------------------------------------------------------- terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", integer("1")),
        ("-1", integer("-1")),
        ("1.5", Literal("float", "1.5")),
        ("NaN", Literal("float", "NaN")),
        ("-Infinity", Literal("float", "-Infinity")),
        ("true", Literal("boolean", "true")),
        ("0xff", Literal("hex", "0xff")),
        ("1h", Literal("duration", "1h")),
        ("null", Null()),
        ("?", Marker(0)),
        (":x", Marker(0, "x")),
        (":Key", Marker(0, "key")),
        ("[]", ListTerm(())),
        ("[1, ?]", ListTerm((integer("1"), Marker(0)))),
        ("{}", SetTerm(())),
        ("{1, 2}", SetTerm((integer("1"), integer("2")))),
        ("{'a': 1}", MapTerm(((string("a"), integer("1")),))),
        ('{a: 1, "B": 2}', UserTypeTerm((("a", integer("1")), ("B", integer("2"))))),
        ("(1, 'x')", TupleTerm((integer("1"), string("x")))),
        ("f()", FunctionCall(None, "f", ())),
        ("ks.F(1)", FunctionCall("ks", "f", (integer("1"),))),
        ("token(1)", FunctionCall(None, "token", (integer("1"),))),
        ("(int) ?", TypeHint("int", Marker(0))),
        ("(map<text, frozen<list<int>>>) ?", TypeHint("map<text, frozen<list<int>>>", Marker(0))),
        ("('abc')", TupleTerm((string("abc"),))),
        ("CAST(1 AS double)", Cast(integer("1"), "double")),
        ("1 + 2 * 3", Binary("+", integer("1"), Binary("*", integer("2"), integer("3")))),
        ("5 - 2 - 1", Binary("-", Binary("-", integer("5"), integer("2")), integer("1"))),
        ("-f()", Negate(FunctionCall(None, "f", ()))),
        ("{{1}, {2}}", SetTerm((SetTerm((integer("1"),)), SetTerm((integer("2"),))))),
    ],
)
def test_terms(text: str, expected: tree.Term) -> None:
    assert term(text) == expected


# ---------------------------------------------------------------- selectors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", Column("a")),
        ('"A"', Column("A")),
        ("count(*)", Count()),
        ("COUNT(1)", Count()),
        ("count(a)", FunctionCall(None, "count", (Column("a"),))),
        ("u.f", Field(Column("u"), "f")),
        ("m['k']", Element(Column("m"), string("k"))),
        ("m['a'..'b']", ElementSlice(Column("m"), string("a"), string("b"))),
        ("m[1..]", ElementSlice(Column("m"), integer("1"), None)),
        ("m[..?]", ElementSlice(Column("m"), None, Marker(0))),
        ("writetime(a)", WritetimeOrTtl("writetime", Column("a"))),
        ("TTL(m['k'])", WritetimeOrTtl("ttl", Element(Column("m"), string("k")))),
        ("maxwritetime(u.f)", WritetimeOrTtl("maxwritetime", Field(Column("u"), "f"))),
        ("CAST(a AS text)", Cast(Column("a"), "text")),
        ("CAST(avg(a) AS double)", Cast(FunctionCall(None, "avg", (Column("a"),)), "double")),
        ("a + b", Binary("+", Column("a"), Column("b"))),
        ("-a", Negate(Column("a"))),
        ("(a, b)", TupleTerm((Column("a"), Column("b")))),
        ("[a, 1]", ListTerm((Column("a"), integer("1")))),
        ("{'x': a}", MapTerm(((string("x"), Column("a")),))),
        ("(int) ?", TypeHint("int", Marker(0))),
        ("token(a, b)", FunctionCall(None, "token", (Column("a"), Column("b")))),
        (
            "(a + b) * 2",
            Binary("*", TupleTerm((Binary("+", Column("a"), Column("b")),)), integer("2")),
        ),
        ("json", Column("json")),
        ("distinct", Column("distinct")),
        ("ttl", Column("ttl")),
    ],
)
def test_selectors(text: str, expected: tree.Expression) -> None:
    assert selected(text) == expected


def test_select_takes_every_clause_in_order() -> None:
    statement = parse(
        "SELECT JSON DISTINCT a AS b, c FROM ks.t WHERE k = 1 GROUP BY k, f(c) ORDER BY c DESC, d "
        "PER PARTITION LIMIT 2 LIMIT :n ALLOW FILTERING BYPASS CACHE USING TIMEOUT 50ms;"
    )
    assert statement == tree.Select(
        QualifiedName("ks", "t"),
        (Selector(Column("a"), "b"), Selector(Column("c"))),
        json=True,
        distinct=True,
        where=(Relation(Column("k"), Operator.EQ, integer("1")),),
        group_by=(Column("k"), FunctionCall(None, "f", (Column("c"),))),
        order_by=(Ordering("c", True), Ordering("d")),
        per_partition_limit=integer("2"),
        limit=Marker(0, "n"),
        allow_filtering=True,
        bypass_cache=True,
        attributes=Attributes(timeout=Literal("duration", "50ms")),
        markers=("n",),
    )


def test_a_vector_search_orders_by_distance() -> None:
    statement = parse("SELECT * FROM t ORDER BY v ANN OF [0.1, 0.2] LIMIT 3")
    assert isinstance(statement, tree.Select)
    vector = ListTerm((Literal("float", "0.1"), Literal("float", "0.2")))
    assert statement.order_by == (Ordering("v", False, vector),)


# ---------------------------------------------------------------- relations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a IN (1, 2)", Relation(Column("a"), Operator.IN, InList((integer("1"), integer("2"))))),
        ("a IN ()", Relation(Column("a"), Operator.IN, InList(()))),
        ("a IN ?", Relation(Column("a"), Operator.IN, Marker(0))),
        ("a != 1", Relation(Column("a"), Operator.NEQ, integer("1"))),
        ("a CONTAINS KEY 1", Relation(Column("a"), Operator.CONTAINS_KEY, integer("1"))),
        ("a CONTAINS 1", Relation(Column("a"), Operator.CONTAINS, integer("1"))),
        ("a LIKE 'x%'", Relation(Column("a"), Operator.LIKE, string("x%"))),
        ("a IS NOT NULL", Relation(Column("a"), Operator.IS_NOT, Null())),
        ("m['k'] = 1", Relation(Element(Column("m"), string("k")), Operator.EQ, integer("1"))),
        ("token(a, b) > ?", Relation(Token(("a", "b")), Operator.GT, Marker(0))),
        (
            "(a, b) >= (1, 2)",
            Relation(Columns(("a", "b")), Operator.GTE, TupleTerm((integer("1"), integer("2")))),
        ),
        ("(a) > (1)", Relation(Columns(("a",)), Operator.GT, TupleTerm((integer("1"),)))),
        ("(a, b) = ?", Relation(Columns(("a", "b")), Operator.EQ, Marker(0))),
        ("(a, b) IN ?", Relation(Columns(("a", "b")), Operator.IN, Marker(0))),
        (
            "(a, b) IN ((1, 2), ?)",
            Relation(
                Columns(("a", "b")),
                Operator.IN,
                InList((TupleTerm((integer("1"), integer("2"))), Marker(0))),
            ),
        ),
        ("(a = 1)", Relation(Column("a"), Operator.EQ, integer("1"))),
        ("expr(i, 'x')", tree.CustomExpression(QualifiedName(None, "i"), string("x"))),
    ],
)
def test_relations(text: str, expected: object) -> None:
    assert relations(text) == (expected,)


def test_conditions_take_columns_elements_and_fields() -> None:
    statement = parse(
        "DELETE FROM t WHERE k = 1 IF a = 1 AND m[1] > 2 AND u.f IN (3) AND s CONTAINS 4"
    )
    assert isinstance(statement, tree.Delete)
    assert statement.conditions == (
        Condition(Column("a"), Operator.EQ, integer("1")),
        Condition(Element(Column("m"), integer("1")), Operator.GT, integer("2")),
        Condition(Field(Column("u"), "f"), Operator.IN, InList((integer("3"),))),
        Condition(Column("s"), Operator.CONTAINS, integer("4")),
    )


# ---------------------------------------------------------------- writes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1", SetColumn("a", integer("1"))),
        ("a = a + 1", AddTo("a", integer("1"))),
        ("a = a - 1", SubtractFrom("a", integer("1"))),
        ("a = a -1", AddTo("a", integer("-1"))),
        ("a = [1] + a", PrependTo("a", ListTerm((integer("1"),)))),
        ("a += {1}", AddTo("a", SetTerm((integer("1"),)))),
        ("a -= ?", SubtractFrom("a", Marker(0))),
        ("a[1] = 2", SetElement("a", integer("1"), integer("2"))),
        ("a.f = 2", SetField("a", "f", integer("2"))),
        ("a = f(1)", SetColumn("a", FunctionCall(None, "f", (integer("1"),)))),
        ("a = 1 + 2", SetColumn("a", Binary("+", integer("1"), integer("2")))),
    ],
)
def test_operations(text: str, expected: tree.Operation) -> None:
    assert operations(text) == (expected,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = b + 1", "Only expressions of the form X = X +<value> are supported."),
        ("a = 1 + b", "Only expressions of the form X = <value> + X are supported."),
        ("a = b -1", "Only expressions of the form X = X - <value> are supported."),
        ("a = 1, a = 2", "Multiple incompatible setting of column a"),
        ("a.f = 1, a.f = 2", "Multiple incompatible setting of column a"),
    ],
)
def test_operations_that_mean_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(SyntaxException, match="^" + message.replace("+", r"\+")):
        operations(text)


def test_several_elements_of_one_column_may_be_set() -> None:
    assert len(operations("m[1] = 1, m[2] = 2, u.a = 1, u.b = 2, l = l + [1], l = l - [2]")) == 6


def test_insert_takes_conditions_and_attributes_in_cassandras_order() -> None:
    statement = parse(
        "INSERT INTO t (k, v) VALUES (?, :v) IF NOT EXISTS "
        "USING TTL ? AND TIMESTAMP :v AND TIMEOUT ?"
    )
    assert statement == tree.Insert(
        QualifiedName(None, "t"),
        ("k", "v"),
        (Marker(0), Marker(1, "v")),
        if_not_exists=True,
        attributes=Attributes(timestamp=Marker(3, "v"), ttl=Marker(2), timeout=Marker(4)),
        markers=(None, "v", None, "v", None),
    )


def test_insert_json_knows_what_missing_columns_mean() -> None:
    statement = parse("INSERT INTO t JSON ? DEFAULT UNSET")
    assert isinstance(statement, tree.InsertJson)
    assert (statement.value, statement.default_unset) == (Marker(0), True)


def test_markers_of_a_batch_are_numbered_through() -> None:
    statement = parse(
        "BEGIN UNLOGGED BATCH USING TIMESTAMP ? INSERT INTO t (k) VALUES (?); "
        "UPDATE t SET a = ? WHERE k = ? DELETE a, m[?] FROM t WHERE k = 1; APPLY BATCH;"
    )
    assert isinstance(statement, tree.Batch)
    assert statement.kind is tree.BatchKind.UNLOGGED
    assert len(statement.statements) == 3
    assert statement.markers == (None,) * 5


# ---------------------------------------------------------------- definitions


def test_create_table_takes_everything_at_once() -> None:
    statement = parse(
        "CREATE TABLE IF NOT EXISTS ks.t (a int, b text, c varchar STATIC, "
        'd frozen<map<int, Ks."U">>,'
        " PRIMARY KEY ((a, b), d),) WITH CLUSTERING ORDER BY (d DESC) AND comment = 'x'"
        " AND compaction = {'class': 'X', 'n': 4} AND compression = {} AND gc_grace_seconds = 5"
    )
    assert isinstance(statement, tree.CreateTable)
    assert [c.type_text for c in statement.columns] == [
        *("int", "text", "text", 'frozen<map<int, ks."U">>')
    ]
    assert [c.is_static for c in statement.columns] == [False, False, True, False]
    assert statement.primary_keys == ((("a", "b"), ("d",)),)
    assert statement.clustering_order == (("d", True),)
    assert dict(statement.properties) == {
        "comment": "x",
        "compaction": (("class", "X"), ("n", "4")),
        "compression": (),
        "gc_grace_seconds": "5",
    }


STATEMENTS = [
    "CREATE KEYSPACE IF NOT EXISTS k WITH replication = {'class': 'S', 'replication_factor': 1}",
    "CREATE SCHEMA k WITH durable_writes = true AND replication = {}",
    "ALTER KEYSPACE IF EXISTS k WITH durable_writes = false",
    "DROP KEYSPACE IF EXISTS k",
    "CREATE COLUMNFAMILY t (k int PRIMARY KEY, v vector<float, 3>, t tuple<int, text>)",
    "CREATE TABLE t (k int PRIMARY KEY, v text MASKED WITH mask_inner(1, null))",
    "CREATE TABLE t (k int PRIMARY KEY, v text MASKED WITH DEFAULT)",
    "CREATE TABLE t (k int, v 'org.apache.cassandra.db.marshal.Int32Type', PRIMARY KEY (k))",
    "CREATE TABLE t (k int PRIMARY KEY) WITH COMPACT STORAGE",
    "CREATE TABLE t (k int PRIMARY KEY) WITH id = 50554d6e-29bb-11e5-b345-feff819cdc9f",
    "ALTER TABLE IF EXISTS t ADD IF NOT EXISTS a int STATIC",
    "ALTER TABLE t ADD (a int, b text)",
    "ALTER TABLE t DROP IF EXISTS (a, b) USING TIMESTAMP 5",
    "ALTER TABLE t DROP compact",
    "ALTER TABLE t DROP COMPACT STORAGE",
    "ALTER TABLE t RENAME a TO b AND c TO d",
    "ALTER TABLE t ALTER a TYPE text",
    "ALTER TABLE t ALTER a MASKED WITH DEFAULT",
    "ALTER TABLE t ALTER IF EXISTS a DROP MASKED",
    "ALTER TABLE t WITH comment = 'x' AND cdc = true",
    "DROP TABLE IF EXISTS k.t",
    "TRUNCATE TABLE t",
    "TRUNCATE t USING TIMEOUT 5s",
    "CREATE TYPE IF NOT EXISTS k.u (a int, b frozen<u2>,)",
    "ALTER TYPE IF EXISTS u ADD IF NOT EXISTS c int",
    "ALTER TYPE u RENAME a TO b AND c TO d",
    "ALTER TYPE u ALTER a TYPE text",
    "DROP TYPE IF EXISTS u",
    "CREATE INDEX ON t (a)",
    "CREATE CUSTOM INDEX IF NOT EXISTS i ON k.t (keys(m)) USING 'sai' WITH OPTIONS = {'a': 'b'}",
    "CREATE INDEX i ON t (full(a), values, entries(m))",
    "DROP INDEX IF EXISTS k.i",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT a, b FROM t WHERE a IS NOT NULL AND b > 1 "
    "PRIMARY KEY ((a), b) WITH CLUSTERING ORDER BY (b DESC) AND comment = 'x'",
    "ALTER MATERIALIZED VIEW v WITH comment = 'x'",
    "DROP MATERIALIZED VIEW IF EXISTS v",
    "CREATE OR REPLACE FUNCTION k.f(a int, b text) RETURNS NULL ON NULL INPUT RETURNS int "
    "LANGUAGE java AS $$return 1;$$",
    "CREATE FUNCTION IF NOT EXISTS f() CALLED ON NULL INPUT RETURNS int LANGUAGE python AS 'x'",
    "DROP FUNCTION IF EXISTS k.f (int, text)",
    "DROP FUNCTION f",
    "CREATE OR REPLACE AGGREGATE a(int) SFUNC s STYPE int FINALFUNC f INITCOND (0, 0)",
    "DROP AGGREGATE IF EXISTS a(int)",
    "CREATE TRIGGER IF NOT EXISTS x ON t USING 'c'",
    "DROP TRIGGER IF EXISTS x ON t",
    "CREATE ROLE IF NOT EXISTS r WITH PASSWORD = 'p' AND LOGIN = true AND SUPERUSER = false "
    "AND OPTIONS = {'a': 'b'} AND ACCESS TO DATACENTERS {'d'} AND ACCESS FROM ALL CIDRS",
    "ALTER ROLE IF EXISTS r WITH HASHED PASSWORD = 'x'",
    "DROP ROLE IF EXISTS 'r'",
    "CREATE USER u WITH PASSWORD 'p' SUPERUSER",
    "ALTER USER u WITH PASSWORD 'p' NOSUPERUSER",
    "DROP USER IF EXISTS u",
    "GRANT r TO s",
    "REVOKE r FROM s",
    "GRANT ALL PERMISSIONS ON ALL KEYSPACES TO r",
    "GRANT SELECT, MODIFY PERMISSION ON KEYSPACE k TO r",
    "GRANT EXECUTE ON FUNCTION k.f(int) TO r",
    "GRANT ALTER ON ALL FUNCTIONS IN KEYSPACE k TO r",
    "GRANT SELECT ON ALL TABLES IN KEYSPACE k TO r",
    "GRANT AUTHORIZE ON ROLE s TO r",
    "GRANT DESCRIBE ON ALL ROLES TO r",
    "GRANT EXECUTE ON MBEAN 'a:b=c' TO r",
    "REVOKE UNMASK ON TABLE k.t FROM r",
    "LIST ALL PERMISSIONS ON t OF r NORECURSIVE",
    "LIST SELECT PERMISSION",
    "LIST ROLES OF r",
    "LIST USERS",
    "LIST SUPERUSERS",
    "ADD IDENTITY IF NOT EXISTS 'spiffe://x' TO ROLE 'r'",
    "DROP IDENTITY IF EXISTS 'x'",
    "DESCRIBE CLUSTER",
    "DESC SCHEMA",
    "DESCRIBE FULL SCHEMA WITH INTERNALS",
    "DESCRIBE KEYSPACES",
    "DESCRIBE KEYSPACE",
    "DESCRIBE ONLY KEYSPACE k",
    "DESCRIBE TABLES",
    "DESCRIBE TABLE k.t WITH INTERNALS",
    "DESCRIBE INDEX k.i",
    "DESCRIBE MATERIALIZED VIEW v",
    "DESCRIBE TYPES",
    "DESCRIBE TYPE k.u",
    "DESCRIBE FUNCTION f",
    "DESCRIBE AGGREGATES",
    "DESCRIBE k.t",
    'DESCRIBE "T"',
]


@pytest.mark.parametrize("text", STATEMENTS)
def test_everything_that_the_grammar_knows_parses(text: str) -> None:
    parse(text)
    parse(text.replace(" ", "\n /* c */ ") + " ;")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("USE ?", "Bind variables cannot be used for keyspace names"),
        ("SELECT * FROM ?", "Bind variables cannot be used for table names"),
        ("CREATE TYPE enum (a int)", "Invalid (reserved) user type name enum"),
        (
            "CREATE TABLE t (k frozen<int> PRIMARY KEY)",
            "frozen<> is only allowed on collections, tuples, and user-defined types (got int)",
        ),
        (
            "ALTER TABLE t WITH comment = 'a' AND comment = 'b'",
            "Multiple definitions for property 'comment'",
        ),
        (
            "ALTER TABLE t WITH caching = {'keys': ?}",
            "Invalid property value: ? for property: 'keys' "
            "(bind variables are not supported in DDL queries)",
        ),
        (
            'CREATE USER "u"',
            "Quoted strings are are not supported for user names and USER is deprecated, "
            "please use ROLE",
        ),
    ],
)
def test_what_the_grammar_refuses_in_words(text: str, message: str) -> None:
    with pytest.raises(SyntaxException) as caught:
        parse(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("opened", "closed"),
    [("(", ")"), ("[", "]"), ("{", "}"), ("-", ""), ("f(", ")"), ("(int)", "")],
)
def test_nesting_has_a_bound(opened: str, closed: str) -> None:
    depth = NESTING_MAX * 20
    for start in ("SELECT ", "SELECT a FROM t WHERE a = ", "SELECT a FROM t WHERE "):
        with pytest.raises(SyntaxException):
            parse(start + opened * depth + "1" + closed * depth + " FROM t")
    with pytest.raises(SyntaxException):
        parse("CREATE TABLE t (a " + "list<" * depth + "int" + ">" * depth + " PRIMARY KEY)")


@pytest.mark.parametrize("text", ["SELECT 1{} FROM t", "SELECT a FROM t WHERE a = 1{}"])
def test_an_expression_has_a_bounded_number_of_operators(text: str) -> None:
    parse(text.format(" + 1" * OPERATORS_MAX))
    with pytest.raises(SyntaxException, match="too many operators"):
        parse(text.format(" + 1" * (OPERATORS_MAX + 1)))
    many = ", ".join(["a + 1 + m[1]"] * OPERATORS_MAX)
    parse(f"SELECT {many} FROM t")

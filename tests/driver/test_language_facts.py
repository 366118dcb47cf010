"""What docs/features.md promises of the language: words, literals, markers, refusals (L rows)."""

from __future__ import annotations

from typing import Any

import pytest
from cassandra import InvalidRequest
from cassandra.protocol import SyntaxException

UNRESERVED = (
    *(
        "ascii",
        "as",
        "clustering",
        "count",
        "custom",
        "distinct",
        "duration",
        "exists",
        "filtering",
    ),
    *("group", "json", "key", "keys", "language", "list", "map", "role", "static", "text", "ttl"),
    *("tuple", "type", "user", "values", "writetime"),
)
RESERVED = (
    *("add", "and", "create", "delete", "from", "in", "into", "limit", "order", "primary"),
    *("select", "set", "table", "to", "token", "update", "using", "where", "with"),
)

LITERALS = [
    ("text", "'it''s'", '"it\'s"'),
    ("text", "$$do'llar$$", '"do\'llar"'),
    ("int", "-17", "-17"),
    ("double", "1.5e3", "1500.0"),
    ("double", "NaN", "null"),
    ("double", "-Infinity", "null"),
    ("boolean", "TRUE", "true"),
    (
        "uuid",
        "5a1c395e-b41f-11e5-9f22-ba0be0483c18",
        '"5a1c395e-b41f-11e5-9f22-ba0be0483c18"',
    ),
    ("blob", "0xCAFE", '"0xcafe"'),
    ("duration", "1y2mo3d4h5m6s7ms8us9ns", '"1y2mo3d4h5m6s7ms8us9ns"'),
    ("duration", "P1Y2M", '"1y2mo"'),
    ("duration", "P1W", '"7d"'),
]


def test_names_fold_their_case_unless_quoted(session: Any) -> None:
    session.execute('CREATE TABLE T ("Ab" int PRIMARY KEY, CD int, "qu""ote" int)')
    found = session.execute(
        "SELECT table_name, column_name FROM system_schema.columns WHERE keyspace_name = %s",
        (session.keyspace,),
    )
    assert {tuple(row) for row in found} == {("t", "Ab"), ("t", "cd"), ("t", 'qu"ote')}
    made = session.execute("DESCRIBE TABLE t").one().create_statement
    assert f"CREATE TABLE {session.keyspace}.t (" in made
    for column in ('"Ab" int PRIMARY KEY', "    cd int", '"qu""ote" int'):
        assert column in made


@pytest.mark.parametrize("word", UNRESERVED)
def test_an_unreserved_word_may_name_a_column(session: Any, word: str) -> None:
    session.execute(f"CREATE TABLE t ({word} blob PRIMARY KEY)")
    session.execute(f"INSERT INTO t ({word}) VALUES (0x01)")
    assert session.execute(f"SELECT {word} FROM t WHERE {word} = 0x01").one()[0] == b"\x01"


@pytest.mark.parametrize("word", RESERVED)
def test_a_reserved_word_must_be_quoted(session: Any, word: str) -> None:
    with pytest.raises(SyntaxException, match=r"line 1:\d+ "):
        session.execute(f"CREATE TABLE t ({word} int PRIMARY KEY)")
    session.execute(f'CREATE TABLE t ("{word}" int PRIMARY KEY)')


@pytest.mark.parametrize(("kind", "literal", "json"), LITERALS)
def test_a_literal_comes_back_and_as_json(session: Any, kind: str, literal: str, json: str) -> None:
    session.execute(f"CREATE TABLE t (k int PRIMARY KEY, v {kind}, w {kind})")
    session.execute(f"INSERT INTO t (k, v) VALUES (1, {literal})")
    insert = session.prepare("UPDATE t SET w = ? WHERE k = 1")
    session.execute(insert, (session.execute("SELECT v FROM t").one()[0],))
    found = session.execute("SELECT toJson(v), to_json(w) FROM t").one()
    assert tuple(found) == (json, json)


def test_empty_braces_are_a_set_or_a_map(session: Any) -> None:
    session.execute(
        "CREATE TABLE t (k int PRIMARY KEY, m map<int, int>, s set<int>) WITH compression = {}"
    )
    session.execute("INSERT INTO t (k, m, s) VALUES (1, {1: 1}, {1})")
    session.execute("UPDATE t SET m = {}, s = {} WHERE k = 1")
    assert tuple(session.execute("SELECT m, s FROM t").one()) == (None, None)
    compression = session.execute(
        "SELECT compression FROM system_schema.tables "
        "WHERE keyspace_name = %s AND table_name = 't'",
        (session.keyspace,),
    ).one()[0]
    assert dict(compression) == {"enabled": "false"}


def test_markers_have_the_names_that_drivers_bind_by(session: Any) -> None:
    session.execute("CREATE TABLE t (k int, c int, l list<int>, PRIMARY KEY (k, c))")

    def names(text: str) -> list[str]:
        return [column.name for column in session.prepare(text).column_metadata]

    assert names("SELECT * FROM t WHERE k = ? LIMIT ?") == ["k", "[limit]"]
    assert names("SELECT * FROM t WHERE k = ? PER PARTITION LIMIT ?") == [
        *("k", "[per_partition_limit]"),
    ]
    assert names("INSERT INTO t (k, c) VALUES (?, ?) USING TTL ? AND TIMESTAMP ?") == [
        *("k", "c", "[ttl]", "[timestamp]"),
    ]
    assert names("SELECT * FROM t WHERE k IN ?") == ["in(k)"]
    assert names("SELECT * FROM t WHERE k = ? AND (c) IN ?") == ["k", "in(c)"]
    assert names("UPDATE t SET l[?] = ? WHERE k = :key AND c = ?") == [
        *("idx(l)", "value(l)", "key", "c"),
    ]


def test_a_marker_named_twice_has_two_slots_which_one_name_fills(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, a int, b int)")
    insert = session.prepare("INSERT INTO t (k, a, b) VALUES (:k, :v, :v)")
    assert [column.name for column in insert.column_metadata] == ["k", "v", "v"]
    session.execute(insert, {"k": 1, "v": 7})
    assert tuple(session.execute("SELECT a, b FROM t").one()) == (7, 7)


@pytest.mark.parametrize(
    "text",
    [
        "-- before\nSELECT key FROM system.local",
        "// before\nSELECT key FROM system.local;",
        "/* a\n b */ SELECT /* in */ key FROM system.local ; ",
    ],
)
def test_comments_and_a_semicolon_are_no_part_of_a_statement(session: Any, text: str) -> None:
    assert session.execute(text).one().key == "local"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("SELEC * FROM t", "line 1:0 no viable alternative at input 'SELEC'"),
        ("SELECT * FROM t WHERE", "line 0:-1 no viable alternative at input '<EOF>'"),
        ("SELECT *\n FORM t", "line 2:1 "),
    ],
)
def test_a_syntax_error_names_line_and_column(session: Any, text: str, place: str) -> None:
    with pytest.raises(SyntaxException) as caught:
        session.execute(text)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "SELECT * FROM t WHERE v = 1",
            "Cannot execute this query as it might involve data filtering and thus may have "
            "unpredictable performance. If you want to execute this query despite the performance "
            "unpredictability, use ALLOW FILTERING",
        ),
        ("SELECT * FROM nosuch", "table nosuch does not exist"),
        ("SELECT nosuch FROM t", "Undefined column name nosuch in table "),
        ("INSERT INTO t (v) VALUES (1)", "Some partition key parts are missing: k"),
        ("INSERT INTO t (k) VALUES (1)", "Some clustering keys are missing: c"),
        (
            "SELECT * FROM t WHERE c = 1",
            "Cannot execute this query as it might involve data filtering",
        ),
        ("UPDATE t SET v = 1 WHERE c = 1", "Some partition key parts are missing: k"),
        ("INSERT INTO t (k, c, v) VALUES (1, 1, 'x')", "Invalid STRING constant (x) for "),
    ],
)
def test_a_refusal_has_the_words_that_people_search_for(
    session: Any, text: str, message: str
) -> None:
    session.execute("CREATE TABLE t (k int, c int, v int, PRIMARY KEY (k, c))")
    with pytest.raises(InvalidRequest) as caught:
        session.execute(text)
    assert message in str(caught.value)

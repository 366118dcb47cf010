"""Tests cql/describe."""

from __future__ import annotations

import json
import random
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cql.ddl import execute_ddl
from cql.ddl_common import DdlEnvironment
from cql.describe import Describer, table_text
from cql.errors import InvalidRequest, ProtocolError, SyntaxException
from cql.parser import tree
from cql.parser.grammar import parse
from cql.results import Rows
from cql.schema import Schema, Table
from cql.system.facts import NodeFacts
from cql.system.tables import system_keyspaces
from cql.types.catalog import MapType

GOLDEN = Path(__file__).parents[1] / "golden"
RANDOM = random.Random(1)
FACTS = NodeFacts(
    host_id=UUID(int=1),
    cluster_name="Test Cluster",
    datacenter="dc1",
    rack="r1",
    tokens=(1,),
    listen_address="127.0.0.1",
    broadcast_address="127.0.0.1",
    rpc_address="127.0.0.1",
    storage_port=7000,
    native_port=9042,
    generation=1,
    version="0.1.0",
)


def run(schema: Schema, text: str, keyspace: str | None = None) -> Schema:
    environment = DdlEnvironment(RANDOM, 1, {"dc1": 1})
    statement = parse(text)
    assert isinstance(statement, tree.SchemaStatement)
    return schema.apply(execute_ddl(statement, schema, keyspace, environment).ops)


def describe(schema: Schema, text: str, keyspace: str | None = None) -> list[list[str]]:
    statement = parse(text)
    assert isinstance(statement, tree.Describe)
    result = Describer(FACTS).describe(statement, schema, keyspace)
    return rows_of(result)


def rows_of(result: Rows) -> list[list[str]]:
    values = []
    at = 0
    while at < len(result.data):
        size = int.from_bytes(result.data[at : at + 4], "big")
        values.append(result.data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    width = len(result.columns)
    assert len(values) == width * result.row_count
    return [values[i : i + width] for i in range(0, len(values), width)]


@pytest.fixture(scope="module")
def schema() -> Schema:
    result = Schema(system_keyspaces())
    for text in (
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy'}",
        "CREATE KEYSPACE \"K2\" WITH replication = {'class': 'NetworkTopologyStrategy'}",
        "CREATE TYPE k.b (x int)",
        'CREATE TYPE k.a (y frozen<b>, "Z" text)',
        "CREATE TABLE k.t (p int PRIMARY KEY, v text)",
        'CREATE TABLE "K2"."T" (p int PRIMARY KEY)',
    ):
        result = run(result, text)
    return result


def _after_the_transcript() -> Schema:
    schema, keyspace = Schema(system_keyspaces()), None
    for entry in json.loads((GOLDEN / "transcript.json").read_text())["data"]:
        try:
            statement = parse(entry["cql"])
        except SyntaxException:
            continue
        if isinstance(statement, tree.Use) and statement.keyspace == "tr":
            keyspace = "tr"
        elif "error" in entry or "INDEX" in entry["cql"]:
            continue
        elif isinstance(statement, tree.SchemaStatement):
            schema = run(schema, entry["cql"], keyspace)
    return schema


def test_the_keyspace_of_the_transcript_is_described_byte_for_byte() -> None:
    golden = json.loads((GOLDEN / "describe.json").read_text())["data"]
    expected = [row for row in golden if row[1] != "index"]
    assert describe(_after_the_transcript(), "DESCRIBE KEYSPACE tr") == expected


def test_cqlsh_prints_what_it_printed_for_cassandra() -> None:
    golden = json.loads((GOLDEN / "cqlsh.json").read_text())["data"]
    printed = {entry["cql"]: entry["stdout"] for entry in golden}["DESCRIBE TABLE tr.c"]
    (row,) = describe(_after_the_transcript(), "DESCRIBE TABLE tr.c")
    assert printed.startswith(f"\n{row[3]}\n")


# ---------------------------------------------------------------- forms


def test_lists_name_what_is_there(schema: Schema) -> None:
    names = [row[2] for row in describe(schema, "DESCRIBE KEYSPACES")]
    assert names == sorted(names, key=lambda name: name.strip('"'))
    assert '"K2"' in names and "system" in names
    assert describe(schema, "DESCRIBE TABLES", "k") == [["k", "table", "t"]]
    assert ['"K2"', "table", '"T"'] in describe(schema, "DESCRIBE TABLES")
    assert describe(schema, "DESCRIBE TYPES", "k") == [["k", "type", "a"], ["k", "type", "b"]]
    assert describe(schema, "DESCRIBE FUNCTIONS") == describe(schema, "DESCRIBE AGGREGATES") == []


def test_a_schema_has_its_types_in_the_order_of_their_use(schema: Schema) -> None:
    rows = describe(schema, "DESCRIBE SCHEMA")
    assert [row[:3] for row in rows] == [
        ['"K2"', "keyspace", '"K2"'],
        ['"K2"', "table", '"T"'],
        ["k", "keyspace", "k"],
        ["k", "type", "b"],
        ["k", "type", "a"],
        ["k", "table", "t"],
    ]
    assert len(describe(schema, "DESCRIBE FULL SCHEMA")) > len(rows)


def test_names_find_keyspaces_first_and_tables_next(schema: Schema) -> None:
    assert len(describe(schema, "DESCRIBE k")) == 4
    assert describe(schema, "DESCRIBE t", "k") == describe(schema, "DESCRIBE TABLE k.t")
    assert describe(schema, "DESCRIBE k.t") == describe(schema, "DESCRIBE TABLE t", "k")
    assert len(describe(schema, "DESCRIBE ONLY KEYSPACE k")) == 1
    assert describe(schema, "DESCRIBE KEYSPACE", "k") == describe(schema, "DESCRIBE KEYSPACE k")
    (row,) = describe(schema, "DESCRIBE TYPE k.a")
    assert row[3] == 'CREATE TYPE k.a (\n    y frozen<b>,\n    "Z" text\n);'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DESCRIBE KEYSPACE", "No keyspace specified and no current keyspace"),
        ("DESCRIBE KEYSPACE x", "'x' not found in keyspaces"),
        ("DESCRIBE x", "'x' not found in keyspaces"),
        ("DESCRIBE k.x", "'x' not found in keyspace 'k'"),
        ("DESCRIBE TABLE k.x", "Table 'x' not found in keyspace 'k'"),
        ("DESCRIBE TYPE k.x", "User defined type 'x' not found in 'k'"),
        ("DESCRIBE INDEX k.x", "Table for existing index 'x' not found in 'k'"),
        ("DESCRIBE MATERIALIZED VIEW k.x", "Materialized view 'x' not found in 'k'"),
        ("DESCRIBE FUNCTION k.x", "User defined function 'x' not found in 'k'"),
        ("DESCRIBE AGGREGATE k.x", "User defined aggregate 'x' not found in 'k'"),
    ],
)
def test_what_is_not_there_is_named(schema: Schema, text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        describe(schema, text)
    assert caught.value.message == message


def test_a_cluster_has_a_name_and_the_ranges_of_the_current_keyspace(schema: Schema) -> None:
    statement = parse("DESCRIBE CLUSTER")
    assert isinstance(statement, tree.Describe)
    assert describe(schema, "DESCRIBE CLUSTER") == [
        ["Test Cluster", "Murmur3Partitioner", "SimpleSnitch"]
    ]
    describer = Describer(FACTS, lambda keyspace: {"5": ["127.0.0.1:7000"]})
    result = describer.describe(statement, schema, "k")
    assert result.columns[-1].name == "range_ownership"
    assert isinstance(result.columns[-1].type, MapType)
    assert len(describer.describe(statement, schema, "system").columns) == 3


def test_an_answer_comes_in_pages_as_long_as_the_schema_stays(schema: Schema) -> None:
    statement = parse("DESCRIBE FULL SCHEMA")
    assert isinstance(statement, tree.Describe)
    describer = Describer(FACTS)
    whole = rows_of(describer.describe(statement, schema, None))
    pages, state = [], None
    while not pages or state is not None:
        page = describer.describe(statement, schema, None, 10, state)
        pages.append(rows_of(page))
        state = page.paging_state
    assert [row for page in pages for row in page] == whole
    assert {len(page) for page in pages[:-1]} == {10}
    state = describer.describe(statement, schema, None, 10).paging_state
    other = run(schema, "CREATE TABLE k.another (k int PRIMARY KEY)")
    with pytest.raises(InvalidRequest, match="The schema has changed since the previous page"):
        describer.describe(statement, other, None, 10, state)
    with pytest.raises(ProtocolError, match="Invalid value for the paging state"):
        describer.describe(statement, schema, None, 10, b"x")


def test_internals_show_the_tables_id(schema: Schema) -> None:
    table = schema.get_table("k", "t")
    (row,) = describe(schema, "DESCRIBE TABLE k.t WITH INTERNALS")
    assert f") WITH ID = {table.id}\n    AND additional_write_policy" in row[3]


def test_virtual_tables_are_shown_as_what_they_are(schema: Schema) -> None:
    (row,) = describe(schema, "DESCRIBE TABLE system_views.settings")
    assert row[3].startswith("/*\nWarning: Table system_views.settings is a virtual table")
    assert row[3].endswith("WITH comment = '';\n*/")


# ---------------------------------------------------------------- round trip

TYPES = st.sampled_from(
    [
        *("int", "text", "list<int>", "map<text, frozen<set<uuid>>>", "frozen<u>", "u"),
        *("tuple<int, frozen<u>>", "vector<float, 3>", "set<frozen<tuple<int, blob>>>"),
    ]
)
NAMES = st.sampled_from(["a", "B", "c d", 'q"x', "select", "key", "z1"])
OPTIONS = st.sampled_from(
    [
        *("comment = 'it''s'", "compression = {}", "gc_grace_seconds = 1", "cdc = true"),
        *("caching = {'keys': 'NONE'}", "bloom_filter_fp_chance = 0.0001"),
        "compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_size': 2}",
        "speculative_retry = 'MIN(99p,50ms)'",
    ]
)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@st.composite
def create_tables(draw: st.DrawFn) -> str:
    names = draw(st.lists(NAMES, min_size=1, unique=True))
    keys = draw(st.integers(1, len(names)))
    partition = draw(st.integers(1, keys))
    lines = [f"{quoted(name)} int" for name in names[:keys]]
    for name in names[keys:]:
        static = " STATIC" if keys > partition and draw(st.booleans()) else ""
        lines.append(f"{quoted(name)} {draw(TYPES)}{static}")
    clustering = ", ".join(map(quoted, names[partition:keys]))
    key = f"({', '.join(map(quoted, names[:partition]))})" + (clustering and ", " + clustering)
    options = draw(st.lists(OPTIONS, max_size=3, unique=True))
    if keys > partition:
        orders = [
            f"{quoted(n)} {draw(st.sampled_from(['ASC', 'DESC']))}" for n in names[partition:keys]
        ]
        options.append(f"CLUSTERING ORDER BY ({', '.join(orders)})")
    end = " WITH " + " AND ".join(options) if options else ""
    return f"({', '.join(lines)}, PRIMARY KEY ({key})){end}"


def shape(table: Table) -> object:
    """The table without its ids."""
    columns = [(c.name, c.type, c.kind, c.position, c.reversed) for c in table.all_columns]
    return columns, table.options.to_json() | {"row_cache": None}


@given(st.lists(create_tables(), min_size=1, max_size=3))
@settings(max_examples=40)
def test_a_described_schema_creates_itself_again(bodies: list[str]) -> None:
    schema = Schema({})
    schema = run(schema, "CREATE KEYSPACE \"K\" WITH replication = {'class': 'SimpleStrategy'}")
    schema = run(schema, "CREATE TYPE i (x int)", "K")
    schema = run(schema, 'CREATE TYPE u (a int, "B" frozen<list<frozen<i>>>)', "K")
    for number, body in enumerate(bodies):
        schema = run(schema, f"CREATE TABLE t{number} {body}", "K")
    again = Schema({})
    for row in describe(schema, "DESCRIBE SCHEMA"):
        again = run(again, row[3], "K")
    assert describe(again, "DESCRIBE SCHEMA") == describe(schema, "DESCRIBE SCHEMA")
    for table in schema.tables():
        assert shape(again.get_table("K", table.name)) == shape(table)
        assert parse(table_text(table, with_internals=True))

"""Every function and cast of the golden answers, asked through a SELECT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cql.errors import CqlError
from tests.cql.fakes import Harness, rows_of
from tests.cql.test_transcript import option_of

GOLDEN = Path(__file__).parents[1] / "golden"
FUNCTIONS = json.loads((GOLDEN / "functions.json").read_text())["data"]

COLUMNS = (
    "c_ascii ascii, c_bigint bigint, c_blob blob, c_boolean boolean, c_date date, "
    "c_decimal decimal, c_double double, c_duration duration, c_float float, c_inet inet, "
    "c_int int, c_list list<int>, c_map map<text, int>, c_set set<text>, c_smallint smallint, "
    "c_text text, c_time time, c_timestamp timestamp, c_timeuuid timeuuid, c_tinyint tinyint, "
    "c_udt frozen<pair>, c_uuid uuid, c_varchar varchar, c_varint varint, c_vec vector<float, 3>"
)

ROW = """INSERT INTO fn JSON '{"k": 1, "c_ascii": "hello", "c_bigint": 1234567890123,
"c_blob": "0xcafe00ff80", "c_boolean": true, "c_date": "2011-02-03",
"c_decimal": -123.4567890123456789, "c_double": -1.5E300, "c_duration":
"1y2mo25d5h6m7s8ms9us10ns", "c_float": 3.14, "c_inet": "127.0.0.1", "c_int": 42,
"c_list": [5, -3, 9], "c_map": {"a": 1, "b": 2}, "c_set": ["a", "b", "c"], "c_smallint": -7,
"c_text": "héllo 世界 😀", "c_time": "08:12:54.123456789",
"c_timestamp": "2011-02-03 04:05:06.789Z",
"c_timeuuid": "50554d6e-29bb-11e5-b345-feff819cdc9f", "c_tinyint": 5,
"c_udt": {"a": 7, "b": "bee"}, "c_uuid": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
"c_varchar": "it''s", "c_varint": 123456789012345678901234567890, "c_vec": [0.5, 0.25, -0.75]}'
USING TIMESTAMP 1700000000000000"""


DIFFERENT = {
    # Kept as aliases, as older versions have them.
    "unixTimestampOf(c_timeuuid)": ["system.unixtimestampof(c_timeuuid)", 2, "0000014e89dcb175"],
    "dateOf(c_timeuuid)": ["system.dateof(c_timeuuid)", 11, "0000014e89dcb175"],
    # Shown with its own type, not with an internal class.
    "min(c_timeuuid)": ["system.min(c_timeuuid)", 15, "50554d6e29bb11e5b345feff819cdc9f"],
}
"""What we answer differently on purpose, and our answers."""


@pytest.fixture(scope="module")
def harness() -> Harness:
    made = Harness()
    made.run(
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    made.run("USE k")
    made.run("CREATE TYPE pair (a int, b text)")
    made.run(f"CREATE TABLE fn (k int PRIMARY KEY, {COLUMNS})")
    made.run(ROW)
    return made


def outcome(harness: Harness, expression: str) -> Any:
    try:
        result = harness.run(f"SELECT {expression} FROM fn WHERE k = 1")
    except CqlError as error:
        return f"0x{error.code:04x} {error.message}"
    ((value,),) = rows_of(result)
    column = result.columns[0]
    return [column.name, option_of(column.type), None if value is None else value.hex()]


@pytest.mark.parametrize("entry", FUNCTIONS, ids=[entry["expr"] for entry in FUNCTIONS])
def test_a_function_answers_as_cassandra_does(harness: Harness, entry: dict[str, Any]) -> None:
    found = outcome(harness, entry["expr"])
    if entry["expr"] in DIFFERENT:
        assert found == DIFFERENT[entry["expr"]]
        return
    if "error" in entry:
        wanted = entry["error"].partition(" (known type signatures")[0]
        assert isinstance(found, str)
        assert found.partition(" (known type signatures")[0] == wanted
        return
    assert not isinstance(found, str), found
    wanted = [entry["name"], entry["type"], entry["hex"]]
    if isinstance(entry["hex"], str) and entry["hex"].startswith("("):
        assert f"({len(found[2]) // 2} bytes)" == entry["hex"]
        found, wanted = found[:2], wanted[:2]
    assert found == wanted

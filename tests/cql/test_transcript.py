"""Replays what a real Cassandra 5.0 answered, statement by statement, errors included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cql.errors import CqlError
from cql.results import Rows, SchemaChange
from cql.types.catalog import (
    CqlType,
    ListType,
    MapType,
    NativeType,
    SetType,
    TupleType,
    UserType,
    java_class,
)
from tests.cql.fakes import Harness, rows_of

TRANSCRIPT = json.loads((Path(__file__).parents[1] / "golden" / "transcript.json").read_text())[
    "data"
]

REFUSED = {"error": [0x2200, "CREATE INDEX is not supported yet"]}
NOT_JSON = (
    "Could not decode JSON string as a map: Error decoding JSON string: "
    "Expecting value: line 1 column 1 (char 0). (String was: not json)"
)
FILTERING = (
    "Cannot execute this query as it might involve data filtering and thus may have unpredictable "
    "performance. If you want to execute this query despite the performance unpredictability, use "
    "ALLOW FILTERING"
)
OWN_ROW = {
    "key": "local",
    "bootstrapped": "COMPLETED",
    "cluster_name": "fake",
    "cql_version": "3.4.7",
    "data_center": "datacenter1",
    "native_protocol_version": "5",
    "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "rack": "rack1",
}

DIFFERENT: dict[int, dict[str, Any]] = {
    # The message names a Java exception.
    51: {"error": [0x2200, NOT_JSON]},
    # Secondary indexes come later.
    **dict.fromkeys([201, 202, 203, 207], REFUSED),
    208: {"error": [0x2200, FILTERING]},
    210: {"error": [0x2200, "Index 'tr.c_n' doesn't exist'"]},
    # The node's own row cannot be written, and names its own cluster.
    272: {"error": [0x2200, "Modification is not supported by table system.local"]},
    276: {
        "cols": [[name, 13] for name in OWN_ROW],
        "rows": [[text.encode().hex() for text in OWN_ROW.values()]],
    },
}
"""Statements that we answer differently, and our answers."""


def option_of(type_: CqlType) -> Any:
    """A type as the transcript writes it: the native protocol's option, as v4 sends it."""
    match type_:
        case ListType():
            return [0x20, option_of(type_.element)]
        case SetType():
            return [0x22, option_of(type_.element)]
        case MapType():
            return [0x21, option_of(type_.key), option_of(type_.value)]
        case TupleType():
            return [0x31, [option_of(part) for part in type_.elements]]
        case UserType():
            fields = zip(type_.field_names, type_.field_types, strict=True)
            return [0x30, type_.keyspace, type_.name, [[n, option_of(t)] for n, t in fields]]
        case NativeType(name="duration"):
            return ["custom", java_class(type_)]
        case NativeType():
            return type_.type_id
    return ["custom", java_class(type_)]


def outcome(harness: Harness, statement: str) -> dict[str, Any]:
    """What the harness answers, in the transcript's form."""
    try:
        result = harness.run(statement)
    except CqlError as error:
        return {"error": [error.code, error.message]}
    found: dict[str, Any] = {}
    if isinstance(result, Rows):
        found["cols"] = [[column.name, option_of(column.type)] for column in result.columns]
        found["rows"] = [[None if v is None else v.hex() for v in row] for row in rows_of(result)]
    elif isinstance(result, SchemaChange):
        found["change"] = [result.change, result.target, result.keyspace, result.name]
    if result.warnings:
        found["warnings"] = list(result.warnings)
    return found


def expected(entry: dict[str, Any]) -> dict[str, Any]:
    """The transcript's answer without what is only its way of writing."""
    found = {k: entry[k] for k in ("cols", "rows", "warnings", "error") if k in entry}
    if entry.get("kind") == 5:
        body = bytes.fromhex(entry["result"])
        words = []
        while body:
            size = int.from_bytes(body[:2], "big")
            words.append(body[2 : 2 + size].decode())
            body = body[2 + size :]
        found["change"] = words + [""] * (4 - len(words))
    return found


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    """What we answer to the whole transcript, in its order."""
    harness = Harness()
    return [outcome(harness, entry["cql"]) for entry in TRANSCRIPT]


@pytest.mark.parametrize("number", [n for n in range(len(TRANSCRIPT)) if n not in DIFFERENT])
def test_a_statement_is_answered_as_cassandra_does(
    number: int, answers: list[dict[str, Any]]
) -> None:
    entry = TRANSCRIPT[number]
    assert answers[number] == expected(entry), entry["cql"]


@pytest.mark.parametrize("number", DIFFERENT)
def test_a_statement_that_we_answer_differently_has_the_answer_that_is_listed(
    number: int, answers: list[dict[str, Any]]
) -> None:
    entry = TRANSCRIPT[number]
    assert answers[number] == DIFFERENT[number] != expected(entry), entry["cql"]

"""`pythia sstable` on files that the engine has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.command import pythia as run
from tests.harness.node_process import NodeProcess

_tags = iter(f"tool-{number}" for number in range(1000))


def files_of(node: NodeProcess, table: str) -> list[Path]:
    """The files of a table, as a snapshot keeps them."""
    tag = next(_tags)
    run("snapshot", "take", "--dir", str(node.directory), "--tag", tag, table)
    return sorted((node.directory / "snapshots" / tag).glob("*/*/*.sst"))


def dumped(node: NodeProcess, session: Any, table: str) -> list[Any]:
    """The partitions of all files of a table, with raw timestamps and without positions."""
    found: list[Any] = []
    for path in files_of(node, f"{session.keyspace}.{table}"):
        found += json.loads(run("sstable", "dump", "-t", str(path)))
    for partition in found:
        assert partition["partition"].pop("position") >= 0
        for row in partition["rows"]:
            if row["type"] in ("row", "static_block"):
                assert row.pop("position") >= 0
    return found


def test_rows_cells_and_collections_have_the_shape_of_sstabledump(
    node: NodeProcess, session: Any
) -> None:
    session.execute("CREATE TYPE place (x int, y text)")
    session.execute(
        "CREATE TABLE t (k int, j text, c int, d text, v blob, s int static, m map<text, int>, "
        "e set<int>, u place, f frozen<list<int>>, PRIMARY KEY ((k, j), c, d)) "
        "WITH CLUSTERING ORDER BY (c DESC, d ASC)"
    )
    session.execute("UPDATE t USING TIMESTAMP 5 SET s = 8 WHERE k = 1 AND j = 'a'")
    session.execute(
        "INSERT INTO t (k, j, c, d, v, m, e, u, f) VALUES (1, 'a', 7, 'z', 0xff, {'p': 1}, {3}, "
        "{x: 4, y: 'five'}, [6, 7]) USING TIMESTAMP 10"
    )
    session.execute(
        "UPDATE t USING TIMESTAMP 11 SET v = null WHERE k=1 AND j='a' AND c=7 AND d='z'"
    )
    session.execute(
        "INSERT INTO t (k, j, c, d) VALUES (1, 'a', 9, 'y') USING TIMESTAMP 12 AND TTL 100000"
    )
    session.execute(
        "DELETE FROM t USING TIMESTAMP 13 WHERE k = 1 AND j = 'a' AND c = 3 AND d = 'x'"
    )
    (partition,) = dumped(node, session, "t")
    assert partition["partition"] == {"key": ["1", "a"]}
    static, expiring, full, deleted = partition["rows"]
    assert static == {
        "type": "static_block",
        "cells": [{"name": "s", "value": 8, "tstamp": "5"}],
    }
    info = expiring["liveness_info"]
    expires_at = info.pop("expires_at")
    assert int(expires_at) > 1_600_000_000
    assert expiring == {
        "type": "row",
        "clustering": [9, "y"],
        "liveness_info": {"tstamp": "12", "ttl": 100000, "expired": False},
        "cells": [],
    }
    cells = {(c["name"], *c.get("path", ())): c for c in full["cells"] if "deletion_info" not in c}
    assert full["clustering"] == [7, "z"] and full["liveness_info"] == {"tstamp": "10"}
    assert cells == {
        ("m", "p"): {"name": "m", "path": ["p"], "value": 1},
        ("e", "3"): {"name": "e", "path": ["3"], "value": ""},
        ("u", "x"): {"name": "u", "path": ["x"], "value": 4},
        ("u", "y"): {"name": "u", "path": ["y"], "value": "five"},
        ("f",): {"name": "f", "value": [6, 7]},
    }
    gone = {c["name"]: c for c in full["cells"] if "deletion_info" in c}
    assert set(gone) == {"v", "m", "e", "u"}
    assert gone["m"]["deletion_info"]["marked_deleted"] == "9"
    assert set(gone["v"]["deletion_info"]) == {"local_delete_time"} and gone["v"]["tstamp"] == "11"
    assert deleted["clustering"] == [3, "x"] and deleted["cells"] == []
    assert deleted["deletion_info"]["marked_deleted"] == "13"


def test_deletions_of_ranges_and_partitions_have_the_shape_of_sstabledump(
    node: NodeProcess, session: Any
) -> None:
    session.execute("CREATE TABLE r (k int, c int, d int, v int, PRIMARY KEY (k, c, d))")
    for c in range(4):
        session.execute(f"INSERT INTO r (k, c, d, v) VALUES (1, {c}, 0, {c}) USING TIMESTAMP 50")
    session.execute("DELETE FROM r USING TIMESTAMP 20 WHERE k = 1 AND c >= 1 AND c < 3")
    session.execute("DELETE FROM r USING TIMESTAMP 30 WHERE k = 1 AND c = 3 AND d > 4")
    session.execute("DELETE FROM r USING TIMESTAMP 40 WHERE k = 2")
    found = {p["partition"]["key"][0]: p for p in dumped(node, session, "r")}
    assert found["2"]["partition"]["deletion_info"]["marked_deleted"] == "40"
    assert found["2"]["rows"] == []
    shown = []
    for row in found["1"]["rows"]:
        if row["type"] == "row":
            shown.append(row["clustering"])
            continue
        assert row["type"] == "range_tombstone_bound"
        (side,) = row.keys() - {"type"}
        bound = row[side]
        shown.append(
            (side, bound["type"], bound["clustering"], bound["deletion_info"]["marked_deleted"])
        )
    assert shown == [
        [0, 0],
        ("start", "inclusive", [1, "*"], "20"),
        [1, 0],
        [2, 0],
        ("end", "exclusive", [3, "*"], "20"),
        [3, 0],
        ("start", "exclusive", [3, 4], "30"),
        ("end", "inclusive", [3, "*"], "30"),
    ]


def test_counters_exact_clusterings_and_dropped_columns_are_shown(
    node: NodeProcess, session: Any
) -> None:
    session.execute("CREATE TABLE n (k int PRIMARY KEY, hits counter)")
    for _ in range(3):
        session.execute("UPDATE n SET hits = hits + 2 WHERE k = 1")
    ((cell,),) = [[c for r in p["rows"] for c in r["cells"]] for p in dumped(node, session, "n")]
    assert (cell["name"], cell["value"]) == ("hits", 6)
    session.execute("CREATE TABLE e (k int, c decimal, a int, b int, PRIMARY KEY (k, c))")
    session.execute("INSERT INTO e (k, c, a, b) VALUES (1, 1.500, 1, 2)")
    session.execute("ALTER TABLE e DROP b")
    (path,) = files_of(node, f"{session.keyspace}.e")
    text = run("sstable", "dump", str(path))
    assert '"clustering": [1.500]' in text
    ((row,),) = [partition["rows"] for partition in json.loads(text)]
    assert row["cells"][0]["name"] == "a" and row["cells"][1]["name"].startswith("column ")


def test_keys_schema_metadata_and_damage(node: NodeProcess, session: Any, tmp_path: Path) -> None:
    session.execute("CREATE TABLE w (k text, c int, v text, PRIMARY KEY (k, c))")
    insert = session.prepare("INSERT INTO w (k, c, v) VALUES (?, ?, ?)")
    for c in range(400):
        session.execute(insert, ("only", c, "x" * 100))
    (path,) = files_of(node, f"{session.keyspace}.w")
    assert json.loads(run("sstable", "dump", "--keys-only", str(path))) == [["only"]]
    assert json.loads(run("sstable", "dump", "-x", "only", str(path))) == []
    assert len(json.loads(run("sstable", "dump", "-k", "only", str(path)))[0]["rows"]) == 400
    shown = dict(line.split(": ", 1) for line in run("sstable", "metadata", str(path)).splitlines())
    assert (shown["Partitions"], shown["Rows"]) == ("1", "400")
    assert "(only)" in shown["First token"]
    (live,) = (node.directory / path.parts[-3] / "tables").glob(f"*/{path.name}")
    assert "SSTable Level: 0" in run("sstable", "metadata", str(live))
    # Away from its directory, the schema has to be named.
    apart = tmp_path / path.name
    apart.write_bytes(path.read_bytes())
    (partition,) = json.loads(run("sstable", "dump", str(apart)))
    assert partition["partition"]["key"] == [b"only".hex()]
    (partition,) = json.loads(run("sstable", "dump", "--schema", str(node.directory), str(apart)))
    assert partition["partition"]["key"] == ["only"]
    assert "nothing is wrong" in run("sstable", "verify", str(path), str(apart))
    content = bytearray(apart.read_bytes())
    content[100] ^= 1
    apart.write_bytes(content)
    said = run("sstable", "verify", str(path), str(apart), code=1)
    assert f"{apart} at offset 0" in said and "checksum" in said
    with pytest.raises(AssertionError):
        run("sstable", "dump", str(apart))

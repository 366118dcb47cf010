"""`pythia nodetool` against a running node of two shards."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.harness.command import PYTHIA, pythia
from tests.harness.node_process import ROOT, NodeProcess

KEYS = 40


class Tool:
    """Runs verbs against one node."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node

    def __call__(self, verb: str, *arguments: str, code: int = 0) -> str:
        return pythia("nodetool", verb, "--dir", str(self.node.directory), *arguments, code=code)

    def files(self, table: str) -> list[Path]:
        """The SSTables of a table, of all shards."""
        return sorted(Path(self.node.directory).glob(f"shard-*/tables/{table}-*/*.sst"))


@pytest.fixture
def tool(node: NodeProcess) -> Tool:
    return Tool(node)


@pytest.fixture
def table(session: Any, tool: Tool) -> str:
    """A table with two files on each shard, of which the second hides a part of the first."""
    session.execute("CREATE TABLE t (a int, b text, v text, PRIMARY KEY ((a, b)))")
    name = f"{session.keyspace}.t"
    for v in ("old", "new"):
        for a in range(KEYS):
            session.execute("INSERT INTO t (a, b, v) VALUES (%s, 'x', %s)", (a, v))
        tool("flush", session.keyspace, "t")
    session.execute("DELETE FROM t WHERE a = 1 AND b = 'x'")
    return name


def test_flush_writes_what_is_in_memory(session: Any, tool: Tool, table: str) -> None:
    before = tool.files(table)
    assert len(before) == 4, "two of each shard"
    assert tool("flush", session.keyspace, "t") == ""
    assert len(tool.files(table)) == 5


def test_compact_leaves_one_file_on_each_shard_and_a_history(
    session: Any, tool: Tool, table: str
) -> None:
    assert tool("compact", session.keyspace, "t") == ""
    assert len(tool.files(table)) == 2
    assert len(list(session.execute("SELECT * FROM t"))) == KEYS - 1
    history = list(json.loads(tool("compactionhistory", "--json")))
    assert {row["table"] for row in history if row["bytes_in"] > row["bytes_out"]} >= {table}
    shown = tool("compactionhistory").splitlines()
    assert shown[0] == "Compaction History: "
    assert shown[1].split()[:3] == ["id", "keyspace_name", "columnfamily_name"]


def test_a_partition_s_files_are_merged_and_no_others(session: Any, tool: Tool, table: str) -> None:
    tool("flush", session.keyspace, "t")
    tool("compact", "--partition", "7:x", session.keyspace, "t")
    counts = sorted(
        sum(f"shard-{shard}/" in str(file) for file in tool.files(table)) for shard in (0, 1)
    )
    assert counts[0] == 1 and counts[1] > 1, "one shard has the partition"
    wrong = tool("compact", "--partition", "7", session.keyspace, "t", code=1)
    assert "'7' is no key" in wrong and "2 components" in wrong
    assert "Unable to make int" in tool(
        "compact", "--partition", "y:x", session.keyspace, "t", code=1
    )


def test_files_that_are_named_are_merged(session: Any, tool: Tool, table: str) -> None:
    first, second, *others = tool.files(table)
    tool("compact", "--user-defined", str(first), str(second))
    left = tool.files(table)
    assert first not in left and second not in left and set(others) < set(left)
    assert "is no file of a table" in tool("compact", "--user-defined", str(first), code=1)
    assert "needs FILEs" in tool("compact", "--user-defined", code=2)
    assert "is enough" in tool("compact", "--user-defined", "-st", "1", "f", code=2)


def test_files_near_tokens_are_merged(session: Any, tool: Tool, table: str) -> None:
    tokens = sorted(row[0] for row in session.execute("SELECT token(a, b) FROM t"))
    tool("compact", "-st", str(tokens[0] - 2), "-et", str(tokens[0] - 1), session.keyspace, "t")
    assert len(tool.files(table)) > 2, "nothing is there, but that memory was flushed"
    tool("compact", "-st", str(tokens[0]), "-et", str(tokens[-1]), session.keyspace, "t")
    assert len(tool.files(table)) == 2
    assert "no tokens from 5 to 4" in tool("compact", "-st", "5", "-et", "4", code=1)


def test_garbagecollect_removes_what_is_hidden(session: Any, tool: Tool, table: str) -> None:
    before = sum(file.stat().st_size for file in tool.files(table))
    tool("garbagecollect", session.keyspace)
    assert sum(file.stat().st_size for file in tool.files(table)) < before


def test_forcecompact_purges_young_tombstones_of_its_keys(
    session: Any, tool: Tool, table: str
) -> None:
    def tombstones() -> int:
        said = pythia("sstable", "dump", *map(str, tool.files(table)))
        return said.count("marked_deleted")

    session.execute("DELETE FROM t WHERE a = 2 AND b = 'x'")
    tool("forcecompact", session.keyspace, "t", "3:x")
    assert tombstones() == 2
    tool("forcecompact", session.keyspace, "t", "1:x", "2:x")
    assert tombstones() == 0
    assert len(list(session.execute("SELECT * FROM t"))) == KEYS - 2


def test_automatic_compaction_is_switched_for_one_table(
    session: Any, tool: Tool, table: str
) -> None:
    keyspace = session.keyspace
    session.execute("CREATE TABLE u (k int PRIMARY KEY)")
    assert tool("statusautocompaction", keyspace) == "running\n"
    tool("disableautocompaction", keyspace, "u")
    assert tool("statusautocompaction", keyspace) == "partially running\n"
    assert tool("statusautocompaction", keyspace, "u") == "not running\n"
    shown = tool("statusautocompaction", "-a", keyspace).splitlines()
    assert [line.split()[1:] for line in shown[1:]] == [["t", "running"], ["u", "not", "running"]]
    for number in range(4):
        for k in range(8):
            session.execute(f"INSERT INTO u (k) VALUES ({k + number * 8})")
        tool("flush", keyspace, "u")
    assert len(tool.files(f"{keyspace}.u")) == 8, "nothing was merged"
    tool("enableautocompaction", keyspace)
    assert tool("statusautocompaction", keyspace) == "running\n"


def test_rate_and_number_are_set_until_the_node_ends(tool: Tool) -> None:
    assert tool("getcompactionthroughput") == "Current compaction throughput: 0 MB/s\n"
    tool("setcompactionthroughput", "7")
    assert tool("getcompactionthroughput") == "Current compaction throughput: 7 MB/s\n"
    assert "is not allowed" in tool("setcompactionthroughput", "-1", code=1)
    tool("setcompactionthroughput", "0")
    tool("setconcurrentcompactors", "3")
    assert tool("getconcurrentcompactors").split()[-1] == "3"
    assert "is not allowed" in tool("setconcurrentcompactors", "0", code=1)
    tool("setconcurrentcompactors", "1")


def test_a_compaction_that_runs_is_seen_and_stopped(session: Any, tool: Tool, table: str) -> None:
    keyspace = session.keyspace
    session.execute("CREATE TABLE slow (k int PRIMARY KEY, v blob)")
    noise = Random(1)
    for k in range(64):
        session.execute("INSERT INTO slow (k, v) VALUES (%s, %s)", (k, noise.randbytes(200_000)))
    tool("setcompactionthroughput", "1")
    tool("flush", keyspace, "slow")
    command = ["compact", "--dir", str(tool.node.directory), keyspace, "slow"]
    running = subprocess.Popen(
        [*PYTHIA, "nodetool", *command],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        shown: list[Any] = []
        while not shown and running.poll() is None:
            shown = [r for r in json.loads(tool("compactionstats", "--json")) if "id" in r]
        assert shown and {row["table"] for row in shown} == {f"{keyspace}.slow"}
        text = tool("compactionstats", "-H")
        assert text.startswith("pending tasks: ") and "Compaction" in text
        assert "there is no compaction" in tool(
            "stop", "-id", "12345678-1234-1234-1234-123456789012", code=1
        )
        tool("stop", "-id", shown[0]["id"])
        tool("stop", "COMPACTION")
        _, said = running.communicate(timeout=60)
        assert running.returncode == 1 and "was stopped" in said
    finally:
        running.kill()
        running.wait()
        tool("setcompactionthroughput", "0")
    assert len(list(session.execute("SELECT k FROM slow"))) == 64


def test_the_row_cache_is_emptied(session: Any, tool: Tool, table: str) -> None:
    def cached() -> int:
        rows = session.execute("SELECT * FROM system_views.caches")
        found: int = next(row.entry_count for row in rows if row.name == "rows")
        return found

    before = cached()
    session.execute("SELECT * FROM t WHERE a = 3 AND b = 'x'")
    session.execute("SELECT * FROM t WHERE a = 4 AND b = 'x'")
    assert cached() == before + 2
    tool("invalidaterowcache", session.keyspace, "t")
    assert cached() == before
    assert len(list(session.execute("SELECT * FROM t WHERE a = 3 AND b = 'x'"))) == 1


def test_hits_are_counted_for_each_table_and_for_index_blocks(
    session: Any, tool: Tool, table: str
) -> None:
    session.execute("CREATE TABLE other (k int PRIMARY KEY)")
    session.execute("INSERT INTO other (k) VALUES (1)")

    def of(name: str) -> tuple[int, int, int, float]:
        row = session.execute(
            "SELECT * FROM system_views.table_caches WHERE keyspace_name = %s AND table_name = %s",
            (session.keyspace, name),
        ).one()
        counts = (row.row_partition_count, row.row_hit_count, row.row_request_count)
        return (*counts, row.row_hit_ratio)

    def of_index() -> tuple[int, int]:
        rows = session.execute("SELECT * FROM system_views.caches WHERE name = 'keys'")
        row = rows.one()
        assert row.entry_count > 0 and 0 < row.size_bytes <= row.capacity_bytes
        return row.hit_count, row.request_count

    for a in range(10, 20):
        session.execute("SELECT * FROM t WHERE a = %s AND b = 'x'", (a,))
    assert of("t") == (10, 0, 10, 0.0)
    looked = of_index()
    for a in [*range(10, 20), 20, 20]:
        session.execute("SELECT * FROM t WHERE a = %s AND b = 'x'", (a,))
    assert of("t") == (11, 11, 22, 0.5), "both shards together, and each table by itself"
    assert of("other") == (0, 0, 0, 0.0), "what has no files needs no cache"
    hits, requests = of_index()
    assert hits > looked[0] and requests - looked[1] == hits - looked[0], "indexes stay in memory"
    session.execute("SELECT * FROM t WHERE a = 10 AND b = 'x' BYPASS CACHE")
    assert of("t")[2] == 22, "a read that bypasses the cache is no request of it"


def test_disk_usage_is_what_the_files_take(session: Any, tool: Tool, table: str) -> None:
    tool("flush", session.keyspace, "t")

    def mebibytes(name: str) -> int:
        found: int = (
            session.execute(
                "SELECT mebibytes FROM system_views.disk_usage "
                "WHERE keyspace_name = %s AND table_name = %s",
                (session.keyspace, name),
            )
            .one()
            .mebibytes
        )
        return found

    on_disk = sum(path.stat().st_size for path in tool.files(table))
    assert mebibytes("t") == -(-on_disk // (1 << 20))
    session.execute("CREATE TABLE empty (k int PRIMARY KEY)")
    assert mebibytes("empty") == 0


def test_logged_batches_are_finished_by_command(session: Any, tool: Tool) -> None:
    session.execute("CREATE TABLE b (k int PRIMARY KEY)")
    rows = " ".join(f"INSERT INTO b (k) VALUES ({k});" for k in range(20))
    session.execute(f"BEGIN BATCH {rows} APPLY BATCH")
    assert tool("replaybatchlog") == ""
    assert json.loads(tool("replaybatchlog", "--forget-damaged", "--json")) == [
        {"shard": shard, "damaged": 0, "removed": 0} for shard in range(2)
    ]
    assert len(list(session.execute("SELECT k FROM b"))) == 20


def test_names_that_are_unknown_are_refused(tool: Tool) -> None:
    assert "there is no keyspace or table 'nope'" in tool("compact", "nope", code=1)
    assert "there is no keyspace or table 'nope.t'" in tool("flush", "nope", "t", code=1)


def test_without_a_node_it_says_so(tmp_path: Path) -> None:
    assert "no node runs" in pythia("nodetool", "flush", "--dir", str(tmp_path), code=1)

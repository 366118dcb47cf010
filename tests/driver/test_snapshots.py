"""Snapshots of a running node: what the operator asks for, and what is taken by itself."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.command import pythia as run
from tests.harness.node_process import NodeProcess

KEYSPACE = (
    "CREATE KEYSPACE {} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
)


def pythia(node: NodeProcess, *arguments: str, code: int = 0) -> str:
    """Runs `pythia snapshot`; gives what it says."""
    action, *rest = arguments
    return run("snapshot", action, "--dir", str(node.directory), *rest, code=code)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node of this test alone, which may be stopped."""
    process = NodeProcess(tmp_path / "data", shards=2, is_pinned=False).start()
    yield process
    process.close()


def rows_of(session: Any, table: str) -> list[Any]:
    return sorted(session.execute(f"SELECT * FROM {table}"))


def listed(session: Any, keyspace: str) -> dict[str, list[str]]:
    """Tables by tag, as the virtual table tells."""
    found: dict[str, list[str]] = {}
    for row in session.execute("SELECT * FROM system_views.snapshots"):
        if row.keyspace_name == keyspace:
            found.setdefault(row.name, []).append(row.table_name)
    return found


def test_what_was_acknowledged_before_a_snapshot_is_in_it_and_nothing_sent_after(
    node: NodeProcess, session: Any
) -> None:
    session.execute("CREATE TABLE load (k int, c int, v text, PRIMARY KEY (k, c))")
    insert = session.prepare("INSERT INTO load (k, c, v) VALUES (?, ?, ?)")
    acknowledged = [0]
    ends = threading.Event()

    def write() -> None:
        number = 0
        while not ends.is_set():
            session.execute(insert, (number % 50, number, "v" * (number % 300)))
            number += 1
            acknowledged[0] = number

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while acknowledged[0] < 300:
            ends.wait(0.01)
        before = acknowledged[0]
        pythia(node, "take", "--tag", "under-load", f"{session.keyspace}.load")
        after = acknowledged[0] + 1
    finally:
        ends.set()
        writer.join()
    session.execute("TRUNCATE load")
    pythia(node, "restore", "--tag", "under-load")
    found = rows_of(session, "load")
    numbers = [row.c for row in found]
    assert set(range(before)) <= set(numbers) <= set(range(after))
    assert all((row.k, row.v) == (row.c % 50, "v" * (row.c % 300)) for row in found)
    pythia(node, "clear", "--tag", "under-load")
    assert "under-load" not in listed(session, session.keyspace)


def test_rows_that_were_changed_since_are_what_they_were_again(
    node: NodeProcess, session: Any
) -> None:
    session.execute("CREATE TYPE address (street text, number int)")
    session.execute("CREATE TABLE kept (k int PRIMARY KEY, v text, l list<int>, a address)")
    for k in range(40):
        values = (k, "before", [k, k + 1])
        session.execute(
            "INSERT INTO kept (k, v, l, a) VALUES (%s, %s, %s, {street: 'x', number: 1})", values
        )
    expected = rows_of(session, "kept")
    pythia(node, "take", "-t", "changed", session.keyspace)
    session.execute("UPDATE kept SET v = 'after' WHERE k IN (1, 2, 3)")
    session.execute("DELETE FROM kept WHERE k = 4")
    session.execute("INSERT INTO kept (k, v) VALUES (100, 'new')")
    pythia(node, "restore", "-t", "changed", f"{session.keyspace}.kept")
    assert rows_of(session, "kept") == expected
    session.execute("INSERT INTO kept (k, v) VALUES (101, 'later')")
    assert len(rows_of(session, "kept")) == len(expected) + 1


def test_a_dropped_keyspace_comes_back_with_its_types_and_tables(
    alone: NodeProcess,
) -> None:
    with alone.cluster() as cluster:
        session = cluster.connect()
        session.execute(KEYSPACE.format("gone"))
        session.execute("CREATE TYPE gone.place (x int, y int)")
        session.execute(
            'CREATE TABLE gone."T" (k int, c text, zz int, aa frozen<place>, s int static, '
            "PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC)"
        )
        session.execute('ALTER TABLE gone."T" DROP zz')
        session.execute('ALTER TABLE gone."T" ADD mm text')
        for k in range(30):
            session.execute(
                'INSERT INTO gone."T" (k, c, aa, s, mm) VALUES (%s, %s, {x: 1, y: 2}, 7, %s)',
                (k, "c" * k, str(k)),
            )
        session.execute("CREATE TABLE gone.empty (k int PRIMARY KEY)")
        expected = rows_of(session, 'gone."T"')
        described = session.execute('DESCRIBE TABLE gone."T" WITH INTERNALS').one()
        session.execute("DROP KEYSPACE gone")
        (tag,) = listed(session, "gone")
        assert tag.startswith("dropped-") and tag.endswith("-T")
        schema = (alone.directory / "snapshots" / tag / "schema.cql").read_text()
        assert "CREATE KEYSPACE gone" in schema and described.create_statement in schema
        pythia(alone, "restore", "--tag", tag)
        assert rows_of(session, 'gone."T"') == expected
        again = session.execute('DESCRIBE TABLE gone."T" WITH INTERNALS').one()
        assert again.create_statement == described.create_statement
        alone.kill()
    alone.start()
    with alone.cluster() as cluster:
        assert rows_of(cluster.connect(), 'gone."T"') == expected


def test_a_snapshot_that_was_copied_fills_an_empty_node(
    node: NodeProcess, session: Any, alone: NodeProcess
) -> None:
    session.execute("CREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c))")
    for k in range(40):
        session.execute("INSERT INTO t (k, c, v) VALUES (%s, 1, 'there')", (k,))
        session.execute("INSERT INTO t (k, c, v) VALUES (%s, 2, 'gone')", (k,))
        session.execute("DELETE FROM t WHERE k = %s AND c = 2", (k,))
    name = f"{session.keyspace}.t"
    pythia(node, "take", "--tag", "copied", name)
    places = Path("snapshots") / "copied"
    shutil.copytree(node.directory / places, alone.directory / places)
    pythia(alone, "restore", "--tag", "copied")
    with alone.cluster() as cluster:
        assert rows_of(cluster.connect(), name) == rows_of(session, "t")


def test_a_truncated_table_leaves_a_snapshot_unless_it_was_empty_or_does_not_want_one(
    session: Any,
) -> None:
    keyspace = session.keyspace
    for name in ("filled", "empty", "unwanted"):
        session.execute(f"CREATE TABLE {name} (k int PRIMARY KEY, v int)")
    session.execute("ALTER TABLE unwanted WITH allow_auto_snapshot = false")
    session.execute("INSERT INTO filled (k, v) VALUES (1, 1)")
    session.execute("INSERT INTO unwanted (k, v) VALUES (1, 1)")
    for name in ("filled", "empty", "unwanted"):
        session.execute(f"TRUNCATE {name}")
    found = listed(session, keyspace)
    assert list(found.values()) == [["filled"]]
    assert next(iter(found)).startswith("truncated-")


def test_what_cannot_be_done_says_why(node: NodeProcess, session: Any) -> None:
    keyspace = session.keyspace
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
    session.execute("INSERT INTO t (k, v) VALUES (1, 1)")
    pythia(node, "take", "--tag", "twice", keyspace)
    assert "already" in pythia(node, "take", "--tag", "twice", keyspace, code=1)
    assert "cannot be a tag" in pythia(node, "take", "--tag", "../x", keyspace, code=1)
    assert "no keyspace or table 'nix'" in pythia(node, "take", "-t", "a", "nix", code=1)
    assert "no snapshot 'nix'" in pythia(node, "restore", "--tag", "nix", code=1)
    assert "no snapshot 'nix'" in pythia(node, "clear", "--tag", "nix", code=1)
    assert "nothing of 'nix'" in pythia(node, "restore", "--tag", "twice", "nix", code=1)
    assert "at least 60" in pythia(node, "take", "--ttl", "5s", code=2)
    session.execute("DROP TABLE t")
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
    assert "made anew" in pythia(node, "restore", "--tag", "twice", code=1)


def test_a_stopped_node_s_snapshots_are_listed_and_cleared(alone: NodeProcess) -> None:
    with alone.cluster() as cluster:
        session = cluster.connect()
        session.execute(KEYSPACE.format("ks"))
        session.execute("CREATE TABLE ks.t (k int PRIMARY KEY)")
        session.execute("INSERT INTO ks.t (k) VALUES (1)")
    pythia(alone, "take", "--tag", "one", "--ttl", "1h")
    pythia(alone, "take", "--tag", "two")
    assert os.stat(alone.directory / "admin.sock").st_mode & 0o777 == 0o600
    assert alone.stop() == 0
    shown = pythia(alone, "list")
    assert "one " in shown and "two " in shown
    pythia(alone, "clear", "--tag", "one")
    shown = pythia(alone, "list")
    assert "one " not in shown and "two " in shown
    assert "no node runs" in pythia(alone, "restore", "--tag", "two", code=1)
    manifest = alone.directory / "snapshots" / "two" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"shards": 2', '"shards": 3'))
    assert "checksum is wrong" in pythia(alone, "list", code=1)


def test_a_snapshot_comes_back_with_another_number_of_shards(alone: NodeProcess) -> None:
    with alone.cluster() as cluster:
        session = cluster.connect()
        session.execute(KEYSPACE.format("ks"))
        session.execute("CREATE TABLE ks.t (k int, c int, v int, PRIMARY KEY (k, c))")
        insert = session.prepare("INSERT INTO ks.t (k, c, v) VALUES (?, ?, ?)")
        for number in range(300):
            session.execute(insert, (number % 60, number, number))
        session.execute("DELETE FROM ks.t WHERE k = 7")
    pythia(alone, "take", "--tag", "one")
    for shards in (3, 1):
        with alone.cluster() as cluster:
            session = cluster.connect()
            session.execute("TRUNCATE ks.t")
            session.execute("INSERT INTO ks.t (k, c, v) VALUES (1000, 1, 1)")
        assert alone.stop() == 0
        alone.shards = shards
        alone.start()
        pythia(alone, "restore", "--tag", "one")
        with alone.cluster() as cluster:
            rows = cluster.connect().execute("SELECT k, c, v FROM ks.t")
            found = sorted((row.k, row.c, row.v) for row in rows)
        assert found == sorted((n % 60, n, n) for n in range(300) if n % 60 != 7)
    assert alone.stop() == 0

"""cqlsh of PyPI, run as a person does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CQLSH = Path(sys.executable).with_name("cqlsh")
TIMEOUT_S = 60


def cqlsh(node: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs cqlsh against a node."""
    return subprocess.run(
        [sys.executable, str(CQLSH), node.address, str(node.port), *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=os.environ | {"TZ": "UTC"},
        check=False,
    )


def test_it_connects_without_a_warning(node: Any) -> None:
    done = cqlsh(node, "-e", "SHOW VERSION")
    assert done.returncode == 0, done.stderr
    assert "CQL spec 3.4.7 | Native protocol v5" in done.stdout
    assert done.stderr == ""


def test_statements_run_and_errors_end_with_code_two(node: Any, session: Any) -> None:
    ks = session.keyspace
    done = cqlsh(
        node,
        "-e",
        f"CREATE TABLE {ks}.t (k int PRIMARY KEY, v text); "
        f"INSERT INTO {ks}.t (k, v) VALUES (1, 'one'); SELECT * FROM {ks}.t;",
    )
    assert done.returncode == 0, done.stderr
    assert " 1 | one" in done.stdout
    wrong = cqlsh(node, "-e", f"SELECT nosuch FROM {ks}.t")
    assert wrong.returncode == 2
    assert "Undefined column name nosuch" in wrong.stderr


def test_what_describe_prints_makes_the_same_schema_again(
    node: Any, session: Any, tmp_path: Path
) -> None:
    ks = session.keyspace
    session.execute("CREATE TYPE place (street text, numbers frozen<list<int>>)")
    session.execute(
        "CREATE TABLE everything (a int, b text, c timeuuid, s set<int> STATIC, p frozen<place>, "
        '"Quoted Name" map<text, int>, PRIMARY KEY ((a, b), c)) WITH CLUSTERING ORDER BY (c DESC) '
        "AND comment = 'it''s' AND default_time_to_live = 60"
    )
    first = cqlsh(node, "-e", f"DESCRIBE KEYSPACE {ks}")
    assert first.returncode == 0, first.stderr
    script = tmp_path / "schema.cql"
    script.write_text(first.stdout)
    session.execute(f"DROP KEYSPACE {ks}")
    again = cqlsh(node, "-f", str(script))
    assert again.returncode == 0, again.stderr
    assert cqlsh(node, "-e", f"DESCRIBE KEYSPACE {ks}").stdout == first.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "DESCRIBE CLUSTER",
        "DESCRIBE KEYSPACES",
        "DESCRIBE TABLES",
        "DESCRIBE FULL SCHEMA",
        "DESCRIBE TABLE system.local",
        "CONSISTENCY",
        "TRACING ON; SELECT key FROM system.local",
        "SHOW HOST",
        "SHOW REPLICAS 0 system_traces",
    ],
)
def test_a_command_succeeds(node: Any, statement: str) -> None:
    done = cqlsh(node, "-e", statement)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_copy_brings_rows_out_and_in_again(node: Any, session: Any, tmp_path: Path) -> None:
    ks = session.keyspace
    session.execute("CREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c))")
    rows = tmp_path / "rows.csv"
    rows.write_text("".join(f"{i % 10},{i},value {i}\n" for i in range(2000)))
    copied = cqlsh(node, "-e", f"COPY {ks}.t (k, c, v) FROM '{rows}'")
    assert copied.returncode == 0, copied.stderr
    assert session.execute("SELECT count(*) FROM t").one()[0] == 2000
    out = tmp_path / "out.csv"
    copied = cqlsh(node, "-e", f"COPY {ks}.t (k, c, v) TO '{out}'")
    assert copied.returncode == 0, copied.stderr
    assert sorted(out.read_text().split()) == sorted(rows.read_text().split())

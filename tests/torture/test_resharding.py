"""Write, kill -9, start with another number of shards, also killed meanwhile: all is there once."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.node_process import NodeProcess
from tests.harness.wire import OP_ERROR, WireClient, execute_frame

ROUNDS = 5
ROUNDS_LONG = 50
ROWS = 400
KILLED_AFTER_S_MAX = 1.5


def _value(number: int) -> bytes:
    return struct.pack(">i", number)


def _write(node: NodeProcess, round_: int, expected: dict[tuple[int, int], int]) -> None:
    """Overwrite some rows, delete others, count; all of it acknowledged."""
    with closing(WireClient(node.address, node.port)) as client:
        insert = client.prepare("INSERT INTO k.t (p, c, v) VALUES (?, ?, ?)")
        for number in range(ROWS):
            place = (number % 50, round_ * 7 % 20 + number % 11)
            client.send(execute_frame(0, insert, [*map(_value, place), _value(number)]))
            ((_, opcode, body),) = client.receive()
            assert opcode != OP_ERROR, body
            expected[place] = number
        partition = round_ % 50
        client.query(f"DELETE FROM k.t WHERE p = {partition} AND c > 3 AND c < 12")
        for place in [(p, c) for p, c in expected if p == partition and 3 < c < 12]:
            del expected[place]
        for partition in range(20):
            client.query(f"UPDATE k.counted SET n = n + 1 WHERE p = {partition}")


def _check(node: NodeProcess, rounds: int, expected: dict[tuple[int, int], int]) -> None:
    with closing(WireClient(node.address, node.port)) as client:
        rows = [
            tuple(struct.unpack(">i", value or b"")[0] for value in row)
            for row in client.rows("SELECT p, c, v FROM k.t")
        ]
        assert len(rows) == len(expected), "each row is there once"
        assert {(p, c): v for p, c, v in rows} == expected
        counted = client.rows("SELECT n FROM k.counted")
        assert [struct.unpack(">q", row[0] or b"")[0] for row in counted] == [rounds] * 20


def _start_and_kill(node: NodeProcess, after_s: float) -> None:
    """A start that is killed at some moment: while it re-shards, before, or when it serves."""
    process = subprocess.Popen(
        node._command(node.directory.parent / "killed.port"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    killer = threading.Timer(after_s, os.killpg, (process.pid, signal.SIGKILL))
    killer.start()
    process.wait(60)
    killer.join()


def test_a_node_that_is_killed_and_resharded_again_and_again_loses_nothing(
    tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    rng = random.Random(seed)
    rounds = ROUNDS_LONG if request.config.getoption("--long") else ROUNDS
    node = NodeProcess(tmp_path / "data", shards=2).start()
    expected: dict[tuple[int, int], int] = {}
    try:
        with closing(WireClient(node.address, node.port)) as client:
            client.query(
                "CREATE KEYSPACE k WITH replication = "
                "{'class': 'SimpleStrategy', 'replication_factor': 1}"
            )
            client.query("CREATE TABLE k.t (p int, c int, v int, PRIMARY KEY (p, c))")
            client.query("CREATE TABLE k.counted (p int PRIMARY KEY, n counter)")
        for round_ in range(rounds):
            _write(node, round_, expected)
            node.kill()
            node.shards = rng.choice([n for n in range(1, 5) if n != node.shards])
            _start_and_kill(node, rng.random() * KILLED_AFTER_S_MAX)
            node.start()
            _check(node, round_ + 1, expected)
            present = {path.name for path in node.directory.iterdir()}
            shards = {f"shard-{shard}" for shard in range(node.shards)}
            assert {n for n in present if n.startswith(("shard-", "resharding"))} == shards
        assert node.stop() == 0
        _start_without_a_number(node, expected, rounds)
    finally:
        node.close()


def _start_without_a_number(
    node: NodeProcess, expected: dict[tuple[int, int], int], rounds: int
) -> None:
    """The data stay in as many shards as they are."""
    command = node._command
    before = node.shards

    def without(port_file: Path) -> list[str]:
        words = command(port_file)
        at = words.index("--shards")
        return [*words[:at], *words[at + 2 :]]

    node._command = without  # type: ignore[method-assign]
    node.start()
    _check(node, rounds, expected)
    assert len(node.shard_pids()) == before
    assert node.stop() == 0

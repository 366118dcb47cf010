"""Load, kill -9 at a random moment, restart, compare with what was acknowledged."""

from __future__ import annotations

import random
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.harness.node_process import NodeProcess
from tests.harness.wire import OP_ERROR, ServerError, WireClient, execute_frame

STREAMS = 64
LOAD_S_MAX = 0.4
KEYS = 200
# Unavailable and WriteTimeout: what a shard answers whose sibling died a moment before it.
SHARD_IS_GONE = (0x1000, 0x1100)


@dataclass
class Ledger:
    """What a writer knows: for each key the last acknowledged version, and the last one sent."""

    acknowledged: dict[int, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    next_version: int = 1

    def check(self, found: dict[int, int]) -> None:
        """No acknowledged version is lost, and nothing was made up."""
        for key, version in self.acknowledged.items():
            assert found.get(key, 0) >= version, f"key {key}: {version} was acknowledged"
        for key, version in found.items():
            assert version <= self.sent[key], f"key {key}: {version} was never sent"


def _value(number: int) -> bytes:
    return struct.pack(">i", number)


def _number(value: bytes | None) -> int:
    assert value is not None, "every row has a version"
    return int(struct.unpack(">i", value)[0])


def _write_until_it_dies(client: WireClient, ledger: Ledger, rng: random.Random) -> None:
    """Writes rising versions of random keys, each key by one request at a time.

    Ends with OSError when the connection does, and with ServerError at the first error reply.
    """
    waiting: dict[int, tuple[int, int]] = {}
    busy: set[int] = set()
    free = list(range(STREAMS))
    try:
        statement = client.prepare("INSERT INTO torture.t (pk, ck, version) VALUES (?, ?, ?)")
        while True:
            while free:
                key = rng.randrange(KEYS)
                if key in busy:
                    continue
                stream, version = free.pop(), ledger.next_version
                ledger.next_version += 1
                ledger.sent[key] = version
                waiting[stream] = (key, version)
                busy.add(key)
                values = [_value(key % 20), _value(key), _value(version)]
                client.send(execute_frame(stream, statement, values))
            for stream, opcode, body in client.receive():
                if opcode == OP_ERROR:
                    raise ServerError(body)
                key, version = waiting.pop(stream)
                ledger.acknowledged[key] = version
                busy.discard(key)
                free.append(stream)
    finally:
        client.close()


def _read_all(node: NodeProcess) -> dict[int, int]:
    client = WireClient(node.address, node.port)
    try:
        rows = client.rows("SELECT ck, version FROM torture.t")
        return {_number(ck): _number(version) for ck, version in rows}
    finally:
        client.close()


@pytest.fixture
def node(tmp_path: Path) -> NodeProcess:
    process = NodeProcess(tmp_path / "data", shards=2).start()
    client = WireClient(process.address, process.port)
    client.query(
        "CREATE KEYSPACE torture WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    client.query("CREATE TABLE torture.t (pk int, ck int, version int, PRIMARY KEY (pk, ck))")
    client.close()
    return process


def test_a_killed_node_loses_nothing_that_was_acknowledged(
    node: NodeProcess, kill_cycles: int, seed: int
) -> None:
    rng = random.Random(seed)
    ledger = Ledger()
    try:
        for _ in range(kill_cycles):
            killer = threading.Timer(rng.random() * LOAD_S_MAX, node.kill)
            killer.start()
            try:
                client = WireClient(node.address, node.port)
                _write_until_it_dies(client, ledger, rng)
            except OSError:
                pass
            except ServerError as error:
                assert error.code in SHARD_IS_GONE, error
            killer.join()
            node.start()
            ledger.check(_read_all(node))
        assert ledger.acknowledged
        assert node.stop() == 0
    finally:
        node.close()


def test_a_killed_shard_comes_back_and_loses_nothing(node: NodeProcess, seed: int) -> None:
    import os
    import signal

    rng = random.Random(seed)
    ledger = Ledger()
    try:
        victim = node.shard_pids()[1]
        killer = threading.Timer(LOAD_S_MAX, os.kill, (victim, signal.SIGKILL))
        killer.start()
        survivor = WireClient(node.address, node.shard_aware_port, shard=(0, 2))
        with pytest.raises(ServerError) as refused:
            _write_until_it_dies(survivor, ledger, rng)
        assert refused.value.code in SHARD_IS_GONE
        killer.join()
        ledger.check(_read_all_when_back(node))
    finally:
        node.close()


def _read_all_when_back(node: NodeProcess) -> dict[int, int]:
    """Asks until both shards answer; the supervisor needs a moment to start the dead one again."""
    import time

    until = time.monotonic() + 20
    while True:
        try:
            return _read_all(node)
        except Exception:
            if time.monotonic() > until:
                raise

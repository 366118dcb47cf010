"""Another number of shards for data several times larger than the memory that the node may use."""

from __future__ import annotations

import hashlib
import struct
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness import node_process
from tests.harness.command import pythia
from tests.harness.node_process import NodeProcess
from tests.harness.wire import WireClient, execute_frame

MEMORY_MIB = 144
"""What three shards need at least."""
VALUE_BYTES = 8 * 1024
TIMES, TIMES_LONG = 3, 12
"""So many times the memory are written."""
IN_FLIGHT = 32
PAGE_ROWS = 5_000
SAMPLE_S = 0.05
START_TIMEOUT_S = 600.0
MIB = 1 << 20


class _Watch(threading.Thread):
    """The most memory that a node's processes ever had together, as far as samples show."""

    def __init__(self, node: NodeProcess) -> None:
        super().__init__(daemon=True)
        self._node = node
        self._ended = threading.Event()
        self.most_mib = 0.0
        self.samples = 0

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            try:
                held = _held_kib(self._node.pid)
            except (OSError, AssertionError):
                continue  # A process has just ended, or none has begun.
            self.samples += 1
            self.most_mib = max(self.most_mib, held / 1024)

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _held_kib(pid: int) -> int:
    """What a process and its children hold, pages that they share counted once."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    held = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return held + sum(_held_kib(int(child)) for child in children)


def _value(number: int) -> bytes:
    """Bytes that no compressor makes smaller."""
    return hashlib.shake_128(number.to_bytes(8, "big")).digest(VALUE_BYTES)


def _key(number: int) -> bytes:
    return struct.pack(">i", number)


def _create(node: NodeProcess) -> None:
    with closing(WireClient(node.address, node.port)) as client:
        client.query(
            "CREATE KEYSPACE k WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        client.query("CREATE TABLE k.t (p int PRIMARY KEY, v blob)")


def _write(node: NodeProcess, low: int, high: int) -> None:
    with closing(WireClient(node.address, node.port)) as client:
        insert = client.prepare("INSERT INTO k.t (p, v) VALUES (?, ?)")
        for first in range(low, high, 1_000):
            numbers = range(first, min(first + 1_000, high))
            frames = [execute_frame(0, insert, [_key(n), _value(n)]) for n in numbers]
            client.run_all(frames, IN_FLIGHT)


def _check(node: NodeProcess, count: int) -> None:
    """All rows are there, some of them are looked at."""
    with closing(WireClient(node.address, node.port)) as client:
        found = [key for (key,) in client.rows("SELECT p FROM k.t", PAGE_ROWS)]
        assert len(found) == count, "each row is there once"
        assert set(found) == set(map(_key, range(count)))
        for number in range(0, count, 211):
            rows = client.rows(f"SELECT v FROM k.t WHERE p = {number}")
            assert rows == [(_value(number),)]


def test_data_larger_than_memory_get_another_number_of_shards_within_the_memory(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_process, "START_TIMEOUT_S", START_TIMEOUT_S)
    is_long = request.config.getoption("--long")
    times = TIMES_LONG if is_long else TIMES
    count = times * MEMORY_MIB * MIB // VALUE_BYTES
    memory = ("--memory", f"{MEMORY_MIB}M")
    node = NodeProcess(tmp_path / "data", shards=1, options=memory, is_pinned=False).start()
    try:
        _create(node)
        _write(node, 0, count)
        pythia("snapshot", "take", "--dir", str(node.directory), "--tag", "one")
        later = count + count // 20
        _write(node, count, later)
        for shards in (3, 2) if is_long else (3,):
            node.kill()
            node.shards = shards
            watch = _Watch(node)
            watch.start()
            node.start()
            watch.stop()
            assert watch.samples > 10
            print(f"{shards} shards: at most {watch.most_mib:.0f} of {MEMORY_MIB} MiB")
            assert watch.most_mib <= MEMORY_MIB, "re-sharding keeps to the memory of the node"
            _check(node, later)
        watch = _Watch(node)
        watch.start()
        pythia("snapshot", "restore", "--dir", str(node.directory), "--tag", "one")
        watch.stop()
        print(f"restored: at most {watch.most_mib:.0f} of {MEMORY_MIB} MiB")
        assert watch.most_mib <= MEMORY_MIB, "and so does a restore of another number's snapshot"
        _check(node, count)
        assert node.stop() == 0
    finally:
        node.close()

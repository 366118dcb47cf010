"""A real node on a small volume that fills up: writes are refused, reads go on, and it recovers."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.node_process import NodeProcess
from tests.harness.wire import ServerError, WireClient

OVERLOADED = 0x1001
MIB = 1024 * 1024
WAIT_S = 30.0
FILLS_QUICK, FILLS_LONG = 3, 30


def test_a_full_volume_refuses_writes_until_there_is_room(
    volume: Path,
    tmp_path: Path,
    seed: int,
    request: pytest.FixtureRequest,
    proven: Callable[[str, int], None],
) -> None:
    config = tmp_path / "pythia.yaml"
    config.write_text(
        "commitlog_segment_size: 4MiB\ncommitlog_total_space: 16MiB\nauto_snapshot: false\n"
        "data_disk_usage_percentage_fail_threshold: 80\n"
    )
    options = ("--memory", "64MiB", "--config", str(config))
    node = NodeProcess(volume / "data", options=options).start()
    rng = random.Random(seed)
    try:
        client = WireClient(node.address, node.port)
        client.query(
            "CREATE KEYSPACE k WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        client.query("CREATE TABLE k.t (id int PRIMARY KEY, v blob)")
        client.close()
        fills = FILLS_LONG if request.config.getoption("--long") else FILLS_QUICK
        for _ in range(fills):
            fill_and_give_back(node, volume, rng)
            proven("disk full", 1)
        assert node.stop() == 0
    finally:
        node.close()


def fill_and_give_back(node: NodeProcess, volume: Path, rng: random.Random) -> None:
    """Until writes are refused, then until they are accepted; a kill at the end loses nothing."""
    client = WireClient(node.address, node.port)
    client.query("TRUNCATE k.t")
    value = "0x" + os.urandom(100_000).hex()

    def insert(number: int) -> None:
        client.query(f"INSERT INTO k.t (id, v) VALUES ({number}, {value})")

    count = rng.randint(1, 200)
    for number in range(count):
        insert(number)
    with (volume / "ballast").open("wb") as ballast:
        ballast.write(bytes(rng.randint(50, 70) * MIB))
    with pytest.raises(ServerError) as refused:
        while count < 2_000:
            insert(count)
            count += 1
    assert refused.value.code == OVERLOADED and "nearly full" in str(refused.value)
    assert len(client.rows("SELECT id FROM k.t")) == count, "reads go on"
    assert os.statvfs(volume).f_bavail > 0, "it was refused before the end of the disk"
    (volume / "ballast").unlink()
    until = time.monotonic() + WAIT_S
    while True:
        try:
            insert(count)
            break
        except ServerError:
            assert time.monotonic() < until, "writes are accepted again"
    assert len(client.rows("SELECT id FROM k.t")) == count + 1
    client.close()
    node.kill()
    node.start()
    client = WireClient(node.address, node.port)
    assert len(client.rows("SELECT id FROM k.t")) == count + 1
    client.close()

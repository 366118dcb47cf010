"""A real node on a small volume that fills up: writes are refused, reads go on, and it recovers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.harness.node_process import NodeProcess
from tests.harness.wire import ServerError, WireClient

OVERLOADED = 0x1001
MIB = 1024 * 1024
WAIT_S = 30.0


def test_a_full_volume_refuses_writes_until_there_is_room(volume: Path, tmp_path: Path) -> None:
    config = tmp_path / "pythia.yaml"
    config.write_text(
        "commitlog_segment_size: 4MiB\ncommitlog_total_space: 16MiB\n"
        "data_disk_usage_percentage_fail_threshold: 80\n"
    )
    options = ("--memory", "64MiB", "--config", str(config))
    node = NodeProcess(volume / "data", options=options).start()
    try:
        client = WireClient(node.address, node.port)
        client.query(
            "CREATE KEYSPACE k WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        client.query("CREATE TABLE k.t (id int PRIMARY KEY, v blob)")
        value = "0x" + os.urandom(100_000).hex()

        def insert(number: int) -> None:
            client.query(f"INSERT INTO k.t (id, v) VALUES ({number}, {value})")

        insert(0)
        with (volume / "ballast").open("wb") as ballast:
            ballast.write(bytes(60 * MIB))
        count = 1
        with pytest.raises(ServerError) as refused:
            while count < 2_000:
                insert(count)
                count += 1
        assert refused.value.code == OVERLOADED and "nearly full" in str(refused.value)
        assert len(client.rows("SELECT id FROM k.t")) == count, "reads go on"
        free = os.statvfs(volume)
        assert free.f_bavail > 0, "it was refused before the end of the disk"
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
        assert node.stop() == 0
    finally:
        node.close()

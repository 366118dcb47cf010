"""Load, kill -9 at a random moment, restart, compare with what was acknowledged."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.ledger import Ledger, make_table, read_all, write_until_it_dies
from tests.harness.node_process import NodeProcess
from tests.harness.wire import ServerError, WireClient

LOAD_S_MAX = 0.4
LIVES = 2
"""Directories which share the kills."""
# Unavailable, WriteTimeout, WriteFailure: what a shard answers whose sibling died before it was
# asked, or with the request in its hands.
SHARD_IS_GONE = (0x1000, 0x1100, 0x1500)


@pytest.fixture
def node(tmp_path: Path) -> NodeProcess:
    process = NodeProcess(tmp_path / "data", shards=2).start()
    make_table(process)
    return process


@pytest.mark.parametrize("life", range(LIVES))
def test_a_killed_node_loses_nothing_that_was_acknowledged(
    node: NodeProcess, kill_cycles: int, seed: int, life: int, proven: Callable[[str, int], None]
) -> None:
    rng = random.Random(seed + life)
    ledger = Ledger()
    try:
        for _ in range(kill_cycles // LIVES):
            killer = threading.Timer(rng.random() * LOAD_S_MAX, node.kill)
            killer.start()
            try:
                client = WireClient(node.address, node.port)
                write_until_it_dies(client, ledger, rng)
            except OSError:
                pass
            except ServerError as error:
                assert error.code in SHARD_IS_GONE, error
            killer.join()
            node.start()
            ledger.check(read_all(node))
            proven("kill", 1)
        assert ledger.acknowledged
        proven("writes acknowledged under kill", ledger.next_version)
        assert node.stop() == 0
    finally:
        node.close()


def test_a_killed_shard_comes_back_and_loses_nothing(node: NodeProcess, seed: int) -> None:
    rng = random.Random(seed)
    ledger = Ledger()
    try:
        victim = node.shard_pids()[1]
        killer = threading.Timer(LOAD_S_MAX, os.kill, (victim, signal.SIGKILL))
        killer.start()
        survivor = WireClient(node.address, node.shard_aware_port, shard=(0, 2))
        with pytest.raises(ServerError) as refused:
            write_until_it_dies(survivor, ledger, rng)
        assert refused.value.code in SHARD_IS_GONE
        killer.join()
        ledger.check(_read_all_when_back(node))
    finally:
        node.close()


def _read_all_when_back(node: NodeProcess) -> dict[int, int]:
    """Asks until both shards answer; the supervisor needs a moment to start the dead one again."""
    until = time.monotonic() + 20
    while True:
        try:
            return read_all(node)
        except Exception:
            if time.monotonic() > until:
                raise

"""A real node whose log cannot be written any more: what its failure policy makes of it.

The shard's process gets a limit on the size of files, so that its next write to the log fails as on
a disk that has failed. A process that the supervisor forks afterwards has no such limit.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.node_process import NodeProcess
from tests.harness.wire import ServerError, WireClient

WAIT_S = 30.0
KEYSPACE = (
    "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
)
OVERLOADED = 0x1001
LOST = (OSError, EOFError, ServerError, AssertionError)

pytestmark = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="limits of other processes are Linux's"
)


@pytest.fixture
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NodeProcess]:
    config = tmp_path / "pythia.yaml"
    # Which of the shard's files is written first decides which policy is asked.
    names = ["commit_failure_policy"]
    if request.param != "stop_commit":
        names.append("disk_failure_policy")
    config.write_text("".join(f"{name}: {request.param}\n" for name in names))
    node = NodeProcess(tmp_path / "data", options=("--config", str(config))).start()
    try:
        client = WireClient(node.address, node.port)
        client.query(KEYSPACE)
        client.query("CREATE TABLE k.t (id int PRIMARY KEY)")
        client.query("INSERT INTO k.t (id) VALUES (1)")
        client.close()
        yield node
    finally:
        node.close()


def fail_the_log(node: NodeProcess) -> None:
    """The next write to the log fails; the write that needs it is not acknowledged."""
    (shard,) = node.shard_pids()
    client = WireClient(node.address, node.port)
    resource.prlimit(shard, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    with pytest.raises(LOST):
        client.query("INSERT INTO k.t (id) VALUES (2)")
    client.close()


def is_refused(node: NodeProcess) -> bool:
    try:
        socket.create_connection((node.address, node.port), 1).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False  # It is being closed just now.
    return False


def wait_until_refused(node: NodeProcess) -> None:
    until = time.monotonic() + WAIT_S
    while not is_refused(node):
        assert time.monotonic() < until, node.log.read_text()[-2000:]


def ids(node: NodeProcess) -> set[bytes | None]:
    """What the table holds, as soon as the node answers again."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            client = WireClient(node.address, node.port)
            found = {row[0] for row in client.rows("SELECT id FROM k.t")}
            client.close()
            return found
        except LOST:
            assert time.monotonic() < until, node.log.read_text()[-2000:]


@pytest.mark.parametrize("node", ["stop"], indirect=True)
def test_stop_ends_the_service_and_keeps_the_process(node: NodeProcess) -> None:
    fail_the_log(node)
    wait_until_refused(node)
    os.kill(node.pid, 0)
    assert "stopped serving" in node.log.read_text()
    assert node.stop() == 1
    node.start()
    assert b"\0\0\0\1" in ids(node)


@pytest.mark.parametrize("node", ["die"], indirect=True)
def test_die_ends_the_process(node: NodeProcess) -> None:
    fail_the_log(node)
    assert node._await_end() == 1
    node.start()
    assert b"\0\0\0\1" in ids(node)


@pytest.mark.parametrize("node", ["ignore"], indirect=True)
def test_ignore_starts_the_shard_again(node: NodeProcess) -> None:
    (before,) = node.shard_pids()
    fail_the_log(node)
    assert b"\0\0\0\1" in ids(node)
    (after,) = node.shard_pids()
    assert after != before
    client = WireClient(node.address, node.port)
    client.query("INSERT INTO k.t (id) VALUES (3)")
    client.close()
    assert node.stop() == 0


@pytest.mark.parametrize("node", ["stop_commit"], indirect=True)
def test_stop_commit_reads_on_and_refuses_writes_until_the_node_starts_anew(
    node: NodeProcess,
) -> None:
    fail_the_log(node)
    # The write that met the failure was not acknowledged; it may be there or not.
    assert b"\0\0\0\1" in ids(node)
    client = WireClient(node.address, node.port)
    for _ in range(2):
        with pytest.raises(ServerError, match="commit log has failed") as refused:
            client.query("INSERT INTO k.t (id) VALUES (3)")
        assert refused.value.code == OVERLOADED
        assert b"\0\0\0\3" not in ids(node)
    with pytest.raises(ServerError):
        client.query("TRUNCATE k.t")
    client.close()
    (shard,) = node.shard_pids()
    os.kill(shard, signal.SIGKILL)
    assert b"\0\0\0\1" in ids(node), "the log stays shut in the next life too"
    client = WireClient(node.address, node.port)
    with pytest.raises(ServerError, match="commit log has failed"):
        client.query("INSERT INTO k.t (id) VALUES (3)")
    client.close()
    node.stop()
    node.start()
    client = WireClient(node.address, node.port)
    client.query("INSERT INTO k.t (id) VALUES (3)")
    client.close()
    assert {b"\0\0\0\1", b"\0\0\0\3"} <= ids(node)
    assert node.stop() == 0

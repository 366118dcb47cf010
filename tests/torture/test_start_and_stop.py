"""A node starts, refuses to start, drains and comes back as docs/operating.md says."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.node_process import ROOT, NodeProcess
from tests.harness.wire import HEADER, OP_ERROR, ServerError, WireClient, execute_frame

OP_OPTIONS = 5
KEYSPACE = (
    "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
)


def _start(*options: str) -> tuple[int, str]:
    """Exit code and standard error of a start that is expected to end by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "node", "start", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def _client_with_insert(node: NodeProcess) -> tuple[WireClient, bytes]:
    """A connection, and the id of a prepared INSERT of two integers into a new table."""
    client = WireClient(node.address, node.port)
    client.query(KEYSPACE)
    client.query("CREATE TABLE k.t (a int PRIMARY KEY, b int)")
    return client, client.prepare("INSERT INTO k.t (a, b) VALUES (?, ?)")


def _is_one_sentence(text: str) -> bool:
    return text.startswith("pythia: ") and text.count("\n") == 1 and "Traceback" not in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shards", "0"), ("shards", ": 0 is", "1 to 256")),
        (("--shards", "many"), ("shards", "'many'", "1 to 256")),
        (("--memory", "1KiB"), ("memory", "'1KiB'", "bytes")),
        (("--port", "70000"), ("native_transport_port", "70000", "0 to 65535")),
        (("--host", "0.0.0.0"), ("rpc_address", "0.0.0.0", "--insecure-listen")),
        (("--config", "missing.yaml"), ("--config", "missing.yaml", "cannot be read")),
    ],
)
def test_a_wrong_option_names_key_value_and_rule(
    options: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    code, error = _start("--dir", str(tmp_path / "data"), *options)
    assert code == 2 and _is_one_sentence(error), error
    assert all(word in error for word in words), error


def test_a_wrong_value_in_the_file_names_key_value_and_rule(tmp_path: Path) -> None:
    file = tmp_path / "pythia.yaml"
    file.write_text("commitlog_sync: sometimes\n")
    code, error = _start("--dir", str(tmp_path / "data"), "--config", str(file))
    assert code == 2 and _is_one_sentence(error)
    assert "commitlog_sync: 'sometimes'" in error and "periodic, batch, group" in error


def test_a_file_that_is_no_yaml_is_refused_with_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "pythia.yaml"
    file.write_text("a: [\nb: }\n")
    code, error = _start("--dir", str(tmp_path / "data"), "--config", str(file))
    assert code == 2 and _is_one_sentence(error) and "not valid YAML" in error, error


def test_a_directory_that_cannot_be_made_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, error = _start("--dir", str(tmp_path / "file" / "data"), "--port", "0")
    assert code == 1 and _is_one_sentence(error), error


def test_a_port_in_use_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, error = _start("--dir", str(tmp_path / "data"), "--port", str(port))
    assert code == 1 and _is_one_sentence(error) and "in use" in error, error


def test_a_second_start_on_a_directory_in_use_says_so(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data").start()
    try:
        code, error = _start("--dir", str(node.directory), "--port", "0", "--shards", "1")
        assert code == 1 and _is_one_sentence(error) and "in use" in error, error
    finally:
        node.close()


def test_a_node_in_memory_serves_and_leaves_nothing_behind(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "unused", shards=2)
    node.options = ("--dir", "memory://")
    node.start()
    try:
        client = WireClient(node.address, node.port)
        client.query(KEYSPACE)
        client.close()
        assert node.stop() == 0
        assert not node.directory.exists()
    finally:
        node.close()


def test_the_shard_aware_port_can_be_turned_off(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--port", str(port), "--shard-aware-port", "0")
    node = NodeProcess(tmp_path / "data", shards=2, options=options).start()
    try:
        assert node.shard_aware_port == 0
        with closing(WireClient(node.address, node.port)) as client:
            assert b"SCYLLA_SHARD_AWARE_PORT" not in client.call(OP_OPTIONS, b"")
    finally:
        node.close()


def test_a_drained_node_answers_what_it_has_begun_and_loses_nothing(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data", shards=2).start()
    try:
        client, statement = _client_with_insert(node)
        acknowledged, number = 0, 0
        stopping = False
        try:
            while True:
                values = [struct.pack(">i", number), struct.pack(">i", number)]
                client.send(execute_frame(0, statement, values))
                ((_, opcode, body),) = client.receive()
                assert opcode != OP_ERROR, body
                acknowledged, number = number + 1, number + 1
                if number == 200 and not stopping:
                    stopping = True
                    os.kill(node.pid, signal.SIGTERM)
        except OSError:
            client.close()
        assert stopping and node.stop() == 0
        assert "Traceback" not in node.log.read_text()
        node.start()
        with closing(WireClient(node.address, node.port)) as client:
            found = client.rows("SELECT a FROM k.t")
        assert len(found) >= acknowledged
    finally:
        node.close()


def test_a_killed_supervisor_takes_its_shards_along_and_a_restart_works_at_once(
    tmp_path: Path,
) -> None:
    node = NodeProcess(tmp_path / "data", shards=2).start()
    try:
        for _ in range(3):
            node.kill()  # Waits for the shards' end.
            node.start()
        assert node.stop() == 0
    finally:
        node.close()


def test_prepared_statements_survive_a_kill(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data", shards=2).start()
    try:
        client, id_ = _client_with_insert(node)
        until = time.monotonic() + 20
        log = node.directory / "shard-1" / "prepared"
        while not any(b"INSERT INTO k.t" in file.read_bytes() for file in log.iterdir()):
            assert time.monotonic() < until, "the statement is written soon"
        client.close()
        node.kill()
        node.start()
        client = WireClient(node.address, node.shard_aware_port, shard=(1, 2))
        client.send(execute_frame(0, id_, [struct.pack(">i", 1), struct.pack(">i", 1)]))
        ((_, opcode, body),) = client.receive()
        assert opcode != OP_ERROR, body
        assert client.rows("SELECT prepared_id FROM system.prepared_statements") == [(id_,)]
        client.query("ALTER TABLE k.t DROP b")
        client.send(execute_frame(0, id_, [struct.pack(">i", 1), struct.pack(">i", 1)]))
        ((_, opcode, body),) = client.receive()
        assert ServerError(body).code == 0x2500
        client.close()
    finally:
        node.close()


def test_clients_of_all_shards_are_listed(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data", shards=2).start()
    try:
        clients = [
            WireClient(node.address, node.shard_aware_port, shard=(shard, 2)) for shard in (0, 1)
        ]
        for client in clients:
            assert len(client.rows("SELECT port FROM system_views.clients")) == 2
        for client in clients:
            client.close()
    finally:
        node.close()


def test_a_configuration_file_is_obeyed_and_an_unknown_name_is_only_a_warning(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pythia.yaml"
    file.write_text("cluster_name: Blue\nclustername: Red\n")
    node = NodeProcess(tmp_path / "data", options=("--config", str(file))).start()
    try:
        with closing(WireClient(node.address, node.port)) as client:
            assert client.rows("SELECT cluster_name FROM system.local") == [(b"Blue",)]
        log = node.log.read_text()
        assert "'clustername' is ignored; the nearest known one is 'cluster_name'" in log
    finally:
        node.close()


def test_insecure_listen_lets_a_node_listen_where_others_reach_it(tmp_path: Path) -> None:
    options = ("--host", "0.0.0.0", "--insecure-listen")
    node = NodeProcess(tmp_path / "data", options=options).start()
    try:
        assert node.address == "0.0.0.0"
        with closing(WireClient("127.0.0.1", node.port)) as client:
            assert client.rows("SELECT cluster_name FROM system.local") == [(b"Test Cluster",)]
    finally:
        node.close()


def test_requests_in_flight_are_all_answered_before_a_drained_node_ends(tmp_path: Path) -> None:
    file = tmp_path / "pythia.yaml"
    file.write_text("commitlog_sync: group\ncommitlog_sync_group_window: 1s\n")
    node = NodeProcess(tmp_path / "data", shards=2, options=("--config", str(file))).start()
    try:
        client, statement = _client_with_insert(node)
        numbers = [struct.pack(">i", number) for number in range(1000)]
        client.send(b"".join(execute_frame(i, statement, [n, n]) for i, n in enumerate(numbers)))
        # OPTIONS is answered at once: all before it was read, and waits for the sync of its group.
        client.send(HEADER.pack(4, 0, len(numbers), OP_OPTIONS, 0))
        answers = client.receive()
        while len(numbers) not in {stream for stream, _, _ in answers}:
            answers += client.receive()
        assert len(answers) < len(numbers), "many requests are in flight when the signal comes"
        os.kill(node.pid, signal.SIGTERM)
        while len(answers) <= len(numbers):
            answers += client.receive()  # A closed connection would raise ConnectionError.
        assert OP_ERROR not in {opcode for _, opcode, _ in answers}
        assert len({stream for stream, _, _ in answers}) == len(numbers) + 1
        client.close()
        assert node.stop() == 0
    finally:
        node.close()

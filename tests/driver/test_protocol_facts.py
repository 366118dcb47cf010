"""What docs/features.md promises of the protocol and of shards (P and H rows), over a socket."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.token import shard_of, token_of
from tests.harness.node_process import NodeProcess
from tests.harness.protocol_client import envelope, query, startup, string_map
from tests.harness.wire import WireClient, execute_frame

OPTIONS, STARTUP, QUERY, ERROR, SUPPORTED, RESULT = 5, 1, 7, 0, 6, 8
HEADER = struct.Struct(">BBhBi")
SHARDS = 2
SCANS, PAUSE_S, HEARTBEAT_MS_MAX = 40, 0.005, 25.0


class Raw:
    """A socket that speaks frames of v3 and v4, and shows what comes back."""

    def __init__(self, address: str, port: int) -> None:
        self._socket = socket.create_connection((address, port), 10)
        self._buffer = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> tuple[int, int, int, bytes]:
        """Version byte, stream, opcode and body."""
        version, _, stream, opcode, length = HEADER.unpack(self._take(HEADER.size))
        return version, stream, opcode, self._take(length)

    def ask(self, data: bytes) -> tuple[int, int, int, bytes]:
        self.send(data)
        return self.receive()

    def is_closed(self) -> bool:
        """Waits until the node closes."""
        return not self._socket.recv(1)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("closed")
            self._buffer += data
        out, self._buffer = self._buffer[:size], self._buffer[size:]
        return out


@pytest.fixture
def raw(node: NodeProcess) -> Iterator[Raw]:
    with Raw(node.address, node.port) as connection:
        yield connection


def supported(body: bytes) -> dict[str, list[str]]:
    """The map of a SUPPORTED message."""
    position = 2
    out: dict[str, list[str]] = {}

    def text() -> str:
        nonlocal position
        (size,) = struct.unpack_from(">H", body, position)
        position += 2 + size
        return body[position - size : position].decode()

    for _ in range(struct.unpack_from(">H", body)[0]):
        name = text()
        (count,) = struct.unpack_from(">H", body, position)
        position += 2
        out[name] = [text() for _ in range(count)]
    return out


def code_and_message(body: bytes) -> tuple[int, str]:
    (code, size) = struct.unpack_from(">iH", body)
    return code, body[6 : 6 + size].decode()


@pytest.mark.parametrize(
    ("version", "stream_bytes"), [(1, 1), (2, 1), (6, 2), (0x41, 2), (0x42, 2)]
)
def test_another_version_is_refused_on_its_stream(
    raw: Raw, version: int, stream_bytes: int
) -> None:
    body = string_map({"CQL_VERSION": "3.0.0"})
    if stream_bytes == 1:
        raw.send(struct.pack(">BBbBi", version, 0, 7, STARTUP, len(body)) + body)
        head = struct.unpack(">BBbBi", raw._take(8))
        answer = raw._take(head[4])
        assert (head[0], head[2]) == (0x80 | version, 7)
    else:
        got, stream, opcode, answer = raw.ask(envelope(version, STARTUP, body, stream=7))
        assert (got, stream, opcode) == (0x86 if version == 6 else 0x85, 7, ERROR)
    code, message = code_and_message(answer)
    assert code == 0x000A
    assert "Invalid or unsupported protocol version" in message or "USE_BETA flag" in message


@pytest.mark.parametrize("version", [3, 4])
def test_options_are_answered_before_and_after_startup(raw: Raw, version: int) -> None:
    for _ in range(2):
        _, _, opcode, body = raw.ask(envelope(version, OPTIONS))
        assert opcode == SUPPORTED
        told = supported(body)
        assert (told["CQL_VERSION"], told["COMPRESSION"]) == (["3.4.7"], ["lz4"])
    raw.ask(startup(version))
    assert raw.ask(envelope(version, OPTIONS, stream=3))[1:3] == (3, SUPPORTED)


def test_a_request_before_startup_is_refused_and_ends_the_connection(raw: Raw) -> None:
    _, _, opcode, body = raw.ask(query(4, "SELECT key FROM system.local"))
    assert (opcode, code_and_message(body)[0]) == (ERROR, 0x000A)
    assert raw.is_closed()


def test_an_oversize_frame_is_refused_on_its_stream_and_the_connection_lives(raw: Raw) -> None:
    raw.ask(startup(4))
    size = 16 * 1024 * 1024 + 1
    raw.send(HEADER.pack(4, 0, 9, QUERY, size))
    for start in range(0, size, 1 << 20):
        raw.send(bytes(min(1 << 20, size - start)))
    _, stream, opcode, body = raw.receive()
    assert (stream, opcode, code_and_message(body)[0]) == (9, ERROR, 0x2200)
    assert raw.ask(query(4, "SELECT key FROM system.local"))[2] == RESULT


def test_a_heartbeat_is_answered_while_a_scan_runs(node: NodeProcess, session: Any) -> None:
    session.execute("CREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c))")
    insert = session.prepare("INSERT INTO t (k, c, v) VALUES (?, ?, ?)")
    for k in range(5):
        for future in [session.execute_async(insert, (k, c, "x" * 50)) for c in range(2000)]:
            future.result()
    is_over, scans, took = threading.Event(), 0, []

    def beat(shard: int) -> None:
        heart = WireClient(node.address, node.shard_aware_port, (shard, SHARDS))
        while not is_over.is_set():
            start = time.perf_counter()
            heart.call(OPTIONS, b"")
            took.append((time.perf_counter() - start) * 1000)
            is_over.wait(PAUSE_S)
        heart.close()

    threads = [threading.Thread(target=beat, args=(shard,)) for shard in range(SHARDS)]
    scanner = WireClient(node.address, node.port)
    for thread in threads:
        thread.start()
    for _ in range(SCANS):
        text = f"SELECT count(*), max(v) FROM {session.keyspace}.t WHERE v > 'a' ALLOW FILTERING"
        scans += struct.pack(">q", 10_000) in scanner.query(text)
    is_over.set()
    for thread in threads:
        thread.join()
    scanner.close()
    assert scans == SCANS
    took.sort()
    middle, most, worst = took[len(took) // 2], took[len(took) * 99 // 100], took[-1]
    print(f"{len(took)} heartbeats: median {middle:.2f}, 99 % {most:.2f}, worst {worst:.2f} ms")
    assert middle < HEARTBEAT_MS_MAX


def test_a_statement_prepared_on_one_shard_is_known_on_the_others_and_after_a_kill(
    tmp_path: Path,
) -> None:
    node = NodeProcess(tmp_path / "data", shards=SHARDS, is_pinned=False).start()
    try:
        first, second = (
            WireClient(node.address, node.shard_aware_port, (shard, SHARDS))
            for shard in range(SHARDS)
        )
        first.query(
            "CREATE KEYSPACE ks WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        first.query("CREATE TABLE ks.t (k blob PRIMARY KEY)")
        insert = first.prepare("INSERT INTO ks.t (k) VALUES (?)")
        second.send(execute_frame(0, insert, [b"a"]))
        assert second.receive()[0][1] == RESULT
        until = time.monotonic() + 10
        while time.monotonic() < until and not first.rows(
            "SELECT prepared_id FROM system.prepared_statements"
        ):
            pass
        first.close()
        second.close()
        node.kill()
        node.start()
        again = WireClient(node.address, node.port)
        assert again.prepare("INSERT INTO ks.t (k) VALUES (?)") == insert
        again.close()
    finally:
        node.close()


def test_the_shard_aware_port_leads_to_the_shard_of_the_source_port(node: NodeProcess) -> None:
    for shard in range(SHARDS):
        client = WireClient(node.address, node.shard_aware_port, (shard, SHARDS))
        client.send(envelope(4, OPTIONS))
        told = supported(client.receive()[0][2])
        assert told["SCYLLA_SHARD"] == [str(shard)]
        assert told["SCYLLA_NR_SHARDS"] == [str(SHARDS)]
        assert told["SCYLLA_SHARDING_IGNORE_MSB"] == ["12"]
        assert told["SCYLLA_SHARD_AWARE_PORT"] == [str(node.shard_aware_port)]
        client.close()


class Translator:
    """A relay on an address of its own, as address translation is: source ports are not kept."""

    def __init__(self, address: str, port: int) -> None:
        self._target = (address, port)
        self._listener = socket.create_server(("127.0.0.2", 0))
        self.address, self.port = self._listener.getsockname()
        self._open: list[socket.socket] = []

    def connect(self) -> tuple[Raw, int]:
        """A client's connection through the relay, and the source port that the node sees."""
        raw = Raw(self.address, self.port)
        inner, _ = self._listener.accept()
        outer = socket.create_connection(self._target)
        self._open += [inner, outer]
        for one, other in ((inner, outer), (outer, inner)):
            threading.Thread(target=self._carry, args=(one, other), daemon=True).start()
        return raw, outer.getsockname()[1]

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        for place in (*self._open, self._listener):
            place.close()


def test_behind_address_translation_the_node_serves_and_tells_the_true_shard(
    node: NodeProcess, session: Any
) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY)")
    translator = Translator(node.address, node.shard_aware_port)
    for attempt in range(20):
        raw, seen_port = translator.connect()
        with raw:
            told = supported(raw.ask(envelope(4, OPTIONS))[3])
            assert told["SCYLLA_SHARD"] == [str(seen_port % SHARDS)]
            raw.ask(startup(4))
            insert = query(4, f"INSERT INTO {session.keyspace}.t (k) VALUES ({attempt})")
            assert raw.ask(insert)[2] == RESULT
    translator.close()
    assert len(session.execute("SELECT * FROM t").all()) == 20


def test_connections_to_the_ordinary_port_spread_over_all_shards(node: NodeProcess) -> None:
    seen = set()
    for _ in range(40):
        with Raw(node.address, node.port) as raw:
            seen.add(supported(raw.ask(envelope(4, OPTIONS))[3])["SCYLLA_SHARD"][0])
    assert seen == {str(shard) for shard in range(SHARDS)}


def test_a_key_belongs_to_the_shard_that_drivers_compute() -> None:
    vectors = {b"123": (1, 2, 2, 5, 8)}
    for key, shards in vectors.items():
        assert tuple(shard_of(token_of(key), n) for n in (2, 3, 4, 8, 12)) == shards


def test_one_shard_needs_no_siblings(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data", shards=1).start()
    try:
        client = WireClient(node.address, node.port)
        client.query(
            "CREATE KEYSPACE ks WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        client.query("CREATE TABLE ks.t (k int PRIMARY KEY)")
        client.query("INSERT INTO ks.t (k) VALUES (1)")
        assert client.rows("SELECT k FROM ks.t") == [(b"\0\0\0\x01",)]
        client.close()
        assert len(node.shard_pids()) == 1
    finally:
        node.close()

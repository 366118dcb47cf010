"""Single-partition writes and cached reads over the wire: ops/s and server CPU per operation.

    python bench/load/point.py [--shards 1] [--seconds 10] [--in-flight 1 64] [--host H --port P --pid N]

The client speaks the protocol itself, with frames made beforehand, so that on two cores the server
is what is measured: the node's shard is pinned to core 0, the client to core 1. The table is
cassandra-stress's: one blob key, five text columns of 34 bytes. CPU is what the kernel charges the
node's processes (user and system) while the load runs. With --host, --port and --pid it measures a
server that runs already, Cassandra included.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.harness.node_process import NodeProcess

KEYS = 20_000
COLUMNS = 5
VALUE = b"x" * 34
OP_QUERY, OP_PREPARE, OP_EXECUTE, OP_STARTUP = 7, 9, 10, 1
CONSISTENCY_ONE = 1
HEADER = struct.Struct(">BBhBi")


class Client:
    """One v4 connection that keeps a fixed number of requests in flight."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self.call(OP_STARTUP, _string_map({"CQL_VERSION": "3.0.0"}))

    def call(self, opcode: int, body: bytes) -> bytes:
        """Sends one request and gives the body of its reply; an ERROR ends the program."""
        self._socket.sendall(HEADER.pack(4, 0, 0, opcode, len(body)) + body)
        while True:
            self._buffer += self._socket.recv(1 << 16)
            if len(self._buffer) >= HEADER.size:
                _, _, _, kind, length = HEADER.unpack_from(self._buffer)
                if len(self._buffer) >= HEADER.size + length:
                    reply = bytes(self._buffer[HEADER.size : HEADER.size + length])
                    del self._buffer[: HEADER.size + length]
                    if kind == 0:
                        sys.exit(f"the server refused: {reply[6:].decode(errors='replace')}")
                    return reply

    def query(self, text: str) -> bytes:
        return self.call(OP_QUERY, _long(text) + struct.pack(">HB", CONSISTENCY_ONE, 0))

    def prepare(self, text: str) -> bytes:
        """The id of a prepared statement."""
        reply = self.call(OP_PREPARE, _long(text))
        (size,) = struct.unpack_from(">H", reply, 4)
        return reply[6 : 6 + size]

    def run(self, frames: list[bytes], in_flight: int, seconds: float) -> tuple[int, float]:
        """Keeps `in_flight` requests going for a time; gives how many were answered and how long."""
        place, position, answered, sent = self._socket, 0, 0, in_flight
        total = len(frames)
        place.sendall(b"".join(frames[:in_flight]))
        start = time.perf_counter()
        until = start + seconds
        buffer = self._buffer
        while answered < sent:
            buffer += place.recv(1 << 18)
            done, position, size = 0, 0, len(buffer)
            while size - position >= 9:
                length = 9 + int.from_bytes(buffer[position + 5 : position + 9], "big")
                if size - position < length:
                    break
                if buffer[position + 4] == 0:
                    sys.exit(f"the server refused: {bytes(buffer[position : position + length])!r}")
                position += length
                done += 1
            del buffer[:position]
            answered += done
            if done and time.perf_counter() < until:
                first = sent % total
                batch = frames[first : first + done]
                place.sendall(b"".join(batch))
                sent += len(batch)
        return answered, time.perf_counter() - start


def _long(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">i", len(data)) + data


def _string_map(pairs: dict[str, str]) -> bytes:
    body = struct.pack(">H", len(pairs))
    for key, value in pairs.items():
        for text in (key.encode(), value.encode()):
            body += struct.pack(">H", len(text)) + text
    return body


def _execute(stream: int, statement: bytes, values: list[bytes]) -> bytes:
    body = struct.pack(">H", len(statement)) + statement
    body += struct.pack(">HBH", CONSISTENCY_ONE, 1, len(values))
    body += b"".join(struct.pack(">i", len(value)) + value for value in values)
    return HEADER.pack(4, 0, stream, OP_EXECUTE, len(body)) + body


def _key(number: int) -> bytes:
    return struct.pack(">IQ", number * 2654435761 % 2**32, number)


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(host: str, port: int, pids: list[int], depths: list[int], seconds: float) -> None:
    """Prepares the table and prints one line per operation and depth."""
    client = Client(host, port)
    client.query(
        "CREATE KEYSPACE IF NOT EXISTS bench WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    columns = ", ".join(f'"C{i}" text' for i in range(COLUMNS))
    client.query(f"CREATE TABLE IF NOT EXISTS bench.standard1 (key blob PRIMARY KEY, {columns})")
    names = ", ".join(f'"C{i}"' for i in range(COLUMNS))
    marks = ", ".join("?" * (COLUMNS + 1))
    insert = client.prepare(f"INSERT INTO bench.standard1 (key, {names}) VALUES ({marks})")
    select = client.prepare(f"SELECT {names} FROM bench.standard1 WHERE key = ?")
    values = [VALUE] * COLUMNS
    writes = [_execute(i % 1024, insert, [_key(i), *values]) for i in range(KEYS)]
    reads = [_execute(i % 1024, select, [_key(i)]) for i in range(KEYS)]
    client.run(writes, 32, 1.0)
    print(f"{'operation':<10} {'in flight':>9} {'ops/s':>10} {'server CPU us/op':>17}")
    for name, frames in (("write", writes), ("read", reads)):
        for depth in depths:
            before = cpu_seconds(pids)
            answered, took = client.run(frames, depth, seconds)
            used = cpu_seconds(pids) - before
            print(f"{name:<10} {depth:>9} {answered / took:>10.0f} {used / answered * 1e6:>17.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    parser.add_argument("--pid", type=int)
    options = parser.parse_args()
    if options.port is not None:
        measure(options.host, options.port, [options.pid], options.in_flight, options.seconds)
        return
    with tempfile.TemporaryDirectory() as folder:
        node = NodeProcess(Path(folder) / "data", shards=options.shards).start()
        try:
            pids = node.shard_pids()
            for pid in pids:
                os.sched_setaffinity(pid, {0})
            os.sched_setaffinity(0, {1})
            print(
                f"load {os.getloadavg()[0]:.1f}, {options.shards} shard(s) on core 0, client on 1"
            )
            measure(node.address, node.port, pids, options.in_flight, options.seconds)
        finally:
            node.close()


if __name__ == "__main__":
    main()

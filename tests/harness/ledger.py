"""A load that knows what was acknowledged, for tests that take a node's power or life away."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

from tests.harness.node_process import NodeProcess
from tests.harness.wire import OP_ERROR, ServerError, WireClient, execute_frame

STREAMS = 64
KEYS = 200


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


def write_until_it_dies(client: WireClient, ledger: Ledger, rng: random.Random) -> None:
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


def read_all(node: NodeProcess) -> dict[int, int]:
    """The version of each key that the node has."""
    client = WireClient(node.address, node.port)
    try:
        rows = client.rows("SELECT ck, version FROM torture.t")
        return {_number(ck): _number(version) for ck, version in rows}
    finally:
        client.close()


def make_table(node: NodeProcess) -> None:
    """Makes the table that the load writes to."""
    client = WireClient(node.address, node.port)
    client.query(
        "CREATE KEYSPACE torture WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    client.query("CREATE TABLE torture.t (pk int, ck int, version int, PRIMARY KEY (pk, ck))")
    client.close()

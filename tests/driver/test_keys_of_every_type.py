"""Keys of every type, written through any connection of a node, are read through any other.

1,000 keys of each type; 100,000 with --long.
"""

from __future__ import annotations

import random
import struct
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.node_process import NodeProcess
from tests.harness.wire import OP_ERROR, WireClient, execute_frame

KEYS_QUICK, KEYS_LONG = 1_000, 100_000
IN_FLIGHT = 500
DAY_NANOSECONDS = 86_400 * 10**9

Make = Callable[[random.Random], bytes]


def fixed(size: int) -> Make:
    return lambda rng: rng.randbytes(size)


def a_text(rng: random.Random) -> bytes:
    return f"ü{rng.getrandbits(rng.randrange(1, 200))}".encode()


def a_varint(rng: random.Random) -> bytes:
    number = rng.getrandbits(rng.randrange(1, 160)) - (1 << rng.randrange(160))
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return number.to_bytes(size, "big", signed=True)


def parts(*makes: Make) -> Make:
    """A value made of values, each behind its length: a tuple or a user type."""

    def make(rng: random.Random) -> bytes:
        values = [one(rng) for one in makes]
        return b"".join(struct.pack(">i", len(value)) + value for value in values)

    return make


def collection(entry: Make) -> Make:
    """One to four entries in their order, and no entry twice."""

    def make(rng: random.Random) -> bytes:
        entries = sorted({entry(rng) for _ in range(rng.randrange(1, 5))})
        return struct.pack(">i", len(entries)) + b"".join(entries)

    return make


KEY_TYPES: dict[str, Make] = {
    "ascii": lambda rng: rng.randbytes(rng.randrange(1, 20)).hex().encode(),
    "bigint": fixed(8),
    "blob": lambda rng: rng.randbytes(rng.randrange(1, 60)),
    "boolean": lambda rng: bytes([rng.getrandbits(1)]),
    "date": fixed(4),
    "decimal": lambda rng: struct.pack(">i", rng.randrange(30)) + a_varint(rng),
    "double": fixed(8),
    "float": fixed(4),
    "inet": lambda rng: rng.randbytes(rng.choice((4, 16))),
    "int": fixed(4),
    "smallint": fixed(2),
    "text": a_text,
    "time": lambda rng: rng.randrange(DAY_NANOSECONDS).to_bytes(8, "big"),
    "timestamp": fixed(8),
    "timeuuid": lambda rng: uuid.UUID(int=rng.getrandbits(128), version=1).bytes,
    "tinyint": fixed(1),
    "uuid": lambda rng: uuid.UUID(int=rng.getrandbits(128), version=4).bytes,
    "varint": a_varint,
    "tuple<int, text>": parts(fixed(4), a_text),
    "frozen<place>": parts(a_text, fixed(4)),
    "frozen<list<int>>": collection(parts(fixed(4))),
    "frozen<set<blob>>": collection(parts(fixed(9))),
    "frozen<map<uuid, int>>": collection(parts(fixed(16), fixed(4))),
    "vector<float, 3>": fixed(12),
}


@pytest.mark.parametrize("shards", [2, 3])
def test_keys_written_through_any_connection_are_read_through_any_other(
    tmp_path: Path, seed: int, shards: int, request: pytest.FixtureRequest
) -> None:
    count = KEYS_LONG if request.config.getoption("--long") else KEYS_QUICK
    rng = random.Random(seed)
    node = NodeProcess(tmp_path / "data", shards=shards, is_pinned=False).start()
    clients = [
        WireClient(node.address, node.shard_aware_port, (shard, shards)) for shard in range(shards)
    ]
    try:
        clients[0].query(
            "CREATE KEYSPACE ks WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        clients[0].query("CREATE TYPE ks.place (street text, number int)")
        for name, make in KEY_TYPES.items():
            keys = list(dict.fromkeys((make(rng),) for _ in range(count)))
            keys_come_back(clients, "PRIMARY KEY (a)", (name,), keys, rng)
        several = [KEY_TYPES[name] for name in ("int", "text", "blob")]
        composite = [tuple(make(rng) for make in several) for _ in range(count)]
        primary_key = "PRIMARY KEY ((a, b, c))"
        keys_come_back(clients, primary_key, ("int", "text", "blob"), composite, rng)
    finally:
        for client in clients:
            client.close()
        node.close()


def keys_come_back(
    clients: list[WireClient],
    primary_key: str,
    types: tuple[str, ...],
    keys: list[tuple[bytes, ...]],
    rng: random.Random,
) -> None:
    names = ("a", "b", "c")[: len(types)]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, types, strict=True))
    clients[0].query(f"CREATE TABLE ks.t ({columns}, v int, {primary_key})")
    markers = ", ".join("?" * len(names))
    where = " AND ".join(f"{name} = ?" for name in names)
    insert = clients[0].prepare(f"INSERT INTO ks.t ({', '.join(names)}, v) VALUES ({markers}, ?)")
    select = clients[0].prepare(f"SELECT v FROM ks.t WHERE {where}")
    for client in clients[1:]:
        client.prepare(f"SELECT v FROM ks.t WHERE {where}")
    writers = [rng.randrange(len(clients)) for _ in keys]
    values = [struct.pack(">i", number) for number in range(1, len(keys) + 1)]
    frames = [[*key, value] for key, value in zip(keys, values, strict=True)]
    run(clients, writers, insert, frames)
    others = [(writer + 1 + rng.randrange(len(clients) - 1)) % len(clients) for writer in writers]
    found = run(clients, others, select, [list(key) for key in keys])
    wrong = [
        key for key, value, body in zip(keys, values, found, strict=True) if body[-4:] != value
    ]
    assert not wrong, f"{len(wrong)} of {len(keys)} keys of {types}, such as {wrong[:3]}"
    clients[0].query("DROP TABLE ks.t")


def run(
    clients: list[WireClient], chosen: list[int], statement: bytes, rows: list[list[bytes]]
) -> list[bytes]:
    """Executes a statement with every row, each through the client that is chosen for it."""
    bodies = [b""] * len(rows)
    for start in range(0, len(rows), IN_FLIGHT):
        window = range(start, min(start + IN_FLIGHT, len(rows)))
        waiting = [0] * len(clients)
        for number, client in enumerate(clients):
            mine = [i for i in window if chosen[i] == number]
            client.send(b"".join(execute_frame(i - start, statement, rows[i]) for i in mine))
            waiting[number] = len(mine)
        for number, client in enumerate(clients):
            while waiting[number]:
                for stream, kind, body in client.receive():
                    assert kind != OP_ERROR, body
                    bodies[start + stream] = body
                    waiting[number] -= 1
    return bodies

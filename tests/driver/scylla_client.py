"""A small program that uses a node as scylla-driver's users do: host, port, shards, keys.

It runs in an environment of its own, because scylla-driver and cassandra-driver are both called
`cassandra`. It prints one line per step and ends with code 0 only if every step did what it should.
"""

from __future__ import annotations

import decimal
import ipaddress
import random
import struct
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from cassandra.cluster import Cluster
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.util import Date, Time

HOST, PORT, SHARDS, KEYS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
TOKENS = 1_000_000
CONNECT_TIMEOUT_S, REQUEST_TIMEOUT_S = 30.0, 60.0
NAMES = ("a", "b", "c")
COMPOSITE = ("int", "text", "uuid")

DAY_NANOSECONDS = 86_400 * 10**9


def any_float(rng: random.Random, i: int) -> float:
    """A finite float of any size; the number keeps keys apart."""
    return float(struct.unpack(">f", struct.pack(">f", rng.uniform(-1e30, 1e30)))[0])


KEY_TYPES: dict[str, Callable[[random.Random, int], Any]] = {
    "ascii": lambda rng, i: f"key {rng.getrandbits(64)} {i}",
    "bigint": lambda rng, i: rng.randrange(-(1 << 63), 1 << 63),
    "blob": lambda rng, i: rng.randbytes(1 + i % 40),
    "date": lambda rng, i: Date(rng.randrange(-(1 << 30), 1 << 30)),
    "decimal": lambda rng, i: decimal.Decimal(rng.getrandbits(90)).scaleb(-(i % 20)),
    "double": lambda rng, i: rng.uniform(-1e300, 1e300),
    "float": any_float,
    "inet": lambda rng, i: str(ipaddress.ip_address(rng.randbytes(4 if i % 2 else 16))),
    "int": lambda rng, i: rng.randrange(-(1 << 31), 1 << 31),
    "smallint": lambda rng, i: rng.randrange(-(1 << 15), 1 << 15),
    "text": lambda rng, i: f"key {rng.getrandbits(64)} ü {i}",
    "time": lambda rng, i: Time(rng.randrange(DAY_NANOSECONDS)),
    "timestamp": lambda rng, i: rng.randrange(-(1 << 62), 1 << 62),
    "timeuuid": lambda rng, i: uuid.uuid1(rng.getrandbits(48) | 1 << 40, i % 16384),
    "tinyint": lambda rng, i: rng.randrange(-128, 128),
    "uuid": lambda rng, i: uuid.UUID(int=rng.getrandbits(128), version=4),
    "varint": lambda rng, i: rng.getrandbits(8 * (1 + i % 20)) - (1 << 60),
    "boolean": lambda rng, i: bool(rng.getrandbits(1)),
    "tuple<int, text>": lambda rng, i: (rng.randrange(1 << 31), f"part {i}"),
}


def demand(is_right: bool, step: str, got: object) -> None:
    """Ends the program unless a step did what it should."""
    if not is_right:
        print(f"FAILED {step}: got {got}")
        sys.exit(1)
    print(f"ok {step}", flush=True)


def owner(token: int) -> int:
    """The shard of a token, as it is defined."""
    biased = ((token + 2**63) << 12) % 2**64
    return (biased * SHARDS) >> 64


def main() -> None:
    cluster = Cluster([HOST], port=PORT)
    session = cluster.connect()
    session.default_timeout = REQUEST_TIMEOUT_S
    (pool,) = session.get_pools()
    until = time.monotonic() + CONNECT_TIMEOUT_S
    while len(pool._connections) < SHARDS and time.monotonic() < until:
        time.sleep(0.05)
    demand(sorted(pool._connections) == list(range(SHARDS)), "one connection per shard", pool)
    told = {shard: c.features.shard_id for shard, c in pool._connections.items()}
    demand(all(shard == said for shard, said in told.items()), "each on its shard", told)
    sharding = pool.host.sharding_info
    rng = random.Random(7)
    tokens = [rng.randrange(-(1 << 63), 1 << 63) for _ in range(TOKENS)]
    wrong = [t for t in tokens if sharding.shard_id_from_token(t) != owner(t)]
    demand(not wrong, f"the owner of {TOKENS} tokens", wrong[:3])
    session.execute(
        "CREATE KEYSPACE scylla_client WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    session.set_keyspace("scylla_client")
    for name, make in KEY_TYPES.items():
        keys_come_back(session, "PRIMARY KEY (a)", (name,), [(make(rng, i),) for i in range(KEYS)])
    parts = [KEY_TYPES[name] for name in COMPOSITE]
    keys = [tuple(make(rng, i) for make in parts) for i in range(KEYS)]
    keys_come_back(session, "PRIMARY KEY ((a, b, c))", COMPOSITE, keys)
    cluster.shutdown()
    print("done")


def keys_come_back(
    session: Any, primary_key: str, types: tuple[str, ...], keys: list[tuple[Any, ...]]
) -> None:
    """Writes keys through connections taken at random, and reads each through its owner's."""
    names = NAMES[: len(types)]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, types, strict=True))
    session.execute("DROP TABLE IF EXISTS keys")
    session.execute(f"CREATE TABLE keys ({columns}, v int, {primary_key})")
    markers = ", ".join("?" * (len(types) + 1))
    insert = session.prepare(f"INSERT INTO keys ({', '.join(names)}, v) VALUES ({markers})")
    routed, insert.routing_key_indexes = insert.routing_key_indexes, None
    demand(routed == list(range(len(types))), f"routing by ({', '.join(types)})", routed)
    select = session.prepare(f"SELECT v FROM keys WHERE {' AND '.join(f'{n} = ?' for n in names)}")
    wanted = {key: i for i, key in enumerate(keys)}
    writes = [(*key, i) for key, i in wanted.items()]
    execute_concurrent_with_args(session, insert, writes, concurrency=64)
    found = execute_concurrent_with_args(session, select, list(wanted), concurrency=64)
    got = [row.v if row else None for row in (result.result_or_exc.one() for result in found)]
    demand(got == list(wanted.values()), f"{len(wanted)} keys ({', '.join(types)})", len(got))


if __name__ == "__main__":
    main()

"""A small program that uses a node as scylla-driver's users do: host, port, shards, keys.

It runs in an environment of its own, because scylla-driver and cassandra-driver are both called
`cassandra`. It prints one line per step and ends with code 0 only if every step did what it should.
"""

from __future__ import annotations

import random
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from cassandra.cluster import Cluster
from cassandra.concurrent import execute_concurrent_with_args

HOST, PORT, SHARDS, KEYS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
TOKENS = 1_000_000
CONNECT_TIMEOUT_S = 30.0

KEY_TYPES: dict[str, Callable[[random.Random, int], Any]] = {
    "int": lambda rng, i: rng.randrange(-(1 << 31), 1 << 31),
    "bigint": lambda rng, i: rng.randrange(-(1 << 63), 1 << 63),
    "text": lambda rng, i: f"key {rng.getrandbits(64)} ü {i}",
    "blob": lambda rng, i: rng.randbytes(1 + i % 40),
    "uuid": lambda rng, i: uuid.UUID(int=rng.getrandbits(128), version=4),
    "timeuuid": lambda rng, i: uuid.uuid1(rng.getrandbits(48) | 1 << 40, i % 16384),
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
        keys_come_back(session, name, [make(rng, i) for i in range(KEYS)])
    cluster.shutdown()
    print("done")


def keys_come_back(session: Any, name: str, keys: list[Any]) -> None:
    """Writes keys through whatever connection the driver takes, and reads each of them back."""
    session.execute(f"CREATE TABLE k_{name} (k {name} PRIMARY KEY, v int)")
    insert = session.prepare(f"INSERT INTO k_{name} (k, v) VALUES (?, ?)")
    select = session.prepare(f"SELECT v FROM k_{name} WHERE k = ?")
    wanted = {key: i for i, key in enumerate(keys)}
    execute_concurrent_with_args(session, insert, list(wanted.items()), concurrency=64)
    found = execute_concurrent_with_args(
        session, select, [(key,) for key in wanted], concurrency=64
    )
    got = [result.result_or_exc.one().v for result in found]
    demand(got == list(wanted.values()), f"{len(wanted)} keys of type {name}", len(got))


if __name__ == "__main__":
    main()

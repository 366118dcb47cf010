"""What the coordinator adds to a write and a read of its own shard.

Run as `python -m bench.micro.coordinator`. The engine behind it does nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random
from uuid import UUID

from cluster.consistency import Consistency
from cluster.coordinator import Coordinator
from cluster.replication import strategy_of
from cluster.token import decorate
from cluster.topology import Node, single_node
from cluster.transport import NoSiblings
from storage.mutation import Mutation, MutationBuilder
from storage.slice import Page, Slice

ROUNDS = 300_000
TABLE = bytes(16)


class Nothing:
    """An engine that is done at once."""

    page = Page([])

    def apply(self, mutation: Mutation) -> None:
        """Done."""

    def apply_all(self, mutations: list[Mutation]) -> None:
        """Done."""

    async def apply_synced(self, mutation: Mutation) -> None:
        """Done."""

    def read(self, wanted: Slice, wall_s: int) -> Page:
        """Nothing is there."""
        return self.page

    async def truncate(self, table_id: bytes) -> None:
        """Done."""


def report(name: str, work: Callable[[], object]) -> None:
    """Print the nanoseconds of one call."""
    started = time.process_time()
    for _ in range(ROUNDS):
        work()
    print(f"{name:28} {(time.process_time() - started) / ROUNDS * 1e9:7.0f} ns")


def main() -> None:
    """Measure with one shard, in which every key is our own."""
    local = Node(UUID(int=1), "127.0.0.1", 7000, "dc1", "r1", (0,), 1)
    topology = single_node(local)
    engine = Nothing()
    coordinator = Coordinator(
        shard=0,
        topology=topology,
        engine=engine,
        siblings=NoSiblings(),
        loop=asyncio.new_event_loop(),
        random=Random(1),
    )
    options = {"class": "SimpleStrategy", "replication_factor": "1"}
    replication = strategy_of(options, topology)
    key = decorate(b"key")
    mutation = MutationBuilder(TABLE, key).finish()
    wanted = Slice(TABLE, key=key)
    one = Consistency.ONE
    report("an empty call", lambda: engine.apply(mutation))
    report("write", lambda: coordinator.write(mutation, replication, one, 0.0))
    report("read", lambda: coordinator.read(wanted, replication, one, 0, 0.0))


if __name__ == "__main__":
    main()

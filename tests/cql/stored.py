"""The harness over the real coordinator and the real engine, several shards in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any
from uuid import UUID

from cluster.batch import LAYOUT
from cluster.coordinator import Coordinator
from cluster.replication import Replication, strategy_of
from cluster.topology import Node, single_node
from cql.results import SetKeyspace
from cql.schema import layout_of
from storage.engine import Engine
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from tests.cql.fakes import Harness
from tests.sim.mesh import SimulatedMesh


class StoredHarness(Harness):
    """Runs statements on shard 0 of a whole node; `flushes` writes every change to SSTables."""

    def __init__(self, shards: int = 1, *, flushes: bool = False) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.flushes = flushes
        local = Node(UUID(int=7), "127.0.0.1", 7000, "datacenter1", "rack1", (0,), shards)
        self.topology = single_node(local)
        mesh = SimulatedMesh(self.loop, Random(1))
        disk = MemoryDisk()
        self.engines = [Engine(disk, f"/data/shard-{n}", n) for n in range(shards)]
        self.known: dict[bytes, Layout] = {}
        for engine in self.engines:
            self.loop.run_until_complete(engine.open([LAYOUT]))
        self.shards = [
            Coordinator(
                shard=n,
                topology=self.topology,
                engine=engine,
                siblings=mesh.endpoint(n),
                loop=self.loop,
                random=Random(n),
            )
            for n, engine in enumerate(self.engines)
        ]
        self.coordinator = self.executor._coordinator = self.shards[0]

    def close(self) -> None:
        """Stop the shards."""
        for shard, engine in zip(self.shards, self.engines, strict=True):
            shard.stop()
            engine.end_of_turn()
            self.loop.run_until_complete(engine.stop())
        self.loop.close()

    def now(self) -> float:
        return self.loop.time()

    def replication(self, keyspace: str) -> Replication:
        options = self.holder.current.keyspaces[keyspace].replication
        return strategy_of(options, self.topology)

    def layouts_changed(self) -> None:
        for table in self.holder.current.tables():
            layout = layout_of(table)
            if self.known.get(layout.table_id) != layout:
                self.known[layout.table_id] = layout
                for engine in self.engines:
                    engine.set_layout(layout)

    def answer(self, ask: Callable[[], Any]) -> Any:
        answer = self.loop.run_until_complete(_waited(ask))
        if isinstance(answer, SetKeyspace):
            self.session.keyspace = answer.keyspace
        for engine in self.engines:
            engine.end_of_turn()
            if self.flushes:
                self.loop.run_until_complete(engine.flush())
        return answer


async def _waited(ask: Callable[[], Any]) -> Any:
    """What is asked in a running loop, as in a shard."""
    answer = ask()
    return await asyncio.wait_for(answer, 20) if isinstance(answer, Awaitable) else answer

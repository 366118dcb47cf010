"""One node with several shards in one process, on virtual time."""

from __future__ import annotations

from random import Random
from uuid import UUID

from cluster.coordinator import Coordinator
from cluster.replication import Replication, strategy_of
from cluster.token import decorate, key_token, shard_of
from cluster.topology import Node, Topology, single_node
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice
from tests.model.engine import ModelEngine
from tests.sim.loop import SimulatedLoop
from tests.sim.mesh import SimulatedMesh

HOST = UUID("00000000-0000-4000-8000-0000000000aa")
TABLE = bytes(range(16))
SIMPLE_1 = {"class": "SimpleStrategy", "replication_factor": "1"}


class SimulatedNode:
    """Shards with model engines. A shard may be killed and started again; its engine survives."""

    def __init__(self, loop: SimulatedLoop, shards: int) -> None:
        self.loop = loop
        self.mesh = SimulatedMesh(loop, loop.random, trace=loop.trace)
        local = Node(HOST, "127.0.0.1", 7000, "datacenter1", "rack1", (0,), shards)
        self.topology: Topology = single_node(local)
        self.replication: Replication = strategy_of(SIMPLE_1, self.topology)
        self.engines = [ModelEngine() for _ in range(shards)]
        self.shards: dict[int, Coordinator] = {}
        for shard in range(shards):
            self.start(shard)

    def start(self, shard: int, *, is_serving: bool = True) -> Coordinator:
        self.shards[shard] = Coordinator(
            shard=shard,
            topology=self.topology,
            engine=self.engines[shard],
            siblings=self.mesh.endpoint(shard),
            loop=self.loop,
            random=Random(self.loop.random.getrandbits(64)),
            is_serving=is_serving,
        )
        return self.shards[shard]

    def kill(self, shard: int, *, forgets_unsynced: bool = False) -> None:
        self.mesh.kill(shard)
        self.shards.pop(shard).stop()
        self.engines[shard] = self.engines[shard].restarted(forgets_unsynced=forgets_unsynced)

    def owner(self, key: bytes) -> int:
        return shard_of(key_token(key), len(self.engines))

    def key_on(self, shard: int, salt: int = 0) -> bytes:
        """The first key after `salt` that a shard owns."""
        number = salt * 1000
        while self.owner(decorate(b"k%d" % number)) != shard:
            number += 1
        return decorate(b"k%d" % number)


def put(key: bytes, clustering: bytes, ts: int, value: bytes) -> Mutation:
    """A mutation that writes one row with one cell."""
    row = RowBuilder()
    row.begin(ts, True)
    row.cell(1, ts, value)
    builder = MutationBuilder(TABLE, key)
    builder.row(clustering, row.finish())
    return builder.finish()


def whole(key: bytes) -> Slice:
    """All rows of one partition."""
    return Slice(TABLE, key=key)


def rows_of(page: Page) -> dict[tuple[bytes, bytes], bytes]:
    """Rows by key and clustering."""
    return {
        (partition.key, clustering): row
        for partition in page.partitions
        for clustering, row in zip(partition.clusterings, partition.rows, strict=True)
    }

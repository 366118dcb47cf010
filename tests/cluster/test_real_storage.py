"""The coordinator over the real storage engine, several shards in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from random import Random
from typing import Any

from cluster.batch import BATCHLOG_TABLE, LAYOUT
from cluster.consistency import Consistency
from cluster.coordinator import Coordinator
from cluster.counter import total
from cluster.replication import strategy_of
from cluster.topology import Node, single_node
from storage.engine import Engine
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.mutation import Mutation, MutationBuilder
from storage.row import CellCursor, RowBuilder
from storage.slice import Page, Slice
from tests.sim.mesh import SimulatedMesh
from tests.sim.node import HOST, SIMPLE_1, TABLE, SimulatedNode, put, rows_of, whole

COUNTERS = bytes(range(100, 116))
ONE, SERIAL = Consistency.ONE, Consistency.SERIAL
LAYOUTS = [
    LAYOUT,
    Layout(TABLE, "ks.t", frozenset({1}), has_clustering=True, has_static=False),
    Layout(COUNTERS, "ks.c", frozenset({1}), has_clustering=False, has_static=False, counter=True),
]


class RealNode:
    """Shards with real engines on one disk in memory."""

    def __init__(self, shards: int) -> None:
        self.count = shards
        self.loop = asyncio.get_running_loop()
        self.mesh = SimulatedMesh(self.loop, Random(1))
        self.disk = MemoryDisk()
        local = Node(HOST, "127.0.0.1", 7000, "datacenter1", "rack1", (0,), shards)
        self.topology = single_node(local)
        self.replication = strategy_of(SIMPLE_1, self.topology)
        self.engines: dict[int, Engine] = {}
        self.shards: dict[int, Coordinator] = {}

    async def start(self, shard: int) -> None:
        engine = Engine(self.disk, f"/data/shard-{shard}", shard)
        await engine.open(LAYOUTS)
        self.engines[shard] = engine
        self.shards[shard] = Coordinator(
            shard=shard,
            topology=self.topology,
            engine=engine,
            siblings=self.mesh.endpoint(shard),
            loop=self.loop,
            random=Random(shard),
        )

    async def stop(self, shard: int) -> None:
        self.mesh.kill(shard)
        self.shards.pop(shard).stop()
        self.engines[shard].end_of_turn()
        await self.engines.pop(shard).stop(flush=False)

    key_on = SimulatedNode.key_on
    owner = SimulatedNode.owner


def run(main: Any) -> None:
    async def with_node() -> None:
        node = RealNode(3)
        for shard in range(3):
            await node.start(shard)
        await main(node)
        for shard in range(3):
            await node.stop(shard)

    asyncio.run(asyncio.wait_for(with_node(), 30))


async def now(result: Any) -> Any:
    return await result if isinstance(result, Awaitable) else result


async def read(node: RealNode, shard: int, wanted: Slice, level: Consistency = ONE) -> Page:
    page = node.shards[shard].read(wanted, node.replication, level, 0, node.loop.time() + 5)
    found: Page = await now(page)
    return found


def test_rows_are_found_from_every_shard_also_after_a_restart() -> None:
    async def main(node: RealNode) -> None:
        keys = [node.key_on(shard, salt) for shard in range(3) for salt in range(20)]
        for number, key in enumerate(keys):
            mutation = put(key, b"\x40", number + 1, b"value %d" % number)
            writer = node.shards[number % 3]
            await now(writer.write(mutation, node.replication, ONE, node.loop.time() + 5))
        for shard in range(3):
            await node.stop(shard)
            await node.start(shard)
        for reader in range(3):
            for key in keys:
                assert len(rows_of(await read(node, reader, whole(key)))) == 1
            found: list[bytes] = []
            wanted = Slice(TABLE, key=(b"", b""), row_limit=7)
            while True:
                page = await read(node, reader, wanted)
                found += [partition.key for partition in page.partitions]
                if not page.more:
                    break
                wanted = wanted.changed(
                    resume_key=page.last_key, resume_clustering=page.last_clustering
                )
            assert found == sorted(keys)

    run(main)


def increment(key: bytes, ts: int, step: int) -> Mutation:
    row = RowBuilder()
    row.begin(ts, False)
    row.cell(1, ts, step.to_bytes(8, "big", signed=True))
    builder = MutationBuilder(COUNTERS, key)
    builder.row(b"", row.finish())
    return builder.finish()


def test_counters_count_over_flushes_and_restarts() -> None:
    async def main(node: RealNode) -> None:
        key = node.key_on(1)
        for round_ in range(3):
            counts = [
                node.shards[n % 3].count(
                    increment(key, round_ * 10 + n, n), node.replication, ONE, node.loop.time() + 5
                )
                for n in range(1, 10)
            ]
            for count in counts:
                await now(count)
            if round_ == 0:
                await node.engines[1].flush()
            elif round_ == 1:
                await node.stop(1)
                await node.start(1)
        page = await read(node, 0, Slice(COUNTERS, key=key))
        cursor = CellCursor()
        cursor.reset(page.partitions[0].rows[0])
        assert cursor.next()
        assert total(cursor.value()) == 3 * 45

    run(main)


def test_conditional_writes_and_logged_batches_use_the_log() -> None:
    async def main(node: RealNode) -> None:
        key = node.key_on(2)
        for n in range(3):
            applied, page = await node.shards[n].cas(
                whole(key),
                node.replication,
                SERIAL,
                ONE,
                node.loop.time() + 5,
                0,
                lambda page: put(key, b"\x40%d" % len(rows_of(page)), 1, b"v"),
            )
            assert applied
            assert len(rows_of(page)) == n
        assert len(rows_of(await read(node, 0, whole(key), SERIAL))) == 3
        mutations = [put(node.key_on(shard, 5), b"\x40", 9, b"batch") for shard in range(3)]
        await now(
            node.shards[0].write_batch(
                mutations, lambda _: node.replication, ONE, node.loop.time() + 5, True
            )
        )
        for mutation in mutations:
            assert len(rows_of(await read(node, 1, whole(mutation.key)))) == 1
        await node.shards[0].finish_batches(node.loop.time() + 5)
        left = node.engines[0].read(Slice(BATCHLOG_TABLE, key=(b"", b"")), 0)
        assert isinstance(left, Page)
        assert left.partitions == []

    run(main)

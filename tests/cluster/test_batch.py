"""Batches over several shards: all of an acknowledged logged batch is applied, whatever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from cluster.batch import BATCHLOG_TABLE, Batchlog
from cluster.consistency import Consistency
from cluster.errors import Overloaded, Unavailable, WriteFailure, WriteTimeout
from storage.errors import CorruptData, OverBudget
from storage.mutation import Mutation
from storage.slice import Page, Slice
from tests.sim.loop import SimulatedLoop, simulate
from tests.sim.node import TABLE, SimulatedNode, put, rows_of

ONE = Consistency.ONE


def mutations_for(node: SimulatedNode, tag: int) -> list[Mutation]:
    """One mutation for each shard, told apart by a clustering."""
    return [
        put(node.key_on(shard, salt), b"\x40%d" % tag, tag + 1, b"batch %d" % tag)
        for shard in range(len(node.engines))
        for salt in (0, 1)
    ]


async def write(
    node: SimulatedNode, shard: int, mutations: list[Mutation], *, logged: bool = True
) -> None:
    written = node.shards[shard].write_batch(
        mutations, lambda mutation: node.replication, ONE, node.loop.time() + 2, logged
    )
    if written is not None:
        await written


def applied(node: SimulatedNode) -> list[int]:
    """How many rows each shard has."""
    counts = []
    for engine in node.engines:
        page = engine.read(Slice(TABLE, key=(b"", b"")), 0)
        assert isinstance(page, Page)
        counts.append(len(rows_of(page)))
    return counts


def entries(node: SimulatedNode) -> int:
    """How many batch log entries are left."""
    found = 0
    for engine in node.engines:
        page = engine.read(Slice(BATCHLOG_TABLE, key=(b"", b"")), 0)
        assert isinstance(page, Page)
        found += len(page.partitions)
    return found


@pytest.mark.parametrize("logged", [False, True])
def test_a_batch_reaches_all_its_shards_and_leaves_no_entry(logged: bool) -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        await write(node, 1, mutations_for(node, 0), logged=logged)
        assert applied(node) == [2, 2, 2]
        assert entries(node) == 0
        assert bool(node.engines[1].synced) is logged

    simulate(main)


def test_a_batch_of_one_shard_is_one_record_and_no_entry() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        for owner in (0, 1):
            mutations = [put(node.key_on(owner, salt), b"", 1, b"v") for salt in range(3)]
            await write(node, 0, mutations)
            (record,) = node.engines[owner].log
            assert len(record) == 3

    simulate(main)


def test_nothing_is_sent_if_one_shard_is_dead_before() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        mutations = mutations_for(node, 0)
        node.kill(2)
        for logged in (False, True):
            with pytest.raises(Unavailable):
                await write(node, 0, mutations, logged=logged)
        assert applied(node) == [0, 0, 0]

    simulate(main)


def test_an_unlogged_batch_that_fails_half_way_is_indefinite() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        node.engines[1].failure = OverBudget("memtables", 1, 2, 3)
        with pytest.raises(WriteFailure) as failed:
            await write(node, 0, mutations_for(node, 0), logged=False)
        assert not failed.value.is_definite
        assert failed.value.write_type == "UNLOGGED_BATCH"
        node.engines[1].failure = None
        assert applied(node)[0] == 2

    simulate(main)


def test_a_shard_that_dies_half_way_gets_its_part_by_replay() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        node.mesh.slow[0, 2] = 0.5
        mutations = mutations_for(node, 0)
        loop.call_later(0.1, node.kill, 2)
        with pytest.raises(WriteTimeout) as failed:
            await write(node, 0, mutations)
        assert failed.value.write_type == "BATCH"
        node.mesh.slow.clear()
        assert await node.shards[0].replay_batches(0, loop.time() + 2) == 0
        assert entries(node) == 1
        node.start(2)
        assert await node.shards[0].replay_batches(0, loop.time() + 2) == 1
        assert applied(node) == [2, 2, 2]
        assert entries(node) == 0

    simulate(main)


def test_a_failed_batch_log_says_so() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        mutations = mutations_for(node, 0)
        node.engines[0].failure = CorruptData("broken")
        with pytest.raises(WriteFailure) as failed:
            await write(node, 0, mutations)
        assert failed.value.write_type == "BATCH_LOG"
        node.engines[0].failure = OverBudget("memtables", 1, 2, 3)
        with pytest.raises(Overloaded):
            await write(node, 0, mutations)
        node.engines[0].failure = None
        assert applied(node) == [0, 0]

    simulate(main)


def test_a_damaged_entry_is_reported_after_the_others_are_done() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)

        async def never(mutations: list[Mutation], deadline: float) -> None:
            raise AssertionError("not sent by this test")

        log = Batchlog(node.engines[0], loop.random, never)
        await log.write(mutations_for(node, 0))
        for rows in node.engines[0].tables[BATCHLOG_TABLE].values():
            key_of_good = rows
        await log.write(mutations_for(node, 1))
        table = node.engines[0].tables[BATCHLOG_TABLE]
        bad = next(rows for rows in table.values() if rows is not key_of_good)
        good_version = b"\x01\x00\x00\x00\x04"
        assert good_version in bad[b""]
        bad[b""] = bad[b""].replace(good_version, b"\x63\x00\x00\x00\x04")
        with pytest.raises(CorruptData):
            await node.shards[0].replay_batches(0, loop.time() + 2)
        assert applied(node) == [2, 2]
        assert entries(node) == 1

    simulate(main)


async def chaos(loop: SimulatedLoop) -> str:
    """Batches from all shards while shards die and lose what they had not synced."""
    node = SimulatedNode(loop, 3)
    random = loop.random
    kept: list[int] = []

    async def client(base: int) -> None:
        for tag in range(base, base + 15):
            shard = random.choice(sorted(node.shards))
            coordinator = node.shards[shard]
            try:
                await write(node, shard, mutations_for(node, tag))
            except Unavailable:
                await asyncio.sleep(random.random() * 0.01)
                continue
            except asyncio.CancelledError:
                # Our coordinator was killed.
                continue
            except WriteTimeout as timeout:
                assert timeout.write_type == "BATCH"
            if node.shards.get(shard) is coordinator:
                kept.append(tag)
            await asyncio.sleep(random.random() * 0.01)

    async def nemesis() -> None:
        for _ in range(10):
            await asyncio.sleep(random.random() * 0.02)
            victim = random.randrange(3)
            node.kill(victim)
            await asyncio.sleep(random.random() * 0.01)
            node.start(victim)

    await asyncio.gather(nemesis(), *(client(100 * n) for n in range(3)))
    for coordinator in node.shards.values():
        await coordinator.replay_batches(0, loop.time() + 5)
    assert entries(node) == 0
    page = node.shards[0].read(
        Slice(TABLE, key=(b"", b"")), node.replication, ONE, 0, loop.time() + 5
    )
    assert isinstance(page, Awaitable)
    rows = rows_of(await page)
    for tag in kept:
        for mutation in mutations_for(node, tag):
            assert (mutation.key, b"\x40%d" % tag) in rows
    tags = {clustering for _, clustering in rows}
    assert len(rows) == 6 * len(tags), "no batch is applied in part"
    assert len(kept) > 10
    return loop.trace_hash()


@pytest.mark.parametrize("seed", range(20))
def test_no_acknowledged_batch_is_lost_or_halved_whatever_dies(seed: int) -> None:
    simulate(chaos, seed)

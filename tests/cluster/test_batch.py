"""Batches over several shards: all of an acknowledged logged batch is applied, whatever dies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable
from typing import NoReturn

import pytest

from cluster.batch import (
    BATCHLOG_TABLE,
    ENTRIES_PER_ROUND_MAX,
    RETRY_FIRST_S,
    RETRY_MAX_S,
    Batchlog,
)
from cluster.consistency import Consistency
from cluster.errors import Overloaded, TruncateFailed, Unavailable, WriteFailure, WriteTimeout
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


async def finish(node: SimulatedNode, shard: int) -> None:
    """What the background of a shard does, until it has nothing to do any more."""
    for _ in range(20):
        await asyncio.sleep(RETRY_FIRST_S)
        if node.shards[shard].are_batches_due:
            await node.shards[shard].finish_batches(node.loop.time() + 2)


@pytest.mark.parametrize("logged", [False, True])
def test_a_batch_reaches_all_its_shards_and_leaves_no_entry(logged: bool) -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        await write(node, 1, mutations_for(node, 0), logged=logged)
        assert applied(node) == [2, 2, 2]
        assert entries(node) == int(logged)
        await finish(node, 1)
        assert entries(node) == 0
        assert [bool(engine.synced) for engine in node.engines] == [logged] * 3
        assert not node.shards[1].are_batches_due

    simulate(main)


def test_an_entry_stays_until_all_its_shards_have_synced_their_parts() -> None:
    """In periodic mode a power cut may take what was applied but not synced."""

    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        await write(node, 0, mutations_for(node, 0))
        node.engines[2].sync_delay_s = 1.5
        finishing = asyncio.ensure_future(finish(node, 0))
        while not node.engines[1].synced:
            await asyncio.sleep(0.01)
        for shard in range(3):
            await asyncio.sleep(0.3)
            assert entries(node) == 1
            assert node.engines[2].synced == 0, shard
        await finishing
        assert node.engines[2].synced
        assert entries(node) == 0

    simulate(main)


def test_an_entry_stays_while_a_shard_cannot_sync() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        await write(node, 0, mutations_for(node, 0))
        node.kill(1)
        await finish(node, 0)
        assert entries(node) == 1
        node.start(1)
        await finish(node, 0)
        assert entries(node) == 0

    simulate(main)


def test_a_batch_left_behind_is_finished_with_growing_patience() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        node.mesh.slow[0, 1] = 3.0
        with pytest.raises(WriteTimeout):
            await write(node, 0, mutations_for(node, 0))
        node.kill(1)
        node.mesh.slow.clear()
        rounds = []
        while len(rounds) < 8:
            await asyncio.sleep(0.25)
            if node.shards[0].are_batches_due:
                rounds.append(loop.time())
                await node.shards[0].finish_batches(loop.time() + 2)
        pauses = [later - earlier for earlier, later in itertools.pairwise(rounds)]
        assert pauses == sorted(pauses)
        assert RETRY_MAX_S <= pauses[-1] < RETRY_MAX_S + 1
        node.start(1)
        await asyncio.sleep(RETRY_MAX_S)
        await finish(node, 0)
        assert applied(node) == [2, 2]
        assert entries(node) == 0

    simulate(main)


def test_a_round_has_an_end_however_many_entries_are_left() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        for tag in range(ENTRIES_PER_ROUND_MAX + 20):
            await write(node, 0, mutations_for(node, tag))
        node.kill(0)
        node.start(0)
        await node.shards[0].finish_batches(loop.time() + 2)
        assert entries(node) == 20
        assert node.shards[0].are_batches_due, "the rest follows at once"
        node.mesh.slow[0, 1] = 0.5
        await node.shards[0].finish_batches(loop.time() + 0.8)
        assert entries(node) > 10, "a round ends at its deadline"
        node.mesh.slow.clear()
        await finish(node, 0)
        assert entries(node) == 0

    simulate(main)


def test_what_a_batch_wrote_to_a_dropped_table_is_not_waited_for() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        await write(node, 0, mutations_for(node, 0))
        for engine in node.engines:
            engine.tables.pop(TABLE)
        node.kill(0)
        node.engines[0].tables.pop(TABLE, None)
        for engine in node.engines:
            engine.dropped.add(TABLE)
        node.start(0)
        await finish(node, 0)
        assert entries(node) == 0
        assert applied(node) == [0, 0]

    simulate(main)


def test_a_truncation_outlives_the_batches_that_came_before_it() -> None:
    """Also when the batch log is found again as it was, because the coordinator had died."""

    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        for shard in range(3):
            await write(node, shard, mutations_for(node, shard))
        node.kill(1)
        node.start(1)
        await node.shards[0].truncate(TABLE, "t", loop.time() + 5)
        for shard in range(3):
            node.kill(shard, forgets_unsynced=True)
            node.start(shard)
        # What the model's log brings back is not what is asked here.
        for engine in node.engines:
            engine.tables.pop(TABLE, None)
        for shard in range(3):
            await finish(node, shard)
        assert applied(node) == [0, 0, 0]

    simulate(main)


def test_a_table_is_not_truncated_while_a_batch_cannot_be_settled() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        await write(node, 0, mutations_for(node, 0))
        node.engines[1].sync_delay_s = 10
        with pytest.raises(TruncateFailed):
            await node.shards[1].truncate(TABLE, "t", loop.time() + 2)
        assert applied(node) == [2, 2]

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
        await node.shards[0].finish_batches(loop.time() + 2)
        assert entries(node) == 1
        node.start(2)
        await finish(node, 0)
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

        async def never(what: object, deadline: float) -> NoReturn:
            raise AssertionError("not sent by this test")

        log = Batchlog(node.engines[0], loop.random, never, never, loop.time)
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
            await node.shards[0].finish_batches(loop.time() + 2)
        assert applied(node) == [2, 2]
        await finish(node, 0)
        assert entries(node) == 1, "it is reported once, and kept"
        assert not node.shards[0].are_batches_due
        await node.shards[1].truncate(TABLE, "t", loop.time() + 2)

    simulate(main)


def test_damaged_entries_are_removed_if_that_is_asked_for_and_no_others() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)

        async def never(what: object, deadline: float) -> NoReturn:
            raise AssertionError("not sent by this test")

        log = Batchlog(node.engines[0], loop.random, never, never, loop.time)
        for tag in range(5):
            await log.write(mutations_for(node, tag))
        table = node.engines[0].tables[BATCHLOG_TABLE]
        good_version = b"\x01\x00\x00\x00\x04"
        for rows in list(table.values())[:3]:
            rows[b""] = rows[b""].replace(good_version, b"\x63\x00\x00\x00\x04")
        shard = node.shards[0]
        assert await shard.forget_damaged_batches() == 0, "nobody has met them yet"
        assert await shard.replay_batches(loop.time() + 2) == 3
        assert entries(node) == 3, "they stay until somebody decides otherwise"
        assert sum(applied(node)) > 0
        assert await shard.replay_batches(loop.time() + 2) == 3
        assert await shard.forget_damaged_batches() == 3
        assert entries(node) == 0
        assert await shard.replay_batches(loop.time() + 2) == 0
        assert not shard.are_batches_due

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
    for shard in sorted(node.shards):
        await finish(node, shard)
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

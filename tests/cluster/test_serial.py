"""Conditional writes from every shard, while shards die and messages crawl."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cluster.consistency import Consistency
from cluster.errors import CasWriteUnknown, Overloaded, Unavailable, WriteFailure, WriteTimeout
from cluster.key_queues import WAITING_PER_KEY_MAX
from cluster.replication import strategy_of
from storage.mutation import Mutation
from storage.row import CellCursor
from storage.slice import Page
from tests.sim.loop import SimulatedLoop, simulate
from tests.sim.node import SimulatedNode, put, whole

SERIAL, ONE = Consistency.SERIAL, Consistency.ONE


def value_of(page: Page) -> tuple[int, ...]:
    """The list of numbers that the row holds."""
    for partition in page.partitions:
        cursor = CellCursor()
        cursor.reset(partition.rows[0])
        assert cursor.next()
        return tuple(int(part) for part in cursor.value().split())
    return ()


def appending(key: bytes, number: int) -> Callable[[Page], Mutation]:
    def decide(page: Page) -> Mutation:
        before = value_of(page)
        value = b" ".join(b"%d" % n for n in (*before, number))
        return put(key, b"", len(before) + 1, value)

    return decide


async def append(node: SimulatedNode, shard: int, key: bytes, number: int) -> tuple[int, ...]:
    """Append a number if the list is what we read; give the list as it was."""
    coordinator = node.shards[shard]
    applied, page = await coordinator.cas(
        whole(key),
        node.replication,
        SERIAL,
        ONE,
        node.loop.time() + 2,
        0,
        appending(key, number),
    )
    if node.shards.get(shard) is not coordinator:
        # The process was killed: what goes on in it here does not exist.
        raise ConnectionError
    assert applied
    return value_of(page)


async def serial_read(node: SimulatedNode, shard: int, key: bytes) -> tuple[int, ...]:
    page = node.shards[shard].read(whole(key), node.replication, SERIAL, 0, node.loop.time() + 2)
    assert isinstance(page, Awaitable)
    return value_of(await page)


def test_decisions_of_all_shards_come_one_after_the_other() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        key = node.key_on(1)
        for engine in node.engines:
            engine.sync_delay_s = 0.001
            engine.read_delay_s = 0.001
        seen = await asyncio.gather(*(append(node, n % 3, key, n) for n in range(60)))
        final = await serial_read(node, 2, key)
        assert sorted(final) == list(range(60))
        assert sorted(seen, key=len) == [final[:n] for n in range(60)]

    simulate(main)


def test_a_condition_that_does_not_hold_changes_nothing_and_frees_the_key() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        for owner in (0, 1):
            key = node.key_on(owner)
            result = await node.shards[0].cas(
                whole(key), node.replication, SERIAL, ONE, loop.time() + 2, 0, lambda page: None
            )
            assert result[0] is False
            assert node.engines[owner].log == []
            await append(node, 1, key, 1)
            assert await serial_read(node, 0, key) == (1,)

    simulate(main)


def test_a_decision_that_raises_frees_the_key() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)

        def refuse(page: Page) -> None:
            raise ValueError("no")

        for owner in (0, 1):
            key = node.key_on(owner)
            with pytest.raises(ValueError, match="no"):
                await node.shards[0].cas(
                    whole(key), node.replication, SERIAL, ONE, loop.time() + 2, 0, refuse
                )
            await append(node, 0, key, 1)

    simulate(main)


def test_a_grant_of_a_dead_shard_is_taken_back_at_once() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        key = node.key_on(1)
        node.mesh.slow[1, 0] = 50.0
        held = asyncio.create_task(append(node, 0, key, 7))
        await asyncio.sleep(0.1)
        node.kill(0)
        started = loop.time()
        await append(node, 2, key, 8)
        assert loop.time() - started < 0.1
        held.cancel()
        assert await serial_read(node, 1, key) == (8,)

    simulate(main)


def test_a_late_write_of_an_expired_grant_is_refused() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        key = node.key_on(1)

        def slowly(page: Page) -> Mutation:
            # From here on our messages crawl, so that the settlement comes after the deadline.
            node.mesh.slow[0, 1] = 5.0
            return appending(key, 1)(page)

        with pytest.raises(CasWriteUnknown) as failed:
            await node.shards[0].cas(
                whole(key), node.replication, SERIAL, ONE, loop.time() + 1, 0, slowly
            )
        assert not failed.value.is_definite
        assert failed.value.write_type == "CAS"
        await append(node, 1, key, 2)
        await asyncio.sleep(10)
        assert await serial_read(node, 1, key) == (2,)

    simulate(main)


def test_an_owner_that_dies_with_a_decided_write_leaves_the_outcome_unknown() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        key = node.key_on(1)

        def last_words(page: Page) -> Mutation:
            loop.call_later(0.00001, node.kill, 1)
            return appending(key, 1)(page)

        with pytest.raises(CasWriteUnknown):
            await node.shards[0].cas(
                whole(key), node.replication, SERIAL, ONE, loop.time() + 1, 0, last_words
            )
        with pytest.raises(Unavailable):
            await append(node, 0, key, 2)

    simulate(main)


def test_a_key_that_everybody_wants_is_overloaded_and_fair() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 1)
        key = node.key_on(0)
        node.engines[0].sync_delay_s = 0.001
        count = WAITING_PER_KEY_MAX + 5
        results = await asyncio.gather(
            *(append(node, 0, key, n) for n in range(count)), return_exceptions=True
        )
        refused = [n for n, result in enumerate(results) if isinstance(result, Overloaded)]
        assert refused == list(range(WAITING_PER_KEY_MAX + 1, count))
        assert await serial_read(node, 0, key) == tuple(range(WAITING_PER_KEY_MAX + 1))

    simulate(main)


def test_who_waits_past_the_deadline_times_out_and_the_others_go_on() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 1)
        key = node.key_on(0)
        node.engines[0].sync_delay_s = 1.5
        results = await asyncio.gather(
            *(append(node, 0, key, n) for n in range(3)), return_exceptions=True
        )
        assert results[:2] == [(), (0,)]
        assert isinstance(results[2], WriteTimeout)
        assert await serial_read(node, 0, key) == (0, 1)

    simulate(main)


def test_a_majority_of_participants_and_the_levels_are_checked_first() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 1)
        options = {"class": "SimpleStrategy", "replication_factor": "3"}
        node.replication = strategy_of(options, node.topology)
        with pytest.raises(Unavailable, match="Cannot achieve consistency level QUORUM"):
            await append(node, 0, node.key_on(0), 1)
        assert node.engines[0].log == []

    simulate(main)


async def chaos(loop: SimulatedLoop) -> str:
    """Appends from all shards while shards die; power cuts forget what was not synced."""
    node = SimulatedNode(loop, 3)
    key = node.key_on(1)
    for engine in node.engines:
        engine.sync_delay_s = 0.002
    acknowledged: list[tuple[int, tuple[int, ...]]] = []
    refused: set[int] = set()
    random = loop.random

    async def client(base: int) -> None:
        for number in range(base, base + 25):
            shard = random.choice(sorted(node.shards))
            try:
                acknowledged.append((number, await append(node, shard, key, number)))
            except Unavailable:
                refused.add(number)
            except (WriteTimeout, WriteFailure, ConnectionError, asyncio.CancelledError):
                pass
            await asyncio.sleep(random.random() * 0.01)

    async def nemesis() -> None:
        for _ in range(12):
            await asyncio.sleep(random.random() * 0.05)
            victim = random.randrange(3)
            node.kill(victim, forgets_unsynced=random.random() < 0.5)
            await asyncio.sleep(random.random() * 0.02)
            node.start(victim)
            node.engines[victim].sync_delay_s = 0.002

    clients = [asyncio.create_task(client(100 * n)) for n in range(3)]
    await asyncio.gather(nemesis(), *clients)
    final = await serial_read(node, 0, key)
    assert len(set(final)) == len(final)
    for number, before in acknowledged:
        assert final[: len(before)] == before, "each decision was made on the list as it stayed"
        assert final[len(before)] == number
    assert not refused & set(final), "what was definitely refused never happened"
    assert len(acknowledged) > 10
    return loop.trace_hash()


@pytest.mark.parametrize("seed", range(20))
def test_conditional_writes_are_linearizable_whatever_dies(seed: int) -> None:
    simulate(chaos, seed)


def test_the_same_seed_gives_the_same_run() -> None:
    assert simulate(chaos, 3) == simulate(chaos, 3)

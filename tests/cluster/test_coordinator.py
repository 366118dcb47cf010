"""Reads and writes over the shards of one node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from cluster.consistency import Consistency
from cluster.errors import (
    Overloaded,
    ReadFailure,
    ReadTimeout,
    TruncateFailed,
    Unavailable,
    WriteFailure,
    WriteTimeout,
)
from cluster.replication import strategy_of
from storage.errors import CorruptData, OverBudget
from storage.slice import Slice
from tests.sim.loop import SimulatedLoop, simulate
from tests.sim.node import TABLE, SimulatedNode, put, rows_of, whole

ONE = Consistency.ONE
T = TypeVar("T")


async def now(result: T | Awaitable[T] | None) -> T | None:
    return await result if isinstance(result, Awaitable) else result


def test_a_write_to_our_own_shard_is_one_call() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        key = node.key_on(0)
        assert node.shards[0].write(put(key, b"", 1, b"v"), node.replication, ONE, 0.0) is None
        page = node.shards[0].read(whole(key), node.replication, ONE, 0, 0.0)
        assert not isinstance(page, Awaitable)
        assert len(page.partitions) == 1
        assert node.shards[0].deadlines.waiting() == 0

    simulate(main)


@pytest.mark.parametrize("shards", [2, 3])
def test_what_one_shard_writes_every_shard_reads(shards: int) -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, shards)
        for owner in range(shards):
            key = node.key_on(owner)
            for writer in range(shards):
                mutation = put(key, b"", writer, b"from %d" % writer)
                written = node.shards[writer].write(
                    mutation, node.replication, ONE, loop.time() + 2
                )
                await now(written)
                for reader in range(shards):
                    page = await now(
                        node.shards[reader].read(
                            whole(key), node.replication, ONE, 0, loop.time() + 2
                        )
                    )
                    assert page is not None
                    assert b"from %d" % writer in rows_of(page)[key, b""]
            assert list(node.engines[owner].tables[TABLE]) == [key]

    simulate(main)


def test_a_level_above_the_replicas_is_unavailable_with_cassandras_words() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        options = {"class": "SimpleStrategy", "replication_factor": "3"}
        three = strategy_of(options, node.topology)
        key = node.key_on(0)
        for level, required in ((Consistency.THREE, 3), (Consistency.QUORUM, 2)):
            with pytest.raises(Unavailable) as failed:
                node.shards[0].write(put(key, b"", 1, b"v"), three, level, loop.time() + 2)
            assert str(failed.value) == f"Cannot achieve consistency level {level.name}"
            assert (failed.value.required, failed.value.alive) == (required, 1)
            with pytest.raises(Unavailable):
                node.shards[1].read(whole(key), three, level, 0, loop.time() + 2)
        assert node.shards[0].write(put(key, b"", 1, b"v"), three, ONE, 0.0) is None
        assert len(node.engines[0].log) == 1

    simulate(main)


def test_a_dead_owner_is_unavailable_at_once_and_definite() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        key = node.key_on(1)
        node.kill(1)
        with pytest.raises(Unavailable) as failed:
            node.shards[0].write(put(key, b"", 1, b"v"), node.replication, ONE, loop.time() + 2)
        assert failed.value.is_definite
        assert (failed.value.required, failed.value.alive) == (1, 0)

    simulate(main)


def test_an_owner_that_dies_after_the_message_left_is_an_indefinite_failure() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        key = node.key_on(1)
        written = node.shards[0].write(
            put(key, b"", 1, b"v"), node.replication, ONE, loop.time() + 2
        )
        rows = node.shards[0].read(whole(key), node.replication, ONE, 0, loop.time() + 2)
        node.kill(1)
        with pytest.raises(WriteFailure) as failed:
            await now(written)
        assert not failed.value.is_definite
        with pytest.raises(ReadFailure):
            await now(rows)

    simulate(main)


def test_a_silent_owner_is_a_timeout_close_after_the_deadline() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        key = node.key_on(1)
        node.mesh.slow[1, 0] = 100.0
        deadline = loop.time() + 2
        with pytest.raises(WriteTimeout) as failed:
            await now(node.shards[0].write(put(key, b"", 1, b"v"), node.replication, ONE, deadline))
        assert (failed.value.received, failed.value.block_for) == (0, 1)
        assert failed.value.write_type == "SIMPLE"
        assert deadline <= loop.time() < deadline + 0.05
        with pytest.raises(ReadTimeout):
            await now(node.shards[0].read(whole(key), node.replication, ONE, 0, loop.time() + 0.1))
        node.shards[0].deadlines.check()

    simulate(main)


def test_a_request_that_comes_too_late_is_not_done() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        key = node.key_on(1)
        node.mesh.slow[0, 1] = 3.0
        with pytest.raises(WriteTimeout):
            await now(
                node.shards[0].write(put(key, b"", 1, b"v"), node.replication, ONE, loop.time() + 1)
            )
        node.mesh.slow.clear()
        # The answer to the late write comes before the answer to this one.
        await now(node.shards[0].read(whole(key), node.replication, ONE, 0, loop.time() + 10))
        assert node.engines[1].log == []

    simulate(main)


def test_errors_of_storage_are_the_same_from_our_own_shard_and_from_a_sibling() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        for owner in (0, 1):
            key = node.key_on(owner)
            node.engines[owner].failure = CorruptData("broken")
            with pytest.raises(ReadFailure) as failed:
                await now(
                    node.shards[0].read(whole(key), node.replication, ONE, 0, loop.time() + 2)
                )
            assert list(failed.value.failures) == ["127.0.0.1"]
            with pytest.raises(WriteFailure):
                await now(
                    node.shards[0].write(
                        put(key, b"", 1, b"v"), node.replication, ONE, loop.time() + 2
                    )
                )
            node.engines[owner].failure = OverBudget("memtables", 1, 2, 3)
            with pytest.raises(Overloaded):
                await now(
                    node.shards[0].write(
                        put(key, b"", 1, b"v"), node.replication, ONE, loop.time() + 2
                    )
                )

    simulate(main)


def test_a_shard_that_recovers_refuses_and_says_that_it_did_nothing() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        node.kill(1)
        node.start(1, is_serving=False)
        key = node.key_on(1)
        mutation = put(key, b"", 1, b"v")
        with pytest.raises(Unavailable):
            await now(node.shards[0].write(mutation, node.replication, ONE, loop.time() + 2))
        for level in (ONE, Consistency.SERIAL):
            with pytest.raises(Unavailable):
                await now(
                    node.shards[0].read(whole(key), node.replication, level, 0, loop.time() + 2)
                )
        assert node.engines[1].log == []
        node.shards[1].serve()
        await now(node.shards[0].write(mutation, node.replication, ONE, loop.time() + 2))

    simulate(main)


def test_truncate_empties_every_shard_and_wants_all_of_them() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        for owner in (0, 1):
            mutation = put(node.key_on(owner), b"", 1, b"v")
            await now(node.shards[0].write(mutation, node.replication, ONE, loop.time() + 2))
        await node.shards[0].truncate(TABLE, "ks.t", loop.time() + 2)
        everything = Slice(TABLE, key=(b"", b""), row_limit=10)
        page = await now(node.shards[1].read(everything, node.replication, ONE, 0, loop.time() + 2))
        assert page is not None and page.partitions == []
        node.engines[1].failure = CorruptData("broken")
        with pytest.raises(TruncateFailed):
            await node.shards[0].truncate(TABLE, "ks.t", loop.time() + 2)
        node.kill(1)
        with pytest.raises(Unavailable) as failed:
            await node.shards[0].truncate(TABLE, "ks.t", loop.time() + 2)
        assert (failed.value.required, failed.value.alive) == (2, 1)

    simulate(main)


def test_our_own_storage_has_a_deadline_too_and_late_work_is_given_up() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 1)
        key = node.key_on(0)
        shard, engine = node.shards[0], node.engines[0]
        given_up = []

        async def stuck(*_: object) -> None:
            try:
                await loop.create_future()
            finally:
                given_up.append(loop.time())

        engine.read = engine.apply = engine.apply_all = stuck  # type: ignore[method-assign, assignment]
        for wanted in (whole(key), Slice(TABLE)):
            deadline = loop.time() + 1
            with pytest.raises(ReadTimeout):
                await now(shard.read(wanted, node.replication, ONE, 0, deadline))
            assert deadline <= given_up.pop() < deadline + 0.05
        deadline = loop.time() + 1
        with pytest.raises(WriteTimeout):
            await now(shard.write(put(key, b"", 1, b"v"), node.replication, ONE, deadline))
        assert deadline <= given_up.pop() < deadline + 0.05
        assert shard.deadlines.waiting() == 0
        shard.deadlines.check()

    simulate(main)


def test_a_request_that_was_cancelled_is_not_called_late() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 1)
        waiting = loop.create_future()
        limited = loop.create_task(node.shards[0].deadlines.limit(waiting, loop.time() + 9))
        await asyncio.sleep(1)
        limited.cancel()
        with pytest.raises(asyncio.CancelledError):
            await limited
        assert node.shards[0].deadlines.waiting() == 0

    simulate(main)


def test_a_later_page_of_a_late_read_is_not_begun() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 1)
        key = node.key_on(0)
        rest = whole(key).changed(resume_key=key, resume_clustering=b"c")
        with pytest.raises(ReadTimeout):
            node.shards[0].read(rest, node.replication, ONE, 0, loop.time() - 1)

    simulate(main)

"""Schema changes over the shards of one simulated node, with shards dying at any time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from random import Random

import pytest

from cluster.deadlines import Deadlines
from cluster.errors import ClusterError
from cluster.schema_log import Entry, SchemaLog
from cluster.schema_sync import Replicator, SchemaUnsettled
from storage.errors import DiskFull
from storage.memory_disk import MemoryDisk
from tests.sim.loop import SimulatedLoop, simulate
from tests.sim.mesh import SimulatedMesh


class SchemaShard:
    """A shard that only remembers what it was told to obey."""

    def __init__(self, world: World, shard: int) -> None:
        self.world = world
        self.shard = shard
        self.state: list[bytes] = []
        self.replicator: Replicator | None = None
        self.failures: list[BaseException] = []
        self.refuses: set[bytes] = set()

    async def start(self) -> None:
        world, loop = self.world, self.world.loop
        log = None
        if self.shard == 0:
            log = await SchemaLog.open(world.disk, "/schema", Random(loop.random.random()))
        self.replicator = Replicator(
            self.shard,
            world.count,
            world.mesh.endpoint(self.shard),
            Deadlines(loop),
            self.obey,
            log,
            self.failures.append,
        )
        await self.replicator.start()

    async def obey(self, entries: Sequence[Entry]) -> None:
        await asyncio.sleep(self.world.loop.random.random() * 0.01)
        self.world.loop.trace(f"{self.shard} obeys {[entry.number for entry in entries]}")
        if any(entry.data in self.refuses for entry in entries):
            raise DiskFull(28, "obey", "/a")
        for entry in entries:
            if entry.is_snapshot:
                self.state = entry.data.split(b"\n") if entry.data else []
            else:
                self.state.append(entry.data)


class World:
    def __init__(self, loop: SimulatedLoop, count: int) -> None:
        self.loop = loop
        self.count = count
        self.disk = MemoryDisk()
        self.mesh = SimulatedMesh(loop, loop.random, trace=loop.trace)
        self.shards: dict[int, SchemaShard] = {}

    async def start(self, shard: int) -> SchemaShard:
        self.shards[shard] = SchemaShard(self, shard)
        await self.shards[shard].start()
        return self.shards[shard]

    def kill(self, shard: int) -> None:
        self.mesh.kill(shard)
        del self.shards[shard]

    async def propose(self, data: bytes, timeout_s: float = 5.0) -> int:
        replicator = self.shards[0].replicator
        assert replicator is not None
        return await replicator.propose(data, self.loop.time() + timeout_s)


def test_a_change_is_obeyed_by_every_shard_when_propose_returns() -> None:
    async def main(loop: SimulatedLoop) -> None:
        world = World(loop, 3)
        for shard in range(3):
            await world.start(shard)
        for n in range(5):
            assert await world.propose(b"%d" % n) == n + 1
            assert all(len(shard.state) == n + 1 for shard in world.shards.values())

    simulate(main)


def test_a_shard_that_comes_back_catches_up_also_over_a_snapshot() -> None:
    async def main(loop: SimulatedLoop) -> None:
        world = World(loop, 2)
        await world.start(0)
        await world.start(1)
        await world.propose(b"a")
        world.kill(1)
        await world.propose(b"b")
        replicator = world.shards[0].replicator
        assert replicator is not None
        await replicator.compact(b"a\nb")
        await world.propose(b"c")
        back = await world.start(1)
        assert back.state == [b"a", b"b", b"c"]
        await world.propose(b"d")
        assert back.state == [b"a", b"b", b"c", b"d"]

    simulate(main)


def test_siblings_learn_from_a_new_shard_0_what_the_old_one_could_not_tell() -> None:
    async def main(loop: SimulatedLoop) -> None:
        world = World(loop, 2)
        await world.start(0)
        await world.start(1)
        log = await SchemaLog.open(world.disk, "/schema", Random(3))
        world.kill(0)
        await log.append(b"decided and not told")
        await world.start(0)
        await asyncio.sleep(1)
        assert world.shards[1].state == [b"decided and not told"]

    simulate(main)


def test_a_start_does_not_undo_what_was_obeyed_while_it_began() -> None:
    async def main(loop: SimulatedLoop) -> None:
        world = World(loop, 1)
        await world.start(0)
        await world.propose(b"a")
        replicator = world.shards[0].replicator
        assert replicator is not None
        await replicator.start()
        assert world.shards[0].state == [b"a"]

    simulate(main)


def test_a_silent_sibling_makes_a_change_unsettled_and_obeys_it_later() -> None:
    async def main(loop: SimulatedLoop) -> None:
        world = World(loop, 2)
        await world.start(0)
        await world.start(1)
        world.mesh.slow[0, 1] = 3.0
        with pytest.raises(SchemaUnsettled):
            await world.propose(b"a", timeout_s=1.0)
        world.mesh.slow.clear()
        await world.propose(b"b")
        assert world.shards[1].state == [b"a", b"b"]

    simulate(main)


def test_a_change_whose_proposer_gives_up_is_obeyed_all_the_same_and_the_next_one_too() -> None:
    async def main(loop: SimulatedLoop) -> None:
        world = World(loop, 2)
        await world.start(0)
        await world.start(1)
        for wait_s in (0.0, 0.0005, 0.001, 0.002, 0.004):
            given_up = loop.create_task(world.propose(b"a"))
            await asyncio.sleep(wait_s)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            await world.propose(b"b")
            states = [shard.state for shard in world.shards.values()]
            assert states[0] == states[1] and states[0][-1] == b"b"
        assert states[0].count(b"a") >= 4, "what was begun is done"

    simulate(main)


@pytest.mark.parametrize("shard", [0, 1])
def test_a_shard_that_cannot_obey_says_so_and_obeys_all_of_it_later(shard: int) -> None:
    async def main(loop: SimulatedLoop) -> None:
        world = World(loop, 2)
        await world.start(0)
        await world.start(1)
        world.shards[shard].refuses = {b"a"}
        with contextlib.suppress(DiskFull, SchemaUnsettled, ClusterError):
            await world.propose(b"a")
        assert [type(fault) for fault in world.shards[shard].failures] == [DiskFull]
        world.shards[shard].refuses.clear()
        await world.propose(b"b")
        assert [other.state for other in world.shards.values()] == [[b"a", b"b"]] * 2

    simulate(main)


def test_what_the_log_has_is_obeyed_before_the_next_decision() -> None:
    async def main(loop: SimulatedLoop) -> None:
        world = World(loop, 1)
        shard = await world.start(0)
        shard.refuses = {b"a"}
        with pytest.raises(DiskFull):
            await world.propose(b"a")
        shard.refuses.clear()
        assert shard.replicator is not None
        await shard.replicator.settle()
        assert shard.state == [b"a"]

    simulate(main)


async def chaos(loop: SimulatedLoop) -> str:
    world = World(loop, 3)
    for shard in range(3):
        await world.start(shard)
    proposed: list[bytes] = []
    for step in range(30):
        choice = loop.random.random()
        if choice < 0.6:
            proposed.append(b"%d" % step)
            await world.propose(proposed[-1])
            assert all(shard.state == proposed for shard in world.shards.values())
        elif choice < 0.8:
            replicator = world.shards[0].replicator
            assert replicator is not None
            await replicator.compact(b"\n".join(proposed))
        else:
            victim = loop.random.randrange(3)
            world.kill(victim)
            await asyncio.sleep(loop.random.random() * 0.02)
            if victim and loop.random.random() < 0.5:
                proposed.append(b"meanwhile %d" % step)
                await world.propose(proposed[-1])
            await world.start(victim)
    return loop.trace_hash()


@pytest.mark.parametrize("seed", range(15))
def test_all_shards_agree_whatever_dies(seed: int) -> None:
    simulate(chaos, seed)


def test_the_same_seed_gives_the_same_run() -> None:
    assert simulate(chaos, 4) == simulate(chaos, 4)
    assert simulate(chaos, 4) != simulate(chaos, 5)

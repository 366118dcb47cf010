"""What goes wrong with a simulated node, drawn from the seed: one fault per slot, then healed."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from node.shard import Shard
from storage.errors import UnknownTable
from tests.sim.workloads import Workload, World

SLOT_MIN_S, SLOT_MAX_S = 1.0, 6.0
ERRORS_MAX = 3
CLOCK_STEP_MAX_S = 3600.0


class Nemesis:
    """Chooses faults for one run. Each fault leaves a node that serves."""

    def __init__(self, world: World, workloads: Sequence[Workload]) -> None:
        self._world = world
        self._machine = world.machine
        self._random = world.random
        self._workloads = workloads
        self._faults: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {
            "nothing": (1, self._nothing),
            "kill one shard": (4, self._kill_one),
            "kill all shards": (1, self._kill_all),
            "power cut": (3, self._cut_power),
            "restart": (1, self._restart),
            "slow disk": (2, self._slow_disk),
            "disk errors": (2, self._disk_errors),
            "full disk": (1, self._full_disk),
            "slow mesh": (1, self._slow_mesh),
            "flush and compact": (2, self._flush_and_compact),
            "clock step": (2, self._clock_step),
        }

    async def run(self, until: float) -> None:
        """Fault after fault."""
        names = list(self._faults)
        weights = [self._faults[name][0] for name in names]
        while self._world.now < until:
            await self._wait()
            (name,) = self._random.choices(names, weights)
            self._machine.loop.trace(f"nemesis: {name}")
            await self._faults[name][1]()
            self._heal()
            await self._machine.wait_until_serving()

    def _heal(self) -> None:
        machine = self._machine
        machine.disk_delay_s = 0.0
        machine.disk_errors_left = 0
        machine.disk.faults.bytes_max = 0
        machine.mesh.slow.clear()

    async def _wait(self) -> None:
        await asyncio.sleep(self._random.uniform(SLOT_MIN_S, SLOT_MAX_S))

    # The faults.

    async def _nothing(self) -> None:
        await self._wait()

    async def _kill_one(self) -> None:
        self._machine.kill(self._random.randrange(self._machine.config.shards))
        await asyncio.sleep(self._random.uniform(0, 2))
        if self._random.random() < 0.5:
            self._machine.kill(self._random.randrange(self._machine.config.shards))

    async def _kill_all(self) -> None:
        for number in range(self._machine.config.shards):
            self._machine.kill(number)

    async def _cut_power(self) -> None:
        self._cut_power_now()
        await asyncio.sleep(self._random.uniform(0, 1))
        if self._random.random() < 0.3:
            # Once more while it recovers.
            starting = self._machine.loop.create_task(self._machine.switch_on())
            await asyncio.sleep(self._random.uniform(0, 0.05))
            starting.cancel()
            self._cut_power_now()
        await self._machine.switch_on()

    def _cut_power_now(self) -> None:
        self._machine.cut_power()
        for workload in self._workloads:
            workload.power_was_cut(self._world.now)

    async def _restart(self) -> None:
        await self._machine.stop()
        await self._machine.switch_on()

    async def _slow_disk(self) -> None:
        self._machine.disk_delay_s = self._random.choice((0.01, 0.1, 1.0))
        await self._wait()

    async def _disk_errors(self) -> None:
        machine = self._machine
        operations = ("open", "read", "write", "append", "sync", "allocate", "rename", "remove")
        chosen = self._random.sample(operations, 2)
        machine.disk_errors = dict.fromkeys(chosen, self._random.choice((errno.EIO, errno.EMFILE)))
        machine.disk_error_chance = self._random.choice((0.02, 0.2))
        machine.disk_errors_left = self._random.randint(1, ERRORS_MAX)
        await self._wait()

    async def _full_disk(self) -> None:
        disk = self._machine.disk
        disk.faults.bytes_max = disk.bytes_used + self._random.randint(0, 200_000)
        await self._wait()

    async def _slow_mesh(self) -> None:
        shards = self._machine.config.shards
        pair = (self._random.randrange(shards), self._random.randrange(shards))
        self._machine.mesh.slow[pair] = self._random.choice((0.05, 1.0, 3.0))
        await self._wait()

    async def _clock_step(self) -> None:
        """The wall clock is set, and stays as it is set."""
        for _ in range(self._random.randint(1, 3)):
            step = self._random.choice((0.1, 5.0, CLOCK_STEP_MAX_S))
            self._machine.wall_offset_s = self._random.uniform(-step, step)
            await self._wait()

    async def _flush_and_compact(self) -> None:
        number = self._random.randrange(self._machine.config.shards)
        await self._machine.in_shard(number, lambda shard: shard.engine.flush())
        for layout in await self._layouts(number):
            await self._machine.in_shard(number, partial(_compact, table_id=layout.table_id))

    async def _layouts(self, number: int) -> list:
        life = self._machine.lives.get(number)
        if life is None or life.shard is None or not life.is_serving:
            return []
        return life.shard.engine.layouts()


async def _compact(shard: Shard, table_id: bytes) -> None:
    """Compact a table, unless it was dropped since we looked."""
    with suppress(UnknownTable):
        await shard.engine.compact(table_id)

"""A whole node on virtual time: real shards, one simulated disk, and what a supervisor does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

from cluster.transport import NoSiblings
from node.clock import Clock
from node.config import Config
from node.high_mark import HighMark
from node.identity import Identity, load_or_create
from node.shard import Shard, World
from node.stalls import Stalls
from storage.disk import Disk
from tests.sim.disk import Faults, SimulatedDisk
from tests.sim.loop import SimulatedLoop
from tests.sim.mesh import Endpoint, SimulatedMesh
from tests.sim.process import OUTSIDE, Process

WALL_S = 1_700_000_000
DATA = "data"
RESTARTS_MAX = 60
"""A shard that dies this often in a row without serving needs an operator, which is a failure."""

START_LOOK_S = 0.05
SERVING_TIMEOUT_S = 120.0


@dataclass(slots=True, eq=False)
class Life:
    """One life of a shard, from its process's birth."""

    number: int
    process: Process
    shard: Shard | None = None
    is_serving: bool = False


class Machine:
    """One computer with one node. Shards die and come back; the disk may lose its power."""

    def __init__(self, loop: SimulatedLoop, config: Config, *, restarts: bool = True) -> None:
        self.loop = loop
        self.config = config
        self.random = Random(loop.random.getrandbits(64))
        self.mesh = SimulatedMesh(loop, Random(loop.random.getrandbits(64)), trace=loop.trace)
        self.disk = SimulatedDisk(Random(loop.random.getrandbits(64)), self._faults())
        self.lives: dict[int, Life] = {}
        self.disk_delay_s = 0.0
        self.disk_errors: dict[str, int] = {}
        """Errno by operation, for the calls that `disk_error_chance` picks."""
        self.disk_error_chance = 0.0
        self.disk_errors_left = 0
        self.failures: list[str] = []
        """Why shards have ended themselves."""
        self.cuts = 0
        """How often the power was cut."""
        self.wall_offset_s = 0.0
        self.high_mark = HighMark()
        """Of the node's present life; see node/supervisor."""
        self._identity: Identity | None = None
        self._restarts = restarts
        self._is_on = False
        self._deaths: dict[int, int] = {}

    # Life and death.

    async def switch_on(self) -> None:
        """Start every shard; returns when all of them serve."""
        self._is_on = True
        self.high_mark = HighMark()
        await self.disk.make_directory(DATA)
        if self._identity is None:
            self._identity = await load_or_create(self.disk, self.config, self.random)
        for number in range(self.config.shards):
            self._begin(number)
        await self.wait_until_serving()

    async def wait_until_serving(self) -> None:
        """Until every shard lets clients in."""
        until = self.loop.time() + SERVING_TIMEOUT_S
        while not all(self.is_serving(number) for number in range(self.config.shards)):
            assert self.loop.time() < until, f"shards do not come back: {self.failures[-3:]}"
            await asyncio.sleep(START_LOOK_S)

    def is_serving(self, number: int) -> bool:
        """Whether a shard lets clients in."""
        return number in self.lives and self.lives[number].is_serving

    def kill(self, number: int) -> None:
        """A shard ends without a word; what it gave to the kernel stays."""
        life = self.lives.pop(number, None)
        if life is None:
            return
        self.loop.trace(f"kill shard {number}")
        life.process.is_dead = True
        life.is_serving = False
        self.mesh.kill(number)
        self.disk.unlock(f"{DATA}/shard-{number}")
        self.disk.forgive()
        if self._is_on and self._restarts:
            self._deaths[number] = self._deaths.get(number, 0) + 1
            assert self._deaths[number] < RESTARTS_MAX, self.failures[-3:]
            delay = self.random.uniform(0.05, 0.5) * min(8, 1 << self._deaths[number])
            self.loop.call_later(delay, self._begin_if_gone, number, context=OUTSIDE)

    def cut_power(self) -> None:
        """The whole machine stops; the disk keeps what was synced, and part of the rest."""
        self.loop.trace("power cut")
        self._is_on = False
        self.cuts += 1
        for number in list(self.lives):
            self.kill(number)
        self.disk = self.disk.restart(power_cut=True, faults=self._faults())
        self._identity = None

    async def stop(self) -> None:
        """Drain and stop every shard, as SIGTERM does."""
        self._is_on = False
        await self._in_all(lambda shard: shard.drain())
        await self._in_all(lambda shard: shard.stop())
        for number in list(self.lives):
            self.kill(number)

    async def in_shard(self, number: int, work: Any) -> Any:
        """Run a coroutine function of the shard in its process; None if that dies meanwhile."""
        life = self.lives.get(number)
        if life is None or life.shard is None or not life.is_serving:
            return None
        task = life.process.run(self.loop.create_task, work(life.shard))
        while not task.done() and not life.process.is_dead:
            await asyncio.sleep(START_LOOK_S)
        return task.result() if task.done() else None

    async def _in_all(self, work: Callable[[Shard], Coroutine[Any, Any, None]]) -> None:
        """Let every shard do its part; done when all are."""
        parts = []
        for life in self.lives.values():
            assert life.shard is not None, "only a running node is stopped"
            life.is_serving = False
            parts.append(life.process.run(self.loop.create_task, work(life.shard)))
        await asyncio.gather(*parts)

    def _begin_if_gone(self, number: int) -> None:
        if self._is_on and number not in self.lives:
            self._begin(number)

    def _begin(self, number: int) -> None:
        life = Life(number, self.loop.process(f"shard {number}"))
        self.lives[number] = life
        self.loop.trace(f"start shard {number}")
        life.process.run(self.loop.create_task, self._live(life))

    async def _live(self, life: Life) -> None:
        """What node/shard_process does with a shard."""
        try:
            endpoint = None
            if self.config.shards > 1:
                endpoint = Endpoint(self.mesh, life.number, life.process)
            life.shard = shard = Shard(self._world(life, endpoint))
            await shard.open_schema()
            if endpoint is not None:
                endpoint.before_flush = shard.engine.end_of_turn
                self.mesh.attach(endpoint)
                while not all(endpoint.is_alive(n) for n in range(self.config.shards)):
                    await asyncio.sleep(START_LOOK_S)
            await shard.start()
            life.is_serving = True
            self._deaths.pop(life.number, None)
            self.loop.trace(f"shard {life.number} serves")
        except Exception as error:  # the process ends with an exit code
            self._failed(life, error)

    def _failed(self, life: Life, error: BaseException) -> None:
        if not life.process.is_dead:
            logging.getLogger("sim").info("shard %d fails", life.number, exc_info=error)
            self.failures.append(f"shard {life.number}: {type(error).__name__}: {error}")
            self.loop.trace(f"shard {life.number} fails: {type(error).__name__}: {error}")
            self.kill(life.number)

    # The world.

    def _world(self, life: Life, endpoint: Endpoint | None) -> World:
        assert self._identity is not None, "the node knows who it is"
        disk: Disk = self.disk
        return World(
            shard=life.number,
            config=self.config,
            identity=self._identity,
            native_port=9042,
            shard_aware_port=None,
            generation=WALL_S,
            gateway=None,
            disk=disk,
            clock=Clock(self.high_mark, monotonic=self.loop.time, time_ns=self.time_ns),
            random=Random(self.random.getrandbits(64)),
            siblings=endpoint or NoSiblings(),
            loop=self.loop,
            has_failed=lambda error: self._failed(life, error),
            stalls=Stalls(self.loop.time, self.loop.time),
            boot=b"boot %d" % self.cuts,
        )

    def time_ns(self) -> int:
        """The wall clock of the machine."""
        return int((WALL_S + self.loop.time() + self.wall_offset_s) * 1_000_000_000)

    def _faults(self) -> Faults:
        return Faults(choose=self._choose, before=self._before)

    async def _before(self, operation: str, path: str) -> None:
        if self.disk_delay_s:
            await asyncio.sleep(self.random.uniform(0, self.disk_delay_s))

    def _choose(self, _number: int, operation: str, path: str) -> int:
        """Note a call to the disk, and fail it if that is its fate."""
        self.loop.trace(f"disk {operation} {path}")
        number = self.disk_errors.get(operation, 0)
        if not number or not self.disk_errors_left:
            return 0
        if self.random.random() >= self.disk_error_chance:
            return 0
        self.disk_errors_left -= 1
        self.loop.trace(f"disk error {number} {operation} {path}")
        return number

"""Runs seeds of the simulation: `python -m tests.sim.run SEED [COUNT]`."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from dataclasses import dataclass
from random import Random

from node.config import Config
from tests.sim.client import Client
from tests.sim.loop import SimulatedLoop, simulate
from tests.sim.machine import DATA, Machine
from tests.sim.nemesis import Nemesis
from tests.sim.workloads import (
    KEYSPACE,
    Batches,
    Conditional,
    Registers,
    SchemaChanges,
    Workload,
    World,
)

MIB = 1024 * 1024
DURATION_S = 30.0
SETTLE_S = 2.0


class Broken(AssertionError):
    """A seed has found something; the text says how to repeat it, and what came before."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run was, in values that a second process must find again."""

    seed: int
    trace_hash: str
    events: int
    virtual_s: float


def run_seed(seed: int, duration_s: float = DURATION_S) -> Outcome:
    """One life of a node under one seed; raises `Broken`."""
    unplanned = _Unplanned()
    logging.getLogger("pythia").addHandler(unplanned)
    loops: list[SimulatedLoop] = []

    async def main(loop: SimulatedLoop) -> Outcome:
        loops.append(loop)
        await _live(loop, duration_s)
        assert not unplanned.records, unplanned.records
        return Outcome(seed, loop.trace_hash(), loop.traced, loop.time())

    gc.disable()  # Nobody may depend on when garbage is found.
    try:
        return simulate(main, seed)
    except BaseException as error:
        trace = "\n".join(loops[0].events) if loops else ""
        text = f"{type(error).__name__}: {error}\nrepeat it with: make sim SEED={seed}"
        raise Broken(f"{trace}\n{text}") from error
    finally:
        gc.enable()
        logging.getLogger("pythia").removeHandler(unplanned)


def config_of(random: Random) -> Config:
    """A small node: segments and memory of a size that is used up within a run."""
    segment = random.choice((64, 128, 512)) * 1024
    return Config(
        data_directory=DATA,
        shards=random.choice((1, 2, 2, 3)),
        memory_bytes=64 * MIB,
        commitlog_sync=random.choice(("periodic", "periodic", "batch", "group")),
        commitlog_sync_period_s=random.choice((0.5, 2.0, 10.0)),
        commitlog_sync_group_window_s=random.choice((0.01, 0.2)),
        commitlog_segment_bytes=segment,
        commitlog_total_bytes=segment * 16,
    )


async def _live(loop: SimulatedLoop, duration_s: float) -> None:
    random = Random(loop.random.getrandbits(64))
    machine = Machine(loop, config_of(random))
    loop.trace(f"config {machine.config}")
    await machine.switch_on()
    shards = machine.config.shards
    clients = [Client(machine, number, number % shards) for number in range(2 * shards)]
    world = World(machine, clients, random)
    workloads: list[Workload] = [
        Registers(world, keys=random.randint(1, 12), readers=4),
        Conditional(world, keys=2, workers=4),
        Batches(world, groups=2, keys=4),
        SchemaChanges(world),
    ]
    await world.surely(
        f"CREATE KEYSPACE {KEYSPACE} WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    for workload in workloads:
        await workload.setup()
    until = loop.time() + duration_s
    nemesis = Nemesis(world, workloads)
    await _all_or_first_error(nemesis.run(until), *(load.run(until) for load in workloads))
    await machine.wait_until_serving()
    await asyncio.sleep(SETTLE_S)
    for workload in workloads:
        await workload.check()
    _check_schemas(machine)
    await machine.stop()
    await machine.switch_on()
    for workload in workloads:
        await workload.check()
    await machine.stop()


async def _all_or_first_error(*works: object) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]  # type: ignore[call-overload]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    for task in tasks:
        if task in done:
            task.result()


def _check_schemas(machine: Machine) -> None:
    """Every shard has the same schema, and its storage the same tables."""
    shards = [life.shard for life in machine.lives.values()]
    versions = {str(shard.schema.version) for shard in shards if shard is not None}
    assert len(versions) == 1, f"schema versions differ: {sorted(versions)}"
    for shard in shards:
        assert shard is not None
        shard.engine.check()
        stored = {layout.table_id for layout in shard.engine.layouts()}
        wanted = {t.id.bytes for t in shard.schema.tables() if not t.is_virtual}
        assert wanted <= stored, "storage knows every table of the schema"


class _Unplanned(logging.Handler):
    """Collects what the node logs when something happened that nobody planned for."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "pythia.dispatch":
            self.records.append(self.format(record))


def main() -> None:
    """Run the seeds that the command line names."""
    first = int(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    for seed in range(first, first + count):
        outcome = run_seed(seed)
        print(f"seed {seed}: {outcome.trace_hash} {outcome.events} events", flush=True)


if __name__ == "__main__":
    main()

"""Thousands of states in which a power cut leaves a shard: what was promised is there again.

The disk is copied at every call of a run, and the power is cut in each copy many times with other
luck. `test_engine_crashes` has one crash at each call, and another one in the recovery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from cluster.schema_log import SchemaLog
from storage.engine import Engine
from tests.sim.disk import SimulatedDisk
from tests.sim.states import end_tasks, power_cuts, states_of
from tests.storage.test_engine_crashes import (
    CONFIG,
    STRATEGIES,
    TABLES,
    History,
    Schedule,
    layout_of,
    numbers_in,
    small_files,  # noqa: F401 - a fixture
    work,
)

STATES_QUICK, STATES_LONG = 1_250, 225_000
SCHEMA_STATES_QUICK, SCHEMA_STATES_LONG = 1_700, 100_000
"""Together with those of other tests 20,000 in two to three quick runs, whose seeds differ; and a
million in a long one."""

RUNS_LONG = 4
"""Of the work, each with another schedule: so many share the states of a long run."""

Numbers = frozenset[int]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.usefixtures("small_files")
def test_every_state_of_a_shard_holds_what_was_promised(
    seed: int,
    strategy: str,
    request: pytest.FixtureRequest,
    proven: Callable[[str, int], None],
) -> None:
    is_long = request.config.getoption("--long")
    count, runs = (STATES_LONG, RUNS_LONG) if is_long else (STATES_QUICK, 1)
    options, _ = STRATEGIES[strategy]
    compaction = (("class", strategy), *options)
    same: dict[Numbers, Numbers] = {}

    async def recover(disk: SimulatedDisk) -> Numbers:
        engine = Engine(disk, "/shard-0", 0, CONFIG)
        report = await engine.open([layout_of(table_id, compaction) for table_id in TABLES])
        assert not report.damaged
        found = frozenset(await numbers_in(engine))
        await end_tasks()
        return same.setdefault(found, found)

    async def run(random: Random, schedule: Schedule) -> int:
        states = await states_of(
            random, lambda disk, history: work(disk, history, compaction, schedule), History()
        )
        await end_tasks()
        assert len(states) > 500
        disks = 0
        async for history, found, is_new in power_cuts(states, count // runs, recover):
            history.check(found, power_cut=True)
            disks += is_new
        return disks

    for number in range(runs):
        random = Random(seed + number)
        schedule = Schedule.drawn(random) if number else Schedule()
        proven("crash states, different disks", asyncio.run(run(random, schedule)))
        proven("crash states", count // runs)


class Said:
    """What a writer of the schema log knows."""

    def __init__(self) -> None:
        self.acknowledged: list[bytes] = []
        self.attempted: list[bytes] = []


async def change_the_schema(disk: SimulatedDisk, said: Said) -> None:
    """Entries and compactions in three lives; the data of a snapshot are all entries before it."""
    for life in range(3):
        log = await SchemaLog.open(disk, "/schema", Random(life))
        for number in range(8):
            entry = b"%d.%d " % (life, number) * (1 + number * 40 % 170)
            said.attempted = [entry]
            await log.append(entry)
            said.acknowledged.append(entry)
            said.attempted = []
            if number % 3 == 1:
                await log.compact(log.last_number, b"\0".join(said.acknowledged))
        await log.close()


def test_every_state_of_the_schema_log_holds_what_was_promised(
    seed: int, request: pytest.FixtureRequest, proven: Callable[[str, int], None]
) -> None:
    is_long = request.config.getoption("--long")
    count = SCHEMA_STATES_LONG if is_long else SCHEMA_STATES_QUICK

    async def recover(disk: SimulatedDisk) -> list[bytes]:
        log = await SchemaLog.open(disk, "/schema", Random(seed))
        first, *rest = log.after(-1)
        found = first.data.split(b"\0") if first.data else []
        return found + [entry.data for entry in rest]

    async def test() -> int:
        states = await states_of(Random(seed), change_the_schema, Said())
        disks = 0
        async for said, found, is_new in power_cuts(states, count, recover):
            assert found in (said.acknowledged, said.acknowledged + said.attempted)
            disks += is_new
        return disks

    proven("crash states, different disks", asyncio.run(test()))
    proven("crash states", count)

"""Thousands of states in which a power cut leaves a shard: what was promised is there again.

Where `test_engine_crashes` runs the work anew for each crash, this copies the disk at every call of
one run, and cuts the power in each copy many times with other luck.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from cluster.schema_log import SchemaLog
from storage.engine import Engine
from tests.sim.disk import SimulatedDisk
from tests.sim.states import end_tasks, states_of
from tests.storage.test_engine_crashes import (
    CONFIG,
    STRATEGIES,
    TABLES,
    History,
    layout_of,
    numbers_in,
    small_files,  # noqa: F401 - a fixture
    work,
)

STATES_QUICK, STATES_LONG = 1_250, 225_000
SCHEMA_STATES_QUICK, SCHEMA_STATES_LONG = 1_700, 100_000
"""Together with those of other tests 20,000 in two to three quick runs, whose seeds differ; and a
million in a long one."""


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.usefixtures("small_files")
def test_every_state_of_a_shard_holds_what_was_promised(
    seed: int,
    strategy: str,
    request: pytest.FixtureRequest,
    proven: Callable[[str, int], None],
) -> None:
    count = STATES_LONG if request.config.getoption("--long") else STATES_QUICK
    options, _ = STRATEGIES[strategy]
    compaction = (("class", strategy), *options)

    async def test() -> int:
        random = Random(seed)
        states = await states_of(
            random, lambda disk, history: work(disk, history, compaction), History()
        )
        await end_tasks()
        for number in range(count):
            stopped, history = states[number % len(states)]
            disk = stopped.restart(power_cut=True)
            engine = Engine(disk, "/shard-0", 0, CONFIG)
            report = await engine.open([layout_of(table_id, compaction) for table_id in TABLES])
            assert not report.damaged, number
            history.check(await numbers_in(engine), power_cut=True)
            await end_tasks()
        return len(states)

    calls = asyncio.run(test())
    proven("crash states", count)
    assert calls > 500


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

    async def test() -> None:
        states = await states_of(Random(seed), change_the_schema, Said())
        for number in range(count):
            stopped, said = states[number % len(states)]
            log = await SchemaLog.open(stopped.restart(power_cut=True), "/schema", Random(number))
            first, *rest = log.after(-1)
            found = first.data.split(b"\0") if first.data else []
            found += [entry.data for entry in rest]
            assert found in (said.acknowledged, said.acknowledged + said.attempted), number

    asyncio.run(test())
    proven("crash states", count)

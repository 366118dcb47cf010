"""A drop that a crash interrupts is finished by the next start, if the schema is known whole."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from storage.commitlog import CommitLogConfig, SyncMode
from storage.engine import Engine, EngineConfig
from storage.errors import SchemaIncomplete
from storage.layout import Layout
from storage.mutation import MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice
from tests.sim.crash import crash_at_every_call
from tests.sim.disk import SimulatedDisk

KEPT = Layout(b"k" * 16, "ks.kept", frozenset({1}), True, False)
GONE = Layout(b"g" * 16, "ks.gone", frozenset({1}), True, False)
SYSTEM = Layout(b"s" * 16, "system.batchlog", frozenset({1}), True, False)
CONFIG = EngineConfig(
    memtable_bytes=16 * 1024,
    block_cache_bytes=1 << 12,
    commitlog=CommitLogConfig(SyncMode.PERIODIC, segment_bytes=4096, total_space_bytes=24 * 1024),
)
MADE, DROPPED = 2, 3
"""Schema entries: both tables are there, one is gone."""


def write(engine: Engine, layout: Layout, number: int) -> None:
    row = RowBuilder()
    row.begin(number, True)
    row.cell(1, number, b"v")
    builder = MutationBuilder(layout.table_id, b"%08d" % number)
    builder.row(b"c", row.finish())
    engine.apply(builder.finish())


async def count(engine: Engine, layout: Layout) -> int:
    answer = engine.read(Slice(layout.table_id), 0)
    page = answer if isinstance(answer, Page) else await answer
    return len(page.partitions)


async def life_that_drops(disk: SimulatedDisk, dropping: list[bool]) -> None:
    engine = Engine(disk, "/shard-0", 0, CONFIG)
    await engine.open([KEPT, GONE, SYSTEM], MADE)
    for layout in (KEPT, GONE, SYSTEM):
        for number in range(3):
            write(engine, layout, number)
            await engine.flush(layout.table_id)
        write(engine, layout, 9)
    engine.end_of_turn()
    await engine.sync()
    dropping.append(True)
    engine.note_schema(DROPPED)
    await engine.drop_table(GONE.table_id)
    await engine.stop()


@pytest.mark.parametrize("power_cut", [False, True])
def test_nothing_of_a_dropped_table_stays_wherever_the_shard_died(power_cut: bool) -> None:
    async def test() -> None:
        dropping: list[list[bool]] = []

        def scenario(disk: SimulatedDisk) -> Coroutine[Any, Any, None]:
            dropping.append([])
            return life_that_drops(disk, dropping[-1])

        interrupted = 0
        async for dead in crash_at_every_call(Random(1), scenario):
            if not dropping[-1]:
                continue
            interrupted += any("ks.gone" in path for path in dead.paths())
            disk = dead.restart(power_cut=power_cut)
            engine = Engine(disk, "/shard-0", 0, CONFIG)
            # The schema log knew of the drop before the shard did.
            report = await engine.open([KEPT, SYSTEM], DROPPED)
            assert not report.damaged
            assert not [path for path in disk.paths() if "ks.gone" in path]
            assert await count(engine, KEPT) == await count(engine, SYSTEM) == 4
            state = engine._store.manifest.state
            assert GONE.table_id not in state.flushed
            assert all(live.table_id != GONE.table_id for live in state.sstables)
            await engine.stop()
        assert interrupted > 5

    asyncio.run(test())


def test_a_start_that_does_not_know_the_whole_schema_removes_nothing() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        engine = Engine(disk, "/shard-0", 0, CONFIG)
        await engine.open([KEPT, GONE, SYSTEM], MADE)
        for layout in (KEPT, GONE, SYSTEM):
            write(engine, layout, 1)
        await engine.stop()
        for known in (0, MADE - 1):
            disk = disk.restart(power_cut=False)
            with pytest.raises(SchemaIncomplete, match="ends with entry"):
                await Engine(disk, "/shard-0", 0, CONFIG).open([], known)
        disk = disk.restart(power_cut=False)
        engine = Engine(disk, "/shard-0", 0, CONFIG)
        await engine.open([KEPT])
        await engine.stop()
        engine = Engine(disk, "/shard-0", 0, CONFIG)
        report = await engine.open([KEPT, GONE], DROPPED)
        assert report.dropped_tables == 0, "the program's own tables are never taken for dropped"
        assert await count(engine, GONE) == 1
        await engine.stop()

    asyncio.run(test())

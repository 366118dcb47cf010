"""Flushes and compactions that meet truncations, failures, levels and other strategies."""

import asyncio
import errno
import itertools
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from storage.compaction.options import PACKAGE
from storage.compactor import HISTORY_MAX
from storage.engine import Engine
from storage.memory_disk import MemoryDisk
from storage.mutation import MutationBuilder
from storage.row import RowBuilder
from storage.slice import Slice
from tests.sim.disk import SimulatedDisk
from tests.storage.sstable.support import TABLE_ID, key_of, layout
from tests.storage.test_engine import SMALL, clusterings, delete, opened, put, read, run

SIZES = (("class", PACKAGE + "SizeTieredCompactionStrategy"),)
LEVELS = (("class", "LeveledCompactionStrategy"), ("sstable_size_in_mb", "1"), ("fanout_size", "2"))
WINDOWS = (("class", "TimeWindowCompactionStrategy"), ("compaction_window_unit", "MINUTES"))
UNIFIED = (
    ("class", "UnifiedCompactionStrategy"),
    ("scaling_parameters", "L4"),
    ("min_sstable_size", "0B"),
    ("flush_size_override", "20KiB"),
)


def pause(disk: SimulatedDisk, operation: str) -> tuple[asyncio.Event, asyncio.Event]:
    """Stop SSTables at a call to the disk: it has come there; it may go on."""
    arrived, released = asyncio.Event(), asyncio.Event()

    async def wait(called: str, path: str) -> None:
        if called == operation and path.endswith(".sst"):
            arrived.set()
            await released.wait()

    disk.faults.before = wait
    return arrived, released


async def overtake(
    begin: Callable[[Engine], Awaitable[None]], operation: str, prepare: int
) -> None:
    """Truncate while something writes an SSTable; nothing from before may come back."""
    disk = SimulatedDisk(Random(0))
    engine = await opened(disk)
    for number in range(prepare):
        engine.apply(put(number, b"old", 1))
        await engine.flush(TABLE_ID)
    engine.apply(put(1, b"old", 2))
    arrived, released = pause(disk, operation)
    running = asyncio.ensure_future(begin(engine))
    await arrived.wait()
    await engine.truncate(TABLE_ID)
    engine.apply(put(1, b"new", 3))
    released.set()
    await running
    assert await clusterings(engine, 1) == [b"new"]
    engine.check()
    await engine.stop()
    assert len([path for path in disk.paths() if path.endswith(".sst")]) == 1
    engine = Engine(disk, "/shard-0", 0, SMALL)
    await engine.open([layout()])
    assert [len(p.rows) for p in (await read(engine, Slice(TABLE_ID))).partitions] == [1]
    await engine.stop()


@pytest.mark.parametrize("operation", ["open", "write", "sync"])
def test_a_truncation_overtakes_a_flush(operation: str) -> None:
    run(overtake(lambda engine: engine.flush(TABLE_ID), operation, 0))


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_truncation_overtakes_a_compaction(operation: str) -> None:
    run(overtake(lambda engine: engine.compact(TABLE_ID), operation, 3))


def fill(engine: Engine, round_: int, chance: Random, size: int = 400) -> None:
    for _ in range(40):
        row = RowBuilder()
        row.begin(round_ + 1, True)
        row.cell(1, round_ + 1, chance.randbytes(size))
        builder = MutationBuilder(TABLE_ID, key_of(chance.randrange(4096)))
        builder.row(b"c", row.finish())
        assert engine.apply(builder.finish()) is None
        engine.end_of_turn()


async def settle(engine: Engine, wall_s: int = 0) -> None:
    for _ in range(100):
        jobs = engine.background(wall_s)
        if not jobs:
            return
        for job in jobs:
            await job
    raise AssertionError("background work comes to an end")


async def found(engine: Engine) -> list[tuple[bytes, list[bytes]]]:
    """All partitions; on a slow machine a page may end before its bytes are full."""
    partitions, wanted = [], Slice(TABLE_ID)
    while True:
        page = await read(engine, wanted)
        partitions += [(partition.key, partition.rows) for partition in page.partitions]
        if not page.more:
            return partitions
        wanted = wanted.after(page)


def check_levels(engine: Engine) -> None:
    table = engine._tables[TABLE_ID]
    for level in range(1, 9):
        runs = [f for f in table.sstables if f.level == level]
        runs.sort(key=lambda f: f.statistics.first_key)
        for a, b in itertools.pairwise(runs):
            assert a.statistics.last_key < b.statistics.first_key, "a key is once on a level"
    for live in engine._store.manifest.sstables_of(TABLE_ID):
        (file,) = [f for f in table.sstables if f.generation == live.number]
        assert file.level == live.level, "the manifest says the level"


@pytest.mark.parametrize("second", [SIZES, LEVELS, WINDOWS, UNIFIED])
@pytest.mark.parametrize("first", [SIZES, LEVELS, WINDOWS, UNIFIED])
def test_a_strategy_is_changed_while_the_table_lives(
    first: tuple[tuple[str, str], ...], second: tuple[tuple[str, str], ...]
) -> None:
    async def test() -> None:
        chance = Random(1)
        disk = MemoryDisk()
        engine = await opened(disk, compaction=first)
        for round_ in range(12):
            if round_ == 6:
                engine.set_layout(layout(compaction=second))
            fill(engine, round_, chance)
            await engine.flush()
            before = await found(engine)
            await settle(engine, 100)
            assert await found(engine) == before
            check_levels(engine)
        assert len(engine._tables[TABLE_ID].sstables) <= 8
        before = await found(engine)
        await engine.stop()
        engine = Engine(disk, "/shard-0", 0, SMALL)
        await engine.open([layout(compaction=second)])
        assert await found(engine) == before
        check_levels(engine)
        await engine.compact(TABLE_ID)
        assert await found(engine) == before
        check_levels(engine)
        await engine.stop()

    run(test())


def test_output_is_cut_by_size_and_put_on_a_level() -> None:
    async def test() -> None:
        chance = Random(2)
        engine = await opened(MemoryDisk(), compaction=LEVELS)
        for round_ in range(50):
            fill(engine, round_, chance, 1200)
            await engine.flush()
        before = await found(engine)
        await engine.compact(TABLE_ID)
        sizes = [file.file_bytes for file in engine._tables[TABLE_ID].sstables]
        assert len(sizes) > 1 and max(sizes) < 1.3 * 1024 * 1024
        (level,) = {file.level for file in engine._tables[TABLE_ID].sstables}
        assert level > 0
        check_levels(engine)
        assert await found(engine) == before
        await engine.stop()

    run(test())


def test_an_expired_window_is_dropped_without_being_read() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await opened(disk, compaction=WINDOWS, gc_grace_s=0)
        for number in range(3):
            row = RowBuilder()
            row.begin(number + 1, True, 10, 50)
            row.expiring_cell(1, number + 1, 10, 50, b"v")
            builder = MutationBuilder(TABLE_ID, key_of(number))
            builder.row(b"c", row.finish())
            engine.apply(builder.finish())
            await engine.flush()
        await settle(engine, 40)
        assert len(engine._tables[TABLE_ID].sstables) == 3
        disk.trace.clear()
        await settle(engine, 2000)
        assert engine._tables[TABLE_ID].sstables == ()
        assert not [call for call in disk.trace if call[0] == "read"]
        await engine.stop()

    run(test())


def test_a_file_full_of_old_tombstones_is_rewritten_by_itself() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk(), gc_grace_s=0)
        for number in range(20):
            engine.apply(delete(number, b"a", b"b", 9))
        engine.apply(put(1, b"c", 9))
        await engine.flush()
        assert engine.background(1000) == [], "the file is too young"
        await settle(engine, 90_000)
        (file,) = engine._tables[TABLE_ID].sstables
        assert file.statistics.tombstones == 0 and await clusterings(engine, 1) == [b"c"]
        await engine.stop()

    run(test())


def test_compactions_leave_a_record() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk())
        for number in (1, 1, 2):
            engine.apply(put(number, b"c", number))
            await engine.flush()
        size = sum(file.file_bytes for file in engine._tables[TABLE_ID].sstables)
        await engine.compact(TABLE_ID, 77)
        (record,) = engine.statistics().compaction_history
        assert (record.table_id, record.table) == (TABLE_ID, layout().name)
        assert (record.ended_s, record.files_in, record.files_out) == (77, 3, 1)
        assert record.bytes_in == size > record.bytes_out > 0
        assert record.partitions_merged == ((1, 1), (2, 1))
        for _ in range(HISTORY_MAX + 1):
            await engine.compact(TABLE_ID)
        assert len(engine.statistics().compaction_history) == HISTORY_MAX
        await engine.stop()

    run(test())


def test_a_table_that_is_not_enabled_is_left_alone() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk(), compaction=(*SIZES, ("enabled", "false")))
        for number in range(6):
            engine.apply(put(number, b"c", 1))
            await engine.flush()
        assert engine.background(10**6) == []
        await engine.stop()

    run(test())


def test_a_full_disk_puts_compaction_off_and_changes_nothing() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await opened(disk)
        for number in range(4):
            engine.apply(put(number, b"c", 1))
            await engine.flush()
        disk.faults.choose = lambda _, called, path: (
            errno.ENOSPC if called == "write" and path.endswith(".sst") else 0
        )
        (job,) = engine.background(10)
        await job
        disk.faults.choose = None
        assert len(engine._tables[TABLE_ID].sstables) == 4
        assert len([path for path in disk.paths() if path.endswith(".sst")]) == 4
        assert engine.background(11) == []
        await settle(engine, 100)
        assert len(engine._tables[TABLE_ID].sstables) == 1
        await engine.stop()

    run(test())


def test_files_stay_readable_when_the_compression_changes() -> None:
    async def test() -> None:
        chance = Random(3)
        engine = await opened(MemoryDisk())
        for round_, name in enumerate(("lz4", "zstd", "deflate", "snappy", "none")):
            engine.set_layout(layout(compression=name, chunk_bytes=4096))
            fill(engine, round_, chance)
            await engine.flush()
        before = await found(engine)
        await engine.compact(TABLE_ID)
        assert await found(engine) == before
        await engine.stop()

    run(test())


def test_a_stopped_compaction_leaves_the_table_as_it_was() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await opened(disk)
        for number in range(3):
            engine.apply(put(number, b"c", 1))
            await engine.flush(TABLE_ID)
        arrived, released = pause(disk, "read")
        running = asyncio.ensure_future(engine.compact(TABLE_ID))
        await arrived.wait()
        stopping = asyncio.ensure_future(engine.stop())
        await asyncio.sleep(0)
        released.set()
        await asyncio.gather(running, stopping)
        assert len([path for path in disk.paths() if path.endswith(".sst")]) == 3

    run(test())

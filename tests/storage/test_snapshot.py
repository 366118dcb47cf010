"""Snapshots of one table: what is linked comes back, whatever happened meanwhile."""

import asyncio
import errno
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from storage.commitlog import CommitLogConfig
from storage.disk import Disk, OpenMode
from storage.engine import Engine, EngineConfig
from storage.errors import CorruptFile, DiskFull
from storage.memory_disk import MemoryDisk
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice
from storage.snapshot import SnapshotFile
from tests.sim.crash import crash_at_every_call
from tests.sim.disk import SimulatedDisk
from tests.storage.sstable.support import TABLE_ID, key_of, layout

OTHER_ID = b"another-16-bytes"
SNAPSHOT = "/snapshots/one"
CONFIG = EngineConfig(
    memtable_bytes=64 * 1024,
    block_cache_bytes=1 << 14,
    commitlog=CommitLogConfig(segment_bytes=64 * 1024, total_space_bytes=1 << 20),
)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test that must not wait for ever."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test

    asyncio.run(bounded())


async def opened(disk: Disk, directory: str = "/shard-0") -> Engine:
    engine = Engine(disk, directory, 0, CONFIG, random=Random(directory))
    report = await engine.open([layout(), layout(table_id=OTHER_ID, name="ks.other")])
    assert not report.damaged
    return engine


def put(number: int, ts: int, table_id: bytes = TABLE_ID) -> Mutation:
    row = RowBuilder()
    row.begin(ts, True)
    row.cell(1, ts, b"v%d" % ts)
    builder = MutationBuilder(table_id, key_of(number % 5))
    builder.row(b"c%03d" % number, row.finish())
    return builder.finish()


async def write(engine: Engine, numbers: range, ts: int) -> None:
    for number in numbers:
        waited = engine.apply(put(number, ts))
        assert waited is None
    engine.end_of_turn()


async def rows(engine: Engine) -> dict[bytes, bytes]:
    answer = engine.read(Slice(TABLE_ID), 0)
    page = answer if isinstance(answer, Page) else await answer
    return {
        clustering: row
        for partition in page.partitions
        for clustering, row in zip(partition.clusterings, partition.rows, strict=True)
    }


async def taken(engine: Engine) -> tuple[list[SnapshotFile], dict[bytes, bytes]]:
    """A snapshot of two files, the second from memory, and what it holds."""
    await write(engine, range(30), 1)
    await engine.flush()
    await write(engine, range(20, 50), 2)
    files = await engine.link_files(TABLE_ID, SNAPSHOT)
    assert len(files) == 2
    return files, await rows(engine)


def test_a_restored_table_holds_what_it_held_and_what_comes_later() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await opened(disk)
        files, expected = await taken(engine)
        await write(engine, range(80), 9)
        await engine.compact(TABLE_ID, 1)
        await write(engine, range(80, 90), 10)
        await engine.restore_files(TABLE_ID, SNAPSHOT, files)
        engine.check()
        assert await rows(engine) == expected
        await write(engine, range(90, 91), 11)
        assert (await rows(engine)).keys() - expected.keys() == {b"c090"}
        # Nothing of what was replaced is replayed.
        again = disk.restart(power_cut=False)
        engine = await opened(again)
        assert (await rows(engine)).keys() - expected.keys() == {b"c090"}
        await engine.stop()

    run(test())


def test_files_that_are_still_there_stay_and_those_that_went_come_back() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk())
        files, expected = await taken(engine)
        before = engine._tables[TABLE_ID].sstables
        await write(engine, range(50, 60), 3)
        await engine.flush()
        await engine.restore_files(TABLE_ID, SNAPSHOT, files)
        assert engine._tables[TABLE_ID].sstables == before
        await engine.truncate(TABLE_ID)
        assert await rows(engine) == {}
        await engine.restore_files(TABLE_ID, SNAPSHOT, files)
        assert [f.generation for f in before] == [
            f.generation for f in engine._tables[TABLE_ID].sstables
        ]
        assert await rows(engine) == expected
        await engine.stop()

    run(test())


def test_another_directory_takes_the_files_under_numbers_of_its_own() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        engine = await opened(disk)
        files, expected = await taken(engine)
        other = await opened(disk, "/shard-other")
        other.apply(put(1, 1, OTHER_ID))
        await other.flush()
        assert other._tables[OTHER_ID].sstables[0].generation in [file.number for file in files]
        await write(other, range(100, 130), 5)
        await other.flush()
        reader = other._tables[TABLE_ID].sstables[0].acquire()
        await other.restore_files(TABLE_ID, SNAPSHOT, files)
        assert await rows(other) == expected
        await write(other, range(100, 130), 5)
        await other.flush()
        other._store.manifest.check()
        assert len(await rows(other)) == len(expected) + 30
        await other._store.release([reader])
        await other.stop()
        other = await opened(disk, "/shard-other")
        assert len(await rows(other)) == len(expected) + 30
        await other.stop()
        await engine.stop()

    run(test())


def test_a_table_without_data_leaves_no_directory() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        engine = await opened(disk)
        assert await engine.link_files(TABLE_ID, SNAPSHOT) == []
        assert "snapshots" not in await disk.list("/")
        await engine.stop()

    run(test())


def test_a_restore_that_finds_the_disk_full_changes_nothing() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await opened(disk)
        files, _ = await taken(engine)
        await engine.truncate(TABLE_ID)
        await write(engine, range(200, 210), 7)
        await engine.flush()
        await write(engine, range(210, 220), 7)
        expected = await rows(engine)
        disk.faults.choose = lambda _number, operation, path: (
            errno.ENOSPC if (operation, path) == ("write", "/shard-0/manifest.new") else 0
        )
        with pytest.raises(DiskFull):
            await engine.restore_files(TABLE_ID, SNAPSHOT, files)
        disk.faults.choose = None
        engine.check()
        assert await rows(engine) == expected
        assert len(await disk.list(engine._tables[TABLE_ID].directory)) == 1
        await engine.flush()
        assert await rows(engine) == expected
        await engine.stop()

    run(test())


def test_a_file_of_the_snapshot_that_is_another_file_is_refused() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        engine = await opened(disk)
        files, _ = await taken(engine)
        await engine.truncate(TABLE_ID)
        await write(engine, range(3), 7)
        expected = await rows(engine)
        wrong = [SnapshotFile(f.number, f.size, f.level, bytes(16)) for f in files]
        with pytest.raises(CorruptFile):
            await engine.restore_files(TABLE_ID, SNAPSHOT, wrong)
        damaged = await disk.open(f"{SNAPSHOT}/{files[1].name}", OpenMode.LOG)
        await damaged.write(files[1].size - 4000, b"\x01")
        await damaged.close()
        with pytest.raises(CorruptFile):
            await engine.restore_files(TABLE_ID, SNAPSHOT, files)
        assert await rows(engine) == expected
        await engine.stop()

    run(test())


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_crash_during_a_restore_leaves_the_old_or_the_new_table(power_cut: bool) -> None:
    async def test() -> None:
        kept: list[tuple[dict[bytes, bytes], dict[bytes, bytes]]] = []

        async def scenario(disk: SimulatedDisk) -> None:
            engine = await opened(disk)
            files, expected = await taken(engine)
            await write(engine, range(40, 70), 5)
            await engine.compact(TABLE_ID, 1)
            await engine.flush()
            kept.append((await rows(engine), expected))
            await engine.restore_files(TABLE_ID, SNAPSHOT, files)
            kept.append((expected, expected))
            await engine.stop()

        random = Random(7)
        crashes = 0
        for_this_run = 0
        async for dead in crash_at_every_call(random, scenario):
            found = kept[for_this_run:]
            for_this_run = len(kept)
            if not found:
                continue  # It stopped before there was anything to restore.
            crashes += 1
            engine = await opened(dead.restart(power_cut=power_cut))
            assert await rows(engine) in found[-1]
            await engine.stop()
        assert crashes > 15

    run(test())

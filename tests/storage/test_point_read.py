"""Frames that come to a search by the disk's own call, without a coroutine that waits for them."""

import asyncio
import errno
from dataclasses import replace
from random import Random

import pytest

from storage.engine import Engine
from storage.errors import CorruptFile, DiskError
from storage.io_queue import IoClass
from storage.slice import Page, Slice
from tests.sim.disk import SimulatedDisk
from tests.storage.sstable.support import TABLE_ID, key_of
from tests.storage.test_engine import SMALL, clusterings, layout, put, run

WANTED = Slice(TABLE_ID, key=key_of(1))


async def _with_files(disk: SimulatedDisk, files: int, io_calls_max: int = 64) -> Engine:
    """An engine whose partitions lie in several files, no block of which is cached."""
    config = replace(SMALL, io_calls_max=io_calls_max, row_cache_bytes=0)
    engine = Engine(disk, "/shard-0", 0, config)
    await engine.open([layout()])
    for number in range(files):
        for key in range(8):
            engine.apply(put(key, b"c%d" % number, number + 1))
        await engine.flush()
    engine._cache.resize(0)
    return engine


def _in_flight(engine: Engine) -> tuple[int, int]:
    return engine._io.in_flight


def test_a_read_of_several_files_waits_for_one_future() -> None:
    async def test() -> None:
        engine = await _with_files(SimulatedDisk(Random(0)), 3)
        assert await clusterings(engine, 1) == [b"c0", b"c1", b"c2"]
        (query,) = [each for each in engine.statistics().io if each.name == IoClass.QUERY.value[0]]
        assert query.calls == 6, "an index block and a data block of each file"
        assert _in_flight(engine) == (0, 0)
        await engine.stop()

    run(test())


def test_all_files_are_looked_into_at_once() -> None:
    async def test() -> None:
        engine = await _with_files(SimulatedDisk(Random(0)), 3)
        answer = engine.read(WANTED, 0)
        assert not isinstance(answer, Page)
        assert _in_flight(engine)[0] == 3
        assert len((await answer).partitions[0].rows) == 3
        await engine.stop()

    run(test())


def test_reads_that_wait_for_their_turn_are_all_answered() -> None:
    async def test() -> None:
        engine = await _with_files(SimulatedDisk(Random(0)), 2, io_calls_max=1)
        pages = await asyncio.gather(*(clusterings(engine, key) for key in range(8)))
        assert pages == [[b"c0", b"c1"]] * 8
        assert _in_flight(engine) == (0, 0)
        await engine.stop()

    run(test())


@pytest.mark.parametrize("calls_max", [1, 64])
def test_a_read_that_is_given_up_gives_its_turn_back(calls_max: int) -> None:
    async def test() -> None:
        engine = await _with_files(SimulatedDisk(Random(0)), 2, io_calls_max=calls_max)
        tasks = [asyncio.ensure_future(clusterings(engine, key)) for key in range(8)]
        await asyncio.sleep(0)
        for task in tasks[:7]:
            task.cancel()
        assert await tasks[7] == [b"c0", b"c1"]
        while _in_flight(engine) != (0, 0):
            await asyncio.sleep(0)
        engine.check()
        await engine.stop()

    run(test())


def test_a_failing_disk_fails_the_read_and_leaves_nothing_behind() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await _with_files(disk, 1)
        disk.faults.choose = lambda _, operation, __: errno.EIO if operation == "read" else 0
        with pytest.raises(DiskError):
            await clusterings(engine, 1)
        assert _in_flight(engine) == (0, 0)
        disk.faults.choose = None
        assert await clusterings(engine, 1) == [b"c0"]
        await engine.stop()

    run(test())


def test_a_damaged_frame_fails_the_read_and_is_told() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await _with_files(disk, 1)
        (path,) = [path for path in disk.paths() if path.endswith(".sst")]
        disk.flip_bit(path, 100)
        with pytest.raises(CorruptFile):
            await clusterings(engine, 1)
        assert _in_flight(engine) == (0, 0)
        answer = engine.read(WANTED, 0)
        assert not isinstance(answer, Page)
        with pytest.raises(CorruptFile):
            await answer
        await engine.stop()

    run(test())

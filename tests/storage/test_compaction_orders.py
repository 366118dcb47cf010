"""What operators ask of compactions: keys, groups, fewer, slower, none, and an end."""

import asyncio
from random import Random

import pytest

from storage.compaction.limits import Limits
from storage.engine import Engine
from storage.errors import CompactionRefused
from storage.memory_disk import MemoryDisk
from tests.sim.disk import SimulatedDisk
from tests.storage.sstable.support import TABLE_ID, key_of
from tests.storage.test_compactor import SIZES, fill, pause, settle
from tests.storage.test_engine import clusterings, delete, opened, put, run


async def with_files(disk: MemoryDisk, count: int) -> Engine:
    engine = await opened(disk, compaction=SIZES)
    for number in range(count):
        engine.apply(put(number, b"c", 1))
        await engine.flush()
    return engine


def test_a_disabled_table_is_compacted_only_when_asked() -> None:
    async def test() -> None:
        engine = await with_files(MemoryDisk(), 4)
        engine.compactor.limits.disabled.add(TABLE_ID)
        assert engine.background(10) == []
        assert engine.compactor.pending(10) == {}
        await engine.compact(TABLE_ID)
        assert len(engine._tables[TABLE_ID].sstables) == 1
        await engine.stop()

    run(test())


def test_what_waits_is_counted() -> None:
    async def test() -> None:
        engine = await with_files(MemoryDisk(), 4)
        name = engine.layouts()[0].name
        assert engine.compactor.pending(10) == {name: 1}
        (job,) = engine.background(10)
        assert engine.compactor.pending(10) == {name: 1}, "it runs"
        await job
        assert engine.compactor.pending(10) == {}
        await engine.stop()

    run(test())


def test_no_compaction_begins_where_none_is_allowed() -> None:
    async def test() -> None:
        engine = await with_files(MemoryDisk(), 4)
        engine.compactor.limits.compactions_max = 0
        assert engine.background(10) == []
        engine.compactor.limits.compactions_max = 1
        await settle(engine, 10)
        assert len(engine._tables[TABLE_ID].sstables) == 1
        await engine.stop()

    run(test())


def test_one_that_was_asked_for_says_that_it_was_stopped() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await with_files(disk, 3)
        arrived, released = pause(disk, "read")
        running = asyncio.ensure_future(engine.compact(TABLE_ID))
        await arrived.wait()
        assert engine.compactor.stop_some(lambda shown: shown.number == 7) == 0
        assert engine.compactor.stop_some(lambda shown: shown.number == 1) == 1
        released.set()
        with pytest.raises(CompactionRefused, match="was stopped"):
            await running
        assert len(engine._tables[TABLE_ID].sstables) == 3
        assert len([path for path in disk.paths() if path.endswith(".sst")]) == 3
        await engine.stop()

    run(test())


def test_one_that_was_stopped_does_not_begin_again_at_once() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await with_files(disk, 4)
        arrived, released = pause(disk, "read")
        (job,) = engine.background(10)
        running = asyncio.ensure_future(job)
        await arrived.wait()
        assert engine.compactor.stop_some(lambda shown: True) == 1
        released.set()
        await running
        assert engine.background(11) == []
        engine.apply(put(9, b"c", 1))
        await engine.flush()
        await settle(engine, 12)
        assert len(engine._tables[TABLE_ID].sstables) == 1, "something about the files has changed"
        await engine.stop()

    run(test())


def test_without_room_the_files_stay() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        engine = await with_files(disk, 3)
        engine._store.volume.reserve(1 << 62)
        with pytest.raises(CompactionRefused, match="more than are free"):
            await engine.compact(TABLE_ID)
        assert len(engine._tables[TABLE_ID].sstables) == 3
        engine._store.volume.free(1 << 62)
        await engine.stop()

    run(test())


def test_groups_are_the_files_that_overlap() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk(), compaction=SIZES)
        low, middle, high = sorted((1, 2, 3), key=key_of)
        for numbers in ((low, middle), (low,), (high,), (high,)):
            for number in numbers:
                engine.apply(put(number, b"c", 1))
            await engine.flush()
        await engine.compact(TABLE_ID, is_grouped=True)
        facts = [file.statistics for file in engine._tables[TABLE_ID].sstables]
        spans = sorted((fact.first_key, fact.last_key) for fact in facts)
        assert spans == [(key_of(low), key_of(middle)), (key_of(high), key_of(high))]
        await engine.stop()

    run(test())


def test_young_tombstones_of_forced_keys_go_and_others_stay() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk(), compaction=SIZES)
        for number in range(20):
            engine.apply(put(number, b"c", 1))
            engine.apply(put(number, b"kept", 3))
        await engine.flush()
        for number in range(20):
            engine.apply(delete(number, b"a", b"d", 2))
        await engine.flush()
        forced = [key_of(3), key_of(4), key_of(99)]
        await engine.compact(TABLE_ID, 5, forced=forced)
        (file,) = engine._tables[TABLE_ID].sstables
        assert file.statistics.tombstones == 18
        assert [await clusterings(engine, number) for number in range(20)] == [[b"kept"]] * 20
        await engine.stop()

    run(test())


def test_files_without_a_forced_key_are_left_alone() -> None:
    async def test() -> None:
        engine = await with_files(MemoryDisk(), 3)
        kept = {file.generation for file in engine._tables[TABLE_ID].sstables[:2]}
        await engine.compact(TABLE_ID, forced=[key_of(0)])
        assert kept < {file.generation for file in engine._tables[TABLE_ID].sstables}
        await engine.stop()

    run(test())


def test_a_rate_is_kept_over_pauses() -> None:
    limits = Limits(1, 1000)
    assert limits.delay(500, 10.0) == 0.5
    assert limits.delay(500, 10.0) == 1.0, "two that run share the rate"
    assert limits.delay(100, 60.0) == pytest.approx(0.1), "what was not used is lost"
    limits.bytes_per_s = 0
    assert limits.delay(1 << 30, 60.0) == 0.0


def test_a_limited_compaction_takes_its_time() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk(), compaction=SIZES)
        for round_ in range(3):
            fill(engine, round_, Random(round_))
            await engine.flush()
        size = sum(file.file_bytes for file in engine._tables[TABLE_ID].sstables)
        engine.compactor.limits.bytes_per_s = size * 20
        loop = asyncio.get_running_loop()
        began = loop.time()
        await engine.compact(TABLE_ID)
        assert loop.time() - began > 0.03, "all but what headers and indexes take of the files"
        await engine.stop()

    run(test())

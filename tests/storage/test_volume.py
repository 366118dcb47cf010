"""A disk that fills: who is refused, what goes on, and that it ends by itself."""

import asyncio
import errno
from random import Random

import pytest

from storage.disk import OpenMode
from storage.engine import Engine, EngineConfig
from storage.errors import CorruptFile, DiskFull, DiskNearlyFull
from storage.layout import Layout
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice
from storage.volume import Marks, Volume
from tests.sim.disk import SimulatedDisk
from tests.storage.sstable.support import TABLE_ID, key_of, layout, run
from tests.storage.test_compactor import settle
from tests.storage.test_engine import SMALL

KIB = 1024
OTHER_ID = b"o" * 16


class Listener:
    """Remembers what storage says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def work_is_due(self) -> None:
        pass

    def has_failed(self, error: BaseException) -> None:
        raise AssertionError(f"a full disk is no failure: {error}")

    def has_found_damage(self, damage: CorruptFile) -> None:
        raise damage

    def tell(self, message: str) -> None:
        self.said.append(message)


def mutation(number: int, size: int = 1000, table_id: bytes = TABLE_ID) -> Mutation:
    row = RowBuilder()
    row.begin(number + 1, True)
    row.cell(1, number + 1, Random(number).randbytes(size))
    builder = MutationBuilder(table_id, key_of(number))
    builder.row(b"c", row.finish())
    return builder.finish()


async def engine_on(
    disk: SimulatedDisk, marks: Marks, *tables: Layout, listener: Listener | None = None
) -> Engine:
    config = EngineConfig(
        memtable_bytes=SMALL.memtable_bytes,
        block_cache_bytes=SMALL.block_cache_bytes,
        commitlog=SMALL.commitlog,
        marks=marks,
    )
    engine = Engine(disk, "/shard-0", 0, config, listener=listener or Listener())
    await engine.open(list(tables) or [layout()])
    return engine


async def has(engine: Engine, number: int) -> bool:
    answer = engine.read(Slice(TABLE_ID, key=key_of(number)), 0)
    page = answer if isinstance(answer, Page) else await answer
    return bool(page.partitions)


def test_writes_are_refused_at_the_high_mark_and_accepted_below_the_low_one() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        listener = Listener()
        await _fill(disk, "/others", 1000 * KIB)
        engine = await engine_on(disk, Marks(free_min_bytes=100 * KIB), listener=listener)
        engine.apply(mutation(1))
        used = disk.bytes_used
        disk.faults.bytes_max = used + 500 * KIB
        engine.tick(1.0)
        engine.apply(mutation(2))
        disk.faults.bytes_max = used + 99 * KIB
        engine.tick(2.0)
        with pytest.raises(DiskNearlyFull, match="nearly full"):
            engine.apply(mutation(3))
        with pytest.raises(DiskNearlyFull):
            engine.apply_all([mutation(3)])
        assert await has(engine, 2), "reads go on"
        disk.faults.bytes_max = used + 110 * KIB
        engine.tick(3.0)
        with pytest.raises(DiskNearlyFull):
            engine.apply(mutation(3))
        disk.faults.bytes_max = used + 500 * KIB
        engine.tick(4.0)
        engine.apply(mutation(3))
        assert await has(engine, 3)
        assert [("refused" in text, "accepted" in text) for text in listener.said] == [
            (True, False),
            (False, True),
        ]
        await engine.stop()

    run(test())


def test_the_part_in_use_may_be_bounded() -> None:
    disk = SimulatedDisk(Random(0))
    asyncio.run(disk.make_directory("/d"))
    disk.faults.bytes_max = 1000
    asyncio.run(_fill(disk, "/d/f", 899))
    volume = Volume(disk, "/d", Marks(used_max=0.9), lambda _: None)
    volume.look()
    assert not volume.is_refusing
    asyncio.run(_fill(disk, "/d/g", 2))
    volume.look()
    assert volume.is_refusing


async def _fill(disk: SimulatedDisk, path: str, size: int) -> None:
    file = await disk.open(path, OpenMode.CREATE)
    await file.write(0, bytes(size))


def test_an_engine_that_fills_its_disk_loses_nothing_and_recovers_by_itself(seed: int) -> None:
    """Written until refused, flushed, compacted; then there is room, and everything goes on."""

    async def test() -> None:
        chance = Random(seed)
        disk = SimulatedDisk(chance)
        await _fill(disk, "/others", 1000 * KIB)
        marks = Marks(free_min_bytes=80 * KIB, flush_bytes=40 * KIB)
        engine = await engine_on(disk, marks)
        accepted, refused = set(), 0
        for round_ in range(8):
            disk.faults.bytes_max = 0
            room_left = chance.randrange(100, 400) * KIB
            disk.faults.bytes_max = disk.bytes_used + room_left
            for _ in range(600):
                number = len(accepted)
                engine.tick(float(round_))
                try:
                    waited = engine.apply(mutation(number))
                    if waited is not None:
                        await waited
                    engine.end_of_turn()
                except DiskNearlyFull:
                    refused += 1
                    break
                accepted.add(number)
                if number % 7 == 0:
                    for job in engine.background(round_ * 100):
                        await job
            else:
                raise AssertionError("the disk fills")
            engine.check()
            assert await has(engine, chance.choice(sorted(accepted)))
        assert refused == 8
        disk.faults.bytes_max = 0
        engine.tick(100.0)
        engine.apply(mutation(len(accepted)))
        await engine.flush()
        await settle(engine, 10_000)
        await engine.stop()
        disk = disk.restart(power_cut=True)
        engine = await engine_on(disk, Marks())
        for number in sorted(accepted):
            assert await has(engine, number), f"{number} was acknowledged"
        await engine.stop()

    run(test())


def test_a_flush_that_meets_the_end_of_the_disk_refuses_writes_until_there_is_room() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await engine_on(disk, Marks())
        number = 0
        while not (jobs := engine.background(1)):
            engine.apply(mutation(number))
            engine.end_of_turn()
            number += 1
        disk.faults.choose = lambda _, called, path: (
            errno.ENOSPC if called == "write" and path.endswith(".sst") else 0
        )
        for job in jobs:
            with pytest.raises(DiskFull):
                await job
        with pytest.raises(DiskNearlyFull):
            engine.apply(mutation(number))
        disk.faults.choose = None
        engine.tick(2.0)
        engine.apply(mutation(number))
        await settle(engine, 3)
        for written in range(number + 1):
            assert await has(engine, written)
        await engine.stop()

    run(test())


def test_a_compaction_that_does_not_fit_is_made_smaller_or_waits_and_says_so_once() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        listener = Listener()
        engine = await engine_on(disk, Marks(), listener=listener)
        for part, rows in enumerate((40, 10, 10, 10)):
            for number in range(rows):
                engine.apply(mutation(part * 100 + number))
                engine.end_of_turn()
            await engine.flush()
        disk.faults.bytes_max = disk.bytes_used + 10 * KIB
        for _ in range(3):
            assert engine.background(10) == []
        assert len(listener.said) == 1 and "does not fit" not in listener.said[0]
        disk.faults.bytes_max = disk.bytes_used + 60 * KIB
        (job,) = engine.background(11)
        await job
        assert len(engine._tables[TABLE_ID].sstables) == 2, "the large file was left out"
        assert len(listener.said) == 1
        assert engine._volume.reserved_bytes == 0
        await engine.stop()

    run(test())


def test_a_table_with_more_to_do_does_not_keep_others_waiting_for_ever() -> None:
    async def test() -> None:
        other = layout(table_id=OTHER_ID, name="ks.other")
        engine = await engine_on(SimulatedDisk(Random(0)), Marks(), layout(), other)
        for number in range(4):
            engine.apply(mutation(number, table_id=OTHER_ID))
            await engine.flush(OTHER_ID)
        for round_ in range(20):
            while len(engine._tables[TABLE_ID].sstables) < 12:
                engine.apply(mutation(round_))
                await engine.flush(TABLE_ID)
            (job,) = engine.background(round_)
            await job
            if len(engine._tables[OTHER_ID].sstables) == 1:
                assert round_ > 0, "twelve files come before four"
                break
        else:
            raise AssertionError("the other table had its turn")
        await engine.stop()

    run(test())


def test_what_runs_is_seen_and_counted() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await engine_on(disk, Marks())
        for number in range(4):
            engine.apply(mutation(number))
            await engine.flush()
        (job,) = engine.background(5)
        (running,) = engine.statistics().compactions_running
        assert (running.table, running.bytes_done) == (layout().name, 0)
        assert running.bytes_total == sum(
            file.file_bytes for file in engine._tables[TABLE_ID].sstables
        )
        assert engine._volume.reserved_bytes == running.bytes_total
        await job
        assert engine.statistics().compactions_running == ()
        assert engine._volume.reserved_bytes == 0
        await engine.stop()

    run(test())


def test_shards_do_not_count_on_the_same_space() -> None:
    disk = SimulatedDisk(Random(0))
    asyncio.run(disk.make_directory("/d"))
    disk.faults.bytes_max = 1000
    marks = Marks(flush_bytes=100, shards=3)
    volumes = [Volume(disk, "/d", marks, lambda _: None) for _ in range(3)]
    for volume in volumes:
        volume.look()
        left = volume.bytes_left
        assert not volume.fits(left + 1)
        assert volume.fits(left)
        volume.reserve(left)
        assert not volume.fits(1)
    assert sum(volume.reserved_bytes for volume in volumes) <= 900
    assert sum(volume.reserved_bytes for volume in volumes) > 900 - len(volumes)

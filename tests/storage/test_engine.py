"""The engine's promises one by one."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from random import Random
from typing import Any

import pytest

import storage.read
from storage.commitlog import CommitLogConfig
from storage.disk import Disk
from storage.engine import Engine, EngineConfig
from storage.errors import CorruptData, CorruptFile, DiskError, Overloaded, UnknownTable
from storage.flush import write_memtable
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice
from storage.sstable.fetch import Fetch
from storage.sstable.reader import Parsed
from storage.store import Store
from tests.sim.disk import Faults, SimulatedDisk
from tests.storage.sstable.support import TABLE_ID, key_of, layout

OTHER_ID = b"o" * 16
MERE_ROWS = {"has_clustering": False, "has_static": False}
SMALL = EngineConfig(
    memtable_bytes=64 * 1024,
    block_cache_bytes=1 << 14,
    commitlog=CommitLogConfig(segment_bytes=64 * 1024, total_space_bytes=1 << 20),
)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test that must not wait for ever."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test

    asyncio.run(bounded())


async def opened(disk: Disk, config: EngineConfig = SMALL, **options: Any) -> Engine:
    engine = Engine(disk, "/shard-0", 0, config)
    other = layout(**options, table_id=OTHER_ID, name="ks.other")
    await engine.open([layout(**options), other])
    return engine


def put(key: int, clustering: bytes, ts: int, value: bytes = b"v") -> Mutation:
    row = RowBuilder()
    row.begin(ts, True)
    row.cell(1, ts, value)
    builder = MutationBuilder(TABLE_ID, key_of(key))
    builder.row(clustering, row.finish())
    return builder.finish()


def delete(key: int, start: bytes, end: bytes, ts: int) -> Mutation:
    builder = MutationBuilder(TABLE_ID, key_of(key))
    builder.range_tombstone(start, end, ts, 0)
    return builder.finish()


async def read(engine: Engine, wanted: Slice) -> Page:
    answer = engine.read(wanted, 0)
    return answer if isinstance(answer, Page) else await answer


async def clusterings(engine: Engine, key: int) -> list[bytes]:
    page = await read(engine, Slice(TABLE_ID, key=key_of(key)))
    return [c for partition in page.partitions for c in partition.clusterings]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("place", ["memory", "file", "cache"])
@pytest.mark.parametrize("one_key", [False, True])
def test_a_partition_of_mere_range_tombstones_is_read_in_many_pages(
    reverse: bool, place: str, one_key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.read, "PAUSES_MAX", 3)
    count = 20_000

    async def page_through(engine: Engine) -> list[Page]:
        wanted = Slice(TABLE_ID, key=key_of(1) if one_key else None, reverse=reverse)
        pages = [await read(engine, wanted)]
        while pages[-1].more:
            pages.append(await read(engine, wanted.after(pages[-1])))
        return pages

    async def test() -> None:
        config = EngineConfig(row_cache_bytes=1 << 24 if place == "cache" else 0)
        engine = Engine(MemoryDisk(), "/shard-0", 0, config)
        await engine.open([layout()])
        for number in range(count):
            start = b"\x10%07d" % number
            engine.apply(delete(1, start, start + b"\x05", 5))
        for clustering in (b"\x0f", b"\x10%07d\x04" % 9, b"\x10%07d\x06" % 9, b"\x11"):
            engine.apply(put(1, clustering, 4))
        if place != "memory":
            await engine.flush()
        if place == "cache":
            await page_through(engine)
        pages = await page_through(engine)
        rows = [c for page in pages for part in page.partitions for c in part.clusterings]
        live = [b"\x0f", b"\x10%07d\x06" % 9, b"\x11"]
        assert rows == live[:: -1 if reverse else 1]
        steps = 3 * storage.read.STEPS_MAX
        assert count / (3 * steps) <= len(pages) <= 2 * count / steps
        await engine.stop()

    run(test())


def files(engine: Engine) -> list[int]:
    return [file.generation for file in engine._tables[TABLE_ID].sstables]


def test_what_is_in_memory_is_answered_at_once() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk())
        assert engine.apply(put(1, b"c", 1)) is None
        assert isinstance(engine.read(Slice(TABLE_ID, key=key_of(1)), 0), Page)
        assert isinstance(engine.read(Slice(TABLE_ID), 0), Page)
        await engine.stop()

    run(test())


def test_what_is_in_the_block_cache_is_answered_at_once() -> None:
    async def test() -> None:
        engine = await opened(SimulatedDisk(Random(0)))
        engine.apply(put(1, b"c", 1))
        await engine.flush()
        wanted = Slice(TABLE_ID, key=key_of(1))
        first = engine.read(wanted, 0)
        assert not isinstance(first, Page)
        page = await first
        assert engine.read(wanted, 0) == page
        await engine.stop()

    run(test())


@pytest.mark.parametrize("has_clustering", [True, False])
def test_a_cached_row_is_answered_at_once_unless_the_cache_is_bypassed(
    has_clustering: bool,
) -> None:
    async def test() -> None:
        config = EngineConfig(block_cache_bytes=0, row_cache_bytes=1 << 20)
        engine = Engine(SimulatedDisk(Random(0)), "/shard-0", 0, config)
        await engine.open([layout(has_clustering=has_clustering, has_static=False)])
        clustering = b"c" if has_clustering else b""
        engine.apply(put(1, clustering, 1))
        await engine.flush()
        wanted = Slice(TABLE_ID, key=key_of(1))
        past = Slice(TABLE_ID, key=key_of(1), bypass_cache=True)
        first = engine.read(past, 0)
        assert not isinstance(first, Page)
        await first
        first = engine.read(wanted, 0)
        assert not isinstance(first, Page), "a bypass keeps nothing"
        page = await first
        assert engine.read(wanted, 0) == page
        engine.apply(put(1, clustering, 2, b"newer"))
        before = engine.read(wanted, 0)
        assert isinstance(before, Page) and before != page
        await engine.flush()
        assert engine.read(wanted, 0) == before, "a flush keeps what is cached, and makes it newer"
        last = engine.read(past, 0)
        assert not isinstance(last, Page)
        assert await last == before
        await engine.stop()

    run(test())


async def with_room_for_one_read() -> Engine:
    """Two partitions in a file, of which no block is cached."""
    config = EngineConfig(block_cache_bytes=0, row_cache_bytes=1 << 20, read_bytes=1)
    engine = Engine(SimulatedDisk(Random(0)), "/shard-0", 0, config)
    await engine.open([layout()])
    for key in (1, 2):
        engine.apply(put(key, b"c", 1))
    await engine.flush()
    return engine


@pytest.mark.parametrize("change", ["off", "off and on"])
def test_a_read_that_waited_for_room_keeps_nothing_in_a_cache_that_is_gone(change: str) -> None:
    async def test() -> None:
        engine = await with_room_for_one_read()
        first, second = (engine.read(Slice(TABLE_ID, key=key_of(key)), 0) for key in (1, 2))
        assert not isinstance(first, Page) and not isinstance(second, Page)
        engine.set_layout(layout(caching_rows=False))
        if change == "off and on":
            engine.set_layout(layout())
        found = await asyncio.gather(first, second)
        assert [len(page.partitions) for page in found] == [1, 1]
        for job in engine.background(1):
            await job
        assert engine.statistics().row_cache_bytes == 0
        await engine.stop()

    run(test())


@pytest.mark.parametrize("key", [key_of(2), None])
def test_a_read_that_waited_for_room_is_refused_when_its_table_is_dropped(
    key: bytes | None,
) -> None:
    async def test() -> None:
        engine = await with_room_for_one_read()
        first = engine.read(Slice(TABLE_ID, key=key_of(1)), 0)
        second = engine.read(Slice(TABLE_ID, key=key), 0)
        assert not isinstance(first, Page) and not isinstance(second, Page)
        await engine.drop_table(TABLE_ID)
        assert len((await first).partitions) == 1, "it has begun"
        with pytest.raises(UnknownTable):
            await second
        for job in engine.background(1):
            await job
        assert engine.statistics().row_cache_bytes == 0
        engine.check()
        await engine.stop()

    run(test())


def test_a_tombstone_stays_while_another_file_has_what_it_covers() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk(), gc_grace_s=0)
        for clustering in (b"c0", b"c1", b"c2"):
            engine.apply(put(1, clustering, 5))
        await engine.flush()
        engine.apply(delete(1, b"c1", b"c2", 9))
        await engine.flush()
        table = engine._tables[TABLE_ID]
        await engine._compactor.compact_some(table, table.sstables[:1], 10)
        assert await clusterings(engine, 1) == [b"c0", b"c2"]
        await engine.compact(TABLE_ID, 10)
        assert await clusterings(engine, 1) == [b"c0", b"c2"]
        assert table.sstables[0].statistics.tombstones == 0
        await engine.stop()

    run(test())


def test_a_tombstone_stays_while_memory_has_what_it_covers() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk(), gc_grace_s=0)
        engine.apply(delete(1, b"c1", b"c2", 9))
        await engine.flush()
        engine.apply(put(1, b"c1", 5))
        await engine.compact(TABLE_ID, 10)
        assert await clusterings(engine, 1) == []
        await engine.stop()

    run(test())


def test_a_compaction_of_nothing_but_old_tombstones_leaves_no_file() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        engine = await opened(disk, gc_grace_s=0)
        engine.apply(delete(1, b"c1", b"c2", 9))
        await engine.flush()
        await engine.compact(TABLE_ID, 10)
        assert files(engine) == []
        assert [path for path in disk._files if path.endswith(".sst")] == []
        await engine.stop()

    run(test())


def test_similar_files_are_merged_in_the_background() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk())
        for number in range(4):
            assert engine.background(0) == []
            engine.apply(put(number, b"c", 1))
            await engine.flush()
        (job,) = engine.background(0)
        assert engine.background(0) == [], "the work is claimed"
        await job
        assert files(engine) == [5]
        assert [await clusterings(engine, number) for number in range(4)] == [[b"c"]] * 4
        await engine.stop()

    run(test())


def test_a_table_with_a_flush_period_is_flushed_when_that_has_passed_and_not_before() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk(), memtable_flush_period_ms=60_000)
        assert engine.background(1_000) == []
        engine.apply(put(1, b"c", 1))
        assert engine.background(1_010) == [], "the period begins when the write is seen"
        engine.apply(put(2, b"c", 1))
        assert engine.background(1_069) == []
        (job,) = engine.background(1_070)
        await job
        assert files(engine) == [1]
        engine.apply(put(3, b"c", 1))
        assert engine.background(1_080) == [], "each memtable has a period of its own"
        engine.set_layout(layout(memtable_flush_period_ms=5_000))
        assert engine.background(1_084) == []
        (job,) = engine.background(1_085)
        await job
        assert sorted(files(engine)) == [1, 2]
        engine.apply(put(4, b"c", 1))
        engine.set_layout(layout(memtable_flush_period_ms=0))
        assert engine.background(1 << 31) == [], "0 is never"
        await engine.stop()

    run(test())


def test_a_file_goes_when_its_last_reader_has_gone() -> None:
    async def test() -> None:
        gate = asyncio.Event()
        disk = SimulatedDisk(Random(0))
        engine = await opened(disk)
        engine.apply(put(1, b"c", 1))
        await engine.flush()

        async def wait_at_reads(operation: str, path: str) -> None:
            if operation == "read" and path.endswith("1.sst"):
                await gate.wait()

        disk.faults.before = wait_at_reads
        reading = asyncio.ensure_future(engine.read(Slice(TABLE_ID, key=key_of(1)), 0))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await engine.truncate(TABLE_ID)
        assert any(path.endswith("1.sst") for path in disk.paths())
        gate.set()
        assert len((await reading).partitions) == 1
        async with asyncio.timeout(10):
            while any(path.endswith(".sst") for path in disk.paths()):
                await asyncio.sleep(0)
        await engine.stop()

    run(test())


def test_writers_wait_for_memory_and_nothing_is_lost() -> None:
    async def test() -> None:
        engine = await opened(SimulatedDisk(Random(0)))
        waited = 0
        for number in range(600):
            waiting = engine.apply(put(number, b"c", 1, b"x" * 500))
            engine.end_of_turn()
            if waiting is not None:
                waited += 1
                await waiting
            assert engine.statistics().memtable_bytes < 2 * SMALL.memtable_bytes
        assert waited > 0
        page = await read(engine, Slice(TABLE_ID))
        assert len(page.partitions) == 600
        await engine.stop()

    run(test())


def test_a_disk_that_stands_still_holds_writers_and_then_refuses_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        config = replace(SMALL, waiting_writes_max=20)
        engine = Engine(MemoryDisk(), "/shard-0", 0, config)
        await engine.open([layout()])
        goes_on = asyncio.Event()

        async def stands_still(*arguments: Any) -> Any:
            await goes_on.wait()
            return await write_memtable(*arguments)

        monkeypatch.setattr("storage.upkeep.write_memtable", stands_still)
        held: list[asyncio.Future[None]] = []
        refused = 0
        for number in range(400):
            try:
                waiting = engine.apply(put(number, b"c", 1, b"x" * 500))
            except Overloaded:
                refused += 1
                continue
            engine.end_of_turn()
            if waiting is not None:
                held.append(asyncio.ensure_future(waiting))
                await asyncio.sleep(0)
        assert len(held) == 20 and refused > 100
        assert engine.statistics().memtable_bytes < SMALL.memtable_bytes + 2_000
        # Who gives up takes neither the flush nor the others with it.
        held[0].cancel()
        await asyncio.sleep(0)
        goes_on.set()
        done = await asyncio.gather(*held, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError) and set(done[1:]) == {None}
        assert len((await read(engine, Slice(TABLE_ID))).partitions) == 400 - refused - 1
        engine.check()
        await engine.stop()

    run(test())


def test_open_files_take_their_memory_from_both_caches_and_then_from_the_memtables() -> None:
    async def test() -> None:
        cached, rows = SMALL.block_cache_bytes, 1 << 15
        engine = await opened(MemoryDisk(), replace(SMALL, row_cache_bytes=rows))
        for number in range(300):
            waiting = engine.apply(put(number, b"c", 1))
            engine.end_of_turn()
            if waiting is not None:
                await waiting
        await engine.flush()
        engine._charge_files()
        held = engine.statistics().files_bytes
        opened_files = engine._tables[TABLE_ID].sstables
        assert held == sum(file.memory_bytes for file in opened_files) > 300
        assert engine._cache.bytes_max == SMALL.block_cache_bytes - held
        assert engine._memory.limit == SMALL.memtable_bytes
        assert engine._rows.bytes_max == rows
        engine._tables[OTHER_ID].sstables = opened_files * ((cached // 2 + rows // 4) // held)
        engine._charge_files()
        excess = engine.statistics().files_bytes - cached // 2
        assert 0 < excess < rows // 2
        assert engine._cache.bytes_max == cached // 2
        assert engine._rows.bytes_max == rows - excess
        assert engine._memory.limit == SMALL.memtable_bytes
        engine._tables[OTHER_ID].sstables = opened_files * 1_000
        engine._charge_files()
        assert engine._cache.bytes_max == cached // 2
        assert engine._rows.bytes_max == rows // 2
        assert engine._memory.limit < SMALL.memtable_bytes
        engine._tables[OTHER_ID].sstables = ()
        await engine.stop()

    run(test())


def test_an_unknown_table_is_refused() -> None:
    async def test() -> None:
        engine = await opened(MemoryDisk())
        await engine.drop_table(TABLE_ID)
        with pytest.raises(UnknownTable):
            engine.apply(put(1, b"c", 1))
        with pytest.raises(UnknownTable):
            engine.read(Slice(TABLE_ID), 0)
        await engine.stop()

    run(test())


@pytest.mark.parametrize("operation", ["open", "remove"])
def test_a_drop_that_the_disk_refuses_is_a_drop_and_its_files_go_later(operation: str) -> None:
    async def test() -> None:
        is_refusing = False

        def choose(_number: int, called: str, _path: str) -> int:
            return errno.EMFILE if is_refusing and called == operation else 0

        disk = SimulatedDisk(Random(0), Faults(choose=choose))
        engine = await opened(disk)
        engine.apply(put(1, b"c", 1))
        await engine.flush()
        engine.apply(put(2, b"c", 1))
        is_refusing = True
        await engine.drop_table(TABLE_ID)
        assert engine._memory.used == 0 and not engine.knows(TABLE_ID)
        for work in engine.background(1):
            with pytest.raises(DiskError):
                await work
        assert any(path.endswith(".sst") for path in disk.paths())
        is_refusing = False
        for work in engine.background(2):
            await work
        assert not any(path.endswith(".sst") for path in disk.paths())
        assert engine.background(3) == []
        await engine.stop()

    run(test())


def test_a_damaged_file_fails_the_reads_that_need_it_and_no_others() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await opened(disk)
        engine.apply(put(1, b"c", 1))
        await engine.flush()
        engine.apply(put(2, b"c", 1))
        await engine.flush()
        (path,) = [path for path in disk.paths() if path.endswith("1.sst")]
        disk.flip_bit(path, 8 * 40)
        with pytest.raises(CorruptFile, match="at offset 0"):
            await clusterings(engine, 1)
        assert await clusterings(engine, 2) == [b"c"]
        with pytest.raises(CorruptData):
            await engine.compact(TABLE_ID)
        assert files(engine) == [2, 1], "damage is not compacted away"
        await engine.stop()

    run(test())


def range_of(engine: Engine, first: int, end: int) -> Awaitable[Page] | Page:
    return engine.read(Slice(TABLE_ID, key=(key_of(first), key_of(end))), 0)


async def two_files(harm: Callable[[SimulatedDisk, str], None]) -> tuple[SimulatedDisk, str]:
    """A disk with keys 3 and 5 in a file that was harmed, and keys 1, 4 and 7 in another."""
    disk = SimulatedDisk(Random(0))
    engine = await opened(disk)
    engine.apply(put(3, b"c", 1))
    engine.apply(put(5, b"c", 1))
    await engine.flush()
    for key in (1, 4, 7):
        engine.apply(put(key, b"c", 1))
    await engine.stop()
    path = min(path for path in disk.paths() if path.endswith(".sst"))
    harm(disk, path)
    return disk, path


def flip_footer(disk: SimulatedDisk, path: str) -> None:
    disk.flip_bit(path, 8 * (len(disk.content(path)) - 1))


@pytest.mark.parametrize("is_missing", [False, True])
def test_a_file_that_cannot_be_opened_fails_the_reads_of_its_keys_and_no_others(
    is_missing: bool,
) -> None:
    async def test() -> None:
        disk, path = await two_files(lambda *_: None if is_missing else flip_footer(*_))
        if is_missing:
            await disk.remove(path)
        engine = Engine(disk, "/shard-0", 0, SMALL)
        report = await engine.open([layout()])
        assert [damage.path for damage in report.damaged] == [path]
        for key in (3, 4, 5):
            with pytest.raises(CorruptFile):
                await clusterings(engine, key)
        assert await clusterings(engine, 1) == await clusterings(engine, 7) == [b"c"]
        assert await clusterings(engine, 2) == []
        for first, end in ((0, 9), (0, 4), (5, 6)):
            with pytest.raises(CorruptFile):
                range_of(engine, first, end)
        for first, end in ((0, 2), (6, 9)):
            answer = range_of(engine, first, end)
            page = answer if isinstance(answer, Page) else await answer
            assert len(page.partitions) == 1
        await engine.stop()

    run(test())


def test_tombstones_over_a_file_that_cannot_be_opened_are_not_purged() -> None:
    async def test() -> None:
        disk, path = await two_files(flip_footer)
        engine = Engine(disk, "/shard-0", 0, SMALL)
        await engine.open([layout(gc_grace_s=0)])
        for key in (2, 4):
            engine.apply(delete(key, b"", b"", 2))
        await engine.flush()
        await engine.compact(TABLE_ID, 1_000_000)
        await engine.stop()
        flip_footer(disk, path)
        engine = Engine(disk, "/shard-0", 0, SMALL)
        await engine.open([layout(gc_grace_s=0)])
        (merged,) = [f for f in engine._tables[TABLE_ID].sstables if f.path != path]
        assert merged.statistics.tombstones == 1, "that of the key which both files may have"
        await engine.stop()

    run(test())


def test_a_truncation_removes_what_cannot_be_opened_too() -> None:
    async def test() -> None:
        disk, path = await two_files(flip_footer)
        engine = Engine(disk, "/shard-0", 0, SMALL)
        await engine.open([layout()])
        await engine.truncate(TABLE_ID)
        assert await clusterings(engine, 3) == [] and path not in disk.paths()
        await engine.stop()
        engine = Engine(disk.restart(power_cut=True), "/shard-0", 0, SMALL)
        assert not (await engine.open([layout()])).damaged
        await engine.stop()

    run(test())


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_flush_that_fails_is_tried_again(number: int) -> None:
    async def test() -> None:
        failures = 0
        disk = SimulatedDisk(Random(0))
        engine = await opened(disk)
        engine.apply(put(1, b"c", 1))
        for operation in ("open", "write", "sync", "close"):

            def choose(_: int, called: str, path: str, wanted: str = operation) -> int:
                return number if called == wanted and path.endswith(".sst") else 0

            disk.faults.choose = choose
            with pytest.raises(DiskError):
                await engine.flush()
            failures += 1
            disk.faults.choose = None
            assert await clusterings(engine, 1) == [b"c"]
            engine.check()
        await engine.flush()
        assert len(files(engine)) == 1 and failures == 4
        assert await clusterings(engine, 1) == [b"c"]
        await engine.stop()

    run(test())


def test_a_slice_of_a_wide_partition_reads_little() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await opened(disk, chunk_bytes=1024)
        engine.apply(put(1, b"a", 1, b"y" * 20_000))
        for number in range(300):
            waiting = engine.apply(put(1, b"c%05d" % number, 1, b"x" * 100))
            if waiting is not None:
                await waiting
        await engine.flush()
        await engine.compact(TABLE_ID)
        disk.trace.clear()
        for reverse in (False, True):
            ranges = ((b"c00100", b"c00103"),)
            wanted = Slice(TABLE_ID, key=key_of(1), ranges=ranges, reverse=reverse, static=False)
            page = await read(engine, wanted)
            assert len(page.partitions[0].rows) == 3
        assert len([call for call in disk.trace if call[0] == "read"]) <= 4
        await engine.stop()

    run(test())


def test_a_scan_in_pages_reads_no_block_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    read_from: list[int] = []
    load = Store.load_uncached

    def counted(store: Store, fetch: Fetch) -> Awaitable[list[Parsed]]:
        read_from.extend(place.offset for place in fetch.places)
        return load(store, fetch)

    async def test() -> None:
        config = EngineConfig(block_cache_bytes=1 << 19)
        engine = await opened(MemoryDisk(), config, chunk_bytes=1024, **MERE_ROWS)
        for number in range(5_000):
            assert engine.apply(put(number, b"", 1, Random(number).randbytes(100))) is None
        await engine.flush()
        monkeypatch.setattr(Store, "load_uncached", counted)
        wanted, rows = Slice(TABLE_ID, row_limit=150), 0
        while True:
            page = await read(engine, wanted)
            rows += sum(len(partition.rows) for partition in page.partitions)
            if not page.more:
                break
            wanted = wanted.after(page)
        assert rows == 5_000
        assert len(read_from) == len(set(read_from)) > 500
        await engine.stop()

    run(test())


def test_a_read_of_many_tombstones_in_memory_rests_although_no_block_has_many() -> None:
    async def scenario() -> None:
        engine = await opened(MemoryDisk())
        for number in range(5_000):
            row = RowBuilder()
            row.begin(1, False)
            row.delete_row(1, 1)
            builder = MutationBuilder(TABLE_ID, key_of(1))
            builder.row(b"%06d" % number, row.finish())
            waited = engine.apply(builder.finish())
            if waited is not None:
                await waited
        for reverse in (False, True):
            answer = engine.read(Slice(TABLE_ID, key=key_of(1), reverse=reverse), 0)
            assert not isinstance(answer, Page), "it lets others run before it is done"
            assert not (await answer).partitions
        await engine.stop()

    run(scenario())


@pytest.mark.parametrize("place", ["memory", "a file", "a file, past the row cache"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_page_of_nothing_but_tombstones_ends_in_time_and_the_next_one_goes_on(
    monkeypatch: pytest.MonkeyPatch, place: str, reverse: bool
) -> None:
    monkeypatch.setattr("storage.read.PAGE_S", 0.0)

    async def scenario() -> None:
        engine = Engine(MemoryDisk(), "/shard-0", 0)
        await engine.open([Layout(TABLE_ID, "k.t", frozenset({1}), True, False)])
        numbers = range(20_000)
        for number in numbers:
            row = RowBuilder()
            row.begin(1, number in (0, numbers[-1]))
            if number not in (0, numbers[-1]):
                row.delete_row(1, 1)
            builder = MutationBuilder(TABLE_ID, key_of(1))
            builder.row(b"%06d" % number, row.finish())
            waited = engine.apply(builder.finish())
            if waited is not None:
                await waited
        if place != "memory":
            await engine.flush()
        wanted = Slice(
            TABLE_ID, key=key_of(1), reverse=reverse, bypass_cache="past" in place, row_limit=10
        )
        found, pages = [], 0
        while True:
            page = await read(engine, wanted)
            found += [c for partition in page.partitions for c in partition.clusterings]
            pages += 1
            if not page.more:
                break
            wanted = wanted.after(page)
        assert found == [b"%06d" % n for n in (sorted((0, numbers[-1]), reverse=reverse))]
        assert pages >= 3, "each ends after a few turns"
        await engine.stop()

    run(scenario())

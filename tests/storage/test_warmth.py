"""A restart leaves the row cache warm, and nothing that happens to its file does any harm."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from storage import hot_keys, warmth
from storage.cache import RowCache, TableCache
from storage.engine import Engine, EngineConfig
from storage.errors import CorruptData
from storage.hot_keys import HotKey
from storage.io_queue import IoClassStatistics
from storage.layout import Layout
from storage.listener import SilentListener
from storage.merge import Chunk
from storage.mutation import MutationBuilder
from storage.row import NO_DELETION, RowBuilder
from storage.slice import Page, Slice
from storage.values import replace
from tests.sim.crash import crash_at_every_call
from tests.sim.disk import SimulatedDisk

DIRECTORY = "/shard-0"
WIDE = Layout(b"w" * 16, "ks.wide", frozenset({1}), True, False, chunk_bytes=200)
SINGLE = Layout(b"s" * 16, "ks.single", frozenset({1}), False, False)
CONFIG = EngineConfig(row_cache_bytes=1 << 20, hot_keys_period_s=60)
ENTRIES = [HotKey(WIDE.table_id, b"k%d" % n, b"", b"c" * n) for n in range(5)]


class Told(SilentListener):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def tell(self, message: str) -> None:
        self.messages.append(message)


async def opened(
    disk: SimulatedDisk, told: Told | None = None, config: EngineConfig = CONFIG
) -> Engine:
    engine = Engine(disk, DIRECTORY, 0, config, listener=told)
    await engine.open([WIDE, SINGLE])
    return engine


async def tick(engine: Engine, wall_s: int) -> None:
    for job in engine.background(wall_s):
        await job
    engine.check()


async def pages(engine: Engine, wanted: Slice) -> Page:
    answer = engine.read(wanted, 0)
    return answer if isinstance(answer, Page) else await answer


def put(engine: Engine, layout: Layout, key: bytes, clustering: bytes, ts: int = 1) -> None:
    row = RowBuilder()
    row.begin(ts, True)
    row.cell(1, ts, b"v" * 60)
    builder = MutationBuilder(layout.table_id, key)
    builder.row(clustering, row.finish())
    assert engine.apply(builder.finish()) is None


async def filled(disk: SimulatedDisk, config: EngineConfig = CONFIG) -> Engine:
    """Two tables in files, of each table some keys read."""
    engine = await opened(disk, config=config)
    for number in range(20):
        put(engine, SINGLE, b"key%02d" % number, b"")
        put(engine, WIDE, b"key", b"c%02d" % number)
    engine.end_of_turn()
    await engine.flush()
    await tick(engine, 1)
    await read_hot(engine)
    return engine


async def read_hot(engine: Engine) -> None:
    """Read ten partitions of one row, and two places of a wide partition."""
    for number in range(10):
        page = await pages(engine, Slice(SINGLE.table_id, key=b"key%02d" % number))
        assert len(page.partitions) == 1
    for start in (b"c02", b"c11"):
        ranges = ((start, start + b"\xff"),)
        page = await pages(engine, Slice(WIDE.table_id, key=b"key", ranges=ranges))
        assert page.partitions[0].clusterings == [start]


def misses(engine: Engine) -> int:
    return sum(table.row_cache_misses for table in engine.statistics().tables)


def cached(engine: Engine) -> list[int]:
    return [table.row_cache_partitions for table in engine.statistics().tables]


def test_what_was_hot_is_cached_before_anybody_reads_it() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        await (await filled(disk)).stop()
        engine = await opened(disk)
        assert cached(engine) == [0, 0]
        await tick(engine, 10)
        assert cached(engine) == [1, 10]
        assert misses(engine) == 0
        await read_hot(engine)
        assert misses(engine) == 0, "the reads were answered from memory"
        streaming: IoClassStatistics = engine.statistics().io[-1]
        assert streaming.name == "streaming" and streaming.calls > 0
        await engine.stop()

    asyncio.run(test())


def test_a_hot_row_is_read_without_a_call_to_the_disk_also_after_updates_and_their_flushes() -> (
    None
):
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        engine = await filled(disk)

        def calls() -> int:
            return sum(io.calls for io in engine.statistics().io if io.name == "query")

        async def value(key: bytes, **options: bool) -> bytes:
            page = await pages(engine, Slice(SINGLE.table_id, key=key, **options))
            (row,) = page.partitions[0].rows
            return row

        before = calls()
        assert before > 0, "the first reads have gone to the files"
        old = await value(b"key03")
        for ts in (2, 3):
            put(engine, SINGLE, b"key03", b"", ts)
            assert await value(b"key03") != old
            engine.end_of_turn()
            await engine.flush()
            new = await value(b"key03")
            assert new != old, "what was flushed is merged with what was cached"
            old = new
        assert calls() == before
        assert await value(b"key03", bypass_cache=True) == old
        assert calls() > before, "a read that bypasses the cache reads files"
        await engine.stop()

    asyncio.run(test())


def test_keys_are_saved_every_period_and_survive_a_kill() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        engine = await filled(disk)
        await tick(engine, 60)
        assert f"{DIRECTORY}/{hot_keys.NAME}" not in disk.paths()
        await tick(engine, 61)
        second = disk.restart(power_cut=True)
        engine = await opened(second)
        await tick(engine, 1)
        assert cached(engine) == [1, 10]
        await engine.stop()

    asyncio.run(test())


def test_a_second_restart_forgets_nothing_that_was_still_to_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warmth, "KEYS_PER_SECOND", 3)

    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        await (await filled(disk)).stop()
        engine = await opened(disk)
        await tick(engine, 1)
        await tick(engine, 1)
        assert sum(cached(engine)) <= 3, "no more than so many in a second"
        await engine.stop()
        await (await opened(disk)).stop()
        engine = await opened(disk)
        for second in range(1, 9):
            await tick(engine, second)
        assert cached(engine) == [1, 10]
        await engine.stop()

    asyncio.run(test())


def test_a_dropped_table_is_skipped_and_a_full_cache_ends_it() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        await (await filled(disk)).stop()
        engine = await opened(disk, config=replace(CONFIG, row_cache_bytes=1000))
        await engine.drop_table(WIDE.table_id)
        await tick(engine, 1)
        assert 2 < cached(engine)[0] < 10
        assert engine.statistics().row_cache_evictions == 0
        await engine.stop()

    asyncio.run(test())


@pytest.mark.parametrize("keys_max", [0, 4])
def test_no_more_is_saved_than_the_limit_says(keys_max: int) -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        await (await filled(disk, replace(CONFIG, hot_keys_max=keys_max))).stop()
        assert len(await hot_keys.read(disk, DIRECTORY)) == keys_max

    asyncio.run(test())


def test_a_damaged_file_is_told_of_once_and_ignored() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        await (await filled(disk)).stop()
        disk.flip_bit(f"{DIRECTORY}/{hot_keys.NAME}", 200)
        told = Told()
        engine = await opened(disk, told)
        for second in (1, 2, 3):
            await tick(engine, second)
        assert cached(engine) == [0, 0] and len(told.messages) == 1
        await read_hot(engine)
        await engine.stop()
        assert len(await hot_keys.read(disk, DIRECTORY)) == 12

    asyncio.run(test())


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_crash_at_any_call_leaves_the_old_file_or_the_new_one(power_cut: bool) -> None:
    old, new = ENTRIES[:2], ENTRIES

    async def test() -> None:
        async def scenario(disk: SimulatedDisk) -> None:
            await disk.make_directory(DIRECTORY)
            await hot_keys.write(disk, DIRECTORY, await hot_keys.encode(old))
            await hot_keys.write(disk, DIRECTORY, await hot_keys.encode(new))

        def begun(disk: SimulatedDisk) -> Coroutine[Any, Any, None]:
            return scenario(disk)

        found: list[list[HotKey]] = []
        async for dead in crash_at_every_call(Random(3), begun):
            disk = dead.restart(power_cut=power_cut)
            found.append(await hot_keys.read(disk, DIRECTORY))
            await disk.make_directory(DIRECTORY)
            await hot_keys.write(disk, DIRECTORY, await hot_keys.encode(new))
            assert await hot_keys.read(disk, DIRECTORY) == new
        assert len(found) > 10 and all(each in ([], old, new) for each in found)
        assert old in found

    asyncio.run(test())


def test_damaged_bytes_are_never_taken_for_keys() -> None:
    async def test() -> None:
        data = await hot_keys.encode(ENTRIES)
        assert await hot_keys.decode(data) == ENTRIES
        for at in range(len(data)):
            for wrong in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]):
                with pytest.raises(CorruptData):
                    await hot_keys.decode(wrong)

    asyncio.run(test())


def test_what_has_no_room_in_the_file_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_keys, "FILE_BYTES_MAX", 100)

    async def test() -> None:
        data = await hot_keys.encode(ENTRIES)
        assert len(data) <= 100
        assert await hot_keys.decode(data) == ENTRIES[:2]

    asyncio.run(test())


def test_what_was_read_is_hotter_than_what_was_only_inserted() -> None:
    shard = RowCache(100_000)
    table, other = TableCache(shard), TableCache(shard)
    head = (NO_DELETION, 0, b"")
    for number in range(8):
        assert table.insert(b"k%d" % number, head, Chunk(b"", b"c", [], []), 0)
    assert other.insert(b"gone", head, Chunk(b"", b"", [], []), 0)
    other.clear()
    for key in (b"k2", b"k5"):
        run = table.find(key)
        assert run is not None and run.chunk_at(b"", False) is not None
    keys = [key for _, key, _, _ in shard.hottest([other, table], 4)]
    assert keys == [b"k5", b"k2", b"k7", b"k6"]
    assert RowCache(100).hottest([], 4) == []


def test_partitions_of_one_row_are_called_hot_beside_others() -> None:
    shard = RowCache(1 << 20)
    wide, rows, few = TableCache(shard), TableCache(shard), TableCache(shard)
    head = (NO_DELETION, 0, b"")
    for number in range(200):
        assert rows.insert(b"k%d" % number, head, Chunk(b"", b"", [], []), 0)
        assert wide.insert(b"k%d" % number, head, Chunk(b"", b"c", [], []), 0)
    assert few.insert(b"k", head, Chunk(b"", b"", [b""], [b"row"]), 0)
    for key in (b"k2", b"k5"):
        assert rows.find(key) is not None
    found = shard.hottest([wide, rows, few], 1_000)
    assert len(found) == len(set(found)) == 401, "each once"
    assert {place[:2] for place in found[:2]} == {(1, b"k2"), (1, b"k5")}
    half = shard.hottest([wide, rows], 100)
    assert len(half) == 100
    assert 40 < sum(place == 0 for place, *_ in half) < 60

"""Shards' files rewritten for another number of shards: the same data, each key at its owner."""

import asyncio
import itertools
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.commitlog import CommitLogConfig
from storage.disk import Disk, OpenMode
from storage.engine import Engine, EngineConfig
from storage.errors import CorruptFile
from storage.layout import Layout
from storage.manifest import Manifest
from storage.memory_disk import MemoryDisk
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice
from storage.split import Split
from storage.split_groups import chains_of, groups_of
from storage.sstable.output import file_name
from storage.sstable.reader import NO_KEY
from storage.store import table_directory
from tests.storage.split_parts import (
    Partition,
    content,
    live_files,
    opened_tables,
    part,
    random_mutation,
)

TABLES = (b"a" * 16, b"b" * 16)
WIDE = b"b" * 16
CONFIG = EngineConfig(
    memtable_bytes=1 << 20,
    block_cache_bytes=1 << 14,
    commitlog=CommitLogConfig(segment_bytes=64 * 1024, total_space_bytes=1 << 20),
)


def layout_of(table_id: bytes, compaction: tuple[tuple[str, str], ...] = ()) -> Layout:
    return Layout(
        table_id,
        f"ks.{table_id[:1].decode()}",
        frozenset({1, 2}),
        has_clustering=table_id == WIDE,
        has_static=table_id == WIDE,
        chunk_bytes=100,
        compaction=compaction,
    )


LAYOUTS = [layout_of(table_id) for table_id in TABLES]
KEYS = [Random(n).randbytes(8) + b"key%d" % n for n in range(60)]


def owner(key: bytes, shards: int) -> int:
    """Neighbouring keys have different owners, which is the worst case."""
    return int.from_bytes(key[:8], "big") % shards


def directories(epoch: int, shards: int) -> list[str]:
    return [f"epoch-{epoch}/shard-{shard}" for shard in range(shards)]


async def write(disk: Disk, paths: Sequence[str], random: Random, layouts: list[Layout]) -> None:
    """Write to all shards, and kill them: only some of it is in files."""
    engines = [Engine(disk, path, shard, CONFIG) for shard, path in enumerate(paths)]
    for engine in engines:
        await engine.open(layouts)
    for turn in range(60):
        layout = random.choice(layouts)
        # Some come late: what is deleted is not always older than the file it is in.
        mutation = random_mutation(random, layout, KEYS, 100 + turn - random.randrange(20))
        engine = engines[owner(mutation.key, len(engines))]
        assert engine.apply(mutation) is None
        engine.end_of_turn()
        if random.random() < 0.1:
            await engine.flush()
    for engine in engines:
        await engine.stop(flush=False)


async def settle(disk: Disk, paths: Sequence[str], layouts: list[Layout]) -> None:
    for shard, path in enumerate(paths):
        engine = Engine(disk, path, shard, CONFIG)
        await engine.open(layouts)
        await engine.stop()


async def split(
    disk: Disk, sources: Sequence[str], targets: Sequence[str], layouts: list[Layout]
) -> Split:

    def until(key: bytes) -> bytes:
        """The next of the keys that is another's: no stretch could be longer."""
        mine = owner(key, len(targets))
        others = (k for k in sorted(KEYS) if k > key and owner(k, len(targets)) != mine)
        return next(others, NO_KEY)

    work = Split(
        disk,
        sources,
        targets,
        lambda key: owner(key, len(targets)),
        Random(1),
        owned_until=until,
    )
    await work.open(layouts)
    await work.run()
    await work.finish()
    return work


async def joined(disk: Disk, paths: Sequence[str], layout: Layout) -> dict[bytes, Partition]:
    """What all shards hold together; each key is only at its owner."""
    together: dict[bytes, Partition] = {}
    for shard, partitions in enumerate(await content(disk, paths, layout)):
        assert {owner(key, len(paths)) for key in partitions} <= {shard}
        together |= partitions
    return together


async def read(disk: Disk, paths: Sequence[str], layout: Layout) -> dict[bytes, list[bytes]]:
    """The clusterings by key that the new shards show to their clients."""
    found: dict[bytes, list[bytes]] = {}
    for shard, path in enumerate(paths):
        engine = Engine(disk, path, shard, CONFIG)
        report = await engine.open(LAYOUTS)
        assert not report.damaged and not report.garbage_files
        answer = engine.read(Slice(layout.table_id), 100)
        page = answer if isinstance(answer, Page) else await answer
        found |= {partition.key: partition.clusterings for partition in page.partitions}
        await engine.stop()
    return found


@settings(max_examples=15, deadline=None)
@given(counts=st.lists(st.integers(1, 5), min_size=2, max_size=4), seed=st.integers(0, 1 << 32))
def test_any_number_of_shards_after_any_other_holds_the_same(counts: list[int], seed: int) -> None:
    async def test() -> None:
        disk = MemoryDisk()
        random = Random(seed)
        paths = directories(0, counts[0])
        for epoch, shards in enumerate(counts[1:], 1):
            await write(disk, paths, random, LAYOUTS)
            await settle(disk, paths, LAYOUTS)
            targets = directories(epoch, shards)
            await split(disk, paths, targets, LAYOUTS)
            for layout in LAYOUTS:
                before = await joined(disk, paths, layout)
                assert before
                assert await joined(disk, targets, layout) == before
                assert await read(disk, targets, layout) == await read(disk, paths, layout)
            paths = targets

    asyncio.run(test())


def test_no_shard_gets_more_files_than_one_had_before() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        paths = directories(0, 2)
        for round_ in range(3):
            await write(disk, paths, Random(round_), LAYOUTS)
            await settle(disk, paths, LAYOUTS)
        for layout in LAYOUTS:
            assert max([len(await live_files(disk, path, layout)) for path in paths]) > 2
        for epoch, shards in enumerate((3, 5, 4, 1), 1):
            targets = directories(epoch, shards)
            await split(disk, paths, targets, LAYOUTS)
            for layout in LAYOUTS:
                most = max([len(await live_files(disk, path, layout)) for path in paths])
                for path in targets:
                    assert len(await live_files(disk, path, layout)) <= most
            paths = targets

    asyncio.run(test())


def test_progress_ends_at_all_of_the_bytes() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        paths = directories(0, 2)
        await write(disk, paths, Random(1), LAYOUTS)
        await settle(disk, paths, LAYOUTS)
        work = Split(disk, paths, ["new"], lambda key: 0, Random(1))
        await work.open(LAYOUTS)
        sizes = [f.size for path in paths for t in LAYOUTS for f in await live_files(disk, path, t)]
        assert (work.files, work.total_bytes, work.done_bytes) == (len(sizes), sum(sizes), 0)
        await work.run()
        assert work.done_bytes == work.total_bytes

    asyncio.run(test())


def test_a_damaged_block_is_told_and_leaves_no_target_that_looks_whole() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        paths = directories(0, 2)
        await write(disk, paths, Random(1), LAYOUTS)
        await settle(disk, paths, LAYOUTS)
        (live, *_) = await live_files(disk, paths[1], LAYOUTS[0])
        path = f"{table_directory(f'{paths[1]}/tables', LAYOUTS[0])}/{file_name(live.number)}"
        file = await disk.open(path, OpenMode.LOG)
        await file.write(50, b"damage")
        await file.close()
        targets = directories(1, 3)
        with pytest.raises(CorruptFile) as caught:
            await split(disk, paths, targets, LAYOUTS)
        assert caught.value.path == path
        for target in targets:
            assert not await Manifest(disk, target).load()

    asyncio.run(test())


def test_tables_that_are_gone_are_left_out() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        paths = directories(0, 2)
        await write(disk, paths, Random(1), LAYOUTS)
        await settle(disk, paths, LAYOUTS)
        targets = directories(1, 3)
        await split(disk, paths, targets, LAYOUTS[:1])
        for target in targets:
            assert await live_files(disk, target, LAYOUTS[0])
            assert not await live_files(disk, target, LAYOUTS[1])

    asyncio.run(test())


LEVELED = (("class", "LeveledCompactionStrategy"), ("sstable_size_in_mb", "1"))


def test_levels_stay_and_do_not_overlap() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        layout = layout_of(WIDE, LEVELED)
        paths = directories(0, 3)
        for path in paths:
            shard = paths.index(path)
            engine = Engine(disk, path, shard, EngineConfig(memtable_bytes=64 << 20))
            await engine.open([layout])
            for number in range(120):
                key = Random(number).randbytes(8) + b"%d" % number
                if owner(key, 3) == shard:
                    assert engine.apply(_large(layout, key, number)) is None
            await engine.flush()
            await engine.compact(layout.table_id)
            assert engine.apply(_large(layout, KEYS[shard], 1)) is None
            await engine.stop()
        targets = directories(1, 2)
        await split(disk, paths, targets, [layout])
        for target in targets:
            tables = await opened_tables(disk, target, layout)
            assert {table.level for table in tables} == {0, 1}
            assert max(table.file_bytes for table in tables) < 1.3 * (1 << 20)
            upper = sorted((t for t in tables if t.level), key=lambda t: t.statistics.first_key)
            assert len(upper) > 2, "files are cut as the table wants it"
            for low, high in itertools.pairwise(upper):
                assert low.statistics.last_key < high.statistics.first_key

    asyncio.run(test())


def _large(layout: Layout, key: bytes, seed: int) -> Mutation:
    row = RowBuilder()
    row.begin(1, True)
    row.cell(1, 1, Random(seed).randbytes(60_000))
    builder = MutationBuilder(layout.table_id, key)
    builder.row(b"c", row.finish())
    return builder.finish()


def test_windows_of_time_stay_apart() -> None:
    pairs = (("class", "TimeWindowCompactionStrategy"), ("compaction_window_unit", "HOURS"))
    hour = 3_600_000_000
    shards = [
        [
            part("a", b"a", b"f", 9, max_timestamp=5 * hour),
            part("b", b"b", b"e", 1, max_timestamp=6 * hour),
        ],
        [part("c", b"c", b"d", 5, max_timestamp=6 * hour + 1)],
    ]
    names = [
        sorted(p.path for chain in group.chains for p in chain)
        for group in groups_of(pairs, shards, 2)
    ]
    assert names == [["a"], ["b", "c"]]


def test_files_of_equal_rank_belong_together() -> None:
    shards = [
        [part("small", b"a", b"z", 1), part("large", b"a", b"z", 9)],
        [part("larger", b"a", b"z", 10)],
    ]
    groups = groups_of((), shards, 4)
    names = [sorted(p.path for chain in group.chains for p in chain) for group in groups]
    assert names == [["large", "larger"], ["small"]]
    assert [group.target_bytes for group in groups] == [4, 1]


def test_files_that_follow_each_other_are_read_one_after_the_other() -> None:
    parts = [
        part("d", b"d", b"f"),
        part("a", b"a", b"b"),
        part("c", b"b", b"e"),
        part("g", b"g", b"h"),
    ]
    assert [[p.path for p in chain] for chain in chains_of(parts)] == [["a", "d", "g"], ["c"]]

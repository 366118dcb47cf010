"""Splicing gives what the whole merge gives, whatever the partitions look like."""

import asyncio
from collections import Counter
from random import Random

import pytest

from storage.compaction.outputs import Outputs
from storage.compaction.rewrite import Purge, rewrite_scans, write_partition
from storage.compaction.run import Choice
from storage.disk import OpenMode
from storage.io_queue import IoClass, IoQueue
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.memtable import Memtable
from storage.merge import CompactionMerge
from storage.mutation import MutationBuilder
from storage.pace import Pace
from storage.points import NO_POINTS
from storage.row import ColumnSet, RowBuilder
from storage.sstable import splice
from storage.sstable.bloom import key_hash
from storage.sstable.output import SSTableOutput, Turns, file_name
from storage.sstable.reader import NO_KEY, SSTable
from storage.sstable.runs import Scan
from storage.sstable.splice import MemorySplice
from storage.sstable.writer import SSTableWriter
from tests.storage.sstable.support import IDENTITY, TABLE_ID, key_of, layout

WALL_S, GC_BEFORE_S = 1_000, 500
EXISTING = frozenset({0, 1, 2})
STATISTICS = [
    *("partitions", "rows", "tombstones", "min_timestamp", "max_timestamp", "min_deletion_s"),
    *("max_deletion_s", "max_ttl_s", "first_key", "last_key", "min_clustering", "max_clustering"),
]


def random_row(chance: Random, timestamp: int) -> bytes:
    """Live, expiring, expired and deleted cells, of columns of which one does not exist."""
    row = RowBuilder()
    kind = chance.random()
    if kind < 0.05:
        row.begin(timestamp, True, 50, chance.choice((100, 900, 2_000)))
    else:
        row.begin(timestamp, kind < 0.8)
    if chance.random() < 0.05:
        row.delete_row(timestamp - 1, chance.choice((100, 900)))
    for column in (1, 2, 3):
        kind = chance.random()
        if column == 3 and kind < 0.9:
            continue
        if kind < 0.7:
            row.cell(column, timestamp, chance.randbytes(chance.choice((3, 30))))
        elif kind < 0.8:
            row.expiring_cell(column, timestamp, 50, chance.choice((100, 900, 2_000)), b"x")
        elif kind < 0.9:
            row.tombstone(column, timestamp, chance.choice((100, 900)))
    return row.finish()


def random_memtable(
    chance: Random, table: Layout, keys: int, widest: int, missing: float = 0.3
) -> Memtable:
    memtable = Memtable(table.has_clustering, table.has_static)
    for number in range(keys):
        if chance.random() < missing:
            continue
        timestamp = chance.randrange(10, 1000)
        builder = MutationBuilder(TABLE_ID, key_of(number))
        if chance.random() < 0.05:
            builder.delete_partition(timestamp, chance.choice((100, 900)))
        if table.has_static and chance.random() < 0.05:
            builder.row(b"", random_row(chance, timestamp))
        if not table.has_clustering:
            builder.row(b"", random_row(chance, timestamp))
        elif chance.random() < 0.05:
            builder.range_tombstone(b"\x10a", b"\x10c", timestamp, chance.choice((100, 900)))
        for _ in range(chance.randrange(widest) if table.has_clustering else 0):
            name = b"\x10%03d" % chance.randrange(widest)
            builder.row(name, random_row(chance, timestamp))
        memtable.apply(builder.finish())
    return memtable


async def written(disk: MemoryDisk, table: Layout, number: int) -> SSTableOutput:
    path = f"/t/{file_name(number)}"
    file = await disk.open(path, OpenMode.CREATE)
    writer = SSTableWriter(table, IDENTITY, number, 100)
    turns = Turns(IoQueue(8, 1 << 20), IoClass.FLUSH)
    return SSTableOutput(disk, turns, "/t", file, writer, TABLE_ID, number, NO_POINTS)


async def flushed(memtable: Memtable, output: SSTableOutput, spliced: bool) -> SSTable:
    """A memtable in a file, by splicing or only by the whole merge."""
    quick = MemorySplice(memtable)
    merge = CompactionMerge(0, 0, None, False)
    others = 0
    while spliced and (reason := quick.run(output.writer.sink, 1000)) != splice.END:
        if reason == splice.FULL:
            output.writer.put_block(output.writer.take_block())
        elif reason == splice.OTHER:
            others += 1
            await put(memtable, quick.key or b"", merge, output)
    for key in [] if spliced else memtable.keys():
        await put(memtable, key, merge, output)
    assert not spliced or others < len(memtable), "some partitions are spliced"
    return await output.finish()


async def put(
    memtable: Memtable, key: bytes, merge: CompactionMerge, output: SSTableOutput
) -> None:
    run = memtable.find(key)
    assert run is not None
    merge.begin(key, [run.head])
    await write_partition(key, [run], merge, output, Pace())


async def begun(files: list[SSTable]) -> list[Scan]:
    scans = [Scan(file, (b"", NO_KEY), lambda f: f.table.fetch(f), 8192) for file in files]
    for scan in scans:
        await scan.begin(b"")
    return scans


async def merged_whole(files: list[SSTable], purge: Purge, output: SSTableOutput) -> SSTable:
    """The files merged without splicing."""
    scans = await begun(files)
    merge = CompactionMerge(purge.wall_s, purge.gc_before_s, purge.existing)
    while key := min((scan.key for scan in scans if scan.key is not None), default=None):
        at_hand = [scan for scan in scans if scan.key == key]
        merge.begin(key, [scan.head for scan in at_hand], purge.before(key))
        await write_partition(key, at_hand, merge, output, Pace())
        for scan in at_hand:
            await scan.skip()
    return await output.finish()


async def content(file: SSTable) -> list[object]:
    """All that is in a file, however it is cut into blocks."""
    (scan,) = await begun([file])
    merge = CompactionMerge(0, 0, None, False)
    found: list[object] = []
    while (key := scan.key) is not None:
        merge.begin(key, [scan.head])
        found.append((key, merge.head))
        while (run := merge.advance()) != -1:
            if run == 0:
                chunk = scan.chunk_at(merge.position(0), False)
                merge.feed(0, chunk if not hasattr(chunk, "__await__") else await chunk)
                continue
            chunk = merge.take()
            found += zip(chunk.clusterings, chunk.rows, strict=True)
            found += chunk.tombstones
        await scan.skip()
    return found


async def check_same(spliced: SSTable, whole: SSTable) -> None:
    assert _joined(await content(spliced)) == _joined(await content(whole))
    for name in STATISTICS:
        assert getattr(spliced.statistics, name) == getattr(whole.statistics, name), name
    for number in range(100):
        key = key_of(number)
        hashed = key_hash(key)
        if whole.filter.may_contain(hashed):
            assert spliced.filter.may_contain(hashed)


def _joined(found: list[object]) -> list[object]:
    """Range tombstones that a block's end has cut are one again."""
    joined: list[object] = []
    for item in found:
        last = joined[-1] if joined else None
        if (
            isinstance(item, tuple)
            and len(item) == 4
            and isinstance(last, tuple)
            and len(last) == 4
            and (last[1], *last[2:]) == (item[0], *item[2:])
        ):
            joined[-1] = (last[0], *item[1:])
        else:
            joined.append(item)
    return joined


@pytest.mark.parametrize("round_", range(8))
@pytest.mark.parametrize(
    ("options", "widest"),
    [
        ({"has_clustering": False, "has_static": False}, 1),
        ({"has_static": False}, 4),
        ({}, 60),
    ],
)
def test_splicing_is_merging(seed: int, round_: int, options: dict[str, bool], widest: int) -> None:
    async def test() -> None:
        chance = Random(f"{seed} {round_}")
        table = layout(chunk_bytes=1024, **options)
        disk = MemoryDisk()
        await disk.make_directory("/t")
        files = []
        for number in range(4):
            memtable = random_memtable(chance, table, 80, widest)
            pair = [
                await flushed(memtable, await written(disk, table, 2 * number + s), bool(s))
                for s in (0, 1)
            ]
            await check_same(pair[1], pair[0])
            files.append(pair[1])
        purge = Purge(
            WALL_S,
            GC_BEFORE_S,
            ColumnSet(EXISTING),
            lambda key: 2**63 - 1 if key[-1] % 2 else 300,
        )
        whole = await merged_whole(files, purge, await written(disk, table, 100))
        outputs = Outputs(Choice(()), lambda _: written(disk, table, 101), 100, 0)
        counts: Counter[int] = Counter()
        assert await rewrite_scans(await begun(files), purge, outputs, lambda: False, counts)
        (spliced,) = await outputs.finish()
        await check_same(spliced, whole)
        held: Counter[bytes] = Counter()
        for file in files:
            held.update(await keys_of(file))
        assert counts == Counter(held.values())

    asyncio.run(test())


async def keys_of(file: SSTable) -> list[bytes]:
    return [
        item[0]
        for item in await content(file)
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], tuple)
    ]


def test_outputs_are_cut_at_keys_and_by_size() -> None:
    async def test() -> None:
        chance = Random(5)
        table = layout(chunk_bytes=512, has_static=False)
        disk = MemoryDisk()
        await disk.make_directory("/t")
        memtable = random_memtable(chance, table, 90, 4)
        file = await flushed(memtable, await written(disk, table, 1), True)
        numbers = iter(range(10, 99))
        cuts = (key_of(30), key_of(60))
        outputs = Outputs(
            Choice((), cuts=cuts), lambda _: written(disk, table, next(numbers)), 100, 0
        )
        purge = Purge(0, 0, ColumnSet(EXISTING | {3}), lambda _: 0)
        await rewrite_scans(await begun([file]), purge, outputs, lambda: False, Counter())
        parts = await outputs.finish()
        assert [sum(key < cut for cut in cuts) for key in map(first_key, parts)] == [2, 1, 0]
        assert [sum(key < cut for cut in cuts) for key in map(last_key, parts)] == [2, 1, 0]
        together = [item for part in parts for item in await content(part)]
        assert together == await content(file)
        outputs = Outputs(
            Choice((), file_bytes_max=2048), lambda _: written(disk, table, next(numbers)), 9, 0
        )
        await rewrite_scans(await begun([file]), purge, outputs, lambda: False, Counter())
        parts = await outputs.finish()
        assert len(parts) > 1 and all(part.file_bytes < 6 * 4096 for part in parts)
        assert [item for part in parts for item in await content(part)] == together

    asyncio.run(test())


def first_key(file: SSTable) -> bytes:
    return file.statistics.first_key


def last_key(file: SSTable) -> bytes:
    return file.statistics.last_key

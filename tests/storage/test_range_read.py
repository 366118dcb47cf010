"""The short way through a range of keys gives the very pages which the whole merge gives."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from storage import range_read, read
from storage.errors import CorruptData
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.memtable import Memtable
from storage.merge import PageMerge
from storage.mutation import MutationBuilder
from storage.range_read import RangeRead
from storage.row import ColumnSet, RowBuilder
from storage.slice import Pack, Page, Slice
from storage.sstable.block import Block, BlockBuilder
from storage.sstable.reader import NO_KEY, Fetch, Parsed, SSTable
from storage.sstable.splice import Lane
from tests.storage.sstable.support import TABLE_ID, key_of, layout
from tests.storage.sstable.test_splice import flushed, random_memtable, written

EXISTING = ColumnSet({0, 1, 2})
KEYS = 60
SLICES = 12

SHAPES: dict[str, tuple[dict[str, bool], int]] = {
    "mere rows": ({"has_clustering": False, "has_static": False}, 1),
    "one clustering row": ({"has_static": False}, 2),
    "few rows": ({"has_static": False}, 5),
    "static rows": ({}, 5),
    "many rows": ({"has_static": False}, 12),
}


class WholeMerge:
    """The oracle: chooses the same partitions and leaves every one to the whole merge."""

    steps = 0

    def __init__(
        self,
        merge: PageMerge,
        wanted: Slice,
        keys: tuple[bytes, bytes],
        memtables: Sequence[Memtable],
        lanes: Sequence[Lane],
    ) -> None:
        self.key, self._end = keys
        self._memtables = memtables
        self._lanes = lanes

    def run(self, steps_max: int) -> int:
        keys = [lane.key for lane in self._lanes if lane.key is not None]
        for memtable in self._memtables:
            keys += [key for key in memtable.keys(self.key, b"", 1) if key < self._end]
        if not keys:
            return range_read.END
        self.key = min(keys)
        return range_read.OTHER

    def skip(self) -> None:
        self.key += b"\0"


async def load(fetch: Fetch) -> list[Parsed]:
    return await fetch.table.fetch(fetch)


def random_slice(chance: Random) -> Slice:
    first = chance.randrange(KEYS)
    return Slice(
        TABLE_ID,
        key=chance.choice((None, None, (key_of(first), key_of(first + 20)), (b"", key_of(first)))),
        ranges=chance.choice(
            (
                ((b"", b""),),
                ((b"", b""),),
                ((b"\x01", b""),),
                ((b"\x10001", b"\x10003"),),
                ((b"\x10000", b"\x10001"), (b"\x10002", b"")),
                (),
            )
        ),
        static=chance.random() < 0.7,
        reverse=chance.random() < 0.3,
        columns=chance.choice((None, None, frozenset({1, 2}), frozenset({2}), frozenset())),
        row_limit=chance.choice((0, 0, 1, 2, 7)),
        partition_limit=chance.choice((0, 0, 1, 2)),
        byte_limit=chance.choice((0, 0, 1, 60, 500)),
        distinct=chance.random() < 0.1,
    )


async def pages(
    wanted: Slice, wall_s: int, memtables: list[Memtable], files: list[SSTable]
) -> list[Page]:
    found: list[Page] = []
    while not found or found[-1].more:
        assert len(found) < 10_000, "paging comes to an end"
        page = await read.read_range(wanted, wall_s, EXISTING, memtables, files, load)
        found.append(page)
        wanted = wanted.after(page)
    return found


async def sources(
    chance: Random, shape: str, chunk_bytes: int
) -> tuple[list[Memtable], list[SSTable]]:
    """Memtables and files, which share some of their keys."""
    options, widest = SHAPES[shape]
    table = layout(chunk_bytes=chunk_bytes, **options)
    disk = MemoryDisk()
    await disk.make_directory("/t")
    made = [
        random_memtable(chance, table, KEYS, widest, chance.choice((0.3, 0.8, 0.9)))
        for _ in range(chance.randrange(1, 6))
    ]
    count = chance.randrange(1, 4)
    files = [
        await flushed(memtable, await written(disk, table, number), False)
        for number, memtable in enumerate(made[:count])
        if len(memtable)
    ]
    return made[count:], files


def whole_merge(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(read, "RangeRead", WholeMerge)


def packed_rows(found: list[Page]) -> int:
    return sum(len(part) for page in found for part in page.parts if isinstance(part, Pack))


@pytest.mark.parametrize("steps_max", [1, 7, 500])
@pytest.mark.parametrize("shape", SHAPES)
def test_pages_are_those_of_the_whole_merge(
    seed: int, shape: str, steps_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "PAUSES_MAX", 1 << 30)  # Where patience ends is another matter.
    monkeypatch.setattr(read, "PAGE_S", 1e9)

    async def test() -> None:
        chance = Random(f"{seed} {shape} {steps_max}")
        packed = 0
        for chunk_bytes in (1, 300, 2000):
            memtables, files = await sources(chance, shape, chunk_bytes)
            for _ in range(SLICES):
                wanted, wall_s = random_slice(chance), chance.choice((0, 1_000, 3_000))
                with monkeypatch.context() as patch:
                    patch.setattr(read, "STEPS_MAX", steps_max)
                    found = await pages(wanted, wall_s, memtables, files)
                packed += packed_rows(found)
                encoded = [page.encode() for page in found]
                with monkeypatch.context() as patch:
                    whole_merge(patch)
                    expected = await pages(wanted, wall_s, memtables, files)
                assert not packed_rows(expected)
                assert encoded == [page.encode() for page in expected], repr(wanted)
                for page, truth in zip(found, expected, strict=True):
                    assert page.rows_at_position() == truth.rows_at_position()
                    assert page.partitions == truth.partitions
                    assert all(not isinstance(part, Pack) for part in page.parts)
                    assert page.encode() == truth.encode()
        assert packed, "some partitions take the short way"

    asyncio.run(test())


def test_a_page_of_packs_survives_encoding_and_tells_its_rows(seed: int) -> None:
    chance = Random(seed)
    table = layout(has_static=False)
    memtable = random_memtable(chance, table, KEYS, 2)
    merge = PageMerge(Slice(TABLE_ID), 0, EXISTING)
    reading = RangeRead(merge, Slice(TABLE_ID), (b"", NO_KEY), [memtable], [])
    while reading.run(1000) == range_read.OTHER:
        reading.skip()
    page = merge.page()
    (pack,) = page.parts
    assert isinstance(pack, Pack)
    assert len(pack) == pack.partitions > 10
    again = Page.decode(page.encode())
    assert again == page
    rows = [(p.key, c) for p in again.partitions for c in p.clusterings]
    assert rows == [(pack.key(row), pack.clustering(row)) for row in range(len(pack))]
    with pytest.raises(AssertionError, match="row of the pack"):
        pack.key(len(pack))


def one_row(table: Layout, number: int, clusterings: Sequence[bytes], timestamp: int) -> Any:
    builder = MutationBuilder(TABLE_ID, key_of(number))
    for clustering in clusterings:
        row = RowBuilder()
        row.begin(timestamp, True)
        row.cell(1, timestamp, b"v%d" % number)
        builder.row(clustering, row.finish())
    return builder.finish()


def test_the_rows_of_a_partition_count_up_within_a_pack() -> None:
    async def test() -> None:
        table = layout(has_static=False)
        disk = MemoryDisk()
        await disk.make_directory("/t")
        memtable = Memtable(True, False)
        for number, rows in ((1, 3), (2, 1), (3, 2)):
            memtable.apply(one_row(table, number, [b"\x10%d" % row for row in range(rows)], 1))
        file = await flushed(memtable, await written(disk, table, 1), True)
        page = await read.read_range(Slice(TABLE_ID), 0, EXISTING, [], [file], load)
        (pack,) = page.parts
        assert isinstance(pack, Pack)
        assert [pack.rows_before(row) for row in range(7)] == [0, 1, 2, 0, 0, 1, 0]
        assert [pack.key(row) for row in range(6)] == [key_of(n) for n in (1, 1, 1, 2, 3, 3)]
        limited = Slice(TABLE_ID, row_limit=2)
        page = await read.read_range(limited, 0, EXISTING, [], [file], load)
        assert (page.more, page.last_key, page.last_clustering) == (True, key_of(1), b"\x101")
        assert page.rows_at_position() == page.last_rows == 2
        page = await read.read_range(limited.after(page), 0, EXISTING, [], [file], load)
        assert [len(partition.rows) for partition in page.partitions] == [1, 1]
        assert (page.last_key, page.last_clustering) == (key_of(2), b"\x100")

    asyncio.run(test())


@pytest.mark.parametrize("rows", [127, 128])
def test_a_partition_of_too_many_rows_for_a_pack_takes_the_whole_merge(rows: int) -> None:
    async def test() -> None:
        table = layout(has_static=False, chunk_bytes=1 << 16)
        disk = MemoryDisk()
        await disk.make_directory("/t")
        memtable = Memtable(True, False)
        memtable.apply(one_row(table, 1, [b"\x10%03d" % row for row in range(rows)], 1))
        file = await flushed(memtable, await written(disk, table, 1), True)
        page = await read.read_range(Slice(TABLE_ID), 0, EXISTING, [], [file], load)
        assert isinstance(page.parts[0], Pack) == (rows == 127)
        (partition,) = page.partitions
        assert len(partition.rows) == rows

    asyncio.run(test())


def test_a_large_page_is_several_packs() -> None:
    memtable = Memtable(False, False)
    for number in range(40):
        row = RowBuilder()
        row.begin(1, True)
        row.cell(1, 1, bytes(30_000))
        builder = MutationBuilder(TABLE_ID, key_of(number))
        builder.row(b"", row.finish())
        memtable.apply(builder.finish())
    page = asyncio.run(read.read_range(Slice(TABLE_ID), 0, EXISTING, [memtable], [], load))
    packs = [part for part in page.parts if isinstance(part, Pack)]
    assert 3 < len(packs) == len(page.parts)
    assert sum(map(len, packs)) == 40
    assert [partition.key for partition in page.partitions] == [key_of(n) for n in range(40)]


def test_rows_that_come_while_a_read_rests_do_no_harm(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was there before is given once and in order; what comes meanwhile may be."""
    monkeypatch.setattr(read, "STEPS_MAX", 2)
    chance = Random(seed)
    table = layout(has_clustering=False, has_static=False)

    async def write(memtables: list[Memtable], added: set[bytes]) -> None:
        while True:
            await asyncio.sleep(0)
            key = key_of(chance.randrange(4 * KEYS))[:-1]
            builder = MutationBuilder(TABLE_ID, key)
            row = RowBuilder()
            row.begin(5_000, True)
            builder.row(b"", row.finish())
            memtables[0].apply(builder.finish())
            added.add(key)

    async def test() -> None:
        for _ in range(20):
            disk = MemoryDisk()
            await disk.make_directory("/t")
            memtables = [random_memtable(chance, table, KEYS, 1) for _ in range(2)]
            file = await flushed(
                random_memtable(chance, table, KEYS, 1), await written(disk, table, 1), True
            )
            wanted = Slice(TABLE_ID)
            before = [
                p.key for page in await pages(wanted, 0, memtables, [file]) for p in page.partitions
            ]
            added: set[bytes] = set()
            writer = asyncio.create_task(write(memtables, added))
            found = [
                p.key for page in await pages(wanted, 0, memtables, [file]) for p in page.partitions
            ]
            writer.cancel()
            assert found == sorted(set(found))
            assert set(before) <= set(found) <= set(before) | added
            assert len(added) > 5, "writes came meanwhile"

    asyncio.run(test())


def test_dead_rows_end_a_page_in_time_and_the_next_one_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read, "STEPS_MAX", 10)
    monkeypatch.setattr(read, "PAUSES_MAX", 2)
    memtable = Memtable(False, False)
    for number in range(100):
        row = RowBuilder()
        row.begin(1, number == 99)
        row.tombstone(1, 1, 5)
        builder = MutationBuilder(TABLE_ID, key_of(number))
        builder.row(b"", row.finish())
        memtable.apply(builder.finish())
    found = asyncio.run(pages(Slice(TABLE_ID), 0, [memtable], []))
    assert 5 <= len(found) <= 20
    assert [page.last_key for page in found[:-1]] == sorted({p.last_key for p in found[:-1]})
    assert [partition.key for page in found for partition in page.partitions] == [key_of(99)]


def payload(number: int) -> bytes:
    """A block of one plain partition."""
    builder = BlockBuilder(1000)
    builder.begin(key_of(number), None, b"", None)
    builder.add_rows([b""], [b"row"], 0, 1)
    builder.end(None)
    return builder.take()


def test_sections_that_do_not_ascend_are_found_on_the_way() -> None:
    lane = Lane(NO_KEY)
    lane.fill(Block(payload(2) + payload(1)))
    assert lane.key == key_of(2)
    with pytest.raises(CorruptData, match="do not ascend"):
        lane.step()


def test_a_lane_goes_to_the_first_key_that_is_wanted_and_stays_at_the_last() -> None:
    lane = Lane(key_of(4))
    lane.fill(Block(payload(1) + payload(2) + payload(3)))
    assert lane.seek(key_of(2)) and lane.key == key_of(2)
    assert not lane.seek(key_of(3) + b"\0")
    assert not lane.step() and lane.key == key_of(3)
    lane.fill(Block(payload(4)))
    assert lane.key is None and lane.section is None
    lane.fill(None)
    assert lane.seek(key_of(9)) and lane.key is None

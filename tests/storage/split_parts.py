"""What tests of re-sharding share: random writes, and all that some shards hold, as values."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from storage.compaction.run import SortedRun
from storage.disk import Disk
from storage.layout import Layout
from storage.manifest import LiveSSTable, Manifest
from storage.merge import DONE, PAUSED, Chunk, CompactionMerge
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder
from storage.split_groups import Part
from storage.sstable.fetch import Fetch
from storage.sstable.output import file_name
from storage.sstable.reader import NO_KEY, Parsed, SSTable, open_sstable
from storage.sstable.runs import Scan
from storage.store import table_directory

Rows = dict[bytes, bytes]
Tombstones = list[tuple[bytes, bytes, int, int]]
Partition = tuple[tuple[int, int, bytes], Rows, Tombstones]
"""Deletion and static row, rows, range tombstones."""


def random_mutation(random: Random, layout: Layout, keys: Sequence[bytes], ts: int) -> Mutation:
    """A write or a deletion of any kind that the table may have."""
    builder = MutationBuilder(layout.table_id, random.choice(keys))
    kind = random.random()
    if kind < 0.05:
        builder.delete_partition(ts, 1 + ts)
    elif kind < 0.15 and layout.has_clustering:
        low, high = sorted((_clustering(random), _clustering(random)))
        builder.range_tombstone(low, random.choice((high + b"\0", b"")), ts, 1 + ts)
    for _ in range(random.randint(1, 4)):
        clustering = _clustering(random) if layout.has_clustering else b""
        if layout.has_static and random.random() < 0.2:
            clustering = b""
        builder.row(clustering, _row(random, ts))
    return builder.finish()


def _clustering(random: Random) -> bytes:
    return b"c%02d" % random.randrange(40)


def _row(random: Random, ts: int) -> bytes:
    row = RowBuilder()
    row.begin(ts, random.random() < 0.7)
    if random.random() < 0.1:
        row.delete_row(ts - 1, ts)
    for column in (1, 2):
        kind = random.random()
        if kind < 0.6:
            row.cell(column, ts, random.randbytes(random.randrange(40)))
        elif kind < 0.75:
            row.tombstone(column, ts, 1 + ts)
        elif kind < 0.9:
            row.expiring_cell(column, ts, 100, 100 + ts, b"expires")
    return row.finish()


async def content(
    disk: Disk, directories: Sequence[str], layout: Layout
) -> list[dict[bytes, Partition]]:
    """All that the SSTables of each directory hold of a table, nothing purged."""
    return [await _content(disk, directory, layout) for directory in directories]


async def _content(disk: Disk, directory: str, layout: Layout) -> dict[bytes, Partition]:
    tables = await opened_tables(disk, directory, layout)
    found: dict[bytes, Partition] = {}
    scans = [Scan(table, (b"", NO_KEY), _load, 4096) for table in tables]
    for scan in scans:
        await scan.begin(b"")
    merge = CompactionMerge(0, 0, None, False)
    while keys := [scan.key for scan in scans if scan.key is not None]:
        key = min(keys)
        at_hand = [scan for scan in scans if scan.key == key]
        merge.begin(key, [scan.head for scan in at_hand])
        found[key] = await _partition(merge, at_hand)
        for scan in at_hand:
            await scan.skip()
    for table in tables:
        assert table.release()
        await table.close()
    return found


async def _partition(merge: CompactionMerge, scans: Sequence[Scan]) -> Partition:
    rows: Rows = {}
    tombstones: Tombstones = []
    head = merge.head
    while (run := merge.advance()) != DONE:
        if run != PAUSED:
            fed = scans[run].chunk_at(merge.position(run), False)
            merge.feed(run, fed if isinstance(fed, Chunk) else await fed)
            continue
        chunk = merge.take()
        rows |= zip(chunk.clusterings, chunk.rows, strict=True)
        for tombstone in chunk.tombstones:
            if tombstones and tombstones[-1][1] == tombstone[0]:
                before = tombstones[-1]
                if before[2:] == tombstone[2:]:  # One that blocks have cut.
                    tombstones[-1] = (before[0], *tombstone[1:])
                    continue
            tombstones.append(tombstone)
    return head, rows, tombstones


async def _load(fetch: Fetch) -> list[Parsed]:
    return await fetch.table.fetch(fetch)


async def live_files(disk: Disk, directory: str, layout: Layout) -> tuple[LiveSSTable, ...]:
    """What the manifest names of a table."""
    manifest = Manifest(disk, directory)
    assert await manifest.load(), f"{directory} has no manifest"
    return manifest.sstables_of(layout.table_id)


async def opened_tables(disk: Disk, directory: str, layout: Layout) -> list[SSTable]:
    """The open files of a table."""
    place = table_directory(f"{directory}/tables", layout)
    return [
        await open_sstable(
            disk, f"{place}/{file_name(live.number)}", layout.table_id, live.number, live.level
        )
        for live in await live_files(disk, directory, layout)
    ]


def part(name: str, first: bytes, last: bytes, size: int = 1, **facts: int) -> Part:
    """A file as the choice of groups sees it."""
    generation = facts.pop("generation", 1)
    return Part(name, b"t" * 16, SortedRun(generation, size, first, last, **facts))

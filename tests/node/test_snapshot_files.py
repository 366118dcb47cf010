"""Snapshots on the disk: whole or not listed, whatever happens on the way."""

import asyncio
import dataclasses
from random import Random

import pytest

from node.snapshot_files import Snapshot, SnapshotError, SnapshotFiles, SnapshotTable
from storage.commitlog import CommitLogConfig
from storage.disk import OpenMode
from storage.engine import Engine, EngineConfig
from storage.memory_disk import MemoryDisk
from storage.mutation import MutationBuilder
from storage.row import RowBuilder
from storage.snapshot import SnapshotFile
from tests.sim.crash import crash_at_every_call
from tests.sim.disk import SimulatedDisk
from tests.storage.sstable.support import TABLE_ID, key_of, layout

DATA = "/data"
NAME = "ks.t"
CONFIG = EngineConfig(commitlog=CommitLogConfig(segment_bytes=4096, total_space_bytes=1 << 16))
SNAPSHOT = Snapshot(
    "one",
    1_700_000_000_000,
    None,
    2,
    (SnapshotTable("ks", "t", TABLE_ID.hex(), {1: [SnapshotFile(7, 8192, 2, b"i" * 16)]}),),
    ({"do": "put keyspace", "name": "ks"},),
)


def test_a_manifest_says_what_it_was_told() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        await disk.make_directory(DATA)
        files = SnapshotFiles(disk, DATA)
        assert await files.all() == [] and await files.find("one") is None
        await files.complete(SNAPSHOT, "CREATE KEYSPACE ks;\n")
        later = dataclasses.replace(SNAPSHOT, tag="a-later", created_ms=SNAPSHOT.created_ms + 1)
        await files.complete(later, "")
        assert await files.all() == [SNAPSHOT, later]
        await files.clear("one")
        await files.clear("one")
        assert await files.all() == [later]
        assert await disk.list(f"{DATA}/snapshots") == ["a-later"]

    asyncio.run(test())


@pytest.mark.parametrize("at", [0, 40, -12])
def test_a_manifest_with_a_wrong_byte_is_refused(at: int) -> None:
    async def test() -> None:
        disk = MemoryDisk()
        await disk.make_directory(DATA)
        files = SnapshotFiles(disk, DATA)
        await files.complete(SNAPSHOT, "")
        path = f"{DATA}/snapshots/one/manifest.json"
        size = await disk.size(path)
        file = await disk.open(path, OpenMode.LOG)
        await file.write(at % size, b"\x00")
        with pytest.raises(SnapshotError, match="is damaged"):
            await files.find("one")

    asyncio.run(test())


@pytest.mark.parametrize("tag", ["", ".", "..", "a/b", ".hidden", "x" * 201, "a b", "ü", "a\n"])
def test_a_tag_that_is_no_directory_s_name_is_refused(tag: str) -> None:
    async def test() -> None:
        with pytest.raises(SnapshotError, match="cannot be a tag"):
            await SnapshotFiles(MemoryDisk(), DATA).find(tag)

    asyncio.run(test())


async def _taken_and_cleared(disk: SimulatedDisk) -> None:
    """A snapshot of a table with two files is made, another is cleared."""
    engine = Engine(disk, f"{DATA}/shard-0", 0, CONFIG)
    await engine.open([layout()])
    for number in range(2):
        row = RowBuilder()
        row.begin(number + 1, True)
        builder = MutationBuilder(TABLE_ID, key_of(number))
        builder.row(b"c", row.finish())
        engine.apply(builder.finish())
        await engine.flush()
    files = SnapshotFiles(disk, DATA)
    for tag in ("one", "two"):
        directory = files.table_directory(tag, 0, NAME, TABLE_ID.hex())
        linked = await engine.link_files(TABLE_ID, directory)
        table = SnapshotTable("ks", "t", TABLE_ID.hex(), {0: linked})
        await files.complete(Snapshot(tag, 1, None, 1, (table,), ()), "schema")
    await files.clear("one")
    await engine.compact(TABLE_ID)
    await engine.stop()


@pytest.mark.parametrize(("seed", "power_cut"), [(0, False), (1, True), (2, True), (3, True)])
def test_a_crash_leaves_a_snapshot_whole_or_not_listed(seed: int, power_cut: bool) -> None:
    async def test() -> None:
        listed = 0
        random = Random(seed)
        async for dead in crash_at_every_call(random, _taken_and_cleared):
            disk = dead.restart(power_cut=power_cut)
            files = SnapshotFiles(disk, DATA)
            for snapshot in await files.all():
                listed += 1
                assert disk.content(f"{DATA}/snapshots/{snapshot.tag}/schema.cql") == b"schema"
                (table,) = snapshot.tables
                directory = files.table_directory(snapshot.tag, 0, NAME, table.id)
                names = {file.name: file.size for file in table.files[0]}
                assert len(names) == 2
                assert {n: await disk.size(f"{directory}/{n}") for n in names} == names
            # Whatever was left, its tag can be used again and nothing remains of it.
            for tag in ("one", "two"):
                await files.clear(tag)
            assert not [path for path in disk.paths() if "/snapshots/" in path]
        assert listed > 20

    asyncio.run(test())

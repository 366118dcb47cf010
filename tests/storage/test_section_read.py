"""Reads of one partition that find all they need in one block of each file, or more than that."""

import asyncio
from random import Random

import pytest

from storage.errors import CorruptFile
from storage.slice import Page, Slice
from tests.sim.disk import SimulatedDisk
from tests.storage.sstable.support import TABLE_ID, key_of
from tests.storage.test_engine import delete, opened, put, read, run

WANTED = Slice(TABLE_ID, key=key_of(1))


def shown(page: Page) -> list[bytes]:
    return [clustering for partition in page.partitions for clustering in partition.clusterings]


def test_a_partition_of_two_files_and_memory_is_merged_in_one_call_once_cached() -> None:
    async def test() -> None:
        engine = await opened(SimulatedDisk(Random(0)))
        for clustering in (b"a", b"b"):
            engine.apply(put(1, clustering, 1))
        await engine.flush()
        engine.apply(put(1, b"c", 2))
        engine.apply(delete(1, b"b", b"c", 2))
        await engine.flush()
        engine.apply(put(1, b"d", 3))
        assert shown(await read(engine, WANTED)) == [b"a", b"c", b"d"]
        again = engine.read(WANTED, 0)
        assert isinstance(again, Page) and shown(again) == [b"a", b"c", b"d"]
        await engine.stop()

    run(test())


def test_a_partition_of_many_blocks_is_read_to_its_end() -> None:
    async def test() -> None:
        engine = await opened(SimulatedDisk(Random(0)))
        names = [b"%04d" % number for number in range(150)]
        for name in names:
            assert engine.apply(put(1, name, 1, b"v" * 100)) is None
        await engine.flush()
        assert shown(await read(engine, WANTED)) == names
        ends = Slice(TABLE_ID, key=key_of(1), ranges=((b"0140", b"0143"),))
        assert shown(await read(engine, ends)) == names[140:143]
        await engine.stop()

    run(test())


def test_a_write_during_a_read_of_a_file_does_not_disturb_it() -> None:
    async def test() -> None:
        engine = await opened(SimulatedDisk(Random(0)))
        engine.apply(put(1, b"a", 1))
        await engine.flush()
        answer = engine.read(WANTED, 0)
        assert not isinstance(answer, Page)
        engine.apply(put(1, b"b", 2))
        flushed = asyncio.ensure_future(engine.flush())
        assert shown(await answer)[:1] == [b"a"]
        await flushed
        assert shown(await read(engine, WANTED)) == [b"a", b"b"]
        engine.check()
        await engine.stop()

    run(test())


def test_damage_on_the_short_way_names_the_file_and_the_place() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine = await opened(disk)
        engine.apply(put(1, b"a", 1))
        await engine.flush()
        (file,) = engine._tables[TABLE_ID].sstables
        found = file._file.read

        async def damaged(offset: int, size: int) -> bytes:
            data = bytearray(await found(offset, size))
            data[20] ^= 1
            return bytes(data)

        file._file.read = damaged  # type: ignore[method-assign]
        with pytest.raises(CorruptFile, match="checksum") as failure:
            await read(engine, WANTED)
        assert failure.value.path == file.path
        assert engine.statistics().tables[0].quarantined == 1
        await engine.stop(flush=False)

    run(test())

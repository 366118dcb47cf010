"""Files that nobody needs any more: what is cached of them goes in parts, and they go too."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from storage.engine import Engine
from storage.errors import CorruptFile
from storage.memory_disk import MemoryDisk
from storage.sstable.block import Block
from storage.sstable.reader import SSTable
from storage.store import FORGET_BLOCKS, Store
from storage.table import Table
from tests.storage.sstable.support import TABLE_ID
from tests.storage.test_engine import opened, put

BLOCKS = 3 * FORGET_BLOCKS + 7


class Watch:
    """How many blocks the cache lost in each turn of the loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._before = len(store.cache)
        self._is_over = False
        self.lost = [0]
        asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        now = len(self._store.cache)
        self.lost.append(self._before - now)
        self._before = now
        if not self._is_over:
            asyncio.get_running_loop().call_soon(self._look)

    def stop(self) -> int:
        """The most that was lost in one turn."""
        self._is_over = True
        return max(self.lost)


def cache_blocks(store: Store, file: SSTable) -> None:
    """As many blocks as take several turns to forget."""
    block = Block(b"a")
    for number in range(BLOCKS):
        store.cache.put_one(file, number * 4096, block)
    assert len(store.cache) >= BLOCKS


async def turns(count: int = 20) -> None:
    """Let others work."""
    for _ in range(count):
        await asyncio.sleep(0)


Scenario = Callable[[MemoryDisk, Store, Table, SSTable], Coroutine[Any, Any, None]]


def run_with_file(scenario: Scenario) -> None:
    """Run it on a shard with one file, of which many blocks are cached."""

    async def run() -> None:
        disk = MemoryDisk()
        engine: Engine = await opened(disk)
        engine.apply(put(1, b"a", 1))
        await engine.flush()
        store, table = engine._store, engine._tables[TABLE_ID]
        store.cache.resize(1 << 24)
        (file,) = table.sstables
        cache_blocks(store, file)
        async with asyncio.timeout(20):
            await scenario(disk, store, table, file)

    asyncio.run(run())


async def is_there(disk: MemoryDisk, file: SSTable) -> bool:
    directory, _, name = file.path.rpartition("/")
    return name in await disk.list(directory)


def test_an_obsolete_file_is_forgotten_in_several_turns_and_removed() -> None:
    async def scenario(disk: MemoryDisk, store: Store, _: Table, file: SSTable) -> None:
        watch = Watch(store)
        await store.retire([file])
        assert 0 < watch.stop() <= FORGET_BLOCKS
        assert len(store.cache) == 0
        assert not await is_there(disk, file)

    run_with_file(scenario)


def test_who_gives_up_waiting_does_not_keep_an_obsolete_file_from_being_removed() -> None:
    async def scenario(disk: MemoryDisk, store: Store, _: Table, file: SSTable) -> None:
        retiring = asyncio.ensure_future(store.retire([file]))
        while len(store.cache) >= BLOCKS:
            await asyncio.sleep(0)
        assert len(store.cache) > 0, "it is at work"
        retiring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await retiring
        await store.close([])
        assert len(store.cache) == 0
        assert not await is_there(disk, file)

    run_with_file(scenario)


def test_what_a_read_brings_of_an_obsolete_file_is_forgotten_in_several_turns() -> None:
    async def scenario(disk: MemoryDisk, store: Store, _: Table, file: SSTable) -> None:
        file.acquire()
        await store.retire([file])
        assert await is_there(disk, file), "a read has it"
        cache_blocks(store, file)
        watch = Watch(store)
        releasing = asyncio.ensure_future(store.release([file]))
        await turns(2)
        releasing.cancel()
        await turns()
        assert 0 < watch.stop() <= FORGET_BLOCKS
        assert len(store.cache) == 0
        assert not await is_there(disk, file)

    run_with_file(scenario)


def test_a_file_that_is_put_aside_is_forgotten_in_several_turns() -> None:
    async def scenario(_disk: MemoryDisk, store: Store, table: Table, file: SSTable) -> None:
        store.answers_without_damaged = True
        watch = Watch(store)
        assert store.quarantine(table, CorruptFile(file.path, 0, "as the test wants it"))
        await turns()
        assert 0 < watch.stop() <= FORGET_BLOCKS
        assert len(store.cache) == 0

    run_with_file(scenario)

"""CPU of each small room that an uncached point read passes: `python -m bench.micro.read_rooms`.

Nanoseconds of CPU per call, the best of several repetitions; a frame read takes one call of each.
"""

from __future__ import annotations

import asyncio
import time
import timeit
from collections.abc import Callable
from typing import Any, cast

from storage.block_cache import BlockCache
from storage.disk import File
from storage.io_queue import IoClass, IoQueue
from storage.memory_disk import MemoryDisk
from storage.read_room import ROW_BYTES, ReadRoom
from storage.slice import Slice
from storage.sstable.bloom import key_hash
from storage.sstable.frame import Kind
from storage.sstable.frames import files_for, files_with
from storage.sstable.lookup import Lookup
from storage.sstable.reader import SSTable
from tests.storage.sstable.support import TABLE_ID, file_of, key_of, layout, open_bytes, row_of

CALLS, REPEATS = 20_000, 7
FILES = 4


class _Taker:
    def done(self) -> bool:
        return False

    def set_result(self, result: object) -> None: ...

    def set_exception(self, failure: BaseException) -> None: ...


class _File:
    def begin_read(self, offset: int, size: int, taker: object) -> None: ...


def _show(name: str, call: Callable[[], Any]) -> None:
    timer = timeit.Timer(call, timer=time.process_time)
    best = min(timer.repeat(REPEATS, CALLS)) / CALLS * 1e9
    print(f"{name:<44} {best:8.0f} ns")


async def _queue() -> None:
    queue, taker, query = IoQueue(64, 1 << 30), _Taker(), IoClass.QUERY

    def turn() -> None:
        queue.begin(query, 4096, taker)
        queue.end(query, 4096, 0.0, 0.0)

    _show("io_queue: begin and end", turn)
    room = ReadRoom(1 << 30, 64)

    def enter() -> None:
        room.try_enter(ROW_BYTES)
        room.leave(ROW_BYTES)

    _show("read_room: try_enter and leave", enter)


async def _files() -> None:
    files = []
    for number in range(FILES):
        row = row_of(number, b"x" * 100)
        keys = map(key_of, range(number, 4000, 2))
        content: list[Any] = [(key, None, b"", [], [b"c"], [row]) for key in keys]
        files.append(await open_bytes(file_of(content, layout())))
    file = files[0]
    cache = BlockCache(1 << 24)
    key = key_of(8)
    index_fetch = Lookup(file, file.summary, key, b"").step()
    assert index_fetch is not None
    index_bytes = await file.read(index_fetch)
    _show("fetch: one missing frame", lambda: Lookup(file, file.summary, key, b"").step())
    lookup = Lookup(file, file.summary, key, b"")
    lookup.step()
    lookup.supply([file.parse_one(index_fetch, index_bytes)])
    fetch = lookup.step()
    assert fetch is not None and fetch.kind is Kind.DATA
    data = await file.read(fetch)
    _show("fetch: bytes and pages", lambda: (fetch.bytes, fetch.pages))
    _show("reader: parse_one of a data frame", lambda: file.parse_one(fetch, data))
    block = file.parse_one(fetch, data)
    blocks, offset = [block], fetch.places[0].offset
    cache.put(index_fetch, [file.parse_one(index_fetch, index_bytes)])
    _show("block_cache: put of one block", lambda: cache.put(fetch, blocks))
    _show("block_cache: find_one of a data block", lambda: cache.find_one(file, offset))
    _show("block_cache: find_one that misses", lambda: cache.find_one(file, 7))

    def cached() -> None:
        Lookup(file, file.summary, key, b"", cache).step()

    _show("lookup: index and data cached", cached)
    hashed = key_hash(key)
    _show("reader: may_contain", lambda: file.may_contain(key, hashed))
    _begin_read(file, fetch)
    wanted, four = Slice(TABLE_ID, key=key), tuple(files)

    def choose() -> None:
        files_for(files_with(four, key), wanted, False)

    _show(f"frames: files_with and files_for, {FILES} files", choose)
    _show(f"frames: files_with, {FILES} files", lambda: files_with(four, key))


def _begin_read(file: SSTable, fetch: Any) -> None:
    disk, port, taker = MemoryDisk(), cast(File, _File()), _Taker()
    idle = SSTable(disk, "f", port, file.footer, file.statistics, file.summary, file.filter)
    _show("reader: begin_read", lambda: idle.begin_read(fetch, taker))


async def main() -> None:
    """Prints a line for each room."""
    _show("a call that does nothing", lambda: None)
    await _queue()
    await _files()


if __name__ == "__main__":
    asyncio.run(main())

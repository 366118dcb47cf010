"""The longest turns of the loop in storage, in CPU time: `python -m bench.micro.stalls [N]`.

Reads of a partition of N (500) thousand row tombstones, from memory and from a file, in both
directions, and flushes of 100,000 rows with the row cache full of them and empty. Everything that
a task does between two rests is timed, so other load of the machine does not matter.
"""

import asyncio
import inspect
import struct
import sys
import time
from collections.abc import Awaitable
from typing import TypeVar

from node.stalls import Stalls
from storage.engine import Engine, EngineConfig
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.mutation import MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice

QUEUE, SMALL = bytes(16), b"\1" * 16
CACHED_ROWS = 100_000
CONFIG = EngineConfig(memtable_bytes=1 << 30, block_cache_bytes=1 << 26, row_cache_bytes=1 << 28)
WALL_S = 1_000
T = TypeVar("T")


def key_of(number: int) -> bytes:
    """A decorated key; the multiplication spreads the tokens."""
    return struct.pack(">Q", number * 0x9E3779B97F4A7C15 % 2**64) + b"%08d" % number


async def timed(name: str, work: Awaitable[T]) -> T:
    """Awaits the work in a task of its own and says which of its turns was the longest."""
    stalls = Stalls(time.thread_time, time.thread_time, lambda _: None)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(stalls.make_task)
    began = time.thread_time()
    result = await loop.create_task(_await(work))
    took = time.thread_time() - began
    loop.set_task_factory(None)
    long = stalls.by_cpu
    print(
        f"  {name}: {took * 1e3:.0f} ms of CPU, {long.count} turns over 5 ms, "
        f"longest {long.longest_s * 1e3:.1f} ms {long.what}"
    )
    return result


async def _await(work: Awaitable[T]) -> T:
    return await work


async def _read(engine: Engine, wanted: Slice) -> Page:
    page = engine.read(wanted, WALL_S)
    return await page if inspect.isawaitable(page) else page


async def _page_through(engine: Engine, reverse: bool) -> int:
    wanted = Slice(QUEUE, key=key_of(1), reverse=reverse, row_limit=100)
    pages = 1
    while (page := await _read(engine, wanted)).more:
        wanted = wanted.after(page)
        pages += 1
    return pages


async def tombstones(engine: Engine, count: int) -> None:
    """A partition whose rows are all deleted."""
    for number in range(count):
        row = RowBuilder()
        row.begin(1, False)
        row.delete_row(2, WALL_S)
        builder = MutationBuilder(QUEUE, key_of(1))
        builder.row(b"\x10%08d" % number, row.finish())
        engine.apply(builder.finish())
        if number % 1_000 == 0:
            engine.end_of_turn()
            await asyncio.sleep(0)
    print(f"{count} tombstones")
    for place in ("memory", "a file"):
        for reverse in (False, True):
            way = "back" if reverse else "forth"
            pages = await timed(f"from {place}, {way}", _page_through(engine, reverse))
            print(f"    {pages} pages")
        await timed("flush of them", engine.flush(QUEUE))


async def _write(engine: Engine, ts: int) -> None:
    for number in range(CACHED_ROWS):
        row = RowBuilder()
        row.begin(ts, True)
        row.cell(1, ts, b"v" * 100)
        builder = MutationBuilder(SMALL, key_of(number))
        builder.row(b"", row.finish())
        engine.apply(builder.finish())
        if number % 1_000 == 0:
            engine.end_of_turn()
            await asyncio.sleep(0)


async def cached(engine: Engine) -> None:
    """Flushes of rows that the cache has, and has not."""
    print(f"{CACHED_ROWS} rows")
    await _write(engine, 1)
    await timed("flush, cache empty", engine.flush(SMALL))
    for number in range(CACHED_ROWS):
        await _read(engine, Slice(SMALL, key=key_of(number)))
    await _write(engine, 2)
    await timed("flush, all cached", engine.flush(SMALL))
    await timed("compaction", engine.compact(SMALL, WALL_S))


async def main() -> None:
    """See the module."""
    count = int(sys.argv[1]) * 1_000 if len(sys.argv) > 1 else 500_000
    engine = Engine(MemoryDisk(), "/shard", 0, CONFIG)
    queue = Layout(QUEUE, "bench.queue", frozenset({1}), True, False)
    await engine.open([queue, Layout(SMALL, "bench.small", frozenset({1}), False, False)])
    await tombstones(engine, count)
    await cached(engine)
    await engine.stop(flush=False)


if __name__ == "__main__":
    asyncio.run(main())

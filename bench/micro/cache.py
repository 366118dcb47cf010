"""The row cache: `python -m bench.micro.cache`.

Measured are point reads of rows of 200 bytes from cached rows, cached blocks and a memtable, on
a disk in memory, and what a cached row adds to the process.
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable
from pathlib import Path

from bench.micro.engine import TABLE, key_of
from storage.engine import Engine, EngineConfig
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.mutation import MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice

LAYOUT = Layout(TABLE, "bench.rows", frozenset(range(1, 6)), False, False)
ROWS = 100_000
READS = 20_000
MIB = 1 << 20


def resident_bytes() -> int:
    """What the process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def wait_for(answer: Page | Awaitable[Page]) -> Page:
    """The page, whether it was there or not."""
    return answer if isinstance(answer, Page) else await answer


async def filled(config: EngineConfig, flushes: bool = True) -> Engine:
    """An engine with all rows in one file, or in one memtable."""
    engine = Engine(MemoryDisk(), "shard-0", 0, config)
    await engine.open([LAYOUT])
    for number in range(ROWS):
        row = RowBuilder()
        row.begin(number + 1, True)
        row.cell(1, number + 1, b"%0186d" % number)
        builder = MutationBuilder(TABLE, key_of(number))
        builder.row(b"", row.finish())
        engine.apply(builder.finish())
    engine.end_of_turn()
    if flushes:
        await engine.flush()
    return engine


async def read_rows(engine: Engine, numbers: list[int]) -> float:
    """Read rows by key, and give the microseconds of CPU for each."""
    start = time.process_time()
    for number in numbers:
        page = await wait_for(engine.read(Slice(TABLE, key=key_of(number)), 0))
        assert len(page.partitions) == 1, "every row is found"
    return (time.process_time() - start) / len(numbers) * 1e6


async def main() -> None:
    """All figures."""
    chance = random.Random(1)
    hot = [chance.randrange(1000) for _ in range(READS)]
    blocks = await filled(EngineConfig(block_cache_bytes=64 * MIB))
    await read_rows(blocks, list(range(1000)))
    print(f"from cached blocks {await read_rows(blocks, hot):.1f} us")
    await blocks.stop()
    rows = await filled(EngineConfig(block_cache_bytes=MIB, row_cache_bytes=256 * MIB))
    before = resident_bytes()
    print(f"missed and inserted {await read_rows(rows, list(range(ROWS))):.1f} us")
    added = resident_bytes() - before
    print(f"from cached rows {await read_rows(rows, hot):.1f} us")
    charged = rows.statistics().row_cache_bytes
    print(f"a row adds {added / ROWS:.0f} bytes of RSS, {charged / ROWS:.0f} are charged")
    await rows.stop()
    memory = await filled(EngineConfig(memtable_bytes=256 * MIB), flushes=False)
    print(f"from a memtable {await read_rows(memory, hot):.1f} us")
    await memory.stop(flush=False)


if __name__ == "__main__":
    asyncio.run(main())

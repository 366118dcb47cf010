"""The engine on real files: `python -m bench.micro.engine [DIR]`.

Measured are applying, flushing, compacting, point reads and a scan.
Rows have five text columns of 34 bytes, one row per partition. Megabytes are those of the rows as
they are encoded, not of the compressed files.
"""

import asyncio
import os
import random
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable

from storage.direct_disk import DirectDisk
from storage.engine import Engine, EngineConfig
from storage.layout import Layout
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice

TABLE = bytes(16)
LAYOUT = Layout(TABLE, "bench.rows", frozenset(range(1, 6)), False, False)
CONFIG = EngineConfig(memtable_bytes=256 << 20, block_cache_bytes=1 << 16)
FILES = 4
ROWS = 50_000
READS = 5_000


def key_of(number: int) -> bytes:
    """A decorated key; the multiplication spreads the tokens."""
    return struct.pack(">Q", number * 0x9E3779B97F4A7C15 % 2**64) + b"%08d" % number


def mutation_of(number: int, chance: random.Random) -> Mutation:
    """One row of five values."""
    row = RowBuilder()
    row.begin(number + 1, True)
    for column in range(1, 6):
        row.cell(column, number + 1, chance.randbytes(17).hex().encode())
    builder = MutationBuilder(TABLE, key_of(number))
    builder.row(b"", row.finish())
    return builder.finish()


async def wait_for(answer: Page | Awaitable[Page]) -> Page:
    """The page, whether it was there or not."""
    return answer if isinstance(answer, Page) else await answer


async def measure(directory: str) -> None:
    """All figures, one after the other."""
    chance = random.Random(1)
    disk = DirectDisk(is_direct=True)
    engine = Engine(disk, f"{directory}/shard-0", 0, CONFIG)
    await engine.open([LAYOUT])
    print(disk.description)
    row_bytes = len(mutation_of(0, chance).data)
    for part in range(FILES):
        mutations = [mutation_of(part * ROWS + n, chance) for n in range(ROWS)]
        start = time.perf_counter()
        for number, mutation in enumerate(mutations):
            if engine.apply(mutation) is not None:
                raise RuntimeError("the memtables are too small for this measurement")
            if number % 32 == 31:
                engine.end_of_turn()
            if number % 4096 == 4095:
                await asyncio.sleep(0)
        report("apply, 32 a turn", ROWS, row_bytes, start)
        start = time.perf_counter()
        await engine.flush()
        report("flush", ROWS, row_bytes, start)
    await point_reads(engine, f"point reads, {FILES} files", FILES * ROWS, 1)
    await point_reads(engine, f"point reads, {FILES} files, 16 at once", FILES * ROWS, 16)
    await point_reads(engine, "misses", FILES * ROWS, 1, FILES * ROWS)
    start = time.perf_counter()
    await engine.compact(TABLE)
    report("compaction", FILES * ROWS, row_bytes, start)
    await point_reads(engine, "point reads, 1 file", FILES * ROWS, 1)
    await scan(engine, row_bytes)
    await engine.stop()


async def point_reads(engine: Engine, name: str, rows: int, at_once: int, first: int = 0) -> None:
    """Reads of single partitions, chosen at random, hardly any of which are cached."""
    chance = random.Random(2)

    async def reader() -> None:
        for _ in range(READS // at_once):
            wanted = Slice(TABLE, key=key_of(first + chance.randrange(rows)))
            page = await wait_for(engine.read(wanted, 0))
            if bool(page.partitions) != (first == 0):
                raise RuntimeError("a wrong answer")

    start = time.perf_counter()
    await asyncio.gather(*(reader() for _ in range(at_once)))
    report(name, READS, 0, start)


async def scan(engine: Engine, row_bytes: int) -> None:
    """All rows in pages of 5,000."""
    start = time.perf_counter()
    wanted = Slice(TABLE, row_limit=5_000)
    rows = 0
    while True:
        page = await wait_for(engine.read(wanted, 0))
        rows += sum(len(partition.rows) for partition in page.partitions)
        if not page.more:
            break
        wanted = wanted.after(page)
    report("scan", rows, row_bytes, start)


def report(name: str, count: int, row_bytes: int, start: float) -> None:
    """One line."""
    seconds = time.perf_counter() - start
    megabytes = f"{count * row_bytes / seconds / 1e6:8.1f} MB/s" if row_bytes else ""
    print(f"{name:32} {count / seconds:10,.0f} /s {seconds / count * 1e6:8.2f} us {megabytes}")


if __name__ == "__main__":
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        asyncio.run(measure(os.path.abspath(directory)))

"""Flush and compaction in CPU time: `python -m bench.micro.compaction [MEGABYTES]`.

Rows of about 200 bytes, half of it text that repeats, LZ4, on the memory disk, so that only the
processor counts. Three shapes: a row per partition in one file each, a row per partition that is
in all four files, and partitions of 100 rows. Megabytes are those of the rows as they are encoded.
The longest slice is the longest time in which the loop ran nothing else.
"""

import asyncio
import random
import struct
import sys
import time
from collections.abc import Callable

from storage.engine import Engine, EngineConfig
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder

TABLE = bytes(16)
FILES = 4
CONFIG = EngineConfig(memtable_bytes=1 << 30, block_cache_bytes=1 << 16)
WORDS = [b"apple", b"orange", b"lemon", b"cherry", b"melon", b"quince", b"grape", b"plum"]


def key_of(number: int) -> bytes:
    """A decorated key; the multiplication spreads the tokens."""
    return struct.pack(">Q", number * 0x9E3779B97F4A7C15 % 2**64) + b"%08d" % number


def mutation_of(number: int, rows: int, file: int, chance: random.Random) -> Mutation:
    """One of `rows` rows of a partition: five values."""
    row = RowBuilder()
    row.begin(file + 1, True)
    for column in range(1, 6):
        words = b" ".join(chance.choices(WORDS, k=3))
        row.cell(column, file + 1, words + chance.randbytes(9).hex().encode())
    builder = MutationBuilder(TABLE, key_of(number // rows))
    builder.row(b"" if rows == 1 else b"\x10%08d" % (number % rows), row.finish())
    return builder.finish()


class Stalls:
    """Runs beside the work and notes the longest wait for its turn."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._is_over = False

    async def watch(self) -> None:
        """Until `stop`."""
        last = time.process_time()
        while not self._is_over:
            await asyncio.sleep(0)
            now = time.process_time()
            self.longest = max(self.longest, now - last)
            last = now

    def stop(self) -> float:
        """The longest wait, in milliseconds."""
        self._is_over = True
        return self.longest * 1e3


async def measure(name: str, rows: int, count: int, number_of: Callable[[int, int], int]) -> None:
    """Flush four files of `count` rows, and merge them."""
    chance = random.Random(1)
    layout = Layout(TABLE, "bench.rows", frozenset(range(1, 6)), rows > 1, False)
    engine = Engine(MemoryDisk(), "/shard-0", 0, CONFIG)
    await engine.open([layout])
    total, flushing = 0, 0.0
    for file in range(FILES):
        for n in range(count):
            mutation = mutation_of(number_of(file, n), rows, file, chance)
            total += len(mutation.data)
            engine.apply(mutation)
            if n % 1000 == 999:
                engine.end_of_turn()
                await asyncio.sleep(0)
        flushing += await timed(f"{name}: flush", engine.flush(), 0)
    print(f"{name + ': flush':40} {total / flushing / 1e6:8.1f} MB/s of CPU time")
    await timed(f"{name}: compaction", engine.compact(TABLE), total)
    await engine.stop(flush=False)


async def timed(name: str, work: object, total: int) -> float:
    """The CPU time of the work, and a line about it if `total` is known."""
    stalls = Stalls()
    start = time.process_time()
    watching = asyncio.ensure_future(stalls.watch())
    await work  # type: ignore[misc]
    spent = time.process_time() - start
    longest = stalls.stop()
    await watching
    if total:
        rate = f"{total / spent / 1e6:8.1f} MB/s of CPU time"
        print(f"{name:40} {rate}, longest slice {longest:.2f} ms")
    return spent


async def main(megabytes: int) -> None:
    """All shapes."""
    count = megabytes * 1_000_000 // 230 // FILES
    await measure("row per partition, one file", 1, count, lambda file, n: file * count + n)
    await measure("row per partition, all files", 1, count, lambda file, n: n)
    await measure("100 rows, all files", 100, count, lambda file, n: n * FILES + file)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 40))

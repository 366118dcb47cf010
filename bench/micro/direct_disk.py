"""Random 16 KiB reads through the Disk port, by io_uring and by threads in turn.

By io_uring once with memory of the disk's own, which the kernel has pinned, and once without.

Run: `python -m bench.micro.direct_disk [DIR]`.
"""

import asyncio
import os
import sys
import tempfile
import time
from random import Random

from storage.direct_disk import MEMORY_BYTES_DEFAULT, IoChoice, open_direct_disk
from storage.disk import File, OpenMode

FILE_BYTES = 512 << 20
BLOCK_BYTES = 16_384
SECONDS = 1.0
ROUNDS = 3
WAYS = (
    (IoChoice.URING, MEMORY_BYTES_DEFAULT),
    (IoChoice.URING, 0),
    (IoChoice.THREADS, MEMORY_BYTES_DEFAULT),
)


async def reads(file: File, in_flight: int) -> tuple[float, float]:
    """Reads per second, and CPU microseconds per read."""
    random = Random(in_flight)
    deadline = time.perf_counter() + SECONDS
    done = 0

    async def reader() -> None:
        nonlocal done
        while time.perf_counter() < deadline:
            offset = random.randrange(FILE_BYTES // BLOCK_BYTES) * BLOCK_BYTES
            assert len(await file.read(offset, BLOCK_BYTES)) == BLOCK_BYTES
            done += 1

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(reader() for _ in range(in_flight)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return done / wall, cpu / done * 1e6


async def fill(directory: str) -> str:
    """Write the file that is read, and say how fast that was."""
    disk = open_direct_disk(directory, IoChoice.THREADS)
    path = f"{directory}/data"
    file = await disk.open(path, OpenMode.CREATE)
    chunk = os.urandom(1 << 20)
    wall = time.perf_counter()
    for offset in range(0, FILE_BYTES, len(chunk)):
        await file.write(offset, chunk)
    await file.sync()
    print(f"sequential write: {FILE_BYTES / (time.perf_counter() - wall) / 1e6:,.0f} MB/s")
    await file.close()
    disk.stop()
    return path


async def main(directory: str) -> None:
    """Write a file, then read it at random, each way in turn, under the same load."""
    path = await fill(directory)
    for in_flight in (1, 4, 16, 64):
        for choice, memory_bytes in WAYS * ROUNDS:
            disk = open_direct_disk(directory, choice, memory_bytes)
            file = await disk.open(path, OpenMode.READ)
            rate, cpu = await reads(file, in_flight)
            await file.close()
            print(
                f"{disk.description:20} {memory_bytes:7} lent {in_flight:3} in flight: "
                f"{rate:9,.0f} reads/s {cpu:6.1f} us CPU/read",
                flush=True,
            )
            disk.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as directory:
        asyncio.run(main(directory))

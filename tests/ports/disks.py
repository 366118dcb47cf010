"""The four disks that stand behind the Disk port, by name, each in a new empty directory."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

from storage.direct_disk import DirectDisk
from storage.disk import Disk
from storage.memory_disk import MemoryDisk
from tests.sim.disk import SimulatedDisk

NAMES = ("direct", "buffered", "memory", "simulated")


def run_on(name: str, directory: Path, test: Callable[[Disk, str], Awaitable[None]]) -> None:
    """Run `test(disk, directory)` on the disk called `name`."""

    async def run() -> None:
        if name in ("direct", "buffered"):
            real = DirectDisk(is_direct=name == "direct", threads_max=4)
            try:
                await test(real, str(directory))
            finally:
                real.stop()
            return
        disk: Disk = MemoryDisk() if name == "memory" else SimulatedDisk(Random(1))
        await disk.make_directory("memory://data")
        await test(disk, "memory://data")

    asyncio.run(run())

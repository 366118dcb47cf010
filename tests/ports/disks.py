"""The disks that stand behind the Disk port, by name, each in a new empty directory."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from storage.direct_disk import DirectDisk
from storage.disk import Disk
from storage.memory_disk import MemoryDisk
from storage.uring import IoUring
from tests.sim.disk import SimulatedDisk

NAMES = ("uring", "direct", "buffered", "memory", "simulated")


def run_on(name: str, directory: Path, test: Callable[[Disk, str], Awaitable[None]]) -> None:
    """Run `test(disk, directory)` on the disk called `name`."""

    async def run() -> None:
        if name in ("uring", "direct", "buffered"):
            real = real_disk(name)
            try:
                await test(real, str(directory))
            finally:
                real.stop()
            return
        disk: Disk = MemoryDisk() if name == "memory" else SimulatedDisk(Random(1))
        await disk.make_directory("memory://data")
        await test(disk, "memory://data")

    asyncio.run(run())


def real_disk(name: str) -> DirectDisk:
    """A disk of real files; skips the test where the kernel does not allow io_uring."""
    if name != "uring":
        return DirectDisk(is_direct=name == "direct", threads_max=4)
    try:
        return DirectDisk(is_direct=True, uring=IoUring(64, 3))
    except OSError as failure:
        pytest.skip(f"no io_uring here: {errno.errorcode.get(failure.errno or 0)}")

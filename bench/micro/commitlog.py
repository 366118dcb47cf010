"""The commit log: append, sync modes, replay. Run: `python -m bench.micro.commitlog [DIR]`.

CPU is the process's user and system time, threads included; the wall clock also holds the disk.
"""

import asyncio
import os
import sys
import tempfile
import time

from storage.commitlog import CommitLog, CommitLogConfig, SyncMode
from storage.direct_disk import DirectDisk
from storage.disk import Disk
from storage.memory_disk import MemoryDisk

MUTATION = os.urandom(250)
TABLE = bytes(16)
RECORDS = 200_000
GIB = 1 << 30


async def started(disk: Disk, directory: str, mode: SyncMode) -> CommitLog:
    """A log that goes on after what the directory holds."""
    config = CommitLogConfig(mode, group_window_s=0.005, total_space_bytes=GIB)
    log = CommitLog(disk, directory, config)
    async for _ in log.replay():
        pass
    await log.start()
    return log


async def turns(name: str, disk: Disk, directory: str, records_per_turn: int) -> None:
    """Records per second and CPU microseconds per record in periodic mode."""
    await disk.make_directory(directory)
    log = await started(disk, directory, SyncMode.PERIODIC)
    wall, cpu = time.perf_counter(), time.process_time()
    for turn in range(RECORDS // records_per_turn):
        for _ in range(records_per_turn):
            position = log.append(TABLE, MUTATION)
            log.acknowledgement(position)
        log.end_of_turn()
        if turn % 16 == 0:
            await asyncio.sleep(0)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{name:9} append+turn, {records_per_turn:3} records a turn:"
        f" {RECORDS / wall:10,.0f} records/s {cpu / RECORDS * 1e6:6.2f} us CPU/record"
    )
    await log.close()


async def waits(name: str, disk: Disk, directory: str, mode: SyncMode, writers: int) -> None:
    """Writes per second when each of `writers` waits for its sync."""
    await disk.make_directory(directory)
    log = await started(disk, directory, mode)
    deadline = time.perf_counter() + 2.0
    done = 0

    async def writer() -> None:
        nonlocal done
        while time.perf_counter() < deadline:
            position = log.append(TABLE, MUTATION)
            log.end_of_turn()
            wait = log.acknowledgement(position)
            if wait is not None:
                await wait
            done += 1

    wall = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(writers)))
    wall = time.perf_counter() - wall
    print(
        f"{name:9} {mode.value:8} {writers:3} writers: {done / wall:10,.0f} writes/s"
        f" {log.syncs / wall:8,.0f} syncs/s"
    )
    await log.close()


async def replay(name: str, disk: Disk, directory: str) -> None:
    """Megabytes per second of a replay that does nothing with the mutations."""
    log = CommitLog(disk, directory, CommitLogConfig())
    wall, cpu = time.perf_counter(), time.process_time()
    records = size = 0
    async for batch in log.replay():
        records += len(batch)
        size += sum(len(mutation) for _, mutation in batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{name:9} replay: {size / wall / 1e6:8,.0f} MB/s, {records / wall:10,.0f} records/s,"
        f" {cpu / records * 1e6:6.2f} us CPU/record"
    )


async def main(directory: str) -> None:
    """All of it, in memory and on the disk of `directory`."""
    real = DirectDisk(is_direct=True)
    for name, disk, root in (("memory", MemoryDisk(), "/log"), ("disk", real, directory)):
        for records_per_turn in (1, 16, 64):
            await turns(name, disk, f"{root}/{records_per_turn}", records_per_turn)
        await replay(name, disk, f"{root}/16")
    for mode in (SyncMode.BATCH, SyncMode.GROUP):
        for writers in (1, 64):
            await waits("disk", real, f"{directory}/{mode.value}{writers}", mode, writers)
    real.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as directory:
        asyncio.run(main(directory))

"""Lives of a shard on real files, with one read or write in each that the kernel cuts short.

`python -m tests.storage.short_lives DISK DIRECTORY FIRST STEP`, in a process that `short_io` has
prepared: says at its end how many calls were short, interrupted or failing. Nothing that was
acknowledged is lost; where no call fails, nobody notices anything.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

from storage.engine import Engine
from tests.harness.short_io import EVERY_CALL, Fate, calls, plan
from tests.ports.disks import real_disk
from tests.storage.test_engine_crashes import CONFIG, KEPT, layout_of, table_of
from tests.storage.test_io_errors import Node, numbers_in

CALLS_MAX = 5_000
LIFE_S_MAX = 60.0
UNNOTICED = (Fate.SHORT, Fate.INTERRUPTED, Fate.MIXED)


async def life(name: str, directory: Path, call: int, fate: Fate) -> int:
    """One life, killed at its end or not, and what the next one finds; how many calls it made."""
    disk = real_disk(name)
    node = Node(str(directory / "shard-0"))
    plan(call, fate)
    async with asyncio.timeout(LIFE_S_MAX):
        await node.live(disk, ends_well=call % 3 == 0)
    made = calls()
    plan(EVERY_CALL, Fate.WHOLE)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    disk.stop()
    where = f"{name}: call {call} of {made}, {fate.name}"
    assert not node.damage, f"{where}, was taken for damage: {node.damage}"
    if fate in UNNOTICED:
        assert node.failure is None and node.refused == 0, f"{where}: {node.failure}"
    assert node.engine is not None
    node.engine._lock.release()  # The kernel would, when the process ends.
    await _check(name, node, where)
    shutil.rmtree(directory)
    return made


async def _check(name: str, node: Node, where: str) -> None:
    """What the next process finds."""
    disk = real_disk(name)
    engine = Engine(disk, node.directory, 0, CONFIG)
    report = await engine.open([layout_of(KEPT)])
    assert not report.damaged, where
    found = await numbers_in(engine)
    assert node.acknowledged <= found, f"{where}: {sorted(node.acknowledged - found)} are lost"
    assert all(table_of(n) == KEPT and n < node.begun for n in found), where
    await engine.stop()
    disk.stop()


async def lives(name: str, directory: Path, first: int, step: int) -> int:
    """Each call, or every so manieth, has each fate once; and all of them one of the harmless."""
    done = await life(name, directory / "all", EVERY_CALL, Fate.MIXED)
    assert done > 100, "a life reads and writes"
    for fate in (Fate.SHORT, Fate.INTERRUPTED, Fate.FAILING):
        for call in range(first, CALLS_MAX, step):
            if await life(name, directory / f"{fate.name}-{call}", call, fate) < call:
                break
            done += 1
        else:
            raise AssertionError("a life does not end")
    return done


if __name__ == "__main__":
    print(asyncio.run(lives(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))

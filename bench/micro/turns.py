"""How long a compaction keeps the loop, in CPU time: `python -m bench.micro.turns [MEGABYTES]`.

Six files on the disk of the temporary directory, past the page cache, are merged while nobody asks
for anything. A turn is what one callback of the loop does; a stretch is what is done without a look
at whether a request has come, after which the work would have ended if one had. So a request waits
for the rest of a stretch; before there were looks it waited for the rest of a turn.

The wait is that of a request which comes at a random moment of the compaction's work.
"""

import asyncio
import gc
import random
import sys
import tempfile
import time
from asyncio.events import Handle
from collections.abc import Callable
from typing import Any

from bench.micro.compaction import CONFIG, TABLE, mutation_of
from node.waiting import Waiting
from storage.direct_disk import open_direct_disk
from storage.engine import Engine
from storage.layout import Layout
from storage.mutation import Mutation, MutationBuilder
from storage.pace import Hours
from storage.row import RowBuilder

FILES = 6
ROW_BYTES = 230
LIMITS_US = (50, 100, 200)


class Turns:
    """Times every callback of the loop, and the stretches between looks in them."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._looked_at = 0
        self._is_on = False
        self.turns: list[int] = []
        self.stretches: list[int] = []

    def is_wanted(self) -> bool:
        """What a slice asks: a stretch is over."""
        self._end_stretch()
        return self._waiting.is_anybody()

    async def watch(self, work: Any) -> None:
        """Awaits the work, timing all callbacks meanwhile."""
        run = Handle._run

        def watched(handle: Handle) -> None:
            began = self._looked_at = time.thread_time_ns()
            run(handle)
            self._end_stretch()
            if self._is_on:
                self.turns.append(self._looked_at - began)

        setattr(Handle, "_run", watched)  # noqa: B010 - it is a method for the types
        self._is_on = True
        try:
            await work
        finally:
            self._is_on = False
            setattr(Handle, "_run", run)  # noqa: B010

    def _end_stretch(self) -> None:
        if not self._is_on:
            return
        now = time.thread_time_ns()
        self.stretches.append(now - self._looked_at)
        self._looked_at = now


def report(what: str, times: list[int]) -> None:
    """The share of the time in long ones, and what a random moment has to wait for."""
    total = sum(times)
    shares = ", ".join(
        f"{sum(t for t in times if t > limit * 1_000) / total:.1%} over {limit}"
        for limit in LIMITS_US
    )
    waits = ", ".join(f"{wait_of(times, part):.0f} us at {part:.1%}" for part in (0.5, 0.99, 0.999))
    print(f"  {what} {len(times)}: time in those {shares} us; wait {waits}")


def wait_of(times: list[int], part: float) -> float:
    """The wait in microseconds that this part of all random moments does not exceed."""
    total, low, high = sum(times), 0.0, float(max(times))
    for _ in range(40):
        middle = (low + high) / 2
        longer = sum(t - middle for t in times if t > middle) / total
        low, high = (middle, high) if longer > 1 - part else (low, middle)
    return high / 1_000


def noise_of(number: int, rows: int, file: int, chance: random.Random) -> Mutation:
    """A row that cannot be compressed."""
    row = RowBuilder()
    row.begin(file + 1, True)
    row.cell(1, file + 1, chance.randbytes(ROW_BYTES - 12))
    builder = MutationBuilder(TABLE, mutation_of(number, rows, file, chance).key)
    builder.row(b"", row.finish())
    return builder.finish()


async def measure(
    name: str, count: int, make: Callable[[int, int, int, random.Random], Mutation]
) -> None:
    """Writes the files and merges them."""
    chance = random.Random(1)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, asyncio.SelectorEventLoop), "its callbacks can be watched"
    turns = Turns(Waiting(loop._selector.fileno()))  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as directory:
        disk = open_direct_disk(directory)
        hours = Hours(time.monotonic, turns.is_wanted)
        engine = Engine(disk, f"{directory}/shard-0", 0, CONFIG, hours=hours)
        await engine.open([Layout(TABLE, "bench.rows", frozenset(range(1, 6)), False, False)])
        for file in range(FILES):
            for n in range(count):
                engine.apply(make(file * count + n, 1, file, chance))
                if n % 1_000 == 999:
                    engine.end_of_turn()
                    await asyncio.sleep(0)
            await engine.flush()
        gc.collect()
        began = time.process_time()
        await turns.watch(engine.compact(TABLE))
        spent = time.process_time() - began
        total = FILES * count * ROW_BYTES
        print(f"{name}, {disk.description}: {total / spent / 1e6:.1f} MB/s of CPU time")
        report("turns", turns.turns)
        report("stretches", turns.stretches)
        await engine.stop(flush=False)


async def main(megabytes: int) -> None:
    """Both kinds of rows."""
    count = megabytes * 1_000_000 // ROW_BYTES // FILES
    await measure("half text", count, mutation_of)
    await measure("noise", count, noise_of)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))

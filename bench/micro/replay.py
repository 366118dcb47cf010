"""A start after a kill, without a node around it: `python -m bench.micro.replay [DIR] [--rows N]`.

An engine logs rows of a 12-byte key and five texts of 34 bytes, keys in random order, in a process
that ends without a word; another process opens its directory: it replays the log and writes what it
held to files. CPU is that of the second process, user and system time, less that of an open that
finds no log; megabytes are those of keys and texts. `--changes` writes each row so often.
"""

import argparse
import asyncio
import gc
import os
import random
import shutil
import statistics
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import uvloop

from bench.micro.engine import LAYOUT, TABLE
from storage.direct_disk import open_direct_disk
from storage.engine import Engine, EngineConfig
from storage.mutation import Mutation, MutationBuilder
from storage.pace import Hours
from storage.row import RowBuilder

COLUMNS, VALUE_BYTES = 5, 34
ROW_BYTES = 12 + COLUMNS * VALUE_BYTES
CONFIG = EngineConfig(memtable_bytes=1 << 30, block_cache_bytes=16 << 20)
GARBAGE_OBJECTS = 10_000
"""As the node has it."""

_NOISE = random.Random(1).randbytes(1 << 20).hex().encode()


def mutation_of(number: int, change: int, chance: random.Random) -> Mutation:
    """One row; `change` is its timestamp."""
    row = RowBuilder()
    row.begin(change + 1, True)
    for column in range(1, COLUMNS + 1):
        at = chance.randrange(len(_NOISE) - VALUE_BYTES)
        row.cell(column, change + 1, _NOISE[at : at + VALUE_BYTES])
    token = struct.pack(">Q", number * 0x9E3779B97F4A7C15 % 2**64)
    builder = MutationBuilder(TABLE, token + struct.pack(">QI", 0, number))
    builder.row(b"", row.finish())
    return builder.finish()


async def write(directory: str, rows: int, changes: int) -> None:
    """Log everything; nothing of it is flushed."""
    engine = Engine(open_direct_disk(directory), directory, 0, CONFIG)
    await engine.open([LAYOUT])
    chance = random.Random(2)
    for change in range(changes):
        for number in range(rows):
            engine.apply(mutation_of(number, change, chance))
            if number % 32 == 31:
                engine.end_of_turn()
            if number % 1024 == 1023:
                await asyncio.sleep(0)  # The next segment is made ready.
    engine.end_of_turn()


async def recover(directory: str) -> tuple[float, int]:
    """CPU seconds of an open, and how many mutations were replayed."""
    disk, hours = open_direct_disk(directory), Hours(time.perf_counter)
    engine = Engine(disk, directory, 0, CONFIG, hours=hours)
    cpu = time.process_time()
    report = await engine.open([LAYOUT])
    return time.process_time() - cpu, report.replayed


def in_child(work: Callable[[], str]) -> str:
    """What the work says in a process of its own, which ends at once after it."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.write(writable, work().encode())
            code = 0
        except BaseException:  # noqa: BLE001 - the child says why it ends, whatever it is
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writable)
    with os.fdopen(readable) as answers:
        said = answers.read()
    if os.waitpid(pid, 0)[1]:
        sys.exit("a child has failed")
    return said


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", nargs="?")
    parser.add_argument("--rows", type=int, default=220_000)
    parser.add_argument("--changes", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        made, work = f"{name}/made", f"{name}/work"

        def opened() -> tuple[float, int]:
            said = in_child(lambda: repr(uvloop.run(recover(work)))).strip("()").split(",")
            return float(said[0]), int(said[1])

        Path(made).mkdir()
        in_child(lambda: str(uvloop.run(write(made, options.rows, options.changes))))
        found = []
        for _ in range(options.rounds):
            shutil.copytree(made, work)
            cpu, replayed = opened()
            empty, _ = opened()
            shutil.rmtree(work)
            found.append(cpu - empty)
            if replayed != options.rows * options.changes:
                sys.exit(f"{replayed} mutations were replayed")
            megabytes = replayed * ROW_BYTES / 1e6
            print(
                f"{replayed:,} rows: {cpu - empty:.2f} s of CPU,"
                f" {(cpu - empty) / replayed * 1e6:.2f} us a row,"
                f" {megabytes / (cpu - empty):.1f} MB/s (an open of nothing: {empty:.3f} s)"
            )
        print(f"median: {megabytes / statistics.median(found):.1f} MB per CPU second")


if __name__ == "__main__":
    main()

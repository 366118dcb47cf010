"""What a row of 200 bytes takes in memory and on disk: `python -m bench.micro.memory`.

One engine on real files, for each shape of partition: as many rows as are wanted are written into a
memtable, flushed, and read through the row cache, and the process is looked at after each. RSS is
the kernel's; what the engine itself charges is beside it. Values are noise, which is not
compressed.
"""

import argparse
import asyncio
import gc
import random
import subprocess
import sys
import tempfile

from bench.micro.cache import MIB, resident_bytes, wait_for
from bench.micro.engine import TABLE, key_of
from storage.direct_disk import open_direct_disk
from storage.engine import Engine, EngineConfig
from storage.layout import Layout
from storage.mutation import MutationBuilder
from storage.row import RowBuilder
from storage.slice import Slice

PAYLOAD_BYTES = 200
"""Of a row: its key or clustering of 16 bytes, and one value."""
NAME_BYTES = 16
MANY = 100
"""Rows of a partition that has more than one."""
ROOM_BYTES = 4096 * MIB


async def measure(rows: int, rows_each: int, directory: str) -> None:
    """Prints one line for each place of the rows."""
    config = EngineConfig(
        memtable_bytes=ROOM_BYTES, flush_at_fraction=1.0, row_cache_bytes=ROOM_BYTES
    )
    layout = Layout(TABLE, "bench.rows", frozenset(range(1, 6)), rows_each > 1, False)
    engine = Engine(open_direct_disk(directory), f"{directory}/shard-0", 0, config)
    await engine.open([layout])
    gc.collect()
    empty = resident_bytes()
    chance = random.Random(1)
    for number in range(rows // rows_each):
        builder = MutationBuilder(TABLE, key_of(number))
        for place in range(rows_each):
            row = RowBuilder()
            row.begin(number + 1, True)
            row.cell(1, number + 1, chance.randbytes(PAYLOAD_BYTES - NAME_BYTES))
            builder.row(b"%016d" % place if rows_each > 1 else b"", row.finish())
        waited = engine.apply(builder.finish())
        if waited is not None:
            await waited
        if number % 64 == 0:
            engine.end_of_turn()
            await asyncio.sleep(0)
    engine.end_of_turn()
    shape = f"{rows_each} row{'s' if rows_each > 1 else ''} each"
    told = engine.statistics().memtable_bytes
    tell(shape, "in a memtable", rows, resident_bytes() - empty, told)
    await engine.flush()
    held = engine.statistics()
    on_disk = sum(table.file_bytes for table in held.tables)
    print(f"  {shape}, on disk: {on_disk / rows:.0f} bytes a row", flush=True)
    gc.collect()
    before = resident_bytes()
    for number in range(rows // rows_each):
        await wait_for(engine.read(Slice(TABLE, key=key_of(number)), 0))
    told = engine.statistics().row_cache_bytes
    tell(shape, "in the row cache", rows, resident_bytes() - before, told)
    await engine.stop()


def tell(shape: str, place: str, rows: int, resident: int, charged: int) -> None:
    """One line."""
    print(
        f"  {shape}, {place}: RSS {resident / rows * 1e6 / MIB:.0f} MiB a million rows, "
        f"{resident / rows / PAYLOAD_BYTES:.2f} of the payload; "
        f"charged {charged / rows / PAYLOAD_BYTES:.2f}",
        flush=True,
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rows-each", type=int, help="measure in this process, one shape only")
    options = parser.parse_args()
    if options.rows_each is not None:
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(measure(options.rows, options.rows_each, directory))
        return
    for rows_each in (1, MANY):
        # A process each: what the allocator kept of one shape would be the other's for nothing.
        command = [sys.executable, "-m", "bench.micro.memory", "--rows", str(options.rows)]
        subprocess.run([*command, "--rows-each", str(rows_each)], check=True)


if __name__ == "__main__":
    main()

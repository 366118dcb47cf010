"""How fast files of some shards become files of others: `python -m bench.micro.resharding`.

Rows of 200 bytes in partitions of ten rows, LZ4, on real files; one process, as at a node's start.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import uvloop

from cluster.token import decorate, key_token, owned_until, position, shard_of
from storage.direct_disk import IoChoice, open_direct_disk
from storage.engine import Engine, EngineConfig
from storage.layout import Layout
from storage.mutation import MutationBuilder
from storage.row import RowBuilder
from storage.split import Split
from storage.sstable.reader import NO_KEY

MIB = 1024 * 1024
LAYOUT = Layout(b"t" * 16, "ks.t", frozenset({1}), True, False)
VALUES = 997
CONFIG = EngineConfig(memtable_bytes=128 * MIB)


async def _fill(engine: Engine, shard: int, shards: int, partitions: int) -> None:
    values = [Random(n).randbytes(90) + b"x" * 110 for n in range(VALUES)]
    for number in range(partitions):
        key = decorate(b"key%d" % number)
        if shard_of(key_token(key), shards) != shard:
            continue
        builder = MutationBuilder(LAYOUT.table_id, key)
        for clustering in range(10):
            row = RowBuilder()
            row.begin(number, True)
            row.cell(1, number, values[(number * 10 + clustering) % VALUES])
            builder.row(b"c%04d" % clustering, row.finish())
        waited = engine.apply(builder.finish())
        if waited is not None:
            await waited
        if number % 64 == 0:
            engine.end_of_turn()
            await asyncio.sleep(0)
            for job in engine.background(1):
                await job


async def _run(directory: str, old: int, new: int, partitions: int) -> None:
    disk = open_direct_disk(directory, IoChoice("auto"))
    sources = [f"{directory}/shard-{shard}" for shard in range(old)]
    for shard, source in enumerate(sources):
        await disk.make_directory(source)
        engine = Engine(disk, source, shard, CONFIG)
        await engine.open([LAYOUT])
        await _fill(engine, shard, old, partitions)
        await engine.stop()
    targets = [f"{directory}/resharding/shard-{shard}" for shard in range(new)]

    def until(key: bytes) -> bytes:
        token = owned_until(key_token(key), new)
        return NO_KEY if token is None else position(token)

    split = Split(
        disk,
        sources,
        targets,
        lambda key: shard_of(key_token(key), new),
        Random(1),
        owned_until=until,
    )
    await split.open([LAYOUT])
    begun, used = time.perf_counter(), time.process_time()
    await split.run()
    await split.finish()
    took, cpu = time.perf_counter() - begun, time.process_time() - used
    disk.stop()
    size = split.total_bytes / MIB
    raw = partitions * 10 * 200 / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{old} -> {new} shards: {size:.0f} MiB in {split.files} files ({raw:.0f} MiB of values), "
        f"{took:.1f} s, {size / took:.1f} MiB/s of files, {raw / took:.1f} MiB/s of values, "
        f"{cpu:.1f} s CPU, {partitions / took:,.0f} partitions/s, peak {peak:.0f} MiB"
    )


def main() -> None:
    """Runs the measurement once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=int, default=2)
    parser.add_argument("--new", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=50_000)
    options = parser.parse_args()
    with (
        TemporaryDirectory(dir=Path.cwd()) as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_run(directory, options.old, options.new, options.partitions))


if __name__ == "__main__":
    main()

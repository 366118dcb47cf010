"""A scan of cold data without a socket: CPU per row in the engine alone, and up to the replies.

    python -m bench.micro.scan [--rows 60000] [--files 4] [--directory DIR] [--profile engine|cql]

A whole shard holds a table of partitions that are one row of five text columns each, in as many
files as asked for, every key in one of them. It is read in pages of 5,000 rows, past the caches of
the engine; the lowest of three rounds counts. Without a directory the disk is memory.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from random import Random

from bench.micro.request import NAMES, Talk, build, turns_of
from node.shard import Shard
from storage.slice import Pack, Page, Slice
from tests.harness.wire import CONSISTENCY_ONE, OP_QUERY, OP_STARTUP, execute_frame, spread_key

ROUNDS = 3
PAGE_ROWS = 5_000
PAGE_BYTES = 1 << 20
PROFILE_LINES = 40
VALUE_BYTES = 34
SKIP_METADATA, PAGE_SIZE, WITH_STATE, MORE_PAGES = 2, 4, 8, 2


async def fill(shard: Shard, rows: int, files: int) -> Talk:
    """The table, in files that lie all over the ring."""
    chance = Random(1)
    talk = Talk(shard)
    await talk.ask(OP_STARTUP, struct.pack(">H", 1) + b"\0\x0bCQL_VERSION\0\x053.0.0")
    await talk.query(
        "CREATE KEYSPACE bench WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    columns = ", ".join(f'"C{i}" text' for i in range(5))
    await talk.query(
        f"CREATE TABLE bench.standard1 (key blob PRIMARY KEY, {columns}) "
        "WITH compaction = {'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'}"
    )
    insert = await talk.prepare(f"INSERT INTO bench.standard1 (key, {NAMES}) VALUES (?,?,?,?,?,?)")
    for first in range(files):
        frames = []
        for number in range(first, rows, files):
            values = [chance.randbytes(VALUE_BYTES // 2).hex().encode() for _ in range(5)]
            frames.append(execute_frame(number % 1024, insert, [spread_key(number), *values]))
        await talk.run(turns_of(frames))
        await shard.engine.flush()
    return talk


async def read_engine(shard: Shard, table_id: bytes) -> int:
    """All pages of the engine; gives the rows."""
    wanted = Slice(
        table_id, row_limit=PAGE_ROWS, byte_limit=PAGE_BYTES, static=False, bypass_cache=True
    )
    rows = 0
    while True:
        answer = shard.engine.read(wanted, 0)
        page: Page = answer if isinstance(answer, Page) else await answer
        rows += sum(len(p) if isinstance(p, Pack) else len(p.rows) for p in page.parts)
        if not page.more:
            return rows
        wanted = wanted.after(page)


async def read_cql(talk: Talk) -> int:
    """All pages of a SELECT; gives the rows."""
    state = b""
    rows = 0
    text = b"SELECT * FROM bench.standard1 BYPASS CACHE"
    while True:
        flags = SKIP_METADATA | PAGE_SIZE | (WITH_STATE if state else 0)
        body = struct.pack(">i", len(text)) + text
        body += struct.pack(">HBi", CONSISTENCY_ONE, flags, PAGE_ROWS)
        reply = await talk.ask(
            OP_QUERY, body + (struct.pack(">i", len(state)) + state if state else b"")
        )
        _, result_flags, _ = struct.unpack_from(">iii", reply)
        position = 12
        if result_flags & MORE_PAGES:
            (size,) = struct.unpack_from(">i", reply, position)
            position += 4 + size
            state = reply[position - size : position]
        rows += struct.unpack_from(">i", reply, position)[0]
        if not result_flags & MORE_PAGES:
            return rows


async def measure(options: argparse.Namespace) -> None:
    """Prints a line for each way."""
    shard = await build(options.directory)
    talk = await fill(shard, options.rows, options.files)
    (layout,) = [one for one in shard.engine.layouts() if one.name == "bench.standard1"]
    ways: dict[str, Callable[[], Awaitable[int]]] = {
        "engine": lambda: read_engine(shard, layout.table_id),
        "cql": lambda: read_cql(talk),
    }
    for name, way in ways.items():
        times = []
        with cProfile.Profile() if name == options.profile else nullcontext() as profiler:
            for _ in range(ROUNDS):
                start = time.process_time()
                rows = await way()
                times.append((time.process_time() - start) / rows * 1e6)
                if rows != options.rows:
                    raise RuntimeError(f"{rows} of {options.rows} rows")
        print(
            f"{name:<6} {min(times):6.2f} us of CPU a row  ({', '.join(f'{t:.2f}' for t in times)})"
        )
        if profiler is not None:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(PROFILE_LINES)
    await shard.stop()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--directory", default="memory://bench")
    parser.add_argument("--profile", choices=("engine", "cql"))
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()

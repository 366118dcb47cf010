"""One request from frame to reply, without a socket: CPU per prepared write and read.

    python -m bench.micro.request [--files] [--profile write|read]

A whole shard is built on a disk in memory; frames are fed to one connection, 64 at a time, as a
loop does which finds them in one receive. Three rounds each; the lowest counts, as other load only
adds. With `--files` the rows are flushed first, so that reads come from an SSTable through the
block cache. `--profile` names an operation whose Python functions are timed.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import struct
import time
from contextlib import nullcontext
from random import Random

from cluster.transport import NoSiblings
from node.clients import Client
from node.clock import Clock
from node.config import build_config
from node.identity import load_or_create
from node.shard import Shard, World, open_disk
from node.stalls import Stalls
from tests.harness.wire import (
    CONSISTENCY_ONE,
    HEADER,
    OP_PREPARE,
    OP_QUERY,
    OP_STARTUP,
    execute_frame,
    spread_key,
)

KEYS = 20_000
TURN = 64
ROUNDS = 3
PROFILE_LINES = 30
VALUES = [b"x" * 34] * 5
NAMES = ", ".join(f'"C{i}"' for i in range(5))


def frame(opcode: int, body: bytes) -> bytes:
    """One v4 request."""
    return HEADER.pack(4, 0, 0, opcode, len(body)) + body


def long_string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">i", len(data)) + data


class Talk:
    """One connection without a socket."""

    def __init__(self, shard: Shard) -> None:
        assert shard.clients is not None
        self._shard = shard
        self._client: Client = shard.clients.accept()

    async def ask(self, opcode: int, body: bytes) -> bytes:
        """The body of the reply."""
        self._client.feed(frame(opcode, body))
        while (out := self._client.take_output()) is None:
            await asyncio.sleep(0.001)
        reply = bytes(out)
        if reply[4] == 0:
            raise RuntimeError(reply[15:].decode())
        return reply[9:]

    async def query(self, text: str) -> None:
        await self.ask(OP_QUERY, long_string(text) + struct.pack(">HB", CONSISTENCY_ONE, 0))

    async def prepare(self, text: str) -> bytes:
        body = await self.ask(OP_PREPARE, long_string(text))
        (size,) = struct.unpack_from(">H", body, 4)
        return body[6 : 6 + size]

    async def run(self, turns: list[bytes]) -> float:
        """CPU seconds for turns of frames; each ends with the log and the replies."""
        used = 0.0
        for number, turn in enumerate(turns):
            start = time.process_time()
            self._client.feed(turn)
            self._shard.turn.end()
            out = self._client.take_output()
            used += time.process_time() - start
            if out is None or self._client.in_flight:
                await asyncio.sleep(0)
                self._client.take_output()
            if number % 16 == 0:
                await asyncio.sleep(0)
        return used


async def build(directory: str = "memory://bench") -> Shard:
    """A shard that answers."""
    config = build_config({"data_directory": directory, "shards": 1}, None)
    disk = open_disk(config.data_directory, config.io)
    await disk.make_directory(config.data_directory)
    identity = await load_or_create(disk, config, Random(1))
    failures: list[BaseException] = []
    shard = Shard(
        World(
            shard=0,
            config=config,
            identity=identity,
            native_port=0,
            shard_aware_port=None,
            generation=1,
            gateway=None,
            disk=disk,
            clock=Clock(),
            random=Random(1),
            siblings=NoSiblings(),
            loop=asyncio.get_running_loop(),
            has_failed=failures.append,
            stalls=Stalls(time.monotonic, time.thread_time),
        )
    )
    await shard.open_schema()
    await shard.start()
    return shard


def turns_of(frames: list[bytes]) -> list[bytes]:
    return [b"".join(frames[at : at + TURN]) for at in range(0, len(frames), TURN)]


async def measure(from_files: bool, profile: str | None) -> None:
    shard = await build()
    talk = Talk(shard)
    await talk.ask(OP_STARTUP, struct.pack(">H", 1) + b"\0\x0bCQL_VERSION\0\x053.0.0")
    await talk.query(
        "CREATE KEYSPACE bench WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    columns = ", ".join(f'"C{i}" text' for i in range(5))
    await talk.query(f"CREATE TABLE bench.standard1 (key blob PRIMARY KEY, {columns})")
    insert = await talk.prepare(f"INSERT INTO bench.standard1 (key, {NAMES}) VALUES (?,?,?,?,?,?)")
    select = await talk.prepare(f"SELECT {NAMES} FROM bench.standard1 WHERE key = ?")
    writes = [execute_frame(i % 1024, insert, [spread_key(i), *VALUES]) for i in range(KEYS)]
    reads = [execute_frame(i % 1024, select, [spread_key(i)]) for i in range(KEYS)]
    await talk.run(turns_of(writes))
    for name, frames in (("write", writes), ("read", reads)):
        if name == "read" and from_files:
            await shard.engine.flush()
        with cProfile.Profile() if name == profile else nullcontext() as profiler:
            times = [await talk.run(turns_of(frames)) / KEYS * 1e6 for _ in range(ROUNDS)]
        print(f"{name:<6} {min(times):6.2f} us of CPU  ({', '.join(f'{t:.2f}' for t in times)})")
        if profiler is not None:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(PROFILE_LINES)
    await shard.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--profile", choices=("write", "read"))
    options = parser.parse_args()
    asyncio.run(measure(options.files, options.profile))


if __name__ == "__main__":
    main()

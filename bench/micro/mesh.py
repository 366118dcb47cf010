"""Round trips and bytes per second between two processes through the mesh.

Run as `python -m bench.micro.mesh`. The child answers every request with its payload.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time

import uvloop

from cluster.messages import decode_fault, encode_fault
from node.mesh import Mesh

SECONDS = 2.0
ECHO = 200


def mesh_of(shard: int, end: socket.socket, loop: asyncio.AbstractEventLoop) -> Mesh:
    """One end, in this process."""
    mesh = Mesh(
        shard,
        loop,
        before_flush=lambda: None,
        encode_fault=encode_fault,
        decode_fault=decode_fault,
    )
    mesh.register(ECHO, lambda payload, source: payload)
    mesh.attach(1 - shard, end)
    return mesh


def answer(end: socket.socket) -> None:
    """The child's life: it ends with the link."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        mesh = mesh_of(1, end, loop)
        gone = loop.create_future()
        mesh.on_change(lambda shard, is_alive: None if is_alive else gone.set_result(None))
        await gone

    uvloop.run(main())


async def measure(mesh: Mesh, size: int, in_flight: int) -> tuple[float, float]:
    """Round trips per second, and seconds of our CPU per round trip."""
    payload = b"x" * size
    until = time.monotonic() + SECONDS
    trips = 0

    async def client() -> None:
        nonlocal trips
        while time.monotonic() < until:
            await mesh.call(1, ECHO, payload)
            trips += 1

    started, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(client() for _ in range(in_flight)))
    seconds = time.monotonic() - started
    return trips / seconds, (time.process_time() - cpu) / trips


async def main(end: socket.socket) -> None:
    """Print one line per size and number of requests in flight."""
    mesh = mesh_of(0, end, asyncio.get_running_loop())
    for size in (100, 1_000, 16_384):
        for in_flight in (1, 16, 256):
            writes, frames = mesh.writes, mesh.frames_sent
            rate, cpu = await measure(mesh, size, in_flight)
            per_write = (mesh.frames_sent - frames) / max(1, mesh.writes - writes)
            print(
                f"{size:6} bytes, {in_flight:3} in flight: {rate:9,.0f} round trips/s,"
                f" {2 * rate * size / 1e6:8,.1f} MB/s both ways, {cpu * 1e6:5.1f} us CPU each,"
                f" {per_write:5.1f} frames per write"
            )
    mesh.close()


if __name__ == "__main__":
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        answer(theirs)
        os._exit(0)
    theirs.close()
    uvloop.run(main(ours))
    os.waitpid(child, 0)

"""One shard's process: its core, its loop, its links to siblings, and what the supervisor says."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import uvloop

from cluster.errors import ClusterError
from cluster.messages import decode_fault, encode_fault
from cluster.schema_sync import LOG_SHARD
from cluster.transport import NoSiblings
from node import log
from node.admin import Admin
from node.clock import Clock
from node.core_wait import CoreWait, kernel_count
from node.failure_policy import Verdict, told, verdict_on
from node.links import Links
from node.listener import default_gateway
from node.maintenance_commands import MaintenanceCommands
from node.memory import divide
from node.mesh import Mesh
from node.shard import MEMORY_SCHEME, Shard, World, open_disk
from node.snapshot_commands import SnapshotCommands
from node.stalls import Stalls
from node.waiting import Waiting
from storage.errors import CorruptFile, StorageError

if TYPE_CHECKING:
    from cluster.transport import Siblings
    from node.identity import Identity
    from node.supervisor import Seat

LINK_TIMEOUT_S: Final = 30.0
EXIT_FAILED: Final = 1
EXIT_ORPHANED: Final = 3
LINE_BYTES_MAX: Final = 4096

_log = logging.getLogger("pythia.process")


def run_shard(seat: Seat, identity: Identity) -> int:
    """Runs a shard until the supervisor stops it; returns the exit code of the process."""
    log.configure(seat.config.log_level, str(seat.shard))
    _pin(seat)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Process(seat, identity).run())


class _Process:
    """The life of one shard between the supervisor's words."""

    def __init__(self, seat: Seat, identity: Identity) -> None:
        self._seat = seat
        self._identity = identity
        self._words: asyncio.Queue[str] = asyncio.Queue()
        self._clock = Clock(seat.high_mark)
        self._stalls = Stalls(self._clock.now, self._clock.cpu_s)
        self._stalls.watch_garbage()
        self._failure: BaseException | None = None
        self._servers: list[asyncio.Server] = []
        self._admin: Admin | None = None
        self._end_of_turn: Callable[[], None] = _nothing

    async def run(self) -> int:
        """From the first word, `ready`, to the exit code."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(self._stalls.make_task)
        self._seat.control.setblocking(False)
        loop.add_reader(self._seat.control.fileno(), self._hear)
        mesh, links = self._build_mesh(loop)
        shard = self._build_shard(loop, mesh or NoSiblings())
        self._end_of_turn = shard.engine.end_of_turn
        try:
            await self._start(shard, links)
        except (StorageError, ClusterError, OSError) as error:
            # What the disk refuses now it may take later; damage stays.
            verdict = self._verdict_on(error) if isinstance(error, CorruptFile) else Verdict.AGAIN
            await self._say(f"failed {verdict.value} {told(error)}")
            return EXIT_FAILED
        await self._say("ready")
        if await self._next_word() == "serve":
            await self._serve(shard)
            await self._next_word()
        await self._end(shard, links, mesh)
        return 0 if self._failure is None else EXIT_FAILED

    async def _start(self, shard: Shard, links: Links | None) -> None:
        """All that may be refused by the disk or by siblings before anybody is served."""
        await shard.open_schema()
        if links is not None:
            links.start()
            await links.wait_until_connected(LINK_TIMEOUT_S)
        await shard.start()
        directory = self._seat.config.data_directory
        if self._seat.shard == LOG_SHARD and not directory.startswith(MEMORY_SCHEME):
            assert shard.schema_service is not None, "the schema was opened"
            commands = {
                **SnapshotCommands(shard.snapshots, shard.schema_service).commands(),
                **MaintenanceCommands(shard.maintenance, shard.holder).commands(),
            }
            self._admin = Admin(directory, commands)
            await self._admin.start()

    async def _serve(self, shard: Shard) -> None:
        loop = asyncio.get_running_loop()
        assert shard.clients is not None, "the shard was started"
        for place in self._seat.listeners.of_shard(self._seat.shard):
            # The supervisor keeps the socket; a copy of its descriptor is the server's to close.
            copy = socket.socket(fileno=os.dup(place.fileno()))
            self._servers.append(await loop.create_server(shard.clients.accept, sock=copy))

    async def _end(self, shard: Shard, links: Links | None, mesh: Mesh | None) -> None:
        """Drains, waits for the siblings to have drained, and stops."""
        if self._admin is not None:
            self._admin.stop()
        for server in self._servers:
            server.close()
        if shard.clients is not None:
            await shard.drain()
        await self._say("drained")
        await self._next_word()
        if links is not None:
            links.stop()
        await shard.stop()
        if mesh is not None:
            mesh.close()

    def _build_mesh(self, loop: asyncio.AbstractEventLoop) -> tuple[Mesh | None, Links | None]:
        seat = self._seat
        if seat.config.shards == 1:
            return None, None
        mesh = Mesh(
            seat.shard,
            loop,
            before_flush=lambda: self._end_of_turn(),
            stalls=self._stalls,
            encode_fault=encode_fault,
            decode_fault=decode_fault,
        )
        return mesh, Links(seat.shard, seat.incarnation, seat.mesh, mesh, loop)

    def _build_shard(self, loop: asyncio.AbstractEventLoop, siblings: Siblings) -> Shard:
        seat, config = self._seat, self._seat.config
        disk = open_disk(
            config.data_directory,
            config.io,
            divide(config.memory_bytes, config.shards).calls,
            self._stalls,
        )
        return Shard(
            World(
                shard=seat.shard,
                config=config,
                identity=self._identity,
                native_port=seat.listeners.port,
                shard_aware_port=seat.listeners.shard_aware_port,
                generation=int(time.time()),
                gateway=default_gateway(),
                disk=disk,
                clock=self._clock,
                random=Random(secrets.randbits(256)),
                siblings=siblings,
                loop=loop,
                has_failed=self._has_failed,
                stalls=self._stalls,
                watch=_watch(self._clock.now),
                boot=boot_id(),
                is_wanted=look_of(loop),
                submit=disk.submit,
                submit_after=disk.submit_after,
                is_log_shut=seat.is_log_shut,
            )
        )

    # The supervisor.

    def _hear(self) -> None:
        try:
            data = self._seat.control.recv(4096)
        except BlockingIOError:
            return
        if not data:
            # The supervisor is gone. What was acknowledged is in the log; end as it did.
            os._exit(EXIT_ORPHANED)
        for word in data.decode().split():
            self._words.put_nowait(word)

    async def _next_word(self) -> str:
        return await self._words.get()

    async def _say(self, line: str) -> None:
        await asyncio.get_running_loop().sock_sendall(self._seat.control, _line(line))

    def _has_failed(self, error: BaseException) -> None:
        """Ends the process at once: a shard that can promise nothing must not answer."""
        if self._failure is None:
            self._failure = error
            _log.critical("the shard stops: %s", error, exc_info=error)
            self._seat.control.setblocking(True)
            verdict = self._verdict_on(error).value
            line = f"failed {verdict} {type(error).__name__}: {error}"
            self._seat.control.send(_line(line))
            sys.stderr.flush()
            os._exit(EXIT_FAILED)

    def _verdict_on(self, error: BaseException) -> Verdict:
        config = self._seat.config
        return verdict_on(error, config.commit_failure_policy, config.disk_failure_policy)


def _line(text: str) -> bytes:
    """What the supervisor reads as one line."""
    return text.replace("\n", " ").encode()[:LINE_BYTES_MAX] + b"\n"


def look_of(loop: asyncio.AbstractEventLoop) -> Callable[[], bool]:
    """Whether something waits for the loop's next turn."""
    selector: Callable[[], int] = getattr(loop, "_get_backend_id")  # noqa: B009 - not in its types
    return Waiting(selector()).is_anybody


def _nothing() -> None:
    """Before a shard is built no write waits for its log; not everywhere are waits counted."""


def boot_id() -> bytes:
    """The kernel's name for the time since the machine started; without one, every life is new."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return UUID(file.read().strip()).bytes
    except (OSError, ValueError):
        return secrets.token_bytes(16)


def _watch(now: Callable[[], float]) -> Callable[[], None]:
    """What a shard calls a few times a second, to be told of when it does not run."""
    count = kernel_count()
    return _nothing if count is None else CoreWait(count, now).look


def _pin(seat: Seat) -> None:
    """Gives each shard a core of its own when there are enough of them and nobody else's."""
    if seat.config.overprovisioned or not hasattr(os, "sched_setaffinity"):
        return
    cores: list[Any] = sorted(os.sched_getaffinity(0))
    if len(cores) >= seat.config.shards > 1:
        os.sched_setaffinity(0, {cores[seat.shard]})

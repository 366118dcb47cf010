"""From a Config to a serving node: takes the directory, opens the ports, starts the supervisor.

What goes wrong here is told in one sentence on standard error, without a trace: it is for the
person who typed the command.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from node import log
from node.identity import Identity, IdentityMismatch, load_or_create
from node.listener import Listeners, is_in_use, open_listeners
from node.shard import MEMORY_SCHEME, open_disk
from node.shard_process import run_shard
from node.supervisor import Seat, Supervisor
from storage.errors import DirectoryLocked, DiskError, IoUringRefused

if TYPE_CHECKING:
    from node.config import Config
    from storage.disk import Disk, Lock

EXIT_CANNOT_START = 1
LOCK_WAIT_S = 3.0
"""A node killed a moment ago may still hold the lock while the kernel tears its processes down."""
LOCK_RETRY_S = 0.05

_log = logging.getLogger("start")


class CannotStart(Exception):
    """The node cannot start; the text is for the operator."""


def start_node(config: Config) -> int:
    """Runs a node until it is stopped; returns the exit code of the process."""
    log.configure(config.log_level, "node")
    for warning in config.warnings:
        _log.warning("%s", warning)
    try:
        identity, lock, back_end = asyncio.run(_take_directory(config))
        listeners = _listen(config)
    except CannotStart as error:
        print(f"pythia: {error}", file=sys.stderr)
        return EXIT_CANNOT_START

    def run(seat: Seat) -> int:
        return run_shard(seat, identity)

    def ready() -> None:
        _announce(config, listeners, back_end)

    try:
        return Supervisor(config, listeners, run, ready).run()
    finally:
        if lock is not None:
            lock.release()


async def _take_directory(config: Config) -> tuple[Identity, Lock | None, str]:
    """Locks the data directory and learns who we are; also says which disk back-end serves it."""
    directory = config.data_directory
    try:
        if not directory.startswith(MEMORY_SCHEME):
            Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        disk = open_disk(directory, config.io)
        await disk.make_directory(directory)
        lock = await _lock(disk, directory)
        # A node's identity and its paging key come from the system's own randomness.
        identity = await load_or_create(disk, config, Random(secrets.randbits(256)))
    except OSError as error:
        raise CannotStart(f"{directory}: {error.strerror}") from None
    except IoUringRefused as error:
        reason = os.strerror(error.errno)
        raise CannotStart(
            f"io_uring is not allowed here ({reason}); start with --io auto or --io threads"
        ) from None
    except (DiskError, IdentityMismatch) as error:
        raise CannotStart(str(error)) from None
    disk.stop()
    return identity, lock, disk.description


async def _lock(disk: Disk, directory: str) -> Lock:
    loop = asyncio.get_running_loop()
    until = loop.time() + LOCK_WAIT_S
    while True:
        try:
            return await disk.lock(directory)
        except DirectoryLocked:
            if loop.time() >= until:
                raise CannotStart(f"{directory} is in use by another node") from None
            await asyncio.sleep(LOCK_RETRY_S)


def _listen(config: Config) -> Listeners:
    try:
        return open_listeners(
            config.rpc_address,
            config.native_transport_port,
            config.native_shard_aware_transport_port,
            config.shards,
        )
    except OSError as error:
        place = f"{config.rpc_address}:{config.native_transport_port}"
        if is_in_use(error):
            aware = config.native_shard_aware_transport_port
            raise CannotStart(
                f"{place} (or the shard-aware port {aware}) is in use; choose others with --port "
                "and --shard-aware-port"
            ) from None
        raise CannotStart(f"cannot listen on {place}: {error.strerror}") from None


def _announce(config: Config, listeners: Listeners, back_end: str) -> None:
    """Tells the operator where the node is, and a waiting test through the port file."""
    if config.port_file is not None:
        content = f"{listeners.address} {listeners.port} {listeners.shard_aware_port or 0}\n"
        beside = Path(f"{config.port_file}.new")
        beside.write_text(content)
        beside.rename(config.port_file)
    lines = (
        ("address", f"{listeners.address}:{listeners.port}"),
        ("shard-aware port", str(listeners.shard_aware_port or "off")),
        ("data directory", config.data_directory),
        ("shards", str(config.shards)),
        ("memory", f"{config.memory_bytes >> 20} MiB"),
        ("disk", back_end),
        ("connect with", f"cqlsh {listeners.address} {listeners.port}"),
    )
    print("Pythia serves.", *(f"  {name:<17} {text}" for name, text in lines), sep="\n", flush=True)

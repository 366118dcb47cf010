"""From a Config to a serving node: takes the directory, opens the ports, starts the supervisor.

What goes wrong here is told in one sentence on standard error, without a trace: it is for the
person who typed the command.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import secrets
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import uvloop

from node import log
from node.child import ChildFailed, run_in_child
from node.failure_policy import told
from node.identity import Identity, IdentityMismatch, load_or_create
from node.listener import Listeners, is_in_use, open_listeners
from node.resharding import ReshardingFailed, Surroundings, reshard, tidy
from node.shard import MEMORY_SCHEME, open_disk
from node.shard_process import boot_id, run_shard
from node.supervisor import Seat, StartFailed, Supervisor
from storage.errors import DirectoryLocked, IoUringRefused, StorageError
from storage.values import replace

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
    raise_limits()
    try:
        identity, lock, back_end = asyncio.run(_take_directory(config))
        config, identity = _settle_shards(config, identity)
        listeners = _listen(config)
    except KeyboardInterrupt:
        print("pythia: interrupted; the next start goes on from here", file=sys.stderr)
        return EXIT_CANNOT_START
    except CannotStart as error:
        print(f"pythia: {error}", file=sys.stderr)
        return EXIT_CANNOT_START

    def run(seat: Seat) -> int:
        return run_shard(seat, identity)

    def ready() -> None:
        try:
            _announce(config, listeners, back_end)
        except OSError as error:
            raise StartFailed(told(error)) from None

    try:
        return Supervisor(config, listeners, run, ready).run()
    except StartFailed as error:
        print(f"pythia: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    finally:
        if lock is not None:
            lock.release()


def raise_limits() -> None:
    """We may have as many descriptors, and pin as much memory, as the system allows us."""
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_MEMLOCK):
        soft, hard = resource.getrlimit(limit)
        if soft != hard:
            resource.setrlimit(limit, (hard, hard))


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
        identity = await tidy(disk, directory, identity)
    except OSError as error:
        raise CannotStart(told(error)) from None
    except IoUringRefused as error:
        reason = os.strerror(error.errno)
        raise CannotStart(
            f"io_uring is not allowed here ({reason}); start with --io auto or --io threads"
        ) from None
    except (StorageError, IdentityMismatch) as error:
        raise CannotStart(told(error)) from None
    disk.stop()
    return identity, lock, disk.description


def _settle_shards(config: Config, identity: Identity) -> tuple[Config, Identity]:
    """Let the data and the node agree on the number of shards."""
    if identity.shards == config.shards:
        return config, identity
    if config.keeps_shards:
        _log.info(
            "the data are in %d shards, and so they stay; --shards %d would change that",
            identity.shards,
            config.shards,
        )
        return replace(config, shards=identity.shards), identity
    for place in _listen(config).every():
        place.close()  # Re-sharding may take long: a port in use should be told before.
    _log.info("re-sharding from %d to %d shards", identity.shards, config.shards)
    try:
        run_in_child(lambda: _reshard(config, identity))
    except ChildFailed as failure:
        raise CannotStart(f"re-sharding failed, nothing is lost: {failure}") from None
    return config, replace(identity, shards=config.shards)


def _reshard(config: Config, identity: Identity) -> str:
    """Runs in a process of its own; gives what is wrong, or ""."""

    async def run() -> None:
        disk = open_disk(config.data_directory, config.io)
        random = Random(secrets.randbits(256))
        around = Surroundings(disk, config, random, boot_id(), int(time.time()))
        await reshard(around, identity)
        disk.stop()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except (ReshardingFailed, StorageError) as error:
        return str(error)
    return ""


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
        ("data directory", _whole(config.data_directory)),
        ("shards", str(config.shards)),
        ("memory", f"{config.memory_bytes >> 20} MiB"),
        ("disk", back_end),
        ("connect with", f"{_cqlsh()} {listeners.address} {listeners.port}"),
    )
    print("Pythia serves.", *(f"  {name:<17} {text}" for name, text in lines), sep="\n", flush=True)


def _whole(directory: str) -> str:
    return directory if directory.startswith(MEMORY_SCHEME) else os.path.abspath(directory)


def _cqlsh() -> str:
    """How cqlsh is called from here: by name, or where it was installed beside our Python."""
    beside = Path(sys.executable).with_name("cqlsh")
    is_found = any(os.path.exists(f"{place}/cqlsh") for place in os.get_exec_path())
    return "cqlsh" if is_found or not beside.exists() else os.path.relpath(beside)

"""Another number of shards: their directories are rewritten beside the old ones, then take over.

    DIR/resharding/shard-N/    what becomes DIR/shard-N

Until `node.json` names the new number, nothing of the old shards has changed but that their logs
were replayed into SSTables, as by any start; what lies in `resharding` is removed by the next one.
From then on the new directories are the data, and `tidy` puts them in their places, as often as it
takes. So a stop at any moment leaves a node that starts with the old or with the new number, and
everything acknowledged is in it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from cluster.schema_log import SchemaLog
from cluster.token import key_token, shard_of
from cql.schema import Schema, SchemaHolder
from cql.system.tables import system_keyspaces
from node.ceiling import Ceiling
from node.identity import forget_unfinished, save
from node.ownership import owned_keys_until
from node.schema_service import SchemaFollower
from node.shard import INTERNAL_LAYOUTS, engine_config
from node.statement_memory import StatementMemory
from storage import hot_keys
from storage.engine import Engine
from storage.errors import CorruptData, DiskError, FileMissing
from storage.points import NO_POINTS, Points
from storage.split import Split
from storage.values import replace

if TYPE_CHECKING:
    from random import Random

    from cql.prepared import Remembered
    from cql.results import SchemaChange
    from node.config import Config
    from node.identity import Identity
    from storage.disk import Disk
    from storage.hot_keys import HotKey
    from storage.layout import Layout

STAGING: Final = "resharding"
SPARE_BYTES: Final = 16 * 1024 * 1024
SPARE_PART: Final = 20
"""Beside the spare bytes, a 20th more than the old files must be free for the new ones."""
REPORT_EVERY_S: Final = 5.0
MIB: Final = 1024 * 1024

_log = logging.getLogger("resharding")


class ReshardingFailed(Exception):
    """The number of shards cannot be changed now; nothing is lost. The text is for the operator."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What re-sharding draws on from outside."""

    disk: Disk
    config: Config
    random: Random
    boot: bytes
    """Another one after the machine has started anew; see `node.ceiling`."""
    wall_s: int
    points: Points = NO_POINTS


async def tidy(disk: Disk, directory: str, identity: Identity) -> Identity:
    """Finish or forget what an earlier start began; before anything else in a data directory."""
    if identity.is_adopting:
        await _adopt(disk, directory, identity.shards)
        identity = replace(identity, is_adopting=False)
        await save(disk, directory, identity)
    await forget_unfinished(disk, directory)
    await _remove_tree(disk, directory, STAGING)
    return identity


async def reshard(surroundings: Surroundings, identity: Identity) -> Identity:
    """Turn the data of `identity.shards` shards into that of `config.shards`.

    The data directory is ours and tidy. Raises `ReshardingFailed` and storage's errors: then the
    data are as they were, or, if the last steps failed, `tidy` makes them what they should be.
    """
    disk, directory = surroundings.disk, surroundings.config.data_directory
    adopting = replace(identity, shards=surroundings.config.shards, is_adopting=True)
    work = _Resharding(surroundings, identity.shards)
    try:
        await work.run()
    except Exception:
        await _remove_tree(disk, directory, STAGING)
        raise
    await save(disk, directory, adopting)
    surroundings.points.reach("resharding.decided")
    return await tidy(disk, directory, adopting)


class _Resharding:
    """Makes the new directories from the old ones."""

    def __init__(self, surroundings: Surroundings, shards: int) -> None:
        self._around = surroundings
        self._disk = surroundings.disk
        self._directory = directory = surroundings.config.data_directory
        count = surroundings.config.shards
        self._old = [f"{directory}/shard-{shard}" for shard in range(shards)]
        self._new = [f"{directory}/{STAGING}/shard-{shard}" for shard in range(count)]

    async def run(self) -> None:
        """Everything until the new directories are whole and durable."""
        layouts, schema_number = await self._layouts()
        for shard, directory in enumerate(self._old):
            await self._settle(shard, directory, layouts, schema_number)
        for directory in self._new:
            await self._disk.make_directory(directory)
        await self._split(layouts)
        await self._write_clocks()
        await self._copy_statements()
        await self._divide_hot_keys()
        for directory in self._new:
            await self._disk.sync_directory(directory)
        await self._disk.sync_directory(f"{self._directory}/{STAGING}")

    async def _layouts(self) -> tuple[list[Layout], int]:
        """All tables that the schema has, and the number of its last entry."""
        holder = SchemaHolder(Schema(system_keyspaces()))
        follower = SchemaFollower(holder, _NoTables(), _tell_nobody)
        log = await SchemaLog.open(self._disk, f"{self._directory}/schema", self._around.random)
        await follower.obey(log.after(-1))
        await log.close()
        return [*follower.freeze(), *INTERNAL_LAYOUTS], follower.number

    async def _settle(
        self, shard: int, directory: str, layouts: list[Layout], schema_number: int
    ) -> None:
        """Bring all that is in an old shard's log into its SSTables."""
        # One shard at a time has all the memory.
        config = engine_config(replace(self._around.config, shards=1))
        engine = Engine(self._disk, directory, shard, config, random=self._around.random)
        report = await engine.open(layouts, schema_number)
        await engine.stop(flush=True)
        if report.damaged:
            raise ReshardingFailed(
                f"shard {shard} is damaged, and re-sharding would lose what cannot be read: "
                f"{report.damaged[0]}; start with --shards {len(self._old)}"
            )
        if report.replayed:
            _log.info("shard %d: %d mutations from the log", shard, report.replayed)

    async def _split(self, layouts: list[Layout]) -> None:
        around, shards = self._around, len(self._new)
        split = Split(
            self._disk,
            self._old,
            self._new,
            lambda key: shard_of(key_token(key), shards),
            around.random,
            around.points,
            around.wall_s,
            lambda key: owned_keys_until(key, shards),
        )
        await split.open(layouts)
        await self._check_room(split.total_bytes)
        _log.info(
            "%d shards become %d: %.1f MiB in %d SSTables are rewritten",
            len(self._old),
            shards,
            split.total_bytes / MIB,
            split.files,
        )
        reporter = asyncio.create_task(_report(split))
        begun = asyncio.get_running_loop().time()
        try:
            await split.run()
            await split.finish()
        finally:
            reporter.cancel()
        took = asyncio.get_running_loop().time() - begun
        rate = split.total_bytes / MIB / max(took, 1e-9)
        _log.info(
            "%d shards have become %d in %.1f s, %.1f MiB/s", len(self._old), shards, took, rate
        )

    async def _check_room(self, size: int) -> None:
        needed = size + size // SPARE_PART + SPARE_BYTES
        free = self._disk.space(self._directory).free_bytes
        if free < needed:
            raise ReshardingFailed(
                f"{len(self._old)} shards cannot become {len(self._new)}: that needs "
                f"{-(-needed // MIB)} MiB in {self._directory} for a while, {free // MIB} MiB are "
                f"free; make room, or start with --shards {len(self._old)}"
            )

    async def _write_clocks(self) -> None:
        """No new shard makes a timestamp that any old one has made."""
        disk, boot = self._disk, self._around.boot
        found = [(await Ceiling.open(disk, old, boot)).found_us for old in self._old]
        for directory in self._new:
            ceiling = await Ceiling.open(disk, directory, boot)
            ceiling.found_us = max(found)
            await ceiling.begin()
            await ceiling.close()

    async def _copy_statements(self) -> None:
        """Every new shard remembers what any old one did."""
        disk, random = self._disk, self._around.random
        statements: dict[bytes, Remembered] = {}
        for directory in self._old:
            memory = StatementMemory(_do_nothing)
            await memory.open(disk, f"{directory}/prepared", random)
            statements |= {statement.id: statement for statement in memory.statements()}
            await memory.close()
        for directory in self._new:
            memory = StatementMemory(_do_nothing)
            await memory.open(disk, f"{directory}/prepared", random)
            for statement in statements.values():
                memory.remember(statement)
            await memory.close()

    async def _divide_hot_keys(self) -> None:
        """What was hot in any old shard is hot in the new one that owns it, the hottest first.

        The files are hints: one that cannot be read is left out.
        """
        disk = self._disk
        found: list[list[HotKey]] = []
        for directory in self._old:
            try:
                found.append(await hot_keys.read(disk, directory))
            except (CorruptData, DiskError) as problem:
                _log.warning("what was hot in %s starts cold: %s", directory, problem)
        parts: list[list[HotKey]] = [[] for _ in self._new]
        for of_one_rank in zip_longest(*found):
            for hot in of_one_rank:
                if hot is not None:
                    parts[shard_of(key_token(hot.key), len(parts))].append(hot)
        for directory, entries in zip(self._new, parts, strict=True):
            if entries:
                await hot_keys.write(disk, directory, await hot_keys.encode(entries))


async def _adopt(disk: Disk, directory: str, shards: int) -> None:
    """Let the new directories take the place of the old ones; what is done already stays done."""
    waiting = await _names(disk, f"{directory}/{STAGING}")
    for shard in range(shards):
        name = f"shard-{shard}"
        if name not in waiting:
            continue
        await _remove_tree(disk, directory, name)
        await disk.rename(f"{directory}/{STAGING}/{name}", f"{directory}/{name}")
        await disk.sync_directory(directory)
        await disk.sync_directory(f"{directory}/{STAGING}")
    for name in await disk.list(directory):
        number = name.removeprefix("shard-")
        if name != number and number.isdecimal() and int(number) >= shards:
            await _remove_tree(disk, directory, name)


async def _remove_tree(disk: Disk, parent: str, name: str) -> None:
    """Durably remove a directory with all that is in it, if it is there."""
    if name in await disk.list(parent):
        await _empty(disk, f"{parent}/{name}")
        await disk.remove(f"{parent}/{name}")
        await disk.sync_directory(parent)


async def _empty(disk: Disk, directory: str) -> None:
    """Durably remove what is in a directory: its name may then be another's."""
    names = await disk.list(directory)
    for name in names:
        path = f"{directory}/{name}"
        with contextlib.suppress(DiskError):  # A file has no names in it.
            await _empty(disk, path)
        await disk.remove(path)
    if names:
        await disk.sync_directory(directory)


async def _names(disk: Disk, directory: str) -> list[str]:
    try:
        return await disk.list(directory)
    except FileMissing:
        return []


async def _report(split: Split) -> None:
    """Says now and then how far it is."""
    loop = asyncio.get_running_loop()
    before_s, before_bytes = loop.time(), split.done_bytes
    while True:
        await asyncio.sleep(REPORT_EVERY_S)
        now_s, now_bytes = loop.time(), split.done_bytes
        rate = (now_bytes - before_bytes) / MIB / (now_s - before_s)
        part = 100 * now_bytes / max(split.total_bytes, 1)
        _log.info("%.0f %% of %.0f MiB, %.1f MiB/s", part, split.total_bytes / MIB, rate)
        before_s, before_bytes = now_s, now_bytes


class _NoTables:
    """Nobody serves while the schema is read."""

    def note_schema(self, number: int) -> None:
        """See `schema_service.Tables`."""

    def set_layout(self, layout: Layout) -> None:
        """See `schema_service.Tables`."""

    async def drop_table(self, table_id: bytes) -> None:
        """See `schema_service.Tables`."""


def _tell_nobody(change: SchemaChange) -> None:
    """There are no clients yet."""


def _do_nothing() -> None:
    """What was remembered is written when the memory is closed."""

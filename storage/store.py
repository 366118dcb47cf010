"""What the tables of a shard share: disk and turns at it, log, manifest, cached blocks, memory."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from storage.block_cache import BlockCache
from storage.cache import RowCache
from storage.commitlog import CommitLog
from storage.disk import Disk
from storage.errors import CorruptFile, DiskError, DiskFull, TooManyOpenFiles
from storage.group import encode_group
from storage.io_queue import IoClass, IoQueue
from storage.layout import Layout
from storage.manifest import LiveSSTable, Manifest, key_head
from storage.memtable import Memtable
from storage.mutation import Mutation
from storage.pace import Hours, Pace
from storage.points import Points
from storage.sstable.fetch import Fetch
from storage.sstable.output import SSTableOutput, Turns
from storage.sstable.reader import Parsed, SSTable
from storage.table import Table, Unreadable
from storage.volume import Volume

IDENTITY_BYTES = 16
TABLES_DIRECTORY = "tables"
"""Where in a shard's directory those of its tables lie."""

FORGET_BLOCKS = 500
"""Cached blocks of one file that are dropped in one turn of the loop: some 0.5 ms."""


@dataclass(slots=True)
class Memory:
    """What all memtables hold, and what they may."""

    limit: int
    used: int = 0


class Policies(Protocol):
    """What is to be done about damage; `EngineConfig` says what each means."""

    @property
    def answers_without_damaged(self) -> bool: ...

    @property
    def skips_log_damage(self) -> bool: ...

    @property
    def is_log_shut(self) -> bool: ...


def table_directory(tables: str, layout: Layout) -> str:
    """Where the files of a table lie."""
    return f"{tables}/{layout.name}-{layout.table_id.hex()}"


class Store:
    """The shard's resources; policy lies with those who use them."""

    __slots__ = (
        "_closings",
        "_has_found_damage",
        "_random",
        "answers_without_damaged",
        "cache",
        "directory",
        "disk",
        "hours",
        "io",
        "is_shut",
        "log",
        "manifest",
        "memory",
        "points",
        "row_cache",
        "skips_log_damage",
        "volume",
        "wall_s",
    )

    def __init__(
        self,
        disk: Disk,
        io: IoQueue,
        directory: str,
        log: CommitLog,
        manifest: Manifest,
        cache: BlockCache,
        memory: Memory,
        volume: Volume,
        random: Random,
        points: Points,
        has_found_damage: Callable[[CorruptFile | DiskError], None],
        row_cache: RowCache | None = None,
        hours: Hours | None = None,
    ) -> None:
        self.disk = disk
        self.io = io
        self.directory = directory
        self.log = log
        self.manifest = manifest
        self.cache = cache
        self.memory = memory
        self.volume = volume
        self.points = points
        self.row_cache = row_cache
        self.hours = hours
        """Times the slices of background work; without it, they are not divided by shares."""
        self._random = random
        self._closings: set[asyncio.Task[None]] = set()
        self._has_found_damage = has_found_damage
        self.answers_without_damaged = False
        """Whether reads go on without the files in which damage was found: obsolete rows may come.

        Otherwise those that need a damaged place fail.
        """
        self.skips_log_damage = False
        """Whether a replay goes on behind damage; else it ends the start."""
        self.is_shut = False
        """Whether nothing is written in this life, as there is no log."""
        self.wall_s = 0
        """The second of which `background` was told last."""

    def obey(self, policies: Policies) -> None:
        """Take over what is to be done about damage."""
        self.answers_without_damaged = policies.answers_without_damaged
        self.skips_log_damage = policies.skips_log_damage
        self.is_shut = policies.is_log_shut

    def new_table(self, layout: Layout) -> Table:
        """A table without anything in it."""
        return Table(layout, table_directory(self.directory, layout), self.row_cache)

    async def new_sstable(
        self, table: Table, partitions_expected: int, io_class: IoClass
    ) -> SSTableOutput:
        """Begin a file in the table's directory, which is made if there is none."""
        await self.make_table_directory(table)
        return await SSTableOutput.create(
            self.disk,
            Turns(self.io, io_class),
            table.directory,
            table.layout,
            self.manifest.take_number(),
            self._random.randbytes(IDENTITY_BYTES),
            partitions_expected,
            self.points,
            self.wall_s,
        )

    async def make_table_directory(self, table: Table) -> None:
        """See that the table has a directory, durably."""
        if not table.has_directory:
            await self.disk.make_directory(table.directory)
            await self.disk.sync_directory(self.directory)
            table.has_directory = True

    async def load_cached(self, fetch: Fetch) -> list[Parsed]:
        """Bring frames from the cache, or from the disk into it."""
        found: list[Parsed] = []
        for place in fetch.places:
            block = self.cache.find_one(fetch.table, place.offset)
            if block is None:
                break
            found.append(block)
        if len(found) == len(fetch.places):
            return found
        # What a page's scan read ahead of its end, the next one begins with.
        rest = Fetch(fetch.table, fetch.kind, fetch.places[len(found) :]) if found else fetch
        parsed = await self.load_uncached(rest)
        self.cache.put(rest, parsed)
        return found + parsed

    def load_uncached(self, fetch: Fetch) -> Awaitable[list[Parsed]]:
        """Bring frames from the disk."""
        return self._load(IoClass.QUERY, fetch)

    async def load_for_compaction(self, fetch: Fetch, pace: Pace) -> list[Parsed]:
        """Bring frames from the disk when queries leave it."""
        table = fetch.table
        read = self.io.run(IoClass.COMPACTION, fetch.bytes, lambda: table.read(fetch))
        data = await pace.wait(read)
        return await table.parse(fetch, data, pace)

    def load_for_warming(self, fetch: Fetch) -> Awaitable[list[Parsed]]:
        """Bring frames that nobody waits for."""
        return self._load(IoClass.STREAMING, fetch)

    def _load(self, io_class: IoClass, fetch: Fetch) -> Awaitable[list[Parsed]]:
        return self.io.run(io_class, fetch.bytes, lambda: fetch.table.fetch(fetch))

    async def release(self, users: Iterable[SSTable]) -> None:
        """Let go of files; those which nobody uses any more are closed, and removed if obsolete.

        Who gives up waiting for that has let go all the same.
        """
        unused = [table for table in users if table.release()]
        if unused:
            await asyncio.shield(self.close_soon(unused))

    def close_soon(self, unused: Sequence[SSTable]) -> asyncio.Task[None]:
        """Close files that nobody uses any more; those that are obsolete are removed."""
        return self._begin(self._close(unused))

    async def retire(self, tables: Sequence[SSTable]) -> None:
        """The manifest does not name these files any more.

        Who gives up waiting does not keep them from being removed.
        """
        for table in tables:
            table.retire()
        await asyncio.shield(self._begin(self._retire(tables)))

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Work on files that goes on whoever waits for it; `close` does."""
        closing = asyncio.ensure_future(work)
        self._closings.add(closing)
        closing.add_done_callback(self._closings.discard)
        return closing

    async def _retire(self, tables: Sequence[SSTable]) -> None:
        for table in tables:
            await self._forget(table)
        await self._close([table for table in tables if table.release()])

    async def _close(self, unused: Sequence[SSTable]) -> None:
        for table in unused:
            # Reads that had the file when it was retired may have brought blocks since.
            await self._forget(table)
            await table.close()

    async def _forget(self, table: SSTable) -> None:
        """Drop what is cached of a file, in as many turns as it takes."""
        while self.cache.forget(table, FORGET_BLOCKS):
            await asyncio.sleep(0)

    async def forget_unreadable(self, files: Iterable[Unreadable]) -> None:
        """The manifest does not name these files any more; what cannot be removed now goes later.

        The next start removes what is left.
        """
        for gone in files:
            with contextlib.suppress(DiskError):
                if gone.file is not None:
                    await self.retire([gone.file])
                else:
                    await self.disk.remove(gone.damage.path)

    async def remove_directory(self, table: Table) -> None:
        """Remove a dropped table's directory; if files in it are still read, leave it."""
        try:
            await self.disk.remove(table.directory)
            await self.disk.sync_directory(self.directory)
        except DiskError:
            return

    def quarantine(self, table: Table, damage: CorruptFile | DiskError) -> bool:
        """Keep a file that is damaged, or that the disk does not give, out of compactions.

        Says so once, and gives whether it is a file of the table. It stays part of its table:
        without it, reads would miss its rows or bring back what its tombstones cover. So reads of
        the damaged place fail, and all others are right; unless the policy wants answers without.
        """
        if isinstance(damage, DiskFull | TooManyOpenFiles):
            return False  # That says nothing of the file.
        damaged = [file for file in table.sstables if file.path == damage.path]
        new = {file.generation for file in damaged} - table.unmergeable
        table.unmergeable |= new
        for file in damaged:
            # What a compaction merges is its own until it ends.
            if self.answers_without_damaged and file.generation not in table.compacting:
                table.set_aside(file, self.live(table, file), damage)
                self._begin(self._forget(file))
        if new:
            self._has_found_damage(damage)
        return bool(damaged)

    def charge(self, memtables: Iterable[Memtable], sign: int) -> None:
        """Count the bytes of memtables which come (1) or go (-1)."""
        self.memory.used += sign * sum(memtable.memory_bytes for memtable in memtables)

    async def record(
        self,
        table: Table,
        added: Sequence[SSTable],
        removed: Sequence[SSTable],
        flushed: int = 0,
        lost: Sequence[Unreadable] = (),
    ) -> None:
        """Tell the manifest durably which files come and go, and up to where the log is flushed.

        New files that it surely did not take are removed.
        """
        gone = [file.generation for file in removed] + [file.live.number for file in lost]
        try:
            await self.manifest.change(
                add=[self.live(table, file) for file in added],
                remove=gone,
                flushed={table.layout.table_id: flushed} if flushed else None,
            )
        except DiskError:
            await self.retire([file for file in added if file not in removed])
            raise

    def live(self, table: Table, file: SSTable) -> LiveSSTable:
        """What the manifest says of a file."""
        facts = file.statistics
        return LiveSSTable(
            table.layout.table_id,
            file.generation,
            file.file_bytes,
            file.level,
            key_head(facts.first_key),
            key_head(facts.last_key),
        )

    def append_all(self, mutations: Sequence[Mutation]) -> int:
        """Log several mutations as one record, and give its position."""
        if len(mutations) == 1:
            return self.log.append(mutations[0].table_id, mutations[0].data)
        return self.log.append_group(
            [mutation.table_id for mutation in mutations],
            encode_group([mutation.data for mutation in mutations]),
        )

    async def close(self, tables: Iterable[Table]) -> None:
        """Close all files."""
        while self._closings:
            await asyncio.wait(self._closings)
        for table in tables:
            await self.release(table.sstables)
            await self.release(file.file for file in table.unreadable if file.file is not None)
            table.sstables, table.unreadable = (), ()

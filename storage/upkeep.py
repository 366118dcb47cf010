"""What changes a table's files: flushes, truncation and dropping, one shard's.

Every change has the same shape. The new file is made durable; under the table's `change` lock it
is checked that the table is still what it was when the work began (`epoch`), the manifest is told,
and in the same step of the loop reads begin to see the change. What a truncation or a drop has
overtaken removes its file instead.

Dropping a table cannot fail: nobody sees it any more, and what of it the disk does not give up now
is removed later.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from storage.errors import DiskError, DiskFull, StorageError
from storage.fill import absorb
from storage.flush import flush_pace, write_memtable
from storage.memtable import Memtable
from storage.pace import Pace
from storage.sstable.reader import SSTable
from storage.store import Store
from storage.table import Table, Unreadable

DISSOLVED_AT_ONCE: Final = 128
"""Entries of a memtable that are freed between two looks at the pace."""


@dataclass(slots=True, eq=False)
class _Doomed:
    """A dropped table of which something is left."""

    table: Table
    position: int = 0
    """Of the log when its memory was released."""

    files: tuple[SSTable, ...] | None = None
    """What is to be removed; None until its memory was released."""

    memtables: Sequence[Memtable] = ()
    """What its memory was."""

    lost: tuple[Unreadable, ...] = ()
    """What is to be removed of files that could not be read."""


class Upkeep:
    """Runs one flush at a time, truncations and drops."""

    def __init__(self, store: Store, tables: dict[bytes, Table]) -> None:
        self._store = store
        self._tables = tables
        self._flush_turn = asyncio.Lock()
        self._is_flushing = False
        self._is_stopping = False
        self._doomed: deque[_Doomed] = deque()
        self._drop_turn = asyncio.Lock()
        self._room_maker: asyncio.Task[None] | None = None
        self._dead: list[Memtable] = []
        """What nobody reads any more, but perhaps those who began to read it in time."""
        self.flushes = 0

    # What is due.

    def due(self, wall_s: int, flush_at: int) -> list[Coroutine[Any, Any, None]]:
        """The work to be done now; what it consists of is claimed until it ends."""
        jobs: list[Coroutine[Any, Any, None]] = []
        if not self._is_flushing and self._choose_flush(wall_s, flush_at) is not None:
            self._is_flushing = True
            jobs.append(self._flush_while_due(wall_s, flush_at))
        if self._doomed and not self._drop_turn.locked():
            jobs.append(self._remove_doomed())
        if any(not memtable.users for memtable in self._dead):
            jobs.append(self._dissolve([], flush_pace(self._store)))
        return jobs

    def _choose_flush(self, wall_s: int, flush_at: int) -> Table | None:
        """The table to flush next: for the log's sake, for age, or the largest for memory."""
        for table_id in self._store.log.tables_to_flush():
            table = self._tables.get(table_id)
            if table is not None and table.has_unflushed:
                return table
        for table in self._tables.values():
            is_timed = table.layout.memtable_flush_period_ms > 0
            if table.flushing or (is_timed and table.is_flush_due(wall_s)):
                return table
        return self._largest() if self._store.memory.used >= flush_at else None

    def _largest(self) -> Table | None:
        """The table with the most bytes in memory."""
        candidates = [table for table in self._tables.values() if table.has_unflushed]
        return max(candidates, key=lambda table: table.memory_bytes, default=None)

    # Flushing.

    async def make_room(self) -> None:
        """Wait until the flush that runs is done, or until one is that we begin for all who wait.

        A writer that gives up takes no flush with it.
        """
        if self._room_maker is None or self._room_maker.done():
            self._room_maker = asyncio.get_running_loop().create_task(self._make_room())
        await asyncio.shield(self._room_maker)

    async def _make_room(self) -> None:
        async with self._flush_turn:
            if self._store.memory.used >= self._store.memory.limit:
                table = self._largest()
                if table is not None:
                    await self._flush_locked(table)

    async def flush(self, table: Table) -> None:
        """Write all that the table has in memory by now."""
        async with self._flush_turn:
            await self._flush_locked(table)

    async def _flush_while_due(self, wall_s: int, flush_at: int) -> None:
        try:
            while not self._is_stopping:
                table = self._choose_flush(wall_s, flush_at)
                if table is None:
                    return
                await self.flush(table)
        except DiskFull:
            self._store.volume.refuse()
            raise
        finally:
            self._is_flushing = False

    async def _flush_locked(self, table: Table) -> None:
        """Flush what earlier attempts left, and what is active now."""
        if len(table.memtable):
            table.freeze(self._store.log.position - 1)
        while table.flushing and not table.is_dropped:
            await self._flush_oldest(table)

    async def _flush_oldest(self, table: Table) -> None:
        store = self._store
        epoch = table.epoch
        frozen = table.flushing[0]
        pace = flush_pace(store)
        frozen.memtable.acquire()
        try:
            sstable = await write_memtable(store, table, frozen.memtable, pace)
        finally:
            frozen.memtable.release()
        # Nothing may become durable in a file before what was logged earlier is durable too.
        await store.log.sync_for(frozen.position)
        async with table.change:
            if table.epoch != epoch:
                await store.retire([sstable])
                return
            await store.record(table, [sstable], [], frozen.position)
            store.points.reach("flush.recorded")
            table.add_sstable(sstable)
            if table.rows is not None:
                # Reads merge the memtable until all that is cached has taken it up.
                await absorb(table.rows, frozen.memtable, pace)
                store.points.reach("flush.absorbed")
            table.flushing.remove(frozen)
            store.charge([frozen.memtable], -1)
        self.flushes += 1
        store.log.mark_flushed(table.layout.table_id, frozen.position)
        store.points.reach("flush.done")
        await self._dissolve([frozen.memtable], pace)

    async def _dissolve(self, memtables: Sequence[Memtable], pace: Pace) -> None:
        """Give back the memory of memtables which nobody has any more."""
        self._dead += memtables
        free = [memtable for memtable in self._dead if not memtable.users]
        self._dead = [memtable for memtable in self._dead if memtable.users]
        while free:
            memtable = free.pop()
            while memtable.dissolve(DISSOLVED_AT_ONCE):
                if pace.spend(0, DISSOLVED_AT_ONCE):
                    await pace.rest()

    # Truncation and dropping.

    async def truncate(self, table: Table) -> None:
        """Remove all that was applied so far."""
        async with table.change:
            await self.replace_all(table, [])

    async def replace_all(self, table: Table, files: Sequence[SSTable]) -> None:
        """Let a table hold exactly these files, and what is applied from now on.

        The caller holds the table's `change`. A file that the table has already may be among them.
        """
        store = self._store
        position = store.log.position - 1
        lost = table.unreadable
        gone, before = table.empty()
        store.charge(gone, -1)
        try:
            await store.log.sync_for(position)
            await store.record(table, files, before, position, lost)
        except DiskError:
            table.put_back(gone, before, position)
            store.charge(gone, 1)
            raise
        table.unreadable = tuple(file for file in table.unreadable if file not in lost)
        store.points.reach("truncate.recorded")
        table.replace_sstables((), files)
        table.forget_rows()
        store.log.mark_flushed(table.layout.table_id, position)
        await store.retire([file for file in before if file not in files])
        await store.forget_unreadable(lost)
        store.points.reach("truncate.done")
        await self._dissolve(gone, flush_pace(store))

    async def drop(self, table: Table) -> None:
        """Remove a table, to which nothing is applied any more, with its files.

        If the disk refuses, that is told, and `due` tries again. Raises only `ManifestFailed`,
        after which nothing of the shard goes on.
        """
        table.is_dropped = True
        self._doomed.append(_Doomed(table))
        try:
            await self._remove_doomed()
        except DiskError as error:
            self._store.volume.tell(f"files of dropped tables are removed later: {error}")

    async def _remove_doomed(self) -> None:
        async with self._drop_turn:
            while self._doomed:
                await self._remove(self._doomed[0])
                self._doomed.popleft()

    async def _remove(self, doomed: _Doomed) -> None:
        """Remove what is left of a dropped table; if that fails, it may be begun again."""
        store, table = self._store, doomed.table
        async with table.change:
            if doomed.files is None:
                doomed.position = store.log.position - 1
                doomed.memtables, doomed.files = table.empty()
                store.charge(doomed.memtables, -1)
                doomed.lost, table.unreadable = table.unreadable, ()
            await store.manifest.change(forget=[table.layout.table_id])
            store.points.reach("drop.recorded")
        store.log.mark_flushed(table.layout.table_id, doomed.position)
        while doomed.files:
            file, doomed.files = doomed.files[0], doomed.files[1:]
            await store.retire([file])
        await store.forget_unreadable(doomed.lost)
        await self._dissolve(doomed.memtables, flush_pace(store))
        await store.remove_directory(table)
        store.points.reach("drop.done")

    # The end.

    def stop(self) -> None:
        """Begin nothing more."""
        self._is_stopping = True

    async def wait(self) -> None:
        """Wait for what runs, and try what is left to remove once more."""
        with suppress(StorageError):
            await self._remove_doomed()
        if self._room_maker is not None:
            await asyncio.wait([self._room_maker])
        async with self._flush_turn:
            return

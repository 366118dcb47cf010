"""What changes a table's files: flushes, compactions, truncation and dropping, one shard's.

Every change has the same shape. The new file is made durable; under the table's `change` lock it
is checked that the table is still what it was when the work began (`epoch`), the manifest is told,
and in the same step of the loop reads begin to see the change. What a truncation or a drop has
overtaken removes its file instead.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from storage.compaction.rewrite import rewrite_scans
from storage.compaction.size_tiered import Options, choose
from storage.errors import CorruptFile
from storage.flush import write_memtable
from storage.merge import CompactionMerge
from storage.sstable.output import SSTableOutput
from storage.sstable.reader import NO_KEY, SSTable
from storage.sstable.runs import Scan
from storage.store import Store
from storage.table import Table

READ_AHEAD_BYTES: Final = 512 * 1024


class Upkeep:
    """Runs one flush at a time and a bounded number of compactions."""

    def __init__(self, store: Store, tables: dict[bytes, Table], compactions_max: int) -> None:
        self._store = store
        self._tables = tables
        self._compactions_max = compactions_max
        self._flush_turn = asyncio.Lock()
        self._is_flushing = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_stopping = False
        self.flushes = 0
        self.compactions = 0

    # What is due.

    def due(self, wall_s: int, flush_at: int) -> list[Coroutine[Any, Any, None]]:
        """The work to be done now; what it consists of is claimed until it ends."""
        jobs: list[Coroutine[Any, Any, None]] = []
        if not self._is_flushing and self._choose_flush(wall_s, flush_at) is not None:
            self._is_flushing = True
            jobs.append(self._flush_while_due(wall_s, flush_at))
        while self._running < self._compactions_max:
            found = self._choose_compaction()
            if found is None:
                break
            jobs.append(self._compact_claimed(*self._claim(*found), wall_s))
        return jobs

    def _choose_flush(self, wall_s: int, flush_at: int) -> Table | None:
        """The table to flush next: for the log's sake, for age, or the largest for memory."""
        for table_id in self._store.log.tables_to_flush():
            table = self._tables.get(table_id)
            if table is not None and table.has_unflushed:
                return table
        for table in self._tables.values():
            if table.flushing or table.is_flush_due(wall_s):
                return table
        return self._largest() if self._store.memory.used >= flush_at else None

    def _largest(self) -> Table | None:
        """The table with the most bytes in memory."""
        candidates = [table for table in self._tables.values() if table.has_unflushed]
        return max(candidates, key=lambda table: table.memory_bytes, default=None)

    def _choose_compaction(self) -> tuple[Table, list[SSTable]] | None:
        for table in self._tables.values():
            taken = table.compacting | table.unmergeable
            idle = [file for file in table.sstables if file.generation not in taken]
            options = Options.parse(table.layout.compaction)
            if table.damage is None and len(idle) >= options.min_threshold:
                chosen = choose(idle, options)
                if chosen:
                    return table, chosen
        return None

    # Flushing.

    async def make_room(self) -> None:
        """Wait until the flush that runs is done, or do one."""
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
        sstable = await write_memtable(store, table, frozen.memtable)
        # Nothing may become durable in a file before what was logged earlier is durable too.
        await store.log.sync_for(frozen.position)
        async with table.change:
            if table.epoch != epoch:
                await store.retire([sstable])
                return
            await store.record(table, [sstable], [], frozen.position)
            store.points.reach("flush.recorded")
            table.add_sstable(sstable)
            table.flushing.remove(frozen)
            store.charge([frozen.memtable], -1)
        self.flushes += 1
        store.log.mark_flushed(table.layout.table_id, frozen.position)
        store.points.reach("flush.done")

    # Compaction.

    async def compact_all(self, table: Table, wall_s: int) -> None:
        """Merge all files of the table which no other compaction merges."""
        await self.compact_some(table, table.sstables, wall_s)

    async def compact_some(self, table: Table, files: Sequence[SSTable], wall_s: int) -> None:
        """Merge those of the files which no other compaction merges."""
        files = [file for file in files if file.generation not in table.compacting]
        if files:
            await self._compact_claimed(*self._claim(table, files), wall_s)

    def _claim(self, table: Table, files: Sequence[SSTable]) -> tuple[Table, list[SSTable]]:
        table.compacting |= {file.generation for file in files}
        self._running += 1
        self._idle.clear()
        return table, [file.acquire() for file in files]

    async def _compact_claimed(self, table: Table, files: list[SSTable], wall_s: int) -> None:
        try:
            await self._compact(table, files, wall_s)
        except CorruptFile as damage:
            # It stays as it is for repair to replace, and is not tried again and again.
            table.unmergeable |= {file.generation for file in files if file.path == damage.path}
            raise
        finally:
            table.compacting -= {file.generation for file in files}
            self._running -= 1
            if self._running == 0:
                self._idle.set()
            await self._store.release(files)

    async def _compact(self, table: Table, files: list[SSTable], wall_s: int) -> None:
        store = self._store
        epoch = table.epoch
        expected = sum(file.statistics.partitions for file in files)
        output = await store.new_sstable(table, expected)
        try:
            if not await self._merge(table, files, output, wall_s):
                await output.abandon()
                return
            is_empty = output.writer.statistics.partitions == 0
            added = [] if is_empty else [await output.finish()]
            if is_empty:
                await output.abandon()
        except Exception:
            await output.abandon()
            raise
        async with table.change:
            if table.epoch != epoch:
                await store.retire(added)
                return
            await store.record(table, added, files)
            store.points.reach("compaction.recorded")
            table.replace_sstables(files, added)
        self.compactions += 1
        await store.retire(files)
        store.points.reach("compaction.done")

    async def _merge(
        self, table: Table, files: list[SSTable], output: SSTableOutput, wall_s: int
    ) -> bool:
        layout = table.layout
        scans = [
            Scan(file, (b"", NO_KEY), self._store.load_uncached, READ_AHEAD_BYTES) for file in files
        ]
        for scan in scans:
            await scan.begin(b"")
        merge = CompactionMerge(wall_s, wall_s - layout.gc_grace_s, table.existing, True)
        purgeable_before = table.purgeable_before(files)
        return await rewrite_scans(
            scans, merge, output, purgeable_before, lambda: self._is_stopping
        )

    # Truncation and dropping.

    async def truncate(self, table: Table) -> None:
        """Remove all that was applied so far."""
        store = self._store
        async with table.change:
            position = store.log.position - 1
            gone, files = table.empty()
            store.charge(gone, -1)
            await store.log.sync_for(position)
            await store.record(table, [], files, position)
            store.points.reach("truncate.recorded")
        store.log.mark_flushed(table.layout.table_id, position)
        await store.retire(files)
        store.points.reach("truncate.done")

    async def drop(self, table: Table) -> None:
        """Remove a table, to which nothing is applied any more, with its files."""
        store = self._store
        table.is_dropped = True
        async with table.change:
            position = store.log.position - 1
            gone, files = table.empty()
            store.charge(gone, -1)
            await store.manifest.change(forget=[table.layout.table_id])
            store.points.reach("drop.recorded")
        store.log.mark_flushed(table.layout.table_id, position)
        await store.retire(files)
        await store.remove_directory(table)
        store.points.reach("drop.done")

    # The end.

    def stop(self) -> None:
        """Begin nothing more."""
        self._is_stopping = True

    async def wait(self) -> None:
        """Wait for what runs."""
        async with self._flush_turn:
            await self._idle.wait()

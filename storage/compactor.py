"""Runs the compactions that the tables' strategies choose, a bounded number at once.

A compaction that is stopped, fails or is overtaken by a truncation leaves nothing behind: its files
are removed, the old ones stay, and it may be begun again from the start.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from storage.compaction.outputs import Outputs
from storage.compaction.rewrite import Purge, rewrite_scans
from storage.compaction.run import NO_TIMESTAMP, Choice, Situation, SortedRun, overlapping
from storage.compaction.strategies import common_options_of, expired_check_s, strategy_of
from storage.errors import CorruptFile, DiskFull
from storage.io_queue import IoClass
from storage.sstable.output import SSTableOutput
from storage.sstable.reader import NO_KEY, SSTable
from storage.sstable.runs import Scan
from storage.store import Store
from storage.table import Table
from storage.values import value_class

READ_AHEAD_BYTES: Final = 256 * 1024
HISTORY_MAX: Final = 256
"""Compactions that are remembered."""
DISK_FULL_PAUSE_S: Final = 60
"""How long no compaction begins by itself after one has found the disk full."""


@value_class
class CompactionRecord:
    """One compaction that is over."""

    number: int
    """Counts the shard's compactions since its start, from 1."""

    table_id: bytes
    table: str
    """`keyspace.table`"""

    ended_s: int
    bytes_in: int
    bytes_out: int
    files_in: int
    files_out: int
    level: int
    partitions_merged: tuple[tuple[int, int], ...]
    """(in how many of the files, how many partitions), ascending."""


class Compactor:
    """What merges, what merges now, and what has merged."""

    def __init__(self, store: Store, tables: dict[bytes, Table], compactions_max: int) -> None:
        self._store = store
        self._tables = tables
        self._compactions_max = compactions_max
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_stopping = False
        self._pause_until_s = 0
        self._expired_checks: dict[bytes, int] = {}
        self.compactions = 0
        self.history: deque[CompactionRecord] = deque(maxlen=HISTORY_MAX)

    def due(self, wall_s: int) -> list[Coroutine[Any, Any, None]]:
        """The compactions to be done now; their files are claimed until they end."""
        jobs: list[Coroutine[Any, Any, None]] = []
        while self._running < self._compactions_max and wall_s >= self._pause_until_s:
            found = self._choose(wall_s)
            if found is None:
                break
            jobs.append(self._run_in_background(*found, wall_s))
        return jobs

    async def compact_all(self, table: Table, wall_s: int) -> None:
        """Merge all files of the table which no other compaction merges."""
        await self.compact_some(table, table.sstables, wall_s)

    async def compact_some(self, table: Table, files: Sequence[SSTable], wall_s: int) -> None:
        """Merge those of the files which no other compaction merges."""
        files = [file for file in files if file.generation not in table.compacting]
        if files:
            strategy = strategy_of(table.layout.compaction)
            choice = strategy.choose_all(tuple(map(SortedRun.of, files)))
            await self._compact_claimed(table, self._claim(table, files), choice, wall_s)

    def stop(self) -> None:
        """Begin nothing more, and let what runs end soon."""
        self._is_stopping = True

    async def wait(self) -> None:
        """Wait for what runs."""
        await self._idle.wait()

    def _choose(self, wall_s: int) -> tuple[Table, list[SSTable], Choice] | None:
        for table in self._tables.values():
            options = table.layout.compaction
            if not table.sstables or table.damage or not common_options_of(options).is_enabled:
                continue
            choice = strategy_of(options).choose(self._situation(table, wall_s))
            if choice is not None:
                chosen = {run.generation for run in choice.runs}
                files = [file for file in table.sstables if file.generation in chosen]
                return table, self._claim(table, files), choice
        return None

    def _situation(self, table: Table, wall_s: int) -> Situation:
        taken = table.compacting | table.unmergeable
        runs = list(map(SortedRun.of, table.sstables))
        spans = [memtable.timestamps for memtable in table.memtables()]
        table_id = table.layout.table_id
        looks = wall_s >= self._expired_checks.get(table_id, 0)
        if looks:
            self._expired_checks[table_id] = wall_s + expired_check_s(table.layout.compaction)
        return Situation(
            tuple(run for run in runs if run.generation not in taken),
            tuple(run for run in runs if run.generation in taken),
            wall_s,
            wall_s - table.layout.gc_grace_s,
            min((span[0] for span in spans if span is not None), default=NO_TIMESTAMP),
            looks,
        )

    def _claim(self, table: Table, files: Sequence[SSTable]) -> list[SSTable]:
        table.compacting |= {file.generation for file in files}
        self._running += 1
        self._idle.clear()
        return [file.acquire() for file in files]

    async def _run_in_background(
        self, table: Table, files: list[SSTable], choice: Choice, wall_s: int
    ) -> None:
        try:
            await self._compact_claimed(table, files, choice, wall_s)
        except DiskFull:
            # Nothing has changed; flushes need what room there is more than we do.
            self._pause_until_s = wall_s + DISK_FULL_PAUSE_S

    async def _compact_claimed(
        self, table: Table, files: list[SSTable], choice: Choice, wall_s: int
    ) -> None:
        try:
            await self._compact(table, files, choice, wall_s)
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

    async def _compact(
        self, table: Table, files: list[SSTable], choice: Choice, wall_s: int
    ) -> None:
        epoch = table.epoch
        merged: Counter[int] = Counter()
        added: list[SSTable] = []
        if choice.moves:
            await self._move(table, files[0], choice.level, epoch)
            return
        if not choice.drops:
            found = await self._write(table, files, choice, wall_s, merged)
            if found is None:
                return
            added = found
        if await self._replace(table, files, added, choice.level, epoch):
            self._note(table, files, added, choice.level, wall_s, merged)

    async def _move(self, table: Table, file: SSTable, level: int, epoch: int) -> None:
        """Let a file belong to another level, as it is."""
        async with table.change:
            if table.epoch != epoch:
                return
            before, file.level = file.level, level
            try:
                await self._store.record(table, [file], [file])
            except BaseException:
                file.level = before
                raise

    async def _write(
        self,
        table: Table,
        files: list[SSTable],
        choice: Choice,
        wall_s: int,
        merged: Counter[int],
    ) -> list[SSTable] | None:
        """Merge the files into new ones; None if that was stopped."""
        store = self._store

        async def create(expected: int) -> SSTableOutput:
            return await store.new_sstable(table, expected, IoClass.COMPACTION)

        expected = sum(file.statistics.partitions for file in files)
        outputs = Outputs(choice, create, expected, sum(file.file_bytes for file in files))
        try:
            if await self._merge(table, files, outputs, wall_s, merged):
                return await outputs.finish()
        except Exception:
            await store.retire(await outputs.abandon())
            raise
        await store.retire(await outputs.abandon())
        return None

    async def _merge(
        self,
        table: Table,
        files: list[SSTable],
        outputs: Outputs,
        wall_s: int,
        merged: Counter[int],
    ) -> bool:
        layout = table.layout
        scans = [
            Scan(file, (b"", NO_KEY), self._store.load_for_compaction, READ_AHEAD_BYTES)
            for file in files
        ]
        for scan in scans:
            await scan.begin(b"")
        purge = Purge(
            wall_s, wall_s - layout.gc_grace_s, table.existing, table.purgeable_before(files)
        )
        return await rewrite_scans(scans, purge, outputs, lambda: self._is_stopping, merged)

    async def _replace(
        self, table: Table, files: list[SSTable], added: list[SSTable], level: int, epoch: int
    ) -> bool:
        """Let the new files be part of the table instead of the old ones; false if overtaken."""
        store = self._store
        async with table.change:
            if table.epoch != epoch:
                await store.retire(added)
                return False
            self._set_levels(table, files, added, level)
            await store.record(table, added, files)
            store.points.reach("compaction.recorded")
            table.replace_sstables(files, added)
        self.compactions += 1
        await store.retire(files)
        store.points.reach("compaction.done")
        return True

    def _set_levels(
        self, table: Table, files: list[SSTable], added: list[SSTable], level: int
    ) -> None:
        """Put the files on their level, or on level 0 if they would overlap something there.

        That happens if the strategy was changed, or files were merged by hand, meanwhile.
        """
        staying = [f for f in table.sstables if f not in files and f.level == level]
        runs = list(map(SortedRun.of, staying))
        if level and any(overlapping([SortedRun.of(file)], runs) for file in added):
            level = 0
        for file in added:
            file.level = level

    def _note(
        self,
        table: Table,
        files: list[SSTable],
        added: list[SSTable],
        level: int,
        wall_s: int,
        merged: Counter[int],
    ) -> None:
        self.history.append(
            CompactionRecord(
                self.compactions,
                table.layout.table_id,
                table.layout.name,
                max(wall_s, self._store.wall_s),
                sum(file.file_bytes for file in files),
                sum(file.file_bytes for file in added),
                len(files),
                len(added),
                level,
                tuple(sorted(merged.items())),
            )
        )

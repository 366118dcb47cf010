"""Runs the compactions that the tables' strategies choose, a bounded number at once.

A compaction that is stopped, fails or is overtaken by a truncation leaves nothing behind: its files
are removed, the old ones stay, and it may be begun again from the start.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from storage.compaction.backlog import bytes_needed, smaller, urgency
from storage.compaction.limits import Limits
from storage.compaction.outputs import Outputs
from storage.compaction.rewrite import Purge, rewrite_scans
from storage.compaction.run import (
    NO_TIMESTAMP,
    Choice,
    Situation,
    SortedRun,
    groups_of,
    overlapping,
)
from storage.compaction.strategies import common_options_of, expired_check_s, strategy_of
from storage.errors import CompactionRefused, CorruptData, DiskError, DiskFull
from storage.io_queue import IoClass
from storage.layout import Layout
from storage.pace import Pace, compaction_share
from storage.sstable.blame import place_of
from storage.sstable.fetch import Fetch
from storage.sstable.output import SSTableOutput
from storage.sstable.reader import NO_KEY, Parsed, SSTable
from storage.sstable.runs import Scan
from storage.store import Store
from storage.table import Table
from storage.values import value_class

READ_AHEAD_BYTES: Final = 128 * 1024
HISTORY_MAX: Final = 256
"""Compactions that are remembered."""
QUIET_S: Final = 60
"""How long a table with nothing to do is not looked at, if nothing about its files changes."""

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


@value_class
class CompactionProgress:
    """One compaction that runs."""

    number: int
    """Counts the compactions which the shard has begun, from 1."""

    table: str
    """`keyspace.table`"""

    began_s: int
    files: int
    bytes_total: int
    """Of the files that it reads."""

    bytes_done: int


class _Job:
    """A compaction whose files are claimed."""

    __slots__ = (
        "_counted",
        "_waiting_files",
        "bytes_done",
        "choice",
        "files",
        "forced",
        "is_stopped",
        "merged",
        "number",
        "table",
        "wall_s",
    )

    def __init__(
        self,
        number: int,
        table: Table,
        files: list[SSTable],
        choice: Choice,
        wall_s: int,
        forced: tuple[bytes, ...],
    ) -> None:
        self.number = number
        self.table = table
        self.files = files
        self.choice = choice
        self.wall_s = wall_s
        self.forced = forced
        self.is_stopped = False
        self.merged: Counter[int] = Counter()
        self.bytes_done = 0
        self._counted: tuple[SSTable, ...] | None = None
        self._waiting_files = 0

    @property
    def bytes_total(self) -> int:
        """Of the files."""
        return sum(file.file_bytes for file in self.files)

    @property
    def waiting_files(self) -> int:
        """Flushed files that it merges, and those that have come since it was chosen."""
        files = self.table.sstables
        if files is not self._counted:
            newest = max(file.generation for file in self.files)
            came = sum(f.generation > newest and f.level == 0 for f in files)
            self._waiting_files = came + sum(file.level == 0 for file in self.files)
            self._counted = files
        return self._waiting_files


@value_class
class _Quiet:
    """A table as it was when there was nothing to do."""

    files: tuple[SSTable, ...]
    taken: frozenset[int]
    layout: Layout
    until_s: int

    def holds(self, table: Table, taken: frozenset[int], wall_s: int) -> bool:
        """Whether there is still nothing to do."""
        is_same = self.files is table.sstables and self.layout is table.layout
        return is_same and self.taken == taken and wall_s < self.until_s


class Compactor:
    """What merges, what merges now, and what has merged."""

    def __init__(self, store: Store, tables: dict[bytes, Table], limits: Limits) -> None:
        self._store = store
        self._tables = tables
        self.limits = limits
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_stopping = False
        self._pause_until_s = 0
        self._expired_checks: dict[bytes, int] = {}
        self._quiet: dict[bytes, _Quiet] = {}
        self._passed_over: Counter[bytes] = Counter()
        """How often a table had something to do and another one came first."""
        self._short_of_room: set[bytes] = set()
        """Tables of which it was said that their compactions do not fit on the disk."""
        self._running: list[_Job] = []
        self._begun = 0
        self.compactions = 0
        self.history: deque[CompactionRecord] = deque(maxlen=HISTORY_MAX)

    def due(self, wall_s: int) -> list[Coroutine[Any, Any, None]]:
        """The compactions to be done now; their files are claimed until they end."""
        jobs: list[Coroutine[Any, Any, None]] = []
        most = self.limits.compactions_max
        while len(self._running) < most and wall_s >= self._pause_until_s:
            found = self._choose(wall_s)
            if found is None:
                break
            jobs.append(self._run_in_background(found))
        return jobs

    async def compact_all(self, table: Table, wall_s: int) -> None:
        """Merge all files of the table which no other compaction merges."""
        await self.compact_some(table, table.sstables, wall_s)

    async def compact_groups(self, table: Table, wall_s: int) -> None:
        """Rewrite all files, together only those that overlap: what is deleted goes."""
        for group in groups_of(map(SortedRun.of, table.sstables)):
            chosen = {run.generation for run in group}
            files = [file for file in table.sstables if file.generation in chosen]
            await self.compact_some(table, files, wall_s)

    async def compact_some(
        self,
        table: Table,
        files: Sequence[SSTable],
        wall_s: int,
        forced: tuple[bytes, ...] = (),
    ) -> None:
        """Merge those of the files which no other compaction merges.

        `forced` are keys, ascending, of which tombstones go however young they are. Raises
        CompactionRefused if there is no room, or if it was stopped.
        """
        files = [file for file in files if file.generation not in table.compacting]
        if not files:
            return
        strategy = strategy_of(table.layout.compaction)
        choice = strategy.choose_all(tuple(map(SortedRun.of, files)))
        needed = bytes_needed(choice)
        if not self._store.volume.fits(needed):
            raise CompactionRefused(
                f"a compaction of {table.layout.name} needs {needed} bytes, more than are free"
            )
        job = self._claim(table, choice, wall_s, forced)
        await self._run(job)
        if job.is_stopped:
            raise CompactionRefused(f"the compaction of {table.layout.name} was stopped")

    def stop_some(self, is_meant: Callable[[CompactionProgress], bool]) -> int:
        """Let those that run end soon, undone; gives their number.

        The files are left alone for a while, or until something about them changes.
        """
        stopped = 0
        for job, shown in zip(self._running, self.progress(), strict=True):
            if not job.is_stopped and is_meant(shown):
                job.is_stopped = True
                stopped += 1
        return stopped

    def pending(self, wall_s: int) -> dict[str, int]:
        """Compactions that run or are worth to begin now, by `keyspace.table`; none is left out."""
        counts = Counter(job.table.layout.name for job in self._running)
        for table_id, table in self._tables.items():
            if table.sstables and self._wanted(table_id, table, wall_s) is not None:
                counts[table.layout.name] += 1
        return dict(counts)

    def progress(self) -> tuple[CompactionProgress, ...]:
        """What runs."""
        return tuple(
            CompactionProgress(
                job.number,
                job.table.layout.name,
                job.wall_s,
                len(job.files),
                job.bytes_total,
                job.bytes_done,
            )
            for job in self._running
        )

    def stop(self) -> None:
        """Begin nothing more, and let what runs end soon."""
        self._is_stopping = True

    async def wait(self) -> None:
        """Wait for what runs."""
        await self._idle.wait()

    def _choose(self, wall_s: int) -> _Job | None:
        """The most urgent of what the tables' strategies want and what fits on the disk."""
        choices: dict[bytes, Choice] = {}
        # Most of thousands of tables have no files.
        some = [(table_id, table) for table_id, table in self._tables.items() if table.sstables]
        for table_id, table in some:
            choice = self._wanted(table_id, table, wall_s)
            if choice is not None:
                choices[table_id] = choice
        order = sorted(choices, key=lambda t: -urgency(choices[t], self._passed_over[t]))
        for table_id in order:
            fitting = self._fitting(self._tables[table_id], choices[table_id])
            if fitting is not None:
                self._passed_over.update(choices.keys() - {table_id})
                del self._passed_over[table_id]
                return self._claim(self._tables[table_id], fitting, wall_s)
        return None

    def _wanted(self, table_id: bytes, table: Table, wall_s: int) -> Choice | None:
        """What the table's strategy wants to do."""
        options = table.layout.compaction
        is_enabled = common_options_of(options).is_enabled
        if table.unreadable or not is_enabled or table_id in self.limits.disabled:
            return None
        taken = table.compacting | table.unmergeable
        quiet = self._quiet.get(table_id)
        if quiet is not None and quiet.holds(table, taken, wall_s):
            return None
        choice = strategy_of(options).choose(self._situation(table, wall_s))
        if choice is None:
            # Only time can bring something up now, and it brings up nothing urgent.
            self._leave_alone(table, taken, wall_s)
        return choice

    def _leave_alone(self, table: Table, taken: frozenset[int], wall_s: int) -> None:
        """Look at the table again when something about its files changes, or after a while."""
        until_s = wall_s + QUIET_S
        quiet = _Quiet(table.sstables, taken, table.layout, until_s)
        self._quiet[table.layout.table_id] = quiet

    def _fitting(self, table: Table, choice: Choice) -> Choice | None:
        """The choice, or a smaller one, for which there is room; None if it has to wait."""
        volume = self._store.volume
        if volume.fits(bytes_needed(choice)):
            self._short_of_room.discard(table.layout.table_id)
            return choice
        if table.layout.table_id not in self._short_of_room:
            self._short_of_room.add(table.layout.table_id)
            volume.tell(
                f"compaction of {table.layout.name} needs {bytes_needed(choice)} bytes, more than"
                f" are free: it is made in smaller steps or waits"
            )
        return smaller(choice, volume.bytes_left)

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

    def _claim(
        self, table: Table, choice: Choice, wall_s: int, forced: tuple[bytes, ...] = ()
    ) -> _Job:
        """Take the files, and room for what comes out of them."""
        chosen = {run.generation for run in choice.runs}
        files = [file for file in table.sstables if file.generation in chosen]
        self._begun += 1
        job = _Job(self._begun, table, files, choice, wall_s, forced)
        table.compacting |= chosen
        self._running.append(job)
        self._idle.clear()
        self._store.volume.reserve(bytes_needed(choice))
        for file in files:
            file.acquire()
        return job

    async def _run_in_background(self, job: _Job) -> None:
        try:
            await self._run(job)
        except DiskFull:
            self._store.volume.refuse()
            # Nothing has changed; flushes need what room there is more than we do.
            self._pause_until_s = job.wall_s + DISK_FULL_PAUSE_S
        except DiskError as error:
            # That the disk does not give one of the files was told, and is no failure of ours.
            if error.path not in [file.path for file in job.files]:
                raise

    async def _run(self, job: _Job) -> None:
        table, files = job.table, job.files
        try:
            await self._compact(job)
        except CorruptData as error:
            # It stays as it is for repair to replace, and is not tried again and again.
            damage = await place_of(error, files, b"", NO_KEY, self._store.load_uncached)
            self._store.quarantine(table, damage)
            raise damage from error
        except DiskError as error:
            # One of the files read, or of those written: only the former are the table's.
            self._store.quarantine(table, error)
            raise
        finally:
            self._store.volume.free(bytes_needed(job.choice))
            table.compacting -= {file.generation for file in files}
            self._running.remove(job)
            if job.is_stopped:
                self._leave_alone(table, table.compacting | table.unmergeable, job.wall_s)
            if not self._running:
                self._idle.set()
            await self._store.release(files)

    async def _compact(self, job: _Job) -> None:
        epoch = job.table.epoch
        added: list[SSTable] = []
        if job.choice.moves:
            await self._move(job.table, job.files[0], job.choice.level, epoch)
            return
        if not job.choice.drops:
            found = await self._write(job)
            if found is None:
                return
            added = found
        if await self._replace(job.table, job.files, added, job.choice.level, epoch):
            self._note(job, added)

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

    async def _write(self, job: _Job) -> list[SSTable] | None:
        """Merge the files into new ones; None if that was stopped."""
        store, files = self._store, job.files

        async def create(expected: int) -> SSTableOutput:
            return await store.new_sstable(job.table, expected, IoClass.COMPACTION)

        expected = sum(file.statistics.partitions for file in files)
        outputs = Outputs(job.choice, create, expected, job.bytes_total)
        try:
            if await self._merge(job, outputs):
                return await outputs.finish()
        except Exception:
            await store.retire(await outputs.abandon())
            raise
        await store.retire(await outputs.abandon())
        return None

    async def _merge(self, job: _Job, outputs: Outputs) -> bool:
        table, wall_s = job.table, job.wall_s
        pace = Pace(self._store.hours, lambda: compaction_share(job.waiting_files))

        async def load(fetch: Fetch) -> list[Parsed]:
            job.bytes_done += fetch.bytes
            delay = self.limits.delay(fetch.bytes, asyncio.get_running_loop().time())
            if delay:
                await pace.wait(asyncio.sleep(delay))
            return await self._store.load_for_compaction(fetch, pace)

        scans = [Scan(file, (b"", NO_KEY), load, READ_AHEAD_BYTES) for file in job.files]
        for scan in scans:
            await scan.begin(b"")
        purge = Purge(
            wall_s,
            wall_s - table.layout.gc_grace_s,
            table.existing,
            table.purgeable_before(job.files),
            job.forced,
        )
        return await rewrite_scans(
            scans, purge, outputs, lambda: self._is_stopping or job.is_stopped, job.merged, pace
        )

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

    def _note(self, job: _Job, added: list[SSTable]) -> None:
        self.history.append(
            CompactionRecord(
                self.compactions,
                job.table.layout.table_id,
                job.table.layout.name,
                max(job.wall_s, self._store.wall_s),
                job.bytes_total,
                sum(file.file_bytes for file in added),
                len(job.files),
                len(added),
                job.choice.level,
                tuple(sorted(job.merged.items())),
            )
        )

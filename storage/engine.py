"""The door of storage: one shard's tables, applied to, read, flushed and recovered.

Requires: one `Engine` per directory; `open` before anything else; `end_of_turn` after each turn of
the loop in which something was applied, before its answers leave; `tick` a few times a second;
the coroutines which `background` gives are run, each once.

Promises: what `apply` accepted and `end_of_turn` gave to the kernel is found again after the
process was killed, and in the modes of the commit log that say so, after a power cut. A read sees
all that was applied before it. Memory stays within the limits of `EngineConfig`.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from storage.block_cache import BlockCache
from storage.budget import Budget
from storage.cache import RowCache, TableCache
from storage.commitlog import CommitLog, CommitLogConfig
from storage.compaction.limits import Limits
from storage.compactor import CompactionProgress, CompactionRecord, Compactor
from storage.disk import Disk
from storage.eager import start
from storage.errors import (
    CorruptData,
    CorruptFile,
    DiskError,
    Overloaded,
    UnknownTable,
)
from storage.fill import ReadThrough, fill_whole, sweep
from storage.io_queue import IoClassStatistics, IoQueue
from storage.layout import Layout
from storage.listener import Listener, SilentListener
from storage.manifest import Manifest
from storage.memory_read import read_memory
from storage.memtable import Memtable
from storage.mutation import Mutation
from storage.pace import Hours
from storage.point_read import PointRead
from storage.points import NO_POINTS, Points
from storage.read import bounds_of, key_bounds, read_partition, read_range
from storage.read_room import ReadRoom, bytes_of
from storage.recovery import RecoveryReport, recover
from storage.section_read import SectionRead
from storage.slice import Page, Slice
from storage.snapshot import SnapshotFile, link_files, restore_files
from storage.snapshot_split import Ownership, Shares, refuse_without_room, restore_shares
from storage.sstable.blame import place_of
from storage.sstable.bloom import key_hash
from storage.sstable.reader import SSTable
from storage.sstable.runs import Load
from storage.store import TABLES_DIRECTORY, Memory, Store
from storage.table import Table
from storage.upkeep import Upkeep
from storage.values import value_class
from storage.volume import Marks, Volume
from storage.warmth import Warmth

MIB = 1024 * 1024
CACHE_PART_MIN = 2
ROWS_PART_MIN = 2
MEMTABLE_PART_MIN = 4
"""Open files leave these parts of both caches and of the memtables, however much they hold.

Blocks keep so much because index blocks are among them: without those, reads go to the disk twice.
"""
SYNCHRONOUS_STEPS_MAX = 500
"""Rows which a read of memory merges before it gives others a turn."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """The limits of one shard's storage."""

    memtable_bytes: int = 64 * MIB
    """All memtables together; writers wait at this limit."""

    flush_at_fraction: float = 0.4
    """The largest memtable is flushed when all active ones together take this part of the limit."""

    waiting_writes_max: int = 4_096
    """Writers that may wait for memory; more are refused."""

    block_cache_bytes: int = 16 * MIB
    """Cached blocks, and the filters and summaries of open files, which leave that much less."""

    row_cache_bytes: int = 0
    """Rows of SSTables that are kept in memory; 0 keeps none."""

    hot_keys_max: int = 16_384
    """What the row cache remembers of itself over a restart; 0 is nothing."""

    hot_keys_period_s: int = 600
    """How often that is saved besides at the end; 0 is never."""

    read_bytes: int = 64 * MIB
    """All reads that go to files and run at once; the others wait."""

    waiting_reads_max: int = 4_096
    """Reads that may wait for others to end; more are refused."""

    compactions_max: int = 1
    """Compactions that run at once; one flush may run beside them."""

    compaction_bytes_per_s: int = 0
    """What all of them may read together; 0 is no limit."""

    io_calls_max: int = 64
    """Calls at the disk at once, of all classes but the commit log's."""

    io_bytes_max: int = 8 * MIB
    """What they move together."""

    answers_without_damaged: bool = False
    """Whether reads go on without files in which damage was found; see `Store`."""

    skips_log_damage: bool = False
    """Whether a replay goes on behind damage of the log, which is told; else it raises."""

    is_log_shut: bool = False
    """Nothing is written in this life: all that was acknowledged is read, writes are refused."""

    commitlog: CommitLogConfig = field(default_factory=CommitLogConfig)
    marks: Marks = field(default_factory=Marks)
    """When the disk counts as nearly full."""


@value_class
class TableStatistics:
    """One table in numbers, for `node/metrics`."""

    name: str
    memtable_bytes: int
    memtable_partitions: int
    sstables: int
    file_bytes: int
    quarantined: int
    """Files in which damage was found: they are read, and are not merged."""

    partitions: int
    """As many as there can be: one may be in several files."""
    row_cache_partitions: int
    row_cache_hits: int
    row_cache_misses: int

    @property
    def row_cache_hit_ratio(self) -> float:
        """The part of the reads of the files' content that the row cache answered."""
        return self.row_cache_hits / max(self.row_cache_hits + self.row_cache_misses, 1)


@value_class
class EngineStatistics:
    """A shard's storage in numbers."""

    tables: tuple[TableStatistics, ...]
    memtable_bytes: int
    waiting_writes: int
    files_bytes: int
    """Filters and summaries of open files."""
    block_cache_bytes: int
    block_cache_hits: int
    block_cache_misses: int
    row_cache_bytes: int
    row_cache_insertions: int
    row_cache_evictions: int
    flushes: int
    compactions: int
    log_bytes: int
    log_syncs: int
    io: tuple[IoClassStatistics, ...]
    compactions_running: tuple[CompactionProgress, ...] = ()
    compaction_history: tuple[CompactionRecord, ...] = ()
    """The last compactions that are over, oldest first."""


@value_class
class CacheStatistics:
    """One cache of a shard in numbers."""

    name: str
    bytes_max: int
    used_bytes: int
    entries: int
    hits: int
    requests: int


class Engine:
    """One shard's storage."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        shard: int,
        config: EngineConfig | None = None,
        budget: Budget | None = None,
        random: Random | None = None,
        points: Points = NO_POINTS,
        listener: Listener | None = None,
        hours: Hours | None = None,
    ) -> None:
        self._config = config or EngineConfig()
        self._directory = directory
        self._listener = listener or SilentListener()
        self._tables: dict[bytes, Table] = {}
        self._memory = Memory(self._config.memtable_bytes)
        self._flush_at = int(self._config.memtable_bytes * self._config.flush_at_fraction)
        self._files_bytes = 0
        self._waiting = 0
        self._reads = ReadRoom(self._config.read_bytes, self._config.waiting_reads_max)
        self._wall_s = 0
        self._is_stopping = False
        self._work_is_signalled = False
        self._cache = BlockCache(self._config.block_cache_bytes)
        self._io = IoQueue(self._config.io_calls_max, self._config.io_bytes_max)
        self._rows = RowCache(self._config.row_cache_bytes)
        self._log = CommitLog(
            disk,
            f"{directory}/commitlog",
            self._config.commitlog,
            points,
            self._listener.has_failed,
            self._io,
        )
        self._volume = Volume(disk, directory, self._config.marks, self._listener.tell)
        self._store = Store(
            disk,
            self._io,
            f"{directory}/{TABLES_DIRECTORY}",
            self._log,
            Manifest(disk, directory, points, self._listener.has_failed),
            self._cache,
            self._memory,
            self._volume,
            random or Random(shard),
            points,
            self._listener.has_found_damage,
            self._rows if self._rows.bytes_max else None,
            hours,
        )
        self._upkeep = Upkeep(self._store, self._tables)
        limits = Limits(self._config.compactions_max, self._config.compaction_bytes_per_s)
        self._compactor = Compactor(self._store, self._tables, limits)
        self._warmth = Warmth(
            self._store,
            self._tables,
            self._rows,
            directory,
            self._config.hot_keys_max,
            self._config.hot_keys_period_s,
            self._listener.tell,
        )
        self.shard = shard
        if budget is not None:
            # They are bounded by their configuration, so their room is taken once and for all.
            for name in ("memtable_bytes", "block_cache_bytes", "row_cache_bytes", "read_bytes"):
                size = getattr(self._config, name)
                if size:
                    budget.account(name, size).charge(size)

    # From start to the first request, and the end.

    async def open(
        self, layouts: Sequence[Layout], schema_number: int | None = None
    ) -> RecoveryReport:
        """Take the directory, find the tables' files, replay the log; then requests may come.

        With the number of the last schema entry that the layouts obey, what is left of tables that
        are not among them is removed.
        """
        await self._store.disk.make_directory(f"{self._directory}/commitlog")
        self._lock = await self._store.disk.lock(self._directory)
        self._store.obey(self._config)
        if self._store.is_shut:
            self._volume.shut()
        self._volume.look()
        report = await recover(self._store, self._tables, layouts, schema_number)
        self._charge_files()
        return report

    async def stop(self, flush: bool = True) -> None:
        """Finish what runs, write memory to files if `flush`, and close everything."""
        self._is_stopping = True
        self._upkeep.stop()
        self._compactor.stop()
        self._warmth.stop()
        is_writable = self._log.failure is None and not self._store.is_shut
        if flush and is_writable:
            await self.flush()
        await self._upkeep.wait()
        await self._compactor.wait()
        await self._warmth.wait(saves=is_writable)
        await self._log.close()
        await self._store.close(self._tables.values())
        for table in self._tables.values():
            if table.rows is not None:
                table.rows.clear()
        await sweep(self._rows)
        self._lock.release()

    # Hot path.

    def apply(self, mutation: Mutation, moment_wall_s: int = 0) -> Awaitable[None] | None:
        """Log a mutation and let reads see it; what is returned must be awaited before the answer.

        Raises `Overloaded` and `UnknownTable` if nothing was done, `CommitLogFailed` at the end.
        """
        table = self._tables.get(mutation.table_id)
        if table is None:
            raise UnknownTable(mutation.table_id)
        memory, log = self._memory, self._log
        if self._volume.is_refusing:
            raise self._volume.refusal()
        if memory.used >= memory.limit:
            return self._wait_for_room([mutation])
        position = log.append(mutation.table_id, mutation.data)
        memory.used += table.memtable.apply(mutation)
        if memory.used >= self._flush_at and not self._work_is_signalled:
            self._signal_work()
        return log.acknowledgement(position)

    def apply_all(self, mutations: Sequence[Mutation]) -> Awaitable[None] | None:
        """Like `apply`, for mutations of which a crash leaves all or none."""
        tables = [self._get_table(mutation.table_id) for mutation in mutations]
        if not tables:
            return None
        if self._volume.is_refusing:
            raise self._volume.refusal()
        if self._memory.used >= self._memory.limit:
            return self._wait_for_room(mutations)
        position = self._store.append_all(mutations)
        for table, mutation in zip(tables, mutations, strict=True):
            self._put(table, mutation)
        return self._log.acknowledgement(position)

    def end_of_turn(self) -> None:
        """Give the turn's records to the kernel, before the turn's answers leave."""
        self._log.end_of_turn()

    def read(self, wanted: Slice, wall_s: int) -> Page | Awaitable[Page]:
        """Answer a slice, at once if all of it is in memory."""
        table = self._tables.get(wanted.table_id)
        if table is None:
            raise UnknownTable(wanted.table_id)
        if table.unreadable:
            self._refuse_unreadable(table, wanted)
        key = wanted.key
        if not isinstance(key, bytes):
            return start(self._read_range(table, wanted, wall_s))
        memtables, steps = table.memtables(), SYNCHRONOUS_STEPS_MAX
        rows = None if wanted.bypass_cache else table.rows
        if rows is not None and table.sstables:
            page = read_memory(memtables, rows, wanted, key, wall_s, table.existing, steps)
            if page is not None:
                return page
        found = table.sstables_with(key) if table.sstables else []
        files = table.relevant(found, wanted)
        if not files:
            page = read_memory(memtables, None, wanted, key, wall_s, table.existing, steps)
            if page is not None:
                return page
            rows = None
        if rows is not None:
            # What the row cache keeps is all that the files have, not only what is asked for.
            files = found
        answer: Page | Awaitable[Page] | None = None
        if not (wanted.reverse or wanted.bypass_cache or (rows is not None and rows.knows(key))):
            read = PointRead(self, self._store, self._reads, table, rows, wanted, key, wall_s)
            try:
                answer = read.begin(files, memtables)
            except CorruptData as error:
                return self.blame(table, files, error, key)
        if answer is None:
            long = self.read_long(table, rows, wanted, key, wall_s, files, memtables)
            answer = start(long)
        return answer

    def _refuse_unreadable(self, table: Table, wanted: Slice) -> None:
        """Raise the reason if the slice wants keys of a file which is not read."""
        if self._store.answers_without_damaged:
            return
        key = wanted.key
        if isinstance(key, bytes):
            damage = table.damage_at(key)
        else:
            damage = table.damage_within(*key_bounds(wanted))
        if damage is not None:
            raise damage

    def _put(self, table: Table, mutation: Mutation) -> None:
        memory = self._memory
        memory.used += table.apply(mutation)
        if memory.used >= self._flush_at and not self._work_is_signalled:
            self._signal_work()

    # End of the hot path.

    async def apply_synced(self, mutation: Mutation) -> None:
        """Like `apply`, and wait for a sync in every mode of the commit log."""
        waited = self.apply(mutation)
        if waited is not None:
            await waited
        await self._log.sync_appended()

    async def sync(self) -> None:
        """Wait until all that was applied so far is durable, in every mode of the commit log."""
        self._refuse_if_shut()
        await self._log.sync_appended()

    def tick(self, now: float) -> None:
        """Let time pass for the commit log; raises `CommitLogFailed`."""
        self._volume.look()
        if not self._store.is_shut:
            self._log.tick(now)

    def background(self, wall_s: int) -> list[Coroutine[Any, Any, None]]:
        """The work that is due: each coroutine must be run, and claims its work until it ends."""
        self._store.wall_s = self._wall_s = max(self._wall_s, wall_s)
        self._work_is_signalled = False
        self._charge_files()
        has_failed = self._log.failure is not None or self._store.manifest.failure is not None
        if self._is_stopping or has_failed or self._store.is_shut:
            return []
        jobs = self._upkeep.due(self._wall_s, self._flush_at)
        if self._rows.has_dead:
            jobs.append(sweep(self._rows))
        return jobs + self._compactor.due(self._wall_s) + self._warmth.due(self._wall_s)

    # Tables.

    def set_layout(self, layout: Layout) -> None:
        """Make a table, or tell one that its schema has changed."""
        table = self._tables.get(layout.table_id)
        if table is not None:
            if table.layout != layout:
                table.set_layout(layout)
        else:
            self._tables[layout.table_id] = self._store.new_table(layout)

    def note_schema(self, number: int) -> None:
        """From now on, tables are those of the schema after so many entries."""
        manifest = self._store.manifest
        manifest.schema_number = max(manifest.schema_number, number)

    async def drop_table(self, table_id: bytes) -> None:
        """Forget a table and remove its files; a table that is not there is dropped already."""
        table = self._tables.pop(table_id, None)
        if table is None:
            return
        if self._store.is_shut:
            await self._store.close([table])  # The next start finds and removes its files.
        else:
            await self._upkeep.drop(table)

    async def truncate(self, table_id: bytes) -> None:
        """Remove all that was applied to a table so far; it does not come back after a crash."""
        self._refuse_if_shut()
        await self._upkeep.truncate(self._get_table(table_id))

    async def link_files(self, table_id: bytes, directory: str) -> list[SnapshotFile]:
        """Give every file of a table, memory flushed, one more name in a directory; see there."""
        self._refuse_if_shut()
        table = self._get_table(table_id)
        await self._upkeep.flush(table)
        return await link_files(self._store, table, directory)

    async def restore_files(
        self, table_id: bytes, directory: str, files: Sequence[SnapshotFile]
    ) -> None:
        """Let a table hold what `link_files` left in the directory, instead of all it holds."""
        self._refuse_if_shut()
        table = self._get_table(table_id)
        await restore_files(self._store, self._upkeep, table, directory, files)

    def refuse_without_room(self, size: int, shards: int) -> None:
        """Raise if what `restore_shares` writes of so many bytes would find no room."""
        refuse_without_room(self._store, size, shards)

    async def restore_shares(self, table_id: bytes, shares: Shares, ours: Ownership) -> None:
        """Like `restore_files`, of a snapshot by another number of shards."""
        self._refuse_if_shut()
        table = self._get_table(table_id)
        await restore_shares(self._store, self._upkeep, table, shares, ours)

    async def flush(self, table_id: bytes | None = None) -> None:
        """Write what is in memory now, of one table or of all, to files."""
        self._refuse_if_shut()
        tables = list(self._tables.values()) if table_id is None else [self._get_table(table_id)]
        for table in tables:
            await self._upkeep.flush(table)

    async def compact(
        self,
        table_id: bytes,
        wall_s: int = 0,
        *,
        chosen: Callable[[SSTable], bool] | None = None,
        forced: Sequence[bytes] = (),
        is_grouped: bool = False,
    ) -> None:
        """Merge files of a table: all into one, or the `chosen` ones.

        With `forced` keys, only files that may have them, whose tombstones go however young they
        are; with `is_grouped`, only files that overlap go together. Raises CompactionRefused.
        """
        self._refuse_if_shut()
        self._store.wall_s = self._wall_s = max(self._wall_s, wall_s)
        table = self._get_table(table_id)
        if is_grouped:
            await self._compactor.compact_groups(table, self._wall_s)
            return
        files = [file for file in table.sstables if chosen is None or chosen(file)]
        if forced:
            files = [f for f in files if any(f.may_contain(key, key_hash(key)) for key in forced)]
        await self._compactor.compact_some(table, files, self._wall_s, tuple(sorted(forced)))

    @property
    def compactor(self) -> Compactor:
        """For what an operator asks of compactions."""
        return self._compactor

    async def forget_rows(self, table_id: bytes) -> None:
        """Empty the row cache of a table."""
        self._get_table(table_id).forget_rows()
        await sweep(self._rows)

    def knows(self, table_id: bytes) -> bool:
        """Whether the table is there."""
        return table_id in self._tables

    def layouts(self) -> list[Layout]:
        """The layouts of all tables."""
        return [table.layout for table in self._tables.values()]

    def statistics(self) -> EngineStatistics:
        """The numbers of this moment."""
        return EngineStatistics(
            tuple(_statistics_of(table) for table in self._tables.values()),
            self._memory.used,
            self._waiting,
            self._files_bytes,
            self._cache.used_bytes,
            self._cache.hits,
            self._cache.misses,
            self._rows.used_bytes,
            self._rows.insertions,
            self._rows.evictions,
            self._upkeep.flushes,
            self._compactor.compactions,
            self._log.bytes_used,
            self._log.syncs,
            self._io.statistics(),
            self._compactor.progress(),
            tuple(self._compactor.history),
        )

    def caches(self) -> tuple[CacheStatistics, ...]:
        """The caches, by the names that Cassandra has for them.

        Data blocks are its chunks; index blocks, which share their room, are where it keeps keys.
        """
        blocks, rows = self._cache, self._rows
        tables = [table.rows for table in self._tables.values() if table.rows is not None]
        hits = sum(table.hits for table in tables)
        requests = hits + sum(table.misses for table in tables)
        of_index = blocks.index_hits + blocks.index_misses
        of_data = blocks.hits + blocks.misses - of_index
        return (
            CacheStatistics(
                "chunks",
                blocks.bytes_max,
                blocks.used_bytes - blocks.index_bytes,
                len(blocks) - blocks.index_count,
                blocks.hits - blocks.index_hits,
                of_data,
            ),
            CacheStatistics(
                "keys",
                blocks.bytes_max,
                blocks.index_bytes,
                blocks.index_count,
                blocks.index_hits,
                of_index,
            ),
            CacheStatistics(
                "rows", rows.bytes_max, rows.used_bytes, rows.stretches, hits, requests
            ),
        )

    def check(self) -> None:
        """Prove the invariants; for tests."""
        self._log.check()
        self._cache.check()
        self._reads.check()
        self._rows.check()
        for table in self._tables.values():
            if table.rows is not None:
                table.rows.check()
        memtables = [m for table in self._tables.values() for m in table.memtables()]
        assert self._memory.used == sum(memtable.memory_bytes for memtable in memtables), (
            "memory is charged exactly"
        )

    def _refuse_if_shut(self) -> None:
        if self._store.is_shut:
            raise self._volume.refusal()

    def _get_table(self, table_id: bytes) -> Table:
        table = self._tables.get(table_id)
        if table is None:
            raise UnknownTable(table_id)
        return table

    def _charge_files(self) -> None:
        """What open files hold is taken from cached blocks, then cached rows, then memtables.

        Filters and summaries cannot be dropped; all else can be made smaller.
        """
        config = self._config
        tables = self._tables.values()
        held = sum(table.files_memory_bytes for table in tables if table.sstables)
        least = config.block_cache_bytes // CACHE_PART_MIN
        cached = max(least, config.block_cache_bytes - held)
        self._cache.resize(cached)
        excess = cached + held - config.block_cache_bytes
        rows = max(config.row_cache_bytes // ROWS_PART_MIN, config.row_cache_bytes - excess)
        self._rows.resize(rows)
        excess -= config.row_cache_bytes - rows
        limit = max(config.memtable_bytes // MEMTABLE_PART_MIN, config.memtable_bytes - excess)
        self._memory.limit = limit
        self._flush_at = int(limit * config.flush_at_fraction)
        self._files_bytes = held

    def _signal_work(self) -> None:
        self._work_is_signalled = True
        self._listener.work_is_due()

    def _wait_for_room(self, mutations: Sequence[Mutation]) -> Awaitable[None]:
        """Apply when flushes have made room; refuses when too many wait already."""
        if self._waiting >= self._config.waiting_writes_max:
            raise Overloaded(f"{self._waiting} writes wait for memory already")
        return self._apply_when_room(mutations)

    async def _apply_when_room(self, mutations: Sequence[Mutation]) -> None:
        self._waiting += 1
        try:
            while self._memory.used >= self._memory.limit:
                await self._upkeep.make_room()
        finally:
            self._waiting -= 1
        waited = self.apply(mutations[0]) if len(mutations) == 1 else self.apply_all(mutations)
        if waited is not None:
            await waited

    def keep(
        self, rows: TableCache, key: bytes, search: SectionRead, phase: int, steps_max: int
    ) -> Page | None:
        """See `fill_whole`."""
        return fill_whole(rows, key, search, phase, steps_max)

    def read_long(
        self,
        table: Table,
        rows: TableCache | None,
        wanted: Slice,
        key: bytes,
        wall_s: int,
        files: Sequence[SSTable],
        memtables: Sequence[Memtable],
    ) -> Coroutine[Any, Any, Page]:
        """The slice of a partition as runs, which may go on for many blocks.

        Files and memtables are held from now on, so what is returned has to be begun.
        """
        users = [file.acquire() for file in files]
        held = [memtable.acquire() for memtable in memtables]
        load = self._store.load_uncached if wanted.bypass_cache else self._store.load_cached
        run = None
        if rows is not None:
            # Made before anything waits: it remembers of which phase files and memtables are.
            run = ReadThrough(rows, key, bounds_of(wanted), users, load, table.layout.has_static)
        return self._read_runs(table, run, wanted, key, wall_s, users, held, load)

    async def _read_runs(
        self,
        table: Table,
        run: ReadThrough | None,
        wanted: Slice,
        key: bytes,
        wall_s: int,
        users: Sequence[SSTable],
        memtables: Sequence[Memtable],
        load: Load,
    ) -> Page:
        size = bytes_of(wanted, not table.layout.has_clustering)
        has_room = False
        try:
            if not self._reads.try_enter(size):
                await self._reads.enter(size)
            has_room = True
            if run is None:
                files, wants_static = users, table.wants_static(wanted)
            else:
                files, wants_static = (), table.layout.has_static
            page = await read_partition(
                wanted, key, wall_s, table.existing, memtables, files, wants_static, load, run
            )
            if run is not None:
                run.count()
            return page
        except (CorruptData, DiskError) as error:
            raise await self._blamed(table, users, error, key, key + b"\0") from error
        finally:
            _release(memtables)
            if has_room:
                self._reads.leave(size)
            await self._store.release(users)

    async def _read_range(self, table: Table, wanted: Slice, wall_s: int) -> Page:
        size = bytes_of(wanted, False)
        if not self._reads.try_enter(size):
            await self._reads.enter(size)
        if table.is_dropped:
            self._reads.leave(size)
            raise UnknownTable(wanted.table_id)
        memtables = _acquire(table)
        users = [sstable.acquire() for sstable in table.sstables_between(*key_bounds(wanted))]
        try:
            load = self._store.load_uncached if wanted.bypass_cache else self._store.load_cached
            return await read_range(wanted, wall_s, table.existing, memtables, users, load)
        except (CorruptData, DiskError) as error:
            raise await self._blamed(table, users, error, *key_bounds(wanted)) from error
        finally:
            _release(memtables)
            self._reads.leave(size)
            await self._store.release(users)

    def blame(
        self, table: Table, files: Sequence[SSTable], error: CorruptData | DiskError, key: bytes
    ) -> Awaitable[Page]:
        """Raise the error of a read; meanwhile the files stay open."""
        return self._raise_blamed(table, [file.acquire() for file in files], error, key)

    async def _raise_blamed(
        self, table: Table, users: Sequence[SSTable], error: CorruptData | DiskError, key: bytes
    ) -> Page:
        try:
            raise await self._blamed(table, users, error, key, key + b"\0") from error
        finally:
            await self._store.release(users)

    async def _blamed(
        self,
        table: Table,
        users: Sequence[SSTable],
        error: CorruptData | DiskError,
        start: bytes,
        end: bytes,
    ) -> CorruptFile | DiskError:
        """The error of a read, with its place if it has none, after its file was put aside."""
        if isinstance(error, CorruptData):
            error = await place_of(error, users, start, end, self._store.load_uncached)
        self._store.quarantine(table, error)
        return error


def _acquire(table: Table) -> list[Memtable]:
    """The table's memtables, which a flush leaves whole until they are released."""
    return [memtable.acquire() for memtable in table.memtables()]


def _release(memtables: Sequence[Memtable]) -> None:
    for memtable in memtables:
        memtable.release()


def _statistics_of(table: Table) -> TableStatistics:
    return TableStatistics(
        table.layout.name,
        sum(memtable.memory_bytes for memtable in table.memtables()),
        sum(len(memtable) for memtable in table.memtables()),
        len(table.sstables),
        table.file_bytes,
        len(table.unmergeable),
        sum(len(memtable) for memtable in table.memtables())
        + sum(sstable.statistics.partitions for sstable in table.sstables),
        len(table.rows) if table.rows is not None else 0,
        table.rows.hits if table.rows is not None else 0,
        table.rows.misses if table.rows is not None else 0,
    )

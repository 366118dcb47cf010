"""One table of one shard: its memtables, its SSTables, and what changes them.

Invariants: `memtable` takes the writes; those in `flushing` take none and are being written, oldest
first; `sstables` are the files which the manifest names, youngest first. A mutation is in at least
one of them from the moment it was applied, so a read of all of them misses nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storage.cache import RowCache, TableCache
from storage.errors import CorruptFile, DiskError
from storage.layout import Layout
from storage.manifest import LiveSSTable, key_head
from storage.memtable import Memtable
from storage.mutation import Mutation
from storage.row import ColumnSet
from storage.slice import Slice
from storage.sstable.bloom import key_hash
from storage.sstable.frames import files_for, files_with
from storage.sstable.reader import SSTable

MIN_TIMESTAMP, MAX_TIMESTAMP = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """A memtable that takes no more writes."""

    memtable: Memtable
    position: int
    """Nothing of the table that was logged at or before this position is in a later memtable."""


@dataclass(frozen=True, slots=True, eq=False)
class Unreadable:
    """A file of the table that is not read: what it holds of its keys is not known."""

    live: LiveSSTable
    damage: CorruptFile | DiskError
    file: SSTable | None = None
    """The open file, if it was put aside while it was read; None if it could not be opened."""

    def may_contain(self, key: bytes) -> bool:
        """Whether the partition of `key` could be in the file."""
        return self.live.first <= key_head(key) <= self.live.last

    def may_overlap(self, start: bytes, end: bytes) -> bool:
        """Whether keys in [start, end) could be in the file."""
        return self.live.first <= key_head(end) and key_head(start) <= self.live.last


class Table:
    """The state; the engine and `storage.upkeep` act on it."""

    __slots__ = (
        "change",
        "compacting",
        "directory",
        "epoch",
        "existing",
        "first_write_s",
        "flushing",
        "has_directory",
        "is_dropped",
        "layout",
        "memtable",
        "row_cache",
        "rows",
        "sstables",
        "unmergeable",
        "unreadable",
    )

    def __init__(self, layout: Layout, directory: str, row_cache: RowCache | None = None) -> None:
        self.directory = directory
        self.row_cache = row_cache
        self.rows: TableCache | None = None
        """What is cached of the files; None if the schema or the configuration wants no rows."""
        self.has_directory = False
        self.memtable = Memtable(layout.has_clustering, layout.has_static)
        self.flushing: list[Frozen] = []
        self.sstables: tuple[SSTable, ...] = ()
        self.compacting: frozenset[int] = frozenset()
        """Generations of the files that running compactions merge."""
        self.unmergeable: frozenset[int] = frozenset()
        """Generations of files in which a compaction found damage."""
        self.change = asyncio.Lock()
        """Held while the manifest is told of a change and the change is made."""
        self.epoch = 0
        """Grows when all data go: what was begun before must not add files afterwards."""
        self.first_write_s = 0
        """When the active memtable was first seen with something in it; 0 is not yet."""
        self.unreadable: tuple[Unreadable, ...] = ()
        """Files that the manifest names and `sstables` lacks; reads of their keys fail."""
        self.is_dropped = False
        self.set_layout(layout)

    def set_layout(self, layout: Layout) -> None:
        """The schema changed; files and memtables keep what they have."""
        self.layout = layout
        self.existing = ColumnSet(layout.live_columns | {0})
        if self.rows is not None and not layout.caching_rows:
            self.rows.clear()
        if not layout.caching_rows or self.row_cache is None:
            self.rows = None
        elif self.rows is None:
            self.rows = TableCache(self.row_cache)

    def memtables(self) -> list[Memtable]:
        """All that is in memory, the active one first."""
        if not self.flushing:
            return [self.memtable]
        return [self.memtable, *(frozen.memtable for frozen in reversed(self.flushing))]

    @property
    def has_unflushed(self) -> bool:
        """Whether anything is in memory."""
        return bool(self.flushing) or len(self.memtable) > 0

    @property
    def memory_bytes(self) -> int:
        """The bytes of all memtables."""
        return sum(memtable.memory_bytes for memtable in self.memtables())

    def is_flush_due(self, wall_s: int) -> bool:
        """Whether the active memtable is older than the schema wants, where it wants anything."""
        if not len(self.memtable):
            return False
        if self.first_write_s == 0:
            self.first_write_s = wall_s
        age_ms = (wall_s - self.first_write_s) * 1000
        return age_ms >= self.layout.memtable_flush_period_ms

    def freeze(self, position: int) -> None:
        """Go on with a new memtable; the old one holds all that was logged until `position`."""
        self.flushing.append(Frozen(self.take_memtable(), position))

    def take_memtable(self) -> Memtable:
        """Go on with a new memtable; the old one is the caller's."""
        memtable = self.memtable
        self.memtable = Memtable(self.layout.has_clustering, self.layout.has_static)
        self.first_write_s = 0
        return memtable

    def apply(self, mutation: Mutation) -> int:
        """Let reads see a mutation, and give by how many bytes that has grown the memory."""
        return self.memtable.apply(mutation)

    def empty(self) -> tuple[list[Memtable], tuple[SSTable, ...]]:
        """Forget everything; what is forgotten is the caller's to release."""
        memtables, sstables = self.memtables(), self.sstables
        self.flushing = []
        self.sstables = ()
        self.epoch += 1
        self.forget_rows()
        self.take_memtable()
        return memtables, sstables

    def put_back(
        self, memtables: Sequence[Memtable], sstables: tuple[SSTable, ...], position: int
    ) -> None:
        """Have again what `empty` gave, and what has come since; `position` was the log's then."""
        older = [Frozen(m, position) for m in reversed(memtables) if len(m)]
        self.flushing = [*older, *self.flushing]
        self.sstables = sstables
        self.forget_rows()

    def relevant(self, found: list[SSTable], wanted: Slice) -> list[SSTable]:
        """Those of the files with a partition which may have something for a slice of it."""
        return files_for(found, wanted, self.wants_static(wanted))

    def sstables_with(self, key: bytes) -> list[SSTable]:
        """The files which may have something of a partition."""
        return files_with(self.sstables, key)

    def sstables_between(self, start: bytes, end: bytes) -> list[SSTable]:
        """The files which may have partitions with keys in [start, end)."""
        return [
            table
            for table in self.sstables
            if table.statistics.first_key < end and table.statistics.last_key >= start
        ]

    def forget_rows(self) -> None:
        """Nothing is known of the files any more; for when their content changes."""
        if self.rows is not None:
            self.rows.clear()

    def add_sstable(self, added: SSTable) -> None:
        """A flushed memtable's file has become part of the table.

        The caller lets the cached rows absorb the memtable.
        """
        if self.rows is not None:
            self.rows.advance_phase()
        self.replace_sstables((), (added,))

    def replace_sstables(self, removed: Sequence[SSTable], added: Sequence[SSTable]) -> None:
        """Files of the table were merged into others."""
        kept = [table for table in self.sstables if table not in removed]
        assert len(kept) == len(self.sstables) - len(removed), "only files of the table are removed"
        self.sstables = tuple(
            sorted([*kept, *added], key=lambda table: table.generation, reverse=True)
        )

    def damage_within(self, start: bytes, end: bytes) -> CorruptFile | DiskError | None:
        """Why not all is known of the keys in [start, end); None if all is."""
        for file in self.unreadable:
            if file.may_overlap(start, end):
                return file.damage
        return None

    def damage_at(self, key: bytes) -> CorruptFile | DiskError | None:
        """Why not all is known of a partition; None if all is."""
        for file in self.unreadable:
            if file.may_contain(key):
                return file.damage
        return None

    def set_aside(self, file: SSTable, live: LiveSSTable, damage: CorruptFile | DiskError) -> None:
        """Go on as if one of the files had nothing; the manifest still names it."""
        self.sstables = tuple(other for other in self.sstables if other is not file)
        self.unreadable += (Unreadable(live, damage, file),)
        self.forget_rows()

    def purgeable_before(self, merged: Sequence[SSTable]) -> Callable[[bytes], int]:
        """For a merge of these files: the lowest timestamp which other sources have for a key.

        The sources are looked at anew for each key, as a flush moves data among them meanwhile.
        """

        def lowest(key: bytes) -> int:
            if self.damage_at(key) is not None:
                return MIN_TIMESTAMP
            hashed = key_hash(key)
            bound = MAX_TIMESTAMP
            for table in self.sstables:
                if table not in merged and table.may_contain(key, hashed):
                    bound = min(bound, table.statistics.min_timestamp)
            for memtable in self.memtables():
                span = memtable.timestamps
                if span is not None and memtable.find(key) is not None:
                    bound = min(bound, span[0])
            return bound

        return lowest

    @property
    def file_bytes(self) -> int:
        """The bytes of all files."""
        return sum(table.file_bytes for table in self.sstables)

    @property
    def files_memory_bytes(self) -> int:
        """What open files hold of memory."""
        return sum(table.memory_bytes for table in self.sstables)

    def wants_static(self, wanted: Slice) -> bool:
        """Whether the slice asks for a static row that could exist."""
        return wanted.static and self.layout.has_static

"""The obvious storage engine, a dictionary of rows: an oracle, and a stand-in for the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

from storage.mutation import Mutation
from storage.row import live, merge_rows, shadow
from storage.slice import Page, PartitionRows, Slice

Rows = dict[bytes, bytes]


@dataclass
class ModelEngine:
    """Keeps what was applied. `durable` survives `crash`; `later` makes reads wait."""

    tables: dict[bytes, dict[bytes, Rows]] = field(default_factory=dict)
    log: list[list[Mutation]] = field(default_factory=list)
    synced: int = 0
    sync_delay_s: float = 0.0
    read_delay_s: float = 0.0
    room_delay_s: float = 0.0
    """A write waits as if memory were full, and reads see it only then."""

    packs: bool = False
    """Pages are packed as far as they may be."""

    failure: Exception | None = None
    dropped: set[bytes] = field(default_factory=set)

    def apply(self, mutation: Mutation) -> Awaitable[None] | None:
        return self.apply_all([mutation])

    def apply_all(self, mutations: list[Mutation]) -> Awaitable[None] | None:
        if self.failure is not None:
            raise self.failure
        if self.room_delay_s:
            return self._apply_later(mutations)
        self._apply_now(mutations)
        return None

    async def _apply_later(self, mutations: list[Mutation]) -> None:
        await asyncio.sleep(self.room_delay_s)
        self._apply_now(mutations)

    def _apply_now(self, mutations: list[Mutation]) -> None:
        self.log.append(mutations)
        for mutation in mutations:
            self._put(mutation)

    async def apply_synced(self, mutation: Mutation) -> None:
        waits = self.apply(mutation)
        if waits is not None:
            await waits
        await self.sync()

    def knows(self, table_id: bytes) -> bool:
        return table_id not in self.dropped

    async def sync(self) -> None:
        end = len(self.log)
        await asyncio.sleep(self.sync_delay_s)
        self.synced = max(self.synced, end)

    def read(self, wanted: Slice, wall_s: int) -> Page | Awaitable[Page]:
        if self.failure is not None:
            raise self.failure
        return self._read_later(wanted, wall_s) if self.read_delay_s else self._read(wanted, wall_s)

    async def truncate(self, table_id: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.tables.pop(table_id, None)

    def restarted(self, *, forgets_unsynced: bool = False) -> ModelEngine:
        """What a new process finds."""
        engine = ModelEngine(sync_delay_s=self.sync_delay_s, read_delay_s=self.read_delay_s)
        kept = self.log[: self.synced] if forgets_unsynced else self.log
        for mutations in kept:
            engine.apply_all(mutations)
        engine.synced = len(engine.log)
        return engine

    def _put(self, mutation: Mutation) -> None:
        rows = self.tables.setdefault(mutation.table_id, {}).setdefault(mutation.key, {})
        if mutation.deletion is not None:
            for clustering in list(rows):
                rows[clustering] = shadow(rows[clustering], mutation.deletion[0])
        for item in mutation.items():
            assert len(item) == 2, "the model knows no range tombstones"
            clustering, row = item
            rows[clustering] = merge_rows(rows[clustering], row) if clustering in rows else row

    async def _read_later(self, wanted: Slice, wall_s: int) -> Page:
        await asyncio.sleep(self.read_delay_s)
        return self._read(wanted, wall_s)

    def _read(self, wanted: Slice, wall_s: int) -> Page:
        page = self._page(wanted, wall_s)
        return Page.decode(page.encode()) if self.packs else page

    def _page(self, wanted: Slice, wall_s: int) -> Page:
        table = self.tables.get(wanted.table_id, {})
        partitions: list[PartitionRows] = []
        rows_left = wanted.row_limit or 1 << 60
        bytes_left = wanted.byte_limit or 1 << 60
        for key in sorted(table):
            if not _holds(wanted.key, key) or key < wanted.resume_key:
                continue
            resumed = key == wanted.resume_key
            if resumed and not wanted.resume_clustering:
                continue
            left = (wanted.partition_limit or 1 << 60) - (wanted.resume_rows if resumed else 0)
            found: list[tuple[bytes, bytes]] = []
            cut = False
            for clustering in sorted(table[key]):
                if resumed and clustering <= wanted.resume_clustering:
                    continue
                row = live(table[key][clustering], wall_s, wanted.columns)
                if not row or not _selects(wanted, clustering) or len(found) >= left:
                    continue
                if len(found) >= rows_left or bytes_left <= 0:
                    cut = True
                    break
                found.append((clustering, row))
                bytes_left -= len(clustering) + len(row)
            if found:
                clusterings, rows = [c for c, _ in found], [r for _, r in found]
                partitions.append(PartitionRows(key, None, b"", clusterings, rows))
                rows_left -= len(found)
            if cut:
                if not found:
                    last = partitions[-1]
                    return Page(partitions, True, last.key, b"")
                return Page(partitions, True, key, found[-1][0])
            if rows_left <= 0 or bytes_left <= 0:
                return Page(partitions, True, key, b"")
        return Page(partitions)


def _holds(wanted: bytes | tuple[bytes, bytes] | None, key: bytes) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, bytes):
        return key == wanted
    return wanted[0] <= key and (not wanted[1] or key < wanted[1])


def _selects(wanted: Slice, clustering: bytes) -> bool:
    return any(
        start <= clustering and (not end or clustering < end) for start, end in wanted.ranges
    )

"""A row cache that is warm after a restart: hot keys are written out, and read again after a start.

Both are background work. The keys are read one after the other, when queries leave the disk, at
most `KEYS_PER_SECOND`; this ends when all are read or the cache is nearly full. What keeps a save
or a read of the file from succeeding is told once, and harms nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from storage import hot_keys
from storage.cache import RowCache
from storage.errors import CorruptData, CorruptFile, DiskError
from storage.fill import ReadThrough
from storage.hot_keys import HotKey
from storage.merge import Chunk
from storage.store import Store
from storage.table import Table

KEYS_PER_SECOND: Final = 1_000
"""About a tenth of a core."""
FULL_PART: Final = 0.9
"""With more of the cache in use, what is read again would drive out what was read since."""


class Warmth:
    """Saves the hottest keys of a shard every period and at the end, and reads them again."""

    __slots__ = (
        "_directory",
        "_is_begun",
        "_is_stopping",
        "_keys_max",
        "_period_s",
        "_rows",
        "_save_at_s",
        "_saved",
        "_store",
        "_tables",
        "_tell",
        "_turn",
        "_wall_s",
        "_wanted",
        "keys_read",
    )

    def __init__(
        self,
        store: Store,
        tables: dict[bytes, Table],
        rows: RowCache,
        directory: str,
        keys_max: int,
        period_s: int,
        tell: Callable[[str], None],
    ) -> None:
        self._store = store
        self._tables = tables
        self._rows = rows
        self._directory = directory
        self._keys_max = keys_max if rows.bytes_max else 0
        self._period_s = period_s
        self._tell = tell
        self._turn = asyncio.Lock()
        self._is_begun = False
        self._is_stopping = False
        self._wanted: list[HotKey] = []
        """Still to be read, the hottest last."""
        self._saved = b""
        self._wall_s = 0
        self._save_at_s = 0
        self.keys_read = 0
        """Since the start."""

    def due(self, wall_s: int) -> list[Coroutine[Any, Any, None]]:
        """The work of this second: some keys to read, or the file to write."""
        if not self._keys_max or wall_s <= self._wall_s or self._turn.locked():
            return []
        self._wall_s = wall_s
        if not self._is_begun or self._wanted:
            self._save_at_s = self._save_at_s or wall_s + self._period_s
            return [self._warm()]
        if self._period_s and wall_s >= self._save_at_s:
            self._save_at_s = wall_s + self._period_s
            return [self._save_or_tell()]
        return []

    def stop(self) -> None:
        """Read no more."""
        self._is_stopping = True

    async def wait(self, *, saves: bool) -> None:
        """Wait for what runs, and save what is hot now if that is wanted.

        Who has not read the file yet leaves it as it is.
        """
        if saves and self._is_begun:
            await self._save_or_tell()
        async with self._turn:
            return

    # Saving.

    async def _save_or_tell(self) -> None:
        async with self._turn:
            try:
                await self._save()
            except DiskError as problem:
                self._tell(f"the hot keys of the row cache could not be saved: {problem}")

    async def _save(self) -> None:
        """What was to be read when the shard stops is saved too: it was hot before the start."""
        cached = [(table, table.rows) for table in self._tables.values() if table.rows is not None]
        found = self._rows.hottest([rows for _, rows in cached], self._keys_max)
        entries = [HotKey(cached[at][0].layout.table_id, *place) for at, *place in found]
        missing = self._keys_max - len(entries)
        entries += self._wanted[: -missing - 1 : -1] if missing else []
        data = await hot_keys.encode(entries)
        if data == self._saved or (not entries and not self._saved):
            return
        await hot_keys.write(self._store.disk, self._directory, data)
        self._saved = data
        self._store.points.reach("hot_keys.saved")

    # Reading.

    async def _warm(self) -> None:
        async with self._turn:
            if self._is_stopping:
                return
            if not self._is_begun:
                await self._begin()
            for _ in range(KEYS_PER_SECOND):
                if self._is_stopping or not self._wanted:
                    return
                if self._rows.used_bytes > self._rows.bytes_max * FULL_PART:
                    self._wanted.clear()
                    return
                await self._read_or_tell(self._wanted.pop())

    async def _begin(self) -> None:
        self._is_begun = True
        try:
            self._wanted = await hot_keys.read(self._store.disk, self._directory)
        except (CorruptData, DiskError) as problem:
            self._tell(f"the row cache starts empty, its hot keys could not be read: {problem}")
        self._wanted.reverse()

    async def _read_or_tell(self, wanted: HotKey) -> None:
        table = self._tables.get(wanted.table_id)
        if table is None or table.rows is None or table.unreadable:
            return
        try:
            await self._read(table, wanted)
        except CorruptFile as damage:
            self._store.quarantine(table, damage)
        except DiskError as problem:
            self._wanted.clear()
            self._tell(f"the row cache is not filled any further: {problem}")

    async def _read(self, table: Table, wanted: HotKey) -> None:
        """Bring one interval into the cache, as far as it is not there."""
        files = table.sstables_with(wanted.key)
        if table.rows is None or not files:
            return
        users = [file.acquire() for file in files]
        start, end = wanted.start, wanted.end
        try:
            load, has_static = self._store.load_for_warming, table.layout.has_static
            run = ReadThrough(table.rows, wanted.key, (start, end), users, load, has_static)
            await run.open(start, False)
            position: bytes | None = start
            while position is not None and not self._is_stopping:
                answer = run.chunk_at(position, False)
                chunk = answer if isinstance(answer, Chunk) else await answer
                is_last = not chunk.end or (end and chunk.end >= end)
                position = None if is_last else chunk.end
        finally:
            await self._store.release(users)
        self.keys_read += 1

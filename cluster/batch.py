"""Logged batches: an acknowledged one is applied whole, whatever its coordinator does next.

A batch of one shard is one log record. For a batch of several shards its coordinator first writes
an entry with all mutations to the batch log, synced, then sends the mutations, and removes the
entry when all of them are applied. Entries that are found later, because a shard died or a
restart came in between, are sent again; mutations carry their timestamps, so that is harmless.

The batch log is a table of the coordinator's own shard: the partition key is a random id, the one
cell holds the mutations.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from cluster.errors import ClusterError
from cluster.messages import join_parts, split_parts
from cluster.replica import Engine, translated
from cluster.token import decorate
from storage.errors import CorruptData, StorageError
from storage.layout import Layout
from storage.mutation import Mutation, MutationBuilder
from storage.row import CellCursor, RowBuilder
from storage.slice import Page, Slice

BATCHLOG_TABLE: Final = bytes.fromhex("b6d1c9f02a5e5c1f9a30f7be64d10e57")
_COLUMN: Final = 1
LAYOUT: Final = Layout(
    table_id=BATCHLOG_TABLE,
    name="system.batchlog",
    live_columns=frozenset({_COLUMN}),
    has_clustering=False,
    has_static=False,
    gc_grace_s=0,
)
"""What the engine of every shard must be opened with."""

_WRITTEN_AT: Final = 1
_REMOVED_AT: Final = 2
_VERSION: Final = b"\x01"
ENTRIES_PER_ROUND_MAX: Final = 128
ENTRY_BYTES_PER_ROUND: Final = 16 * 1024 * 1024

Send = Callable[[list[Mutation], float], Awaitable[None]]
"""Sends mutations to the shards that own them and waits for all; raises `ClusterError` if one of
them has not applied its part.
"""


class Batchlog:
    """The batch log of one shard."""

    def __init__(self, engine: Engine, random: Random, send: Send) -> None:
        self._engine = engine
        self._random = random
        self._send = send
        self._running: set[bytes] = set()

    async def write(self, mutations: list[Mutation]) -> bytes:
        """Make an entry durable; the batch will be applied from now on. Gives its id."""
        batch_id = self._random.randbytes(16)
        key = decorate(batch_id)
        row = RowBuilder()
        row.begin(_WRITTEN_AT, True)
        content = _VERSION + join_parts([mutation.data for mutation in mutations])
        row.cell(_COLUMN, _WRITTEN_AT, content)
        entry = MutationBuilder(BATCHLOG_TABLE, key)
        entry.row(b"", row.finish())
        self._running.add(key)
        try:
            await translated(self._engine.apply_synced(entry.finish()))
        except BaseException:
            self._running.discard(key)
            raise
        return key

    async def remove(self, key: bytes) -> None:
        """Forget an entry whose mutations are all applied. If that fails it is replayed, which is
        harmless.
        """
        self._running.discard(key)
        entry = MutationBuilder(BATCHLOG_TABLE, key)
        entry.delete_partition(_REMOVED_AT, 0)
        try:
            written = self._engine.apply(entry.finish())
            if written is not None:
                await written
        except StorageError:
            return

    def leave(self, key: bytes) -> None:
        """Leave an entry to the next replay: some of its mutations may not be applied."""
        self._running.discard(key)

    async def replay(self, wall_s: int, deadline: float) -> int:
        """Send the mutations of all entries that nobody is busy with; give how many entries are
        done with.

        An entry stays if a shard does not answer, and if its data is damaged: the error is raised
        when the others are done.
        """
        done = 0
        damage: CorruptData | None = None
        resume = b""
        more = True
        while more:
            page = await self._entries(resume, wall_s)
            more, resume = page.more, page.last_key
            for partition in page.partitions:
                if partition.key in self._running or not partition.rows:
                    continue
                try:
                    done += await self._replay_entry(partition.key, partition.rows[0], deadline)
                except CorruptData as error:
                    damage = damage or error
        if damage is not None:
            raise damage
        return done

    async def _entries(self, resume: bytes, wall_s: int) -> Page:
        page = self._engine.read(
            Slice(
                BATCHLOG_TABLE,
                key=(b"", b""),
                row_limit=ENTRIES_PER_ROUND_MAX,
                byte_limit=ENTRY_BYTES_PER_ROUND,
                resume_key=resume,
            ),
            wall_s,
        )
        return page if isinstance(page, Page) else await page

    async def _replay_entry(self, key: bytes, row: bytes, deadline: float) -> bool:
        mutations = _mutations_of(row)
        self._running.add(key)
        try:
            await self._send(mutations, deadline)
            await self.remove(key)
        except (ClusterError, StorageError):
            return False
        finally:
            self._running.discard(key)
        return True


def _mutations_of(row: bytes) -> list[Mutation]:
    cursor = CellCursor()
    cursor.reset(row)
    while cursor.next():
        if cursor.column == _COLUMN:
            content = cursor.value()
            if content[:1] != _VERSION:
                raise CorruptData(f"a batch log entry has the unknown version {content[:1].hex()}")
            return [Mutation(part) for part in split_parts(content, 1)]
    raise CorruptData("a batch log entry has no mutations")

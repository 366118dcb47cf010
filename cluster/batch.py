"""Logged batches: an acknowledged one is applied whole, whatever its coordinator does next.

A batch of one shard is one log record. For a batch of several shards its coordinator first writes
an entry with all mutations to the batch log, synced, then sends the mutations and answers. The
entry is removed later, in the background, and only when all its mutations are durable on their
shards: in periodic mode a power cut may take what a shard has applied. Entries that are found
without somebody at work on them, because a shard died, was slow, or a restart came in between, are
sent again; mutations carry their timestamps, so that is harmless.

The batch log is a table of the coordinator's own shard: the partition key is a random id, the one
cell holds the mutations.
"""

from asyncio import Lock
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from cluster.errors import ClusterError, FailureReason, ReplicaFailed
from cluster.messages import MalformedMessage, join_parts, split_parts
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
_ANY_SECOND: Final = 0
"""Entries do not expire."""
ENTRIES_PER_ROUND_MAX: Final = 128
ENTRY_BYTES_PER_ROUND: Final = 16 * 1024 * 1024
APPLIED_MAX: Final = 16_384
"""Entries that wait for their removal; further ones are left to the replay."""
REMOVALS_PER_RECORD_MAX: Final = 256
REMOVE_AFTER_S: Final = 1.0
"""How long removals are gathered: each costs a sync of all shards that are concerned."""
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 10.0
"""How long after a replay that could not finish everything the next one begins; it doubles."""

Send = Callable[[list[Mutation], float], Awaitable[frozenset[int]]]
"""Sends mutations to the shards that own them, waits for all, and gives the shards; raises
`ClusterError` if one of them has not applied its part.
"""

Sync = Callable[[list[int], float], Awaitable[None]]
"""Waits until all that some shards have applied is durable; raises `ClusterError`."""


class Batchlog:
    """The batch log of one shard.

    Whoever owns it calls `finish` in the background whenever `is_due`.
    """

    def __init__(
        self, engine: Engine, random: Random, send: Send, sync: Sync, now: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._random = random
        self._send = send
        self._sync = sync
        self._now = now
        self._running: set[bytes] = set()
        """Entries that somebody works on, or that wait for their removal."""
        self._applied: dict[bytes, frozenset[int]] = {}
        """Entries to remove, with the shards that must have synced before."""
        self._remove_at = 0.0
        self._damaged: set[bytes] = set()
        self._replay_at: float | None = now()  # An earlier life may have left some behind.
        self._retry_s = RETRY_FIRST_S
        self._resume = b""
        self._is_complete = True
        """Whether the pass over all entries that is under way has left none behind."""
        self._turn = Lock()

    # What a batch does.

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

    def applied(self, key: bytes, shards: frozenset[int]) -> None:
        """An entry's mutations are applied on these shards: forget it once they are durable."""
        if len(self._applied) >= APPLIED_MAX:
            self.leave(key)
            return
        if not self._applied:
            self._remove_at = self._now() + REMOVE_AFTER_S
        self._applied[key] = shards

    def leave(self, key: bytes) -> None:
        """Leave an entry to the next replay: some of its mutations may not be applied."""
        self._running.discard(key)
        if self._replay_at is None:
            self._replay_at = self._now() + self._retry_s

    # What the background does.

    @property
    def is_due(self) -> bool:
        """Whether `finish` has something to do that nobody does already."""
        if self._turn.locked():
            return False
        now = self._now()
        is_replay_due = self._replay_at is not None and now >= self._replay_at
        return is_replay_due or (bool(self._applied) and now >= self._remove_at)

    async def finish(self, deadline: float) -> None:
        """Replay some of what was left behind and remove what is done with; both once a call.

        Raises CorruptData, once in our life, for an entry whose data is damaged; it stays.
        """
        async with self._turn:
            try:
                if self._replay_at is not None and self._now() >= self._replay_at:
                    await self._replay_some(deadline)
            finally:
                await self._remove_applied(deadline)

    async def settle(self, deadline: float) -> None:
        """Finish every entry that nobody is busy with, so that none of them is ever sent again.

        Raises `ReplicaFailed` if that cannot be done, and once for an entry that is damaged.
        """
        async with self._turn:
            self._resume = b""
            while await translated(self._replay_some(deadline)):
                pass
            await self._remove_applied(deadline)
            if self._replay_at is not None or self._applied:
                raise ReplicaFailed(FailureReason.UNKNOWN, "logged batches wait for other shards")
            await translated(self._engine.sync())

    async def settle_readable(self, deadline: float) -> int:
        """Like `settle`, but gives how many entries are damaged. They stay, and harm no others."""
        while True:
            known = len(self._damaged)
            try:
                await self.settle(deadline)
            except ReplicaFailed:
                if len(self._damaged) == known:
                    raise
            else:
                return len(self._damaged)

    async def forget_damaged(self) -> int:
        """Durably remove the entries that are known to be damaged; gives how many.

        What of their mutations was not applied before never will be.
        """
        async with self._turn:
            damaged = sorted(self._damaged)
            await translated(self._remove(damaged))
            await translated(self._engine.sync())
            self._damaged.difference_update(damaged)
            return len(damaged)

    async def _replay_some(self, deadline: float) -> bool:
        """Send the mutations of one page of entries; say whether there is time for the next."""
        if not self._resume:
            self._is_complete = True
        self._replay_at = self._now() + self._retry_s
        page = await self._entries(self._resume)
        damage: CorruptData | None = None
        is_late = False
        for partition in page.partitions:
            is_late = self._now() >= deadline
            if is_late:
                break
            self._resume = partition.key
            key, rows = partition.key, partition.rows
            if key in self._running or key in self._damaged or not rows:
                continue
            try:
                await self._replay_entry(key, rows[0], deadline)
            except CorruptData as error:
                self._damaged.add(key)
                damage = damage or error
            except (ClusterError, StorageError):
                self._is_complete = False
        if not page.more and not is_late:
            self._end_pass()
        elif not is_late:
            self._replay_at = self._now()
        if damage is not None:
            raise damage
        return page.more and not is_late

    def _end_pass(self) -> None:
        """All entries were looked at; those that could not be finished have another turn later."""
        self._resume = b""
        if self._is_complete:
            self._replay_at, self._retry_s = None, RETRY_FIRST_S
        else:
            self._replay_at = self._now() + self._retry_s
            self._retry_s = min(RETRY_MAX_S, 2 * self._retry_s)

    async def _replay_entry(self, key: bytes, row: bytes, deadline: float) -> None:
        # A table that we do not know any more was dropped: what it was sent is gone with it.
        mutations = [m for m in _mutations_of(row) if self._engine.knows(m.table_id)]
        self._running.add(key)
        try:
            shards = await self._send(mutations, deadline)
        except BaseException:
            self._running.discard(key)
            raise
        self.applied(key, shards)

    async def _remove_applied(self, deadline: float) -> None:
        """Remove the entries whose mutations are applied, after the shards have synced them."""
        applied, self._applied = self._applied, {}
        if not applied:
            return
        try:
            await self._sync(sorted(frozenset[int]().union(*applied.values())), deadline)
            await self._remove(list(applied))
        except (ClusterError, StorageError):
            # A removal that failed half way is done again, which is harmless.
            self._remove_at = self._now() + self._retry_s
            self._applied = {**applied, **self._applied}
        else:
            self._running.difference_update(applied)

    async def _remove(self, keys: list[bytes]) -> None:
        for first in range(0, len(keys), REMOVALS_PER_RECORD_MAX):
            removals = []
            for key in keys[first : first + REMOVALS_PER_RECORD_MAX]:
                removal = MutationBuilder(BATCHLOG_TABLE, key)
                removal.delete_partition(_REMOVED_AT, 0)
                removals.append(removal.finish())
            written = self._engine.apply_all(removals)
            if written is not None:
                await written

    async def _entries(self, resume: bytes) -> Page:
        page = self._engine.read(
            Slice(
                BATCHLOG_TABLE,
                key=(b"", b""),
                row_limit=ENTRIES_PER_ROUND_MAX,
                byte_limit=ENTRY_BYTES_PER_ROUND,
                resume_key=resume,
            ),
            _ANY_SECOND,
        )
        return page if isinstance(page, Page) else await page


def _mutations_of(row: bytes) -> list[Mutation]:
    cursor = CellCursor()
    cursor.reset(row)
    while cursor.next():
        if cursor.column == _COLUMN:
            content = cursor.value()
            if content[:1] != _VERSION:
                raise CorruptData(f"a batch log entry has the unknown version {content[:1].hex()}")
            try:
                return [Mutation(part) for part in split_parts(content, 1)]
            except MalformedMessage as error:
                raise CorruptData(f"a batch log entry is damaged: {error}") from error
    raise CorruptData("a batch log entry has no mutations")

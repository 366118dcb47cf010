"""Counters: increments become contexts on the shard that owns the key.

A *context* is the value of a counter cell: for each shard that ever counted, its id (16 bytes), a
clock and what it has counted so far (both big-endian int64), sorted by id. Contexts merge by the
higher clock of each id, so the same context may arrive twice and in any order. The counter is the
sum of the values.

A client's increment is not idempotent. It travels as a plain cell whose value is one int64, to
the owner only, which turns it into a context: it reads what it has counted so far, adds, and logs
its own part of the context, one key at a time. The clock is at least the write's timestamp, so
that a counter which was deleted and counted again beats what it held before.
"""

from asyncio import AbstractEventLoop
from collections.abc import Awaitable
from struct import Struct
from typing import Final
from uuid import UUID

from cluster.deadlines import Deadlines
from cluster.errors import FailureReason, ReplicaFailed
from cluster.key_queues import KeyQueues
from cluster.replica import Engine, replica_error, translated
from storage.errors import StorageError
from storage.mutation import Mutation, MutationBuilder
from storage.row import NO_DELETION, CellCursor, RowBuilder
from storage.slice import Page, Slice

ID_BYTES: Final = 16
INCREMENT_BYTES: Final = 8
_PART = Struct(">16sqq")
_INT64 = Struct(">q")
_INT64_SPAN: Final = 1 << 64
_CELL_TOMBSTONE: Final = 1
_CELL_COUNTER: Final = 64

Column = tuple[bytes, int]
"""A clustering and a column id: one counter of a partition."""


def counting_id(host_id: UUID, shard: int) -> bytes:
    """Give the id under which a shard counts: the host's, with the shard in its last two bytes."""
    last = int.from_bytes(host_id.bytes[-2:], "big") ^ shard
    return host_id.bytes[:-2] + last.to_bytes(2, "big")


def part(identity: bytes, clock: int, value: int) -> bytes:
    """Give the context of a single shard."""
    return _PART.pack(identity, clock, value)


def parts(context: bytes) -> list[tuple[bytes, int, int]]:
    """Take a context apart into ids, clocks and values."""
    assert len(context) % _PART.size == 0, "a context is a row of parts of equal size"
    return list(_PART.iter_unpack(context))


def total(context: bytes) -> int:
    """Give what a counter shows: the sum, which wraps around like the client's bigint."""
    return _wrapped(sum(value for _, _, value in parts(context)))


def _wrapped(value: int) -> int:
    return (value + (_INT64_SPAN >> 1)) % _INT64_SPAN - (_INT64_SPAN >> 1)


class Counters:
    """Resolves increments for one shard."""

    def __init__(
        self, loop: AbstractEventLoop, engine: Engine, deadlines: Deadlines, identity: bytes
    ) -> None:
        assert len(identity) == ID_BYTES, "a counting id has 16 bytes"
        self._engine = engine
        self._deadlines = deadlines
        self._identity = identity
        self._queues = KeyQueues(loop, deadlines)

    def count(self, increments: Mutation, deadline: float) -> Awaitable[None] | None:
        """Add to the counters of one partition.

        Done at once if nobody else counts there and memory answers.
        """
        key = increments.key
        if not self._queues.try_take(key):
            return self._count_in_turn(increments, deadline)
        waits: Awaitable[None] | None = None
        try:
            page = self._engine.read(_slice_of(increments), 0)
            if isinstance(page, Page):
                written = self._engine.apply(self._resolve(increments, page))
                waits = None if written is None else self._held(key, written)
            else:
                waits = self._held(key, self._finish(increments, page))
        except StorageError as error:
            raise replica_error(error) from error
        finally:
            if waits is None:
                self._queues.give_back(key)
        return waits

    async def _count_in_turn(self, increments: Mutation, deadline: float) -> None:
        await self._queues.take(increments.key, deadline)
        await self._held(increments.key, self._read_and_finish(increments))

    async def _held(self, key: bytes, work: Awaitable[None]) -> None:
        """Keep the key until the work is done.

        A write that waits, for memory or for a sync, may not be in the memtable yet: who counts
        next must not read before it is.
        """
        try:
            await translated(work)
        finally:
            self._queues.give_back(key)

    async def _read_and_finish(self, increments: Mutation) -> None:
        page = self._engine.read(_slice_of(increments), 0)
        await self._finish(increments, page)

    async def _finish(self, increments: Mutation, rows: Page | Awaitable[Page]) -> None:
        """Resolve with rows that may have to be waited for."""
        page = rows if isinstance(rows, Page) else await rows
        written = self._engine.apply(self._resolve(increments, page))
        if written is not None:
            await written

    def _resolve(self, increments: Mutation, page: Page) -> Mutation:
        """Give the mutation that sets our parts of the counters to what they are after the
        increments.
        """
        counted = self._counted(page)
        builder = MutationBuilder(increments.table_id, increments.key)
        if increments.deletion is not None:
            builder.delete_partition(*increments.deletion)
        for item in increments.items():
            if len(item) == 2:
                clustering, row = item
                builder.row(clustering, self._resolve_row(clustering, row, counted))
            else:
                builder.range_tombstone(*item)
        return builder.finish()

    def _resolve_row(
        self, clustering: bytes, row: bytes, counted: dict[Column, tuple[int, int]]
    ) -> bytes:
        cursor = CellCursor()
        cursor.reset(row)
        builder = RowBuilder()
        builder.begin(cursor.marker_ts if cursor.has_marker else 0, cursor.has_marker)
        if cursor.deletion_ts != NO_DELETION:
            builder.delete_row(cursor.deletion_ts, cursor.deleted_at)
        while cursor.next():
            if cursor.flags & _CELL_TOMBSTONE:
                builder.tombstone(cursor.column, cursor.timestamp, cursor.expiry)
                continue
            place = (clustering, cursor.column)
            clock, value = counted.get(place, (0, 0))
            clock = max(cursor.timestamp, clock + 1)
            value = _wrapped(value + _increment(cursor))
            counted[place] = (clock, value)
            builder.counter(cursor.column, cursor.timestamp, part(self._identity, clock, value))
        return builder.finish()

    def _counted(self, page: Page) -> dict[Column, tuple[int, int]]:
        """Find what our shard has counted so far."""
        counted: dict[Column, tuple[int, int]] = {}
        cursor = CellCursor()
        for partition in page.partitions:
            rows = list(zip(partition.clusterings, partition.rows, strict=True))
            if partition.static_row:
                rows.append((b"", partition.static_row))
            for clustering, row in rows:
                cursor.reset(row)
                while cursor.next():
                    for identity, clock, value in parts(cursor.value()):
                        if identity == self._identity:
                            counted[clustering, cursor.column] = (clock, value)
        return counted


def _increment(cursor: CellCursor) -> int:
    value = cursor.value()
    if cursor.flags & _CELL_COUNTER or len(value) != INCREMENT_BYTES:
        raise ReplicaFailed(FailureReason.UNKNOWN, "an increment is a plain cell of eight bytes")
    (increment,) = _INT64.unpack(value)
    return int(increment)


def _slice_of(increments: Mutation) -> Slice:
    """Ask for exactly the rows that the increments touch."""
    touched = sorted({item[0] for item in increments.items() if len(item) == 2})
    ranges = tuple((clustering, clustering + b"\x00") for clustering in touched)
    return Slice(
        increments.table_id,
        key=increments.key,
        ranges=ranges,
        static=b"" in touched,
        row_limit=len(touched) + 1,
    )

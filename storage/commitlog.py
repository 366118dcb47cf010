"""Append, sync, replay: the log that makes a write survive before any SSTable holds it.

Promises (RELIABILITY section 1): after `end_of_turn` the kernel has every record, so a killed
process loses nothing. After `sync_for(position)` the disk has it. What survives is a prefix of
what was appended. After one failed write or sync nothing is acknowledged any more and nothing is
tried again: every call raises `CommitLogFailed`.

Requires: `replay` is read to its end, then `start`; `tick` is called several times per period.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from enum import Enum

from storage.disk import Disk
from storage.errors import CommitLogFailed, DiskError, DiskFull, Overloaded, TooManyOpenFiles
from storage.io_queue import IoClass, IoQueue
from storage.log_replay import LogReplay, OnDamage, refuse_damage
from storage.log_segments import Segment, SegmentFiles
from storage.points import NO_POINTS, Points
from storage.record import (
    END,
    MUTATION,
    RecordBatch,
    RecordBuffer,
    position_of,
    segment_of,
)
from storage.values import value_class

SEGMENT_BYTES_DEFAULT = 32 << 20
TOTAL_SPACE_BYTES_DEFAULT = 2 << 30
SPARES_MAX = 2
"""How many segments are kept ready; the first is made as soon as the one before is taken."""

OVERFLOW_FACTOR = 2
"""How many times its size a segment may reach while its successor is not ready."""

RESERVE_BYTES = 512
"""What writers leave of a segment that cannot grow, for marks and the end."""

LATE_AFTER_PERIODS = 1.5


class SyncMode(Enum):
    """When a write is acknowledged."""

    PERIODIC = "periodic"
    BATCH = "batch"
    GROUP = "group"


@value_class
class CommitLogConfig:
    """The settings of one shard's log."""

    mode: SyncMode = SyncMode.PERIODIC
    period_s: float = 10.0
    """`commitlog_sync_period`: how much a power cut may take in periodic mode."""

    group_window_s: float = 1.0
    """`commitlog_sync_group_window`: in group mode, at most one sync in this time."""

    segment_bytes: int = SEGMENT_BYTES_DEFAULT
    total_space_bytes: int = TOTAL_SPACE_BYTES_DEFAULT
    """`commitlog_total_space`, this shard's part; tables are flushed beyond three quarters."""

    def __post_init__(self) -> None:
        assert self.period_s > 0 and self.group_window_s >= 0, "time goes forward"
        assert 4096 <= self.segment_bytes <= 1 << 30, "a segment has a sensible size"
        assert self.total_space_bytes >= 4 * self.segment_bytes, "there is room for four segments"

    @property
    def mutation_bytes_max(self) -> int:
        """`max_mutation_size`: a mutation fits into half a segment."""
        return self.segment_bytes // 2


class CommitLog:
    """One shard's log."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        config: CommitLogConfig,
        points: Points = NO_POINTS,
        on_failure: Callable[[CommitLogFailed], None] | None = None,
        io: IoQueue | None = None,
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._config = config
        self._points = points
        self._on_failure = on_failure
        self._io = io or IoQueue(1, 1)
        self._files = SegmentFiles(disk, directory, config.segment_bytes, points)
        self._replay: LogReplay | None = None
        self._buffer = RecordBuffer()
        self._current: Segment | None = None
        self._closed: deque[Segment] = deque()
        self._spares: deque[Segment] = deque()
        self._dirty: dict[bytes, int] = {}
        self._mutation_bytes_max = config.mutation_bytes_max
        self._end_max = OVERFLOW_FACTOR * config.segment_bytes
        """Where a mutation in the current segment must end."""
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._last = 0
        self._unsynced_since: float | None = None
        self._is_periodic = config.mode is SyncMode.PERIODIC
        self._is_late = False
        self._is_closing = False
        self._is_closed = False
        self._sync_wanted = asyncio.Event()
        self._keep_wanted = asyncio.Event()
        self._closing = asyncio.Event()
        self._jobs: list[asyncio.Task[None]] = []
        self._now = 0.0
        self.failure: CommitLogFailed | None = None
        """Why the log has stopped, once it has."""
        self.durable = 0
        """Everything before this position survives a power cut."""
        self.syncs = 0
        """How many times the log was synced, for the metrics."""

    # From start to the first record.

    async def replay(self, on_damage: OnDamage = refuse_damage) -> AsyncIterator[RecordBatch]:
        """Give what the log holds as batches of (position, mutation), in the order of appending.

        Damage before the end of the log is handed to `on_damage`, which raises it or, by
        returning, lets the replay go on with the next segment.
        """
        assert self._current is None, "a log is replayed before it is started"
        self._replay = LogReplay(self._disk, self._directory, on_damage)
        async for batch in self._replay.batches():
            yield batch

    async def start(self, position_min: int = 0) -> None:
        """Begin a new segment; positions will be greater than `position_min` and all replayed."""
        assert self._replay is not None, "a log is replayed before it is started"
        await self._replay.prepare(self._points)
        self._files.number_after(max(self._replay.number_max, segment_of(position_min)))
        self._begin(await self._files.create())
        self.end_of_turn()
        self._keep_wanted.set()
        loop = asyncio.get_running_loop()
        self._jobs = [
            loop.create_task(self._sync_forever()),
            loop.create_task(self._keep_forever()),
        ]

    async def discard_replayed(self) -> None:
        """Remove the segments of earlier runs: what was replayed is durable in SSTables."""
        assert self._replay is not None and self._current is not None, "the log has started"
        await self._replay.remove_kept()

    # Hot path: what each write and each turn does.

    def append(self, table_id: bytes, mutation: bytes) -> int:
        """Put a mutation into the turn's buffer and give its position.

        Raises `CommitLogFailed`, or `Overloaded` with nothing appended: too large, or the disk
        cannot follow.
        """
        buffer = self._buffer
        size = len(mutation)
        if (
            size > self._mutation_bytes_max
            or buffer.end + size > self._end_max
            or self.failure is not None
        ):
            self._refuse(size)
        position = buffer.append(MUTATION, mutation)
        self._dirty[table_id] = self._last = position
        return position

    def append_group(self, table_ids: list[bytes], record: bytes) -> int:
        """Like `append`, for one record with mutations of several tables."""
        position = self.append(table_ids[0], record)
        self._dirty.update(dict.fromkeys(table_ids, position))
        return position

    def end_of_turn(self) -> None:
        """Give the turn's records to the kernel in one write, before any of its replies leaves."""
        if self.failure is not None:
            raise self.failure
        if self._buffer.size and not self._is_closed:
            self._write()

    def acknowledgement(self, position: int) -> asyncio.Future[None] | None:
        """Say what the answer to the write at `position` has to wait for: None, or a sync."""
        if self._is_periodic and not self._is_late:
            return None
        return self.sync_for(position)

    # End of the hot path.

    def sync_for(self, position: int) -> asyncio.Future[None]:
        """Give a future that is done when the record at `position` is durable, in every mode.

        All that waits when a sync starts shares it; it fails with `CommitLogFailed`.
        """
        if self.failure is not None:
            raise self.failure
        future = asyncio.get_running_loop().create_future()
        if position < self.durable:
            future.set_result(None)
        else:
            self._waiters.append((position, future))
            self._sync_wanted.set()
        return future

    def sync_appended(self) -> asyncio.Future[None]:
        """Like `sync_for`, for every mutation that was appended until now."""
        return self.sync_for(self._last)

    def tick(self, now: float) -> None:
        """Let time pass: sync when it is time, hold writers when late; raises `CommitLogFailed`."""
        if self.failure is not None:
            raise self.failure
        self._now = now
        self.end_of_turn()
        if not self._spares:
            self._keep_wanted.set()
        if not self._needs_sync():
            self._unsynced_since, self._is_late = None, False
            return
        if self._unsynced_since is None:
            self._unsynced_since = now
        age = now - self._unsynced_since
        if self._config.mode is not SyncMode.PERIODIC or age >= self._config.period_s:
            self._sync_wanted.set()
        self._is_late = age >= LATE_AFTER_PERIODS * self._config.period_s

    # What has been flushed, and what should be.

    def mark_flushed(self, table_id: bytes, position: int) -> None:
        """Take it that the table's mutations up to and with `position` are durable elsewhere."""
        for segment in (*self._closed, self._current):
            if segment is not None and segment.dirty.get(table_id, position + 1) <= position:
                del segment.dirty[table_id]
        if any(self._is_free(segment) for segment in self._closed):
            self._keep_wanted.set()

    def tables_to_flush(self) -> list[bytes]:
        """Give the tables that hold the oldest segments while the log takes too much room."""
        excess = self.bytes_used - self._config.total_space_bytes * 3 // 4
        tables: dict[bytes, None] = {}
        for segment in self._closed:
            if excess <= 0:
                break
            tables.update(dict.fromkeys(segment.dirty))
            excess -= segment.size
        return list(tables)

    @property
    def bytes_used(self) -> int:
        """How much of the disk the segments of this run take."""
        current = 0 if self._current is None else self._current.size
        closed = sum(segment.size for segment in self._closed)
        return current + closed + sum(segment.size for segment in self._spares)

    @property
    def position(self) -> int:
        """The position that the next record gets."""
        return position_of(self._buffer.segment, self._buffer.end)

    async def close(self) -> None:
        """Make everything durable and end the log; writes nothing more if the log has failed."""
        self._is_closing = True
        for event in (self._closing, self._sync_wanted, self._keep_wanted):
            event.set()
        await asyncio.gather(*self._jobs)
        try:
            if self.failure is None and self._current is not None:
                self.end_of_turn()
                await self._sync()
                self._buffer.append(END, b"")
                self.end_of_turn()
                await self._sync()
        finally:
            # What may still be in the buffer is a mark, which a sealed segment does not need.
            self._is_closed = True
            self._end_max = 0
            for segment in (*self._closed, *self._spares, self._current):
                if segment is not None:
                    await segment.file.close()

    def check(self) -> None:
        """Prove the invariants."""
        if self._current is None:
            return
        numbers = [s.number for s in (*self._closed, self._current, *self._spares)]
        assert numbers == sorted(set(numbers)), "segments stand in the order of their numbers"
        assert self._buffer.segment == self._current.number, (
            "the buffer goes to the current segment"
        )
        assert self._buffer.end == self._current.end + self._buffer.size, "offsets are gapless"
        assert self.durable <= self.position, "what is durable has been written"
        assert self._dirty is self._current.dirty, "dirty tables are noted at the current segment"
        for segment in self._closed:
            assert all(p < segment.end_position for p in segment.dirty.values()), (
                "positions lie within"
            )

    # Segments.

    def _write(self) -> None:
        """Write what is in the buffer, and switch to the next segment when it is time."""
        buffer, current = self._buffer, self._current
        assert current is not None, "only a started log is written"
        is_full = buffer.end >= self._config.segment_bytes and bool(self._spares)
        if is_full:
            buffer.append(END, b"")
        try:
            current.file.append_now(buffer.take())
        except DiskError as cause:
            raise self._fail(cause) from cause
        current.end = buffer.end
        self._points.reach("commitlog.written")
        if is_full:
            self._switch(current)

    def _begin(self, segment: Segment) -> None:
        """Write to a new segment from now on."""
        self._current = segment
        self._end_max = OVERFLOW_FACTOR * self._config.segment_bytes
        self._dirty = segment.dirty
        self._buffer.begin(segment.number, 0)
        self.durable = self.durable or position_of(segment.number, 0)
        self._buffer.mark(self.durable)

    def _switch(self, full: Segment) -> None:
        """Go on in the next segment; the full one waits to be synced and flushed."""
        self._closed.append(full)
        self._begin(self._spares.popleft())
        self._keep_wanted.set()
        self._points.reach("commitlog.switched")

    def _is_free(self, segment: Segment) -> bool:
        return not segment.dirty and segment.end_position <= self.durable

    async def _keep_forever(self) -> None:
        """Keep the next segment ready, and reuse or remove those that nobody needs."""
        while not self._is_closing and self.failure is None:
            self._keep_wanted.clear()
            try:
                await self._keep()
            except (DiskFull, TooManyOpenFiles):
                # The next tick tries again. Until then only what is reserved can be relied on.
                if self._current is not None and not self._spares:
                    self._end_max = self._current.bytes_reserved - RESERVE_BYTES
            except CommitLogFailed:
                return
            except DiskError as cause:
                self._fail(cause)
            await self._keep_wanted.wait()

    async def _keep(self) -> None:
        for segment in [s for s in self._closed if self._is_free(s)]:
            self._closed.remove(segment)
            is_reusable = segment.size <= self._config.segment_bytes * 5 // 4
            if len(self._spares) < SPARES_MAX and is_reusable:
                self._spares.append(await self._files.reuse(segment))
            else:
                await self._files.remove(segment)
        room = self._config.total_space_bytes - self.bytes_used
        if not self._spares and room >= self._config.segment_bytes:
            self._spares.append(await self._files.create())
        if self._spares:
            self._end_max = OVERFLOW_FACTOR * self._config.segment_bytes
            if self._buffer.end >= self._config.segment_bytes:
                self._write()

    # Syncs.

    async def _sync_forever(self) -> None:
        """Sync when somebody wants it: one sync at a time, for all who wait when it starts."""
        while True:
            await self._sync_wanted.wait()
            self._sync_wanted.clear()
            if self._is_closing:
                return
            try:
                await self._sync()
            except CommitLogFailed:
                return
            if self._config.mode is SyncMode.GROUP:
                await self._let_a_window_pass()

    async def _sync(self) -> None:
        """Make durable what has been appended so far; raises `CommitLogFailed`."""
        self.end_of_turn()  # It raises if the log has failed: then nothing is synced any more.
        assert self._current is not None, "only a started log is synced"
        segments = [s for s in self._closed if s.end_position > self.durable] + [self._current]
        target, started = self._current.end_position, self._now
        try:
            for segment in segments:
                await self._io.run(IoClass.COMMIT_LOG, 0, segment.file.sync)
        except DiskError as cause:
            raise self._fail(cause) from cause
        if self.failure is not None:
            raise self.failure
        self.durable = target
        self.syncs += 1
        self._points.reach("commitlog.synced")
        self._buffer.mark(target)
        self._unsynced_since = started if self._needs_sync() else None
        self._is_late = False
        self._tell_waiters()
        if any(self._is_free(segment) for segment in self._closed):
            self._keep_wanted.set()

    def _needs_sync(self) -> bool:
        """Whether a mutation, or the end of a segment, is not durable; marks do not count."""
        closed_end = self._closed[-1].end_position if self._closed else 0
        return self._last >= self.durable or closed_end > self.durable

    def _tell_waiters(self) -> None:
        waiting, self._waiters = self._waiters, []
        for position, future in waiting:
            if position >= self.durable:
                self._waiters.append((position, future))
            elif not future.done():
                future.set_result(None)

    async def _let_a_window_pass(self) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), self._config.group_window_s)
        except TimeoutError:
            return

    # Failure.

    def _refuse(self, size: int) -> None:
        if self.failure is not None:
            raise self.failure
        if size > self._mutation_bytes_max:
            limit = self._mutation_bytes_max
            raise Overloaded(f"a mutation of {size} bytes is larger than {limit}, the maximum")
        raise Overloaded("the commit log's segment is full and the next one is not ready")

    def _fail(self, cause: DiskError) -> CommitLogFailed:
        """Stop for good: nobody knows what the disk holds."""
        if self.failure is None:
            self.failure = CommitLogFailed(f"the commit log has failed: {cause}")
            waiting, self._waiters = self._waiters, []
            for _, future in waiting:
                if not future.done():
                    future.set_exception(self.failure)
            self._sync_wanted.set()
            self._keep_wanted.set()
            if self._on_failure is not None:
                self._on_failure(self.failure)
        return self.failure

"""One order of schema changes for all shards of a node.

Shard 0 holds the log. A change is proposed there: made durable, applied, then sent to the
siblings; `propose` returns when all that live have applied it. A shard that starts, that misses a
number, or whose link to shard 0 is new fetches what it lacks. So every shard applies the same
changes in the same order, and a change that was answered is seen by every shard.

What is in the log is applied before anything that follows it. A proposal that was given up goes on
without its client, entries that nobody applied are applied with the next, and a shard that cannot
apply one stops: its next life begins with all of them. Entries that come together take effect in
one step.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cluster.deadlines import Deadlines
from cluster.errors import ClusterError, DeadlinePassed, ShardDown
from cluster.messages import (
    Kind,
    decode_entry,
    decode_number,
    encode_entry,
    encode_number,
    join_parts,
    split_parts,
)
from cluster.schema_log import Entry, SchemaLog
from cluster.transport import Siblings

LOG_SHARD = 0
FETCH_TIMEOUT_S = 10.0

Apply = Callable[[Sequence[Entry]], Awaitable[None] | None]
"""Lets a shard obey consecutive entries, as one step: changes, or a snapshot, which replaces
everything before it. Obeying one twice must change nothing.
"""


class SchemaUnsettled(ClusterError):
    """A change is durable and will be seen by all shards, but some sibling has not said so in
    time.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"schema change {number} is not applied by every shard yet")
        self.number = number


class Replicator:
    """One shard's part in the order of schema changes. Shard 0 is given the log, the others are
    given none.
    """

    def __init__(
        self,
        shard: int,
        shards: int,
        siblings: Siblings,
        deadlines: Deadlines,
        apply: Apply,
        log: SchemaLog | None,
        has_failed: Callable[[BaseException], None],
    ) -> None:
        """`has_failed` is told of an error after which the shard must not go on."""
        assert (log is not None) == (shard == LOG_SHARD), "shard 0 and no other holds the log"
        self.applied = 0
        """The number of the last entry that this shard obeys."""
        self._shard = shard
        self._others = [number for number in range(shards) if number != shard]
        self._siblings = siblings
        self._deadlines = deadlines
        self._apply = apply
        self._log = log
        self._has_failed = has_failed
        self._turn = asyncio.Lock()
        self._fetching: asyncio.Task[None] | None = None
        if log is None:
            siblings.register(Kind.SCHEMA_ENTRY, self._answer_entry)
            siblings.on_change(self._sibling_changed)
        else:
            siblings.register(Kind.SCHEMA_FETCH, self._answer_fetch)

    async def start(self) -> None:
        """Obey all entries there are. Before it returns the shard must not serve clients."""
        if self._log is None:
            await self._catch_up(0)
            return
        async with self._turn:
            await self._obey(self._log.after(-1))

    async def settle(self) -> None:
        """Obey what is in the log, on shard 0: what is decided next is decided on top of it."""
        assert self._log is not None, "the log is on shard 0"
        async with self._turn:
            await self._obey(self._log.after(self.applied))

    async def propose(self, data: bytes, deadline: float) -> int:
        """Make a change, on shard 0; give its number when every living shard has applied it.

        A change whose writing fails with `StorageError` may be there after a restart.
        `SchemaUnsettled` means that it is decided. Whoever gives up waiting does not stop it.
        """
        decided = asyncio.get_running_loop().create_task(self._decide(data))
        number, sent = await asyncio.shield(decided)
        faults = [await self._fault_of(answer, deadline) for answer in sent]
        for fault in faults:
            if fault is not None:
                raise SchemaUnsettled(number) from fault
        return number

    async def compact(self, snapshot: bytes) -> None:
        """Replace the log by a snapshot of what has been applied so far, on shard 0."""
        assert self._log is not None, "the log is on shard 0"
        async with self._turn:
            await self._log.compact(self.applied, snapshot)

    async def stop(self) -> None:
        """Wait for what is going on."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        async with self._turn:
            if self._log is not None:
                await self._log.close()

    async def _decide(self, data: bytes) -> tuple[int, list["asyncio.Future[bytes] | None"]]:
        """Log a change, obey it and tell the siblings; gives its number and their answers."""
        assert self._log is not None, "changes are proposed on shard 0"
        async with self._turn:
            number = await self._log.append(data)
            await self._obey(self._log.after(self.applied))
            payload = encode_entry(number, False, data)
            return number, [self._send(sibling, payload) for sibling in self._others]

    def _send(self, sibling: int, payload: bytes) -> "asyncio.Future[bytes] | None":
        try:
            return self._siblings.call(sibling, Kind.SCHEMA_ENTRY, payload)
        except ShardDown:
            # It fetches what it lacks when it starts.
            return None

    async def _fault_of(
        self, answer: "asyncio.Future[bytes] | None", deadline: float
    ) -> ClusterError | None:
        """Wait for a sibling; who is dead obeys the change when it starts, which is soon enough."""
        try:
            if answer is not None:
                await self._deadlines.wait(answer, deadline)
        except ShardDown:
            return None
        except ClusterError as fault:
            return fault
        return None

    async def _obey(self, entries: Sequence[Entry]) -> None:
        """Apply those of the entries that are news. The caller has the turn."""
        news = [entry for entry in entries if entry.number > self.applied]
        if not news:
            return
        before = self.applied
        for entry in news:
            assert entry.is_snapshot or entry.number == before + 1, "changes come in order"
            before = entry.number
        try:
            work = self._apply(news)
            if work is not None:
                await work
        except Exception as fault:
            # A shard that cannot obey must not go on.
            self._has_failed(fault)
            raise
        self.applied = before

    async def _catch_up(self, number: int) -> None:
        """Obey what shard 0 has and we lack, if we lack `number`; 0 means always."""
        async with self._turn:
            if number and self.applied >= number:
                return
            payload = encode_number(self.applied)
            asked = self._siblings.call(LOG_SHARD, Kind.SCHEMA_FETCH, payload)
            deadline = self._deadlines.now() + FETCH_TIMEOUT_S
            parts = split_parts(await self._deadlines.wait(asked, deadline))
            await self._obey([Entry(*decode_entry(part)) for part in parts])

    async def _answer_entry(self, payload: bytes, source: int) -> bytes:
        entry = Entry(*decode_entry(payload))
        async with self._turn:
            if entry.number <= self.applied + 1:
                await self._obey([entry])
                return b""
        await self._catch_up(entry.number)
        return b""

    def _answer_fetch(self, payload: bytes, source: int) -> bytes:
        assert self._log is not None, "only shard 0 answers fetches"
        entries = self._log.after(decode_number(payload))
        return join_parts([encode_entry(e.number, e.is_snapshot, e.data) for e in entries])

    def _sibling_changed(self, shard: int, is_alive: bool) -> None:
        """A new incarnation of shard 0 may know a change that the old one could not tell us."""
        if shard == LOG_SHARD and is_alive:
            loop = asyncio.get_running_loop()
            self._fetching = loop.create_task(self._catch_up_quietly())

    async def _catch_up_quietly(self) -> None:
        try:
            await self._catch_up(0)
        except (ShardDown, DeadlinePassed):
            # The next change or the next link to shard 0 tries again.
            return

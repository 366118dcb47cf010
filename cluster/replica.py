"""This shard, a sibling or a peer as one kind of call.

A replica is one shard of one node. Whatever it is, its methods raise only `ReplicaError`,
`Overloaded` and `MalformedMessage`; what the client hears is decided above. A method that gives
`None` or rows is done; one that gives an awaitable has started.
"""

from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import NoReturn, Protocol, TypeVar

from cluster.deadlines import Deadlines
from cluster.errors import (
    ClusterError,
    DeadlinePassed,
    FailureReason,
    NotServing,
    Overloaded,
    ReplicaFailed,
)
from cluster.messages import (
    Kind,
    decode_deadline,
    decode_read,
    decode_write,
    decode_write_all,
    encode_deadline,
    encode_read,
    encode_write,
    encode_write_all,
)
from cluster.transport import Siblings
from storage.errors import Overloaded as StorageOverloaded
from storage.errors import StorageError
from storage.later import Later
from storage.mutation import Mutation
from storage.slice import Page, Slice

T = TypeVar("T")


class Engine(Protocol):
    """What the cluster floor wants of a shard's storage."""

    def apply(self, mutation: Mutation) -> Awaitable[None] | None:
        """Log a mutation and let reads see it."""

    def apply_all(self, mutations: list[Mutation]) -> Awaitable[None] | None:
        """Log mutations as one record, so that all or none of them survive a crash, and let reads
        see them.
        """

    def apply_synced(self, mutation: Mutation) -> Awaitable[None]:
        """Like `apply`, and wait for a sync in every mode of the commit log."""

    def sync(self) -> Awaitable[None]:
        """Wait until all that was applied so far is durable."""

    def knows(self, table_id: bytes) -> bool:
        """Whether the table is there."""

    def read(self, wanted: Slice, wall_s: int, /) -> Page | Awaitable[Page]:
        """Give the live rows of a slice."""

    def truncate(self, table_id: bytes) -> Awaitable[None]:
        """Remove all rows of a table for good."""


class Replica(Protocol):
    """One shard that holds a key."""

    @property
    def is_alive(self) -> bool:
        """Whether it can be called now."""

    def write(self, mutation: Mutation, deadline: float) -> Awaitable[None] | None:
        """Apply a mutation."""

    def write_all(self, mutations: list[Mutation], deadline: float) -> Awaitable[None] | None:
        """Apply mutations, all or none."""

    def read(self, wanted: Slice, wall_s: int, deadline: float) -> Page | Awaitable[Page]:
        """Give the live rows of a slice."""

    def count(self, increments: Mutation, deadline: float) -> Awaitable[None] | None:
        """Add to counters."""

    def truncate(self, table_id: bytes, deadline: float) -> Awaitable[None]:
        """Remove all rows of a table."""

    def sync(self, deadline: float) -> Awaitable[None]:
        """Make durable all that it has applied."""

    def settle_batches(self, deadline: float) -> Awaitable[None]:
        """Finish the logged batches that it coordinated, so that none is sent again."""


Settle = Callable[[float], Awaitable[None]]


def replica_error(error: StorageError) -> ClusterError:
    """Say an error of our own storage in the words in which a sibling would have sent it."""
    if isinstance(error, StorageOverloaded):
        return Overloaded(str(error))
    return ReplicaFailed(FailureReason.UNKNOWN, str(error))


async def translated(result: Awaitable[T]) -> T:
    """Wait for our own storage; its errors become those of a replica."""
    try:
        return await result
    except StorageError as error:
        _translate(error)


def _translate(error: BaseException) -> NoReturn:
    if isinstance(error, StorageError):
        raise replica_error(error) from error
    raise error


class OwnReplica:
    """The shard we are. Nothing here allocates anything unless storage has to wait."""

    is_alive = True

    def __init__(
        self,
        engine: Engine,
        count: Callable[[Mutation, float], Awaitable[None] | None],
        settle_batches: Settle,
        deadlines: Deadlines,
    ) -> None:
        self._engine = engine
        self._limit = deadlines.limit
        self._hold = deadlines.hold
        self.count = count
        self.settle_batches = settle_batches

    def write(self, mutation: Mutation, deadline: float) -> Awaitable[None] | None:
        """Apply a mutation to our own storage."""
        try:
            result = self._engine.apply(mutation)
        except StorageError as error:
            raise replica_error(error) from error
        return None if result is None else translated(self._limit(result, deadline))

    def write_all(self, mutations: list[Mutation], deadline: float) -> Awaitable[None] | None:
        """Apply mutations to our own storage as one log record."""
        try:
            result = self._engine.apply_all(mutations)
        except StorageError as error:
            raise replica_error(error) from error
        return None if result is None else translated(self._limit(result, deadline))

    def read(self, wanted: Slice, wall_s: int, deadline: float) -> Page | Awaitable[Page]:
        """Read our own storage."""
        try:
            result = self._engine.read(wanted, wall_s)
        except StorageError as error:
            raise replica_error(error) from error
        if isinstance(result, Later):
            return self._hold(result, deadline).then(None, _translate)
        return result if isinstance(result, Page) else translated(self._limit(result, deadline))

    async def truncate(self, table_id: bytes, deadline: float) -> None:
        """Empty a table in our own storage."""
        await translated(self._engine.truncate(table_id))

    async def sync(self, deadline: float) -> None:
        """Make durable all that was applied."""
        await translated(self._engine.sync())


class SiblingReplica:
    """Another shard of our node, through the mesh. Every method sends before it returns."""

    def __init__(self, shard: int, siblings: Siblings, deadlines: Deadlines) -> None:
        self.shard = shard
        self._siblings = siblings
        self._deadlines = deadlines

    @property
    def is_alive(self) -> bool:
        """Whether the mesh has a link to it."""
        return self._siblings.is_alive(self.shard)

    def ask(self, kind: Kind, payload: bytes, deadline: float) -> Awaitable[bytes]:
        """Send a request; the awaitable gives the answer or fails at the deadline."""
        return self._deadlines.wait(self._siblings.call(self.shard, kind, payload), deadline)

    def tell(self, kind: Kind, payload: bytes) -> "Future[bytes]":
        """Send a request; the future has no deadline."""
        return self._siblings.call(self.shard, kind, payload)

    def write(self, mutation: Mutation, deadline: float) -> Awaitable[None]:
        """Let it apply a mutation."""
        return self._done(self.tell(Kind.WRITE, encode_write(deadline, mutation.data)), deadline)

    def write_all(self, mutations: list[Mutation], deadline: float) -> Awaitable[None]:
        """Let it apply mutations, all or none."""
        parts = [mutation.data for mutation in mutations]
        return self._done(self.tell(Kind.WRITE_ALL, encode_write_all(deadline, parts)), deadline)

    def read(self, wanted: Slice, wall_s: int, deadline: float) -> Awaitable[Page]:
        """Let it read a slice."""
        payload = encode_read(deadline, wall_s, wanted.encode())
        return self._page(self.tell(Kind.READ, payload), deadline)

    def count(self, increments: Mutation, deadline: float) -> Awaitable[None]:
        """Let it add to counters."""
        return self._done(self.tell(Kind.COUNT, encode_write(deadline, increments.data)), deadline)

    def truncate(self, table_id: bytes, deadline: float) -> Awaitable[None]:
        """Let it empty a table."""
        return self._done(self.tell(Kind.TRUNCATE, encode_write(deadline, table_id)), deadline)

    def sync(self, deadline: float) -> Awaitable[None]:
        """Let it make durable all that it has applied."""
        return self._done(self.tell(Kind.SYNC, encode_deadline(deadline)), deadline)

    def settle_batches(self, deadline: float) -> Awaitable[None]:
        """Let it finish its logged batches."""
        return self._done(self.tell(Kind.SETTLE_BATCHES, encode_deadline(deadline)), deadline)

    async def _done(self, answer: "Future[bytes]", deadline: float) -> None:
        await self._deadlines.wait(answer, deadline)

    async def _page(self, answer: "Future[bytes]", deadline: float) -> Page:
        return Page.decode(await self._deadlines.wait(answer, deadline))


def abandon(works: Iterable[object]) -> None:
    """Give up results that nobody will wait for; what was sent stays sent."""
    for work in works:
        if isinstance(work, Coroutine):
            work.close()


class ReplicaServer:
    """Answers what siblings ask of this shard. A request that comes after its deadline costs
    nothing but saying so.
    """

    def __init__(self, own: OwnReplica, siblings: Siblings, deadlines: Deadlines) -> None:
        self.is_serving = False
        self._own = own
        self._deadlines = deadlines
        siblings.register(Kind.WRITE, self._write)
        siblings.register(Kind.WRITE_ALL, self._write_all)
        siblings.register(Kind.READ, self._read)
        siblings.register(Kind.COUNT, self._count)
        siblings.register(Kind.TRUNCATE, self._truncate)
        siblings.register(Kind.SYNC, self._sync)
        siblings.register(Kind.SETTLE_BATCHES, self._settle_batches)
        siblings.register(Kind.PING, _pong)

    def _write(self, payload: bytes, source: int) -> bytes | Awaitable[bytes]:
        deadline, data = decode_write(payload)
        self.admit(deadline)
        return _empty(self._own.write(Mutation(data), deadline))

    def _write_all(self, payload: bytes, source: int) -> bytes | Awaitable[bytes]:
        deadline, parts = decode_write_all(payload)
        self.admit(deadline)
        return _empty(self._own.write_all([Mutation(part) for part in parts], deadline))

    def _read(self, payload: bytes, source: int) -> bytes | Awaitable[bytes]:
        deadline, wall_s, wanted = decode_read(payload)
        self.admit(deadline)
        page = self._own.read(Slice.decode(wanted), wall_s, deadline)
        if isinstance(page, Later):
            return page.then(Page.encode)
        return page.encode() if isinstance(page, Page) else _encoded(page)

    def _count(self, payload: bytes, source: int) -> bytes | Awaitable[bytes]:
        deadline, data = decode_write(payload)
        self.admit(deadline)
        return _empty(self._own.count(Mutation(data), deadline))

    def _truncate(self, payload: bytes, source: int) -> Awaitable[bytes]:
        deadline, table_id = decode_write(payload)
        self.admit(deadline)
        return _emptied(self._own.truncate(table_id, deadline))

    def _sync(self, payload: bytes, source: int) -> Awaitable[bytes]:
        deadline = decode_deadline(payload)
        self.admit(deadline)
        return _emptied(self._own.sync(deadline))

    def _settle_batches(self, payload: bytes, source: int) -> Awaitable[bytes]:
        deadline = decode_deadline(payload)
        self.admit(deadline)
        return _emptied(self._own.settle_batches(deadline))

    def admit(self, deadline: float) -> None:
        """Refuse what comes before we serve, and what comes after its deadline."""
        if not self.is_serving:
            raise NotServing
        if self._deadlines.now() > deadline:
            raise DeadlinePassed


def _pong(payload: bytes, source: int) -> bytes:
    return payload


def _empty(result: Awaitable[None] | None) -> bytes | Awaitable[bytes]:
    return b"" if result is None else _emptied(result)


async def _emptied(result: Awaitable[None]) -> bytes:
    await result
    return b""


async def _encoded(page: Awaitable[Page]) -> bytes:
    return (await page).encode()

"""Conditional writes of one key, one at a time, on the shard that owns it.

The condition is known only to the coordinator, so the owner *grants* a key to it: it reads the
rows and holds the key until the coordinator settles the grant with a mutation, releases it, dies,
or lets the deadline pass. The owner alone decides which of these comes first: a settlement of a
grant that was taken back is refused with `GrantLost` and never applied. Once a settlement is
accepted the grant cannot be taken back; the key is free again when the mutation is synced. Thus
every decision is made on rows that no other conditional write changes before its mutation is
durable.

Reads at a serial level take a turn too, so that they see each earlier decision whole.
"""

from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from cluster.deadlines import Deadlines
from cluster.errors import DeadlinePassed, GrantLost, Overloaded, ReplicaError, ShardDown
from cluster.key_queues import KeyQueues
from cluster.messages import (
    Kind,
    decode_granted,
    decode_number,
    decode_read,
    decode_settle,
    encode_granted,
    encode_number,
    encode_read,
    encode_settle,
)
from cluster.replica import Engine, OwnReplica, SiblingReplica, translated
from cluster.transport import Siblings
from storage.mutation import Mutation
from storage.slice import Page, Slice

Decide = Callable[[Page], Mutation | None]


@dataclass(slots=True)
class _Grant:
    key: bytes
    source: int
    deadline: float


class SerialOwner:
    """The owner's side: grants of the keys of one shard."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        engine: Engine,
        own: OwnReplica,
        siblings: Siblings,
        deadlines: Deadlines,
        admit: Callable[[float], None],
        random: Random,
    ) -> None:
        self._admit = admit
        self._loop = loop
        self._engine = engine
        self._own = own
        self._deadlines = deadlines
        self._queues = KeyQueues(loop, deadlines)
        self._grants: dict[int, _Grant] = {}
        self._timer: TimerHandle | None = None
        self._timer_at = 0.0
        # Numbers of an earlier life of this shard must never meet a grant of this one.
        self._next_grant = random.getrandbits(62)
        siblings.register(Kind.GRANT, self._answer_grant)
        siblings.register(Kind.SETTLE, self._answer_settle)
        siblings.register(Kind.RELEASE, self._answer_release)
        siblings.register(Kind.SERIAL_READ, self._answer_read)
        siblings.on_change(self._sibling_changed)

    async def decide(
        self, wanted: Slice, wall_s: int, deadline: float, decide: Decide
    ) -> tuple[bool, Page]:
        """Read, decide and write for a coordinator in our own process."""
        key = _key_of(wanted)
        await self._queues.take(key, deadline)
        try:
            page = await self._read(wanted, wall_s, deadline)
            if self._deadlines.now() > deadline:
                raise DeadlinePassed
            mutation = decide(page)
            if mutation is None:
                return False, page
            assert mutation.key == key, "a conditional write changes the partition it has read"
            await translated(self._engine.apply_synced(mutation))
            return True, page
        finally:
            self._queues.give_back(key)

    async def read(self, wanted: Slice, wall_s: int, deadline: float) -> Page:
        """Read after everything that was decided before."""
        key = _key_of(wanted)
        await self._queues.take(key, deadline)
        try:
            return await self._read(wanted, wall_s, deadline)
        finally:
            self._queues.give_back(key)

    async def grant(
        self, wanted: Slice, wall_s: int, deadline: float, source: int
    ) -> tuple[int, Page]:
        """Hold a key for the shard `source` and read it for it."""
        key = _key_of(wanted)
        await self._queues.take(key, deadline)
        try:
            page = await self._read(wanted, wall_s, deadline)
        except BaseException:
            self._queues.give_back(key)
            raise
        number = self._next_grant
        self._next_grant += 1
        self._grants[number] = _Grant(key, source, deadline)
        self._watch(deadline)
        return number, page

    async def settle(self, number: int, mutation: Mutation, source: int) -> None:
        """Write what was decided under a grant, if the grant still stands."""
        grant = self._take_grant(number, source)
        if grant is None:
            raise GrantLost
        try:
            if grant.key != mutation.key or self._deadlines.now() > grant.deadline:
                raise GrantLost
            await translated(self._engine.apply_synced(mutation))
        finally:
            self._queues.give_back(grant.key)

    def release(self, number: int, source: int) -> None:
        """Take a grant back that its holder does not need any more."""
        grant = self._take_grant(number, source)
        if grant is not None:
            self._queues.give_back(grant.key)

    def granted(self) -> int:
        """Give how many keys are granted to siblings."""
        return len(self._grants)

    def _take_grant(self, number: int, source: int) -> _Grant | None:
        grant = self._grants.get(number)
        if grant is None or grant.source != source:
            return None
        del self._grants[number]
        return grant

    async def _read(self, wanted: Slice, wall_s: int, deadline: float) -> Page:
        page = self._own.read(wanted, wall_s, deadline)
        return page if isinstance(page, Page) else await page

    def _watch(self, deadline: float) -> None:
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        """Take back what is overdue; one timer, for the grant that ends first, serves them all."""
        self._timer = None
        now = self._deadlines.now()
        for number in [n for n, grant in self._grants.items() if grant.deadline <= now]:
            self._queues.give_back(self._grants.pop(number).key)
        if self._grants:
            self._watch(min(grant.deadline for grant in self._grants.values()))

    def _sibling_changed(self, shard: int, is_alive: bool) -> None:
        """Whoever died or came back anew holds nothing."""
        for number in [n for n, grant in self._grants.items() if grant.source == shard]:
            self._queues.give_back(self._grants.pop(number).key)

    async def _answer_grant(self, payload: bytes, source: int) -> bytes:
        deadline, wall_s, wanted = decode_read(payload)
        self._admit(deadline)
        number, page = await self.grant(Slice.decode(wanted), wall_s, deadline, source)
        return encode_granted(number, page.encode())

    async def _answer_read(self, payload: bytes, source: int) -> bytes:
        deadline, wall_s, wanted = decode_read(payload)
        self._admit(deadline)
        return (await self.read(Slice.decode(wanted), wall_s, deadline)).encode()

    async def _answer_settle(self, payload: bytes, source: int) -> bytes:
        _, number, data = decode_settle(payload)
        await self.settle(number, Mutation(data), source)
        return b""

    def _answer_release(self, payload: bytes, source: int) -> bytes:
        self.release(decode_number(payload), source)
        return b""


class SettlementUnknown(ReplicaError):
    """The owner fell silent after a decided write was sent to it."""


async def decide_far(
    owner: SiblingReplica, wanted: Slice, wall_s: int, deadline: float, decide: Decide
) -> tuple[bool, Page]:
    """Decide here about a key that a sibling owns."""
    payload = encode_read(deadline, wall_s, wanted.encode())
    number, encoded = decode_granted(await owner.ask(Kind.GRANT, payload, deadline))
    mutation: Mutation | None = None
    try:
        page = Page.decode(encoded)
        mutation = decide(page)
    finally:
        if mutation is None:
            _release_far(owner, number)
    if mutation is None:
        return False, page
    try:
        await owner.ask(Kind.SETTLE, encode_settle(deadline, number, mutation.data), deadline)
    except DeadlinePassed as late:
        raise SettlementUnknown from late
    except ShardDown as down:
        if down.was_sent:
            raise SettlementUnknown from down
        raise
    return True, page


async def read_far(owner: SiblingReplica, wanted: Slice, wall_s: int, deadline: float) -> Page:
    """Read a sibling's key after everything that was decided before."""
    payload = encode_read(deadline, wall_s, wanted.encode())
    return Page.decode(await owner.ask(Kind.SERIAL_READ, payload, deadline))


def _release_far(owner: SiblingReplica, number: int) -> None:
    """Give a grant back without waiting: what was read stays true, and the owner takes lost
    grants back by itself.
    """
    try:
        answer = owner.tell(Kind.RELEASE, encode_number(number))
    except (ShardDown, Overloaded):
        return
    answer.add_done_callback(_look_away)


def _look_away(answer: "Future[bytes]") -> None:
    if not answer.cancelled():
        answer.exception()


def _key_of(wanted: Slice) -> bytes:
    key = wanted.key
    assert isinstance(key, bytes), "a conditional statement names one partition"
    return key

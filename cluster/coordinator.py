"""The door for reads and writes.

What a client wants is checked against the living replicas before anything is sent, then it goes
to the shard that owns the key. While that is our own shard and storage answers from memory, a
request is one call stack: no task, no future, no timer. Every method that gives an awaitable has
started its work before it returns, except where a caller must wait for its turn at a key.

Deadlines are monotonic seconds on the loop's clock.
"""

from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random

from cluster.batch import Batchlog
from cluster.consistency import Consistency, quorum
from cluster.counter import Counters, counting_id
from cluster.deadlines import Deadlines
from cluster.errors import (
    CasWriteUnknown,
    ClusterError,
    DeadlinePassed,
    TruncateFailed,
    Unavailable,
    WriteTimeout,
    WriteType,
)
from cluster.read import ReadTerms, received
from cluster.replica import (
    Engine,
    OwnReplica,
    ReplicaServer,
    SiblingReplica,
    abandon,
    replica_error,
    translated,
)
from cluster.replication import Replication
from cluster.scan import Fetch, merged_page
from cluster.serial import Decide, SerialOwner, SettlementUnknown, decide_far, read_far
from cluster.token import key_token, shard_of
from cluster.topology import Topology
from cluster.transport import Siblings
from cluster.write import WriteTerms, all_confirmed, confirmed
from storage.errors import StorageError
from storage.later import Later
from storage.mutation import Mutation, merge_mutations
from storage.slice import Page, Slice

ReplicationOf = Callable[[Mutation], Replication]
Parts = Mapping[int, list[Mutation]]


class Coordinator:
    """Reads and writes for the clients of one shard."""

    def __init__(
        self,
        *,
        shard: int,
        topology: Topology,
        engine: Engine,
        siblings: Siblings,
        loop: AbstractEventLoop,
        random: Random,
        is_serving: bool = True,
    ) -> None:
        self.topology = topology
        self.deadlines = Deadlines(loop)
        self._shard = shard
        self._shards = topology.local.shards
        self._engine = engine
        identity = counting_id(topology.local.host_id, shard)
        counters = Counters(loop, engine, self.deadlines, identity)
        self._batchlog = Batchlog(engine, random, self._resend, self._sync, self.deadlines.now)
        self._own = OwnReplica(engine, counters.count, self._batchlog.settle, self.deadlines)
        self._replicas: list[OwnReplica | SiblingReplica] = [
            self._own if number == shard else SiblingReplica(number, siblings, self.deadlines)
            for number in range(self._shards)
        ]
        self._server = ReplicaServer(self._own, siblings, self.deadlines)
        self._server.is_serving = is_serving
        self._serial = SerialOwner(
            loop,
            engine,
            self._own,
            siblings,
            self.deadlines,
            self._server.admit,
            random,
        )
        self.before_truncate: Callable[[bytes, str, float], Awaitable[None]] | None = None
        """Awaited with a table's id, its name and the deadline before its rows are removed."""

    def serve(self) -> None:
        """Answer siblings from now on, if we were built before storage was open."""
        self._server.is_serving = True

    # Hot path: one call stack, as long as the key is ours and memory answers.

    def write(
        self,
        mutation: Mutation,
        replication: Replication,
        level: Consistency,
        deadline: float,
        kind: str = WriteType.SIMPLE,
    ) -> Awaitable[None] | None:
        """Apply a mutation of one partition on its replicas."""
        if level in replication.local_levels and self._owns(mutation.key):
            try:
                written = self._engine.apply(mutation)
            except StorageError as error:
                raise self._write_terms(1, level, kind).error(replica_error(error)) from error
            if written is None:
                return None
            written = self.deadlines.limit(written, deadline)
            return confirmed(translated(written), self._write_terms(1, level, kind))
        terms = self._write_terms(self._require(mutation.key, replication, level), level, kind)
        replica = self._replicas[self._owner_of(mutation.key)]
        return self._sent(lambda: replica.write(mutation, deadline), terms)

    def read(
        self,
        wanted: Slice,
        replication: Replication,
        level: Consistency,
        wall_s: int,
        deadline: float,
    ) -> Page | Awaitable[Page]:
        """Give the rows of a slice: of one key from its owner, of a key range from all shards in
        key order.
        """
        key = wanted.key
        if wanted.resume_key and self.deadlines.now() > deadline:
            # One page of many is late, though none of them had to wait.
            raise self._read_terms(replication.block_for(level), level).error(DeadlinePassed())
        if not isinstance(key, bytes):
            return self._read_range(wanted, replication, level, wall_s, deadline)
        if level in replication.local_levels and self._owns(key):
            try:
                rows = self._engine.read(wanted, wall_s)
            except StorageError as error:
                raise self._read_terms(1, level).error(replica_error(error)) from error
            if isinstance(rows, Page):
                return rows
            terms = self._read_terms(1, level)
            if isinstance(rows, Later):
                return self.deadlines.hold(rows, deadline).then(None, terms.told)
            return received(self.deadlines.limit(rows, deadline), terms)
        if level.is_serial:
            return self._read_serial(wanted, replication, level, wall_s, deadline)
        terms = self._read_terms(self._require(key, replication, level), level)
        try:
            page = self._replicas[self._owner_of(key)].read(wanted, wall_s, deadline)
        except ClusterError as fault:
            raise terms.error(fault) from fault
        return page if isinstance(page, Page) else received(page, terms)

    # End of the hot path.

    def count(
        self, increments: Mutation, replication: Replication, level: Consistency, deadline: float
    ) -> Awaitable[None] | None:
        """Add to counters. An increment is a plain cell of eight bytes, a big-endian int64."""
        needed = self._require(increments.key, replication, level)
        terms = self._write_terms(needed, level, WriteType.COUNTER)
        replica = self._replicas[self._owner_of(increments.key)]
        return self._sent(lambda: replica.count(increments, deadline), terms)

    def write_batch(
        self,
        mutations: list[Mutation],
        replication_of: ReplicationOf,
        level: Consistency,
        deadline: float,
        logged: bool,
    ) -> Awaitable[None] | None:
        """Apply the mutations of a batch; all or none, eventually, if it is logged."""
        kind = WriteType.BATCH if logged else WriteType.UNLOGGED_BATCH
        mutations = merge_mutations(mutations)
        needed = 1
        for mutation in mutations:
            needed = max(needed, self._require(mutation.key, replication_of(mutation), level))
        parts = self._by_owner(mutations)
        terms = self._write_terms(needed, level, kind)
        if len(parts) == 1:
            ((shard, part),) = parts.items()
            return self._sent(lambda: self._replicas[shard].write_all(part, deadline), terms)
        if logged:
            return self._write_logged(mutations, parts, terms, deadline)
        return self._send_parts(parts, terms, deadline) if parts else None

    async def cas(
        self,
        wanted: Slice,
        replication: Replication,
        serial_level: Consistency,
        level: Consistency,
        deadline: float,
        wall_s: int,
        decide: Decide,
    ) -> tuple[bool, Page]:
        """Read a partition, let `decide` choose a mutation, and apply it synced, with no other
        decision in between.

        Gives whether a mutation was applied, and the rows that the decision was made on. `decide`
        gives `None` if its condition does not hold; it is called at most once.
        """
        key = wanted.key
        assert isinstance(key, bytes), "a conditional statement names one partition"
        self._require_serial(key, replication, serial_level)
        needed = self._require(key, replication, level)
        terms = self._write_terms(needed, serial_level, WriteType.CAS)
        replica = self._replicas[self._owner_of(key)]
        try:
            if isinstance(replica, OwnReplica):
                return await self._serial.decide(wanted, wall_s, deadline, decide)
            return await decide_far(replica, wanted, wall_s, deadline, decide)
        except SettlementUnknown as silence:
            raise CasWriteUnknown(serial_level, 0, needed) from silence
        except ClusterError as fault:
            raise terms.error(fault) from fault

    async def truncate(self, table_id: bytes, name: str, deadline: float) -> None:
        """Remove all rows of a table from every shard. Needs all of them alive."""
        alive = sum(replica.is_alive for replica in self._replicas)
        if alive < len(self._replicas):
            raise Unavailable(Consistency.ALL, len(self._replicas), alive)
        if self.before_truncate is not None:
            await self.before_truncate(table_id, name, deadline)
        try:
            # A logged batch that was answered before must not be sent again afterwards.
            await self.settle_batches(deadline)
            await _on_all(self._replicas, lambda replica: replica.truncate(table_id, deadline))
        except ClusterError as fault:
            raise TruncateFailed(f"{name}: {fault}") from fault

    async def settle_batches(self, deadline: float) -> None:
        """Let no logged batch be sent again that was answered before now, on any shard."""
        await _on_all(self._replicas, lambda replica: replica.settle_batches(deadline))

    async def replay_batches(self, deadline: float) -> int:
        """Finish the logged batches of this shard now; gives how many are damaged and stay."""
        return await self._batchlog.settle_readable(deadline)

    async def forget_damaged_batches(self) -> int:
        """Remove the logged batches of this shard that `replay_batches` found damaged."""
        return await self._batchlog.forget_damaged()

    @property
    def are_batches_due(self) -> bool:
        """Whether `finish_batches` has something to do that nobody does already."""
        return self._batchlog.is_due

    async def finish_batches(self, deadline: float) -> None:
        """Send logged batches again that were left behind, and forget those that are durable.

        For the background. Raises CorruptData, once, for a batch that nobody can read any more.
        """
        await self._batchlog.finish(deadline)

    def stop(self) -> None:
        """Leave the loop's timers."""
        self.deadlines.stop()

    def _owns(self, key: bytes) -> bool:
        return self._shards == 1 or shard_of(key_token(key), self._shards) == self._shard

    def _owner_of(self, key: bytes) -> int:
        return shard_of(key_token(key), self._shards)

    def _write_terms(self, needed: int, level: Consistency, kind: str) -> WriteTerms:
        return WriteTerms(level, needed, kind, self.topology.local.address)

    def _read_terms(self, needed: int, level: Consistency) -> ReadTerms:
        return ReadTerms(level, needed, self.topology.local.address)

    def _require(self, key: bytes, replication: Replication, level: Consistency) -> int:
        """Raise `Unavailable` unless enough replicas of a key are alive; give how many must
        answer.
        """
        token = key_token(key)
        needed = replication.block_for(level)
        owner = self._replicas[shard_of(token, self._shards)]
        self._require_alive(replication, token, level, needed, owner.is_alive)
        return needed

    def _require_alive(
        self,
        replication: Replication,
        token: int,
        level: Consistency,
        needed: int,
        is_owner_alive: bool,
    ) -> None:
        local = self.topology.local
        holds = is_owner_alive and local in replication.replicas(token)
        if level is Consistency.EACH_QUORUM and replication.counts_by_datacenter:
            for dc in replication.datacenters():
                wanted = quorum(replication.factor(dc))
                alive = int(holds and dc == local.dc)
                if alive < wanted:
                    raise Unavailable(level, wanted, alive, dc)
        elif int(holds) < needed:
            raise Unavailable(level, needed, int(holds))

    def _require_serial(self, key: bytes, replication: Replication, level: Consistency) -> None:
        """Raise `Unavailable` unless a majority of the participants is alive, and enough of them
        to read.
        """
        token = key_token(key)
        owner = self._replicas[shard_of(token, self._shards)]
        local_dc = self.topology.local.dc
        participants = [
            node
            for node in replication.replicas(token)
            if level is Consistency.SERIAL or node.dc == local_dc
        ]
        majority = quorum(len(participants))
        alive = int(owner.is_alive and self.topology.local in participants)
        if alive < majority:
            raise Unavailable(level, majority, alive)
        reading = Consistency.QUORUM if level is Consistency.SERIAL else Consistency.LOCAL_QUORUM
        self._require(key, replication, reading)

    def _sent(
        self, send: Callable[[], Awaitable[None] | None], terms: WriteTerms
    ) -> Awaitable[None] | None:
        try:
            written = send()
        except ClusterError as fault:
            raise terms.error(fault) from fault
        return None if written is None else confirmed(written, terms)

    def _by_owner(self, mutations: list[Mutation]) -> dict[int, list[Mutation]]:
        parts: dict[int, list[Mutation]] = {}
        for mutation in mutations:
            parts.setdefault(self._owner_of(mutation.key), []).append(mutation)
        return parts

    async def _resend(self, mutations: list[Mutation], deadline: float) -> frozenset[int]:
        """Send the mutations of a batch again; for the replay of the batch log."""
        terms = self._write_terms(1, Consistency.ONE, WriteType.BATCH)
        parts = self._by_owner(mutations)
        await self._send_parts(parts, terms, deadline)
        return frozenset(parts)

    async def _sync(self, shards: list[int], deadline: float) -> None:
        """Make durable what some shards have applied; for the batch log."""
        await _on_all((self._replicas[n] for n in shards), lambda replica: replica.sync(deadline))

    def _send_parts(self, parts: Parts, terms: WriteTerms, deadline: float) -> Awaitable[None]:
        written: list[Awaitable[None] | None] = []
        fault: ClusterError | None = None
        for shard, part in parts.items():
            try:
                written.append(self._replicas[shard].write_all(part, deadline))
            except ClusterError as error:
                fault = fault or error
        return all_confirmed(written, terms, fault)

    async def _write_logged(
        self, mutations: list[Mutation], parts: Parts, terms: WriteTerms, deadline: float
    ) -> None:
        try:
            entry = await self._batchlog.write(mutations)
        except ClusterError as fault:
            raise self._write_terms(1, terms.level, WriteType.BATCH_LOG).error(fault) from fault
        try:
            await self._send_parts(parts, terms, deadline)
        except ClusterError as fault:
            # The entry is durable, so the batch will be applied: the one thing to
            # say is that it takes longer.
            self._batchlog.leave(entry)
            raise WriteTimeout(terms.level, 0, terms.block_for, WriteType.BATCH) from fault
        self._batchlog.applied(entry, frozenset(parts))

    async def _read_serial(
        self,
        wanted: Slice,
        replication: Replication,
        level: Consistency,
        wall_s: int,
        deadline: float,
    ) -> Page:
        key = wanted.key
        assert isinstance(key, bytes), "a serial read names one partition"
        self._require_serial(key, replication, level)
        terms = self._read_terms(replication.block_for(level), level)
        replica = self._replicas[self._owner_of(key)]
        try:
            if isinstance(replica, OwnReplica):
                return await self._serial.read(wanted, wall_s, deadline)
            return await read_far(replica, wanted, wall_s, deadline)
        except ClusterError as fault:
            raise terms.error(fault) from fault

    def _read_range(
        self,
        wanted: Slice,
        replication: Replication,
        level: Consistency,
        wall_s: int,
        deadline: float,
    ) -> Page | Awaitable[Page]:
        needed = replication.block_for(level)
        are_alive = all(replica.is_alive for replica in self._replicas)
        self._require_alive(replication, 0, level, needed, are_alive)
        terms = self._read_terms(needed, level)
        if self._shards == 1:
            try:
                page = self._own.read(wanted, wall_s, deadline)
            except ClusterError as fault:
                raise terms.error(fault) from fault
            return page if isinstance(page, Page) else received(page, terms)
        fetches = [self._fetch_from(replica, wall_s, deadline) for replica in self._replicas]
        return received(merged_page(wanted, fetches), terms)

    def _fetch_from(
        self, replica: OwnReplica | SiblingReplica, wall_s: int, deadline: float
    ) -> Fetch:
        return lambda part: replica.read(part, wall_s, deadline)


async def _on_all(
    replicas: Iterable[OwnReplica | SiblingReplica],
    ask: Callable[[OwnReplica | SiblingReplica], Awaitable[None]],
) -> None:
    """Ask all at once and wait for all of them, also when one has failed; raise the first fault."""
    asked: list[Awaitable[None]] = []
    first: ClusterError | None = None
    try:
        for replica in replicas:
            try:
                asked.append(ask(replica))
            except ClusterError as fault:
                first = first or fault
        for answer in asked:
            try:
                await answer
            except ClusterError as fault:
                first = first or fault
    finally:
        abandon(asked)
    if first is not None:
        raise first

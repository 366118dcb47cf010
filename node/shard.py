"""Builds a shard from the floors below and its ports: the one place where they are joined.

The same class runs in production and in simulation; what differs is the `World` it is given. Its
life: `start` recovers until it can answer, `serve` lets clients in, `drain` answers what was begun
and lets nobody in, `stop` writes memory to files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from cluster.batch import LAYOUT as BATCHLOG_LAYOUT
from cluster.coordinator import Coordinator
from cluster.schema_log import SchemaLog
from cluster.schema_sync import LOG_SHARD, Replicator
from cluster.topology import Node, single_node
from cql.batching import BatchGuard
from cql.describe import Describer
from cql.executor import Executor, Timeouts
from cql.prepared import PreparedStatements
from cql.protocol.room import Room
from cql.results_memory import Results
from cql.schema import Schema, SchemaHolder
from cql.system.facts import NodeFacts, SystemSources
from cql.system.tables import SystemTables, system_keyspaces
from node.background import Background
from node.ceiling import MARGIN_US, Ceiling
from node.clients import Client, Clients
from node.config import shown_settings
from node.connection import Limits, Ports
from node.dispatch import Dispatch
from node.failure_policy import outlives_damage
from node.maintenance import Maintenance
from node.memory import divide
from node.node_wide_facts import NodeWideFacts
from node.schema_service import SchemaFollower, SchemaService
from node.shard_facts import ShardFacts
from node.snapshots import SnapshotPolicy, Snapshots
from node.stalls import Stalls
from node.statement_memory import StatementMemory
from node.statements import SharedExecutor, StatementPorts, range_ownership
from node.supported import Seat, supported
from node.tracing import Tracer
from node.turn import Turn
from node.version import VERSION
from storage.commitlog import CommitLogConfig, SyncMode
from storage.direct_disk import MEMORY_BYTES_DEFAULT, DirectDisk, IoChoice, open_direct_disk
from storage.engine import Engine, EngineConfig
from storage.errors import CorruptData, CorruptFile, DiskError
from storage.memory_disk import MemoryDisk
from storage.pace import Hours
from storage.values import replace, value_class
from storage.volume import Marks

if TYPE_CHECKING:
    from random import Random

    from cluster.transport import Siblings
    from cql.moment import Moment
    from cql.results import SchemaChange
    from node.config import Config
    from node.identity import Identity
    from node.session import Session
    from storage.disk import Disk

MEMORY_SCHEME: Final = "memory://"
STORAGE_PORT: Final = 7000
INTERNAL_LAYOUTS: Final = (BATCHLOG_LAYOUT,)
"""Tables of every shard that no schema has."""
SEGMENTS_AHEAD: Final = 2
"""For how many segments of the log there must be room for writes to be accepted."""
DRAIN_LOOK_S: Final = 0.02
DRAIN_TIMEOUT_S: Final = 20.0

_log = logging.getLogger("pythia.shard")


def _nothing() -> None:
    """A simulated core is nobody else's, and a simulated disk keeps nothing for later."""


def _ignore(_first: Callable[[], None]) -> None:
    """A simulated disk makes its calls at any time."""


class ShardClock(Protocol):
    """The three clocks; see node/clock."""

    def now(self) -> float: ...

    def wall_s(self) -> int: ...

    def wall_us(self) -> int: ...

    def next_timestamp_us(self) -> int: ...

    def moment(self) -> Moment: ...

    def keep_after(self, timestamp_us: int) -> None: ...

    def keep_under(self, raise_ceiling: Callable[[int], int]) -> None: ...


@value_class
class World:
    """Everything outside a shard: its ports, and who it is.

    `has_failed` is told of an error after which the shard must not go on; it ends the process.
    """

    shard: int
    config: Config
    identity: Identity
    native_port: int
    shard_aware_port: int | None
    generation: int
    gateway: str | None
    disk: Disk
    clock: ShardClock
    random: Random
    siblings: Siblings
    loop: asyncio.AbstractEventLoop
    has_failed: Callable[[BaseException], None]
    stalls: Stalls
    watch: Callable[[], None] = _nothing
    """Called a few times a second, as long as we run."""

    boot: bytes = b""
    """Another one after the machine has started anew."""

    is_wanted: Callable[[], bool] | None = None
    """Whether something has come for the loop since its turn began, where that can be seen."""

    submit: Callable[[], None] = _nothing
    """Gives the disk what it was asked for in this turn."""

    submit_after: Callable[[Callable[[], None]], None] = _ignore
    """Has the disk call this before it makes the calls of a turn."""

    is_log_shut: bool = False
    """Whether the commit log failed in the life before, and `stop_commit` wants reads only."""


def open_disk(
    directory: str,
    io: str,
    memory_bytes: int = MEMORY_BYTES_DEFAULT,
    stalls: Stalls | None = None,
) -> DirectDisk | MemoryDisk:
    """The disk that a data directory's name asks for, used as the setting `io` says.

    The directory must exist, unless it is in memory. Its calls borrow from `memory_bytes`.
    Called in the process that uses the disk.
    """
    if directory.startswith(MEMORY_SCHEME):
        return MemoryDisk()
    watch = None if stalls is None else stalls.timed
    return open_direct_disk(directory, IoChoice(io), memory_bytes, watch)


class Shard:
    """One shard, from its files to its clients."""

    def __init__(self, world: World) -> None:
        self._world = world
        config, identity = world.config, world.identity
        self._directory = f"{config.data_directory}/shard-{world.shard}"
        self._division = division = divide(config.memory_bytes, config.shards)
        self.holder = SchemaHolder(Schema(system_keyspaces()))
        self.engine = Engine(
            world.disk,
            self._directory,
            world.shard,
            replace(engine_config(config), is_log_shut=world.is_log_shut),
            division.budget,
            random=world.random,
            listener=self,
            hours=Hours(world.clock.now, world.is_wanted, self._let_go),
        )
        self._topology = single_node(_local_node(config, identity))
        self.coordinator = Coordinator(
            shard=world.shard,
            topology=self._topology,
            engine=self.engine,
            siblings=world.siblings,
            loop=world.loop,
            random=world.random,
            is_serving=False,
        )
        self._follower = SchemaFollower(self.holder, self.engine, self._announce)
        self._memory = StatementMemory(self.work_is_due, division.statements // 4)
        self._prepared = PreparedStatements(
            memory=self._memory, bytes_max=division.statements - division.statements // 4
        )
        self._background = Background(
            world.loop,
            world.stalls.timed("the coarse timer", self._tick),
            self._due,
            world.has_failed,
        )
        self.turn = Turn(
            world.loop.call_soon, self.engine.end_of_turn, world.has_failed, world.stalls
        )
        world.submit_after(self.turn.end_now)
        self.snapshots = self._build_snapshots()
        self.maintenance = Maintenance(
            world.shard,
            world.config.shards,
            self.engine,
            world.siblings,
            self.coordinator.deadlines,
            world.clock.wall_s,
            self.coordinator,
        )
        self._is_draining = False
        self._ceiling: Ceiling | None = None
        self._replicator: Replicator | None = None
        self.clients: Clients | None = None
        self.schema_service: SchemaService | None = None
        self._lists_shard_aware_port = world.shard_aware_port is not None

    @property
    def schema(self) -> Schema:
        """What this shard takes for the schema now."""
        return self.holder.current

    # Life and death.

    async def open_schema(self) -> None:
        """The part of the start that siblings depend on: the schema log, on shard 0."""
        world = self._world
        await self._open_clock()
        await self._memory.open(world.disk, f"{self._directory}/prepared", world.random)
        if self._memory.damage is not None:
            _log.error("damaged: %s; clients prepare their statements again", self._memory.damage)
        log = None
        if world.shard == LOG_SHARD:
            directory = f"{world.config.data_directory}/schema"
            log = await SchemaLog.open(world.disk, directory, world.random)
            if log.torn is not None:
                _log.warning("%s", log.torn)
        self._replicator = Replicator(
            world.shard,
            world.config.shards,
            world.siblings,
            self.coordinator.deadlines,
            self._follower.obey,
            log,
            world.has_failed,
        )
        self._build_service(log)

    async def start(self) -> None:
        """Learn the schema, recover what is on disk; when this returns requests can be answered."""
        assert self._replicator is not None, "the schema is opened first"
        await self._replicator.start()
        layouts = [*self._follower.freeze(), *INTERNAL_LAYOUTS]
        report = await self.engine.open(layouts, self._follower.number)
        self._follower.serve_tables()
        self.coordinator.serve()
        self._background.start()
        if report.replayed or report.sstables:
            _log.info(
                "recovered %d tables, %d SSTables, %d mutations from the log",
                report.tables,
                report.sstables,
                report.replayed,
            )
        if report.dropped_tables:
            _log.info("removed what was left of %d dropped tables", report.dropped_tables)
        for place in report.log_damage:
            _log.error("damaged: %s; what follows in that file is lost", place)
        for damage in report.damaged:
            self.has_found_damage(damage)

    async def _open_clock(self) -> None:
        """From here on no timestamp is made that an earlier life has made."""
        world = self._world
        self._ceiling = ceiling = await Ceiling.open(world.disk, self._directory, world.boot)
        if ceiling.damage is not None:
            _log.error(
                "damaged: %s; if the machine's clock was set back, timestamps may be made again",
                ceiling.damage,
            )
        # Wait for a clock that is right, so that timestamps do not run further ahead of it with
        # every start. One that was set back is not waited for.
        ahead_us = ceiling.found_us - world.clock.wall_us()
        if 0 < ahead_us <= MARGIN_US:
            await asyncio.sleep(ahead_us / 1e6)
        world.clock.keep_after(ceiling.found_us)
        try:
            await ceiling.begin()
        except DiskError:
            if not world.is_log_shut:
                raise
            self._ceiling = None  # The disk takes nothing any more, and nothing is written.
            return

        def raise_ceiling(timestamp_us: int) -> int:
            try:
                return ceiling.pass_to(timestamp_us)
            except DiskError as error:
                world.has_failed(error)  # The process ends here.
                return timestamp_us

        world.clock.keep_under(raise_ceiling)

    async def drain(self) -> None:
        """Answer what clients have asked, then close their connections."""
        assert self.clients is not None, "the shard was started"
        self._is_draining = True
        until = self._world.clock.now() + DRAIN_TIMEOUT_S
        while any(client.in_flight for client in self.clients) and self._world.clock.now() < until:
            await asyncio.sleep(DRAIN_LOOK_S)
        self.turn.end()
        self.clients.close()

    async def stop(self) -> None:
        """Write memory to files and close them."""
        await self._background.stop()
        if self._ceiling is not None:
            await self._ceiling.close()
        await self._memory.close()
        self.coordinator.stop()
        if self._replicator is not None:
            await self._replicator.stop()
        await self.engine.stop(flush=True)

    def _let_go(self) -> int:
        """What requests have gathered in this turn goes to clients and to the disk now.

        Counts the turns of all so far.
        """
        self.turn.end_now()
        self._world.submit()
        return self._world.stalls.turns

    # What storage tells (its Listener).

    def work_is_due(self) -> None:
        """Storage has work that should not wait for the next look."""
        self._background.look_soon()

    def has_failed(self, error: BaseException) -> None:
        """Storage can promise nothing any more."""
        self._world.has_failed(error)

    def has_found_damage(self, damage: CorruptFile | DiskError) -> None:
        """A file of storage is damaged: reads of it fail, or the shard stops if it should."""
        policy = self._world.config.disk_failure_policy
        what = "reads go on without it" if policy == "best_effort" else "reads that need it fail"
        _log.error("damaged: %s; %s", damage, what)
        if not outlives_damage(damage, policy):
            self._world.has_failed(damage)

    def tell(self, message: str) -> None:
        """Storage has something to say to an operator."""
        _log.warning("%s", message)

    # Building.

    def _build_snapshots(self) -> Snapshots:
        world, config = self._world, self._world.config
        is_kept = config.auto_snapshot and not config.data_directory.startswith(MEMORY_SCHEME)
        snapshots = Snapshots(
            world.shard,
            config.shards,
            world.disk,
            config.data_directory,
            self.engine,
            self.holder,
            world.siblings,
            self.coordinator.deadlines,
            self.coordinator.settle_batches,
            world.clock.next_timestamp_us,
            SnapshotPolicy(is_kept, int(config.auto_snapshot_ttl_s) or None),
        )
        self.coordinator.before_truncate = snapshots.before_truncate
        return snapshots

    def _build_service(self, log: SchemaLog | None) -> None:
        world, config = self._world, self._world.config
        assert self._replicator is not None, "the service proposes to the replicator"
        deadlines = self.coordinator.deadlines
        schema = SchemaService(
            world.shard,
            self.holder,
            self._replicator,
            log,
            world.siblings,
            deadlines,
            {config.data_center: 1},
            world.random,
            world.clock.next_timestamp_us,
            world.has_failed,
        )
        schema.before_drop = self.snapshots.before_drop
        self.schema_service = schema
        facts = _node_facts(world)
        others = tuple(n for n in range(config.shards) if n != world.shard)
        node_facts = NodeWideFacts(
            ShardFacts(world.siblings, others, deadlines),
            self.engine,
            self._all_clients,
            world.shard,
            self.snapshots.files,
            world.stalls,
        )
        tables = SystemTables(facts, self.holder, self._sources(node_facts))
        describer = Describer(facts, range_ownership(self.holder, self._topology))
        ports = StatementPorts(
            schema, tables, describer, self._topology, self.holder, node_facts.refreshes()
        )
        executor = Executor(
            self.holder,
            self._prepared,
            self.coordinator,
            ports,
            chance=world.random,
            paging_key=world.identity.paging_key,
            timeouts=_timeouts(config),
            results=Results(self._division.results, self._division.page_bytes_max),
            guard=BatchGuard(config.batch_size_warn_bytes, config.batch_size_fail_bytes),
        )
        shared = SharedExecutor(executor, world.siblings, others, deadlines, world.clock.moment)
        tracer = Tracer(
            executor,
            world.clock.moment,
            world.random,
            world.loop.create_task,
            config.rpc_address,
            world.native_port,
            f"shard-{world.shard}",
        )
        dispatch = Dispatch(
            shared, self._supported, begin_trace=tracer.begin, stop=world.has_failed
        )
        self.clients = self._build_clients(dispatch)

    def _build_clients(self, dispatch: Dispatch) -> Clients:
        world, config, division = self._world, self._world.config, self._division
        requests = Room(division.requests)
        ports = Ports(
            handle=dispatch.handle,
            moment=world.clock.moment,
            now=world.clock.now,
            spawn=world.loop.create_task,
            flush_later=self.turn.flush_later,
            limits=_limits(config, requests),
            requests=requests,
            replies=Room(division.replies),
            stalls=world.stalls,
        )
        self.turn.renew = ports.renew
        return Clients(
            ports, min(config.native_transport_max_connections, division.connections_max)
        )

    def _supported(self, session: Session) -> Mapping[str, Sequence[str]]:
        """The answer to OPTIONS."""
        world = self._world
        seat = Seat(
            world.shard,
            world.config.shards,
            world.identity.host_id,
            world.shard_aware_port,
            world.gateway,
        )
        return supported(seat, session.address)

    def _sources(self, node_facts: NodeWideFacts) -> SystemSources:
        return SystemSources(
            clients=node_facts.clients,
            settings=lambda: shown_settings(self._world.config),
            size_estimates=lambda: node_facts.size_estimates(self._world.identity.tokens),
            compactions=node_facts.compactions,
            tasks=node_facts.tasks,
            prepared_statements=self._remembered,
            snapshots=node_facts.snapshots,
            caches=node_facts.caches,
            tables=node_facts.tables,
            stalls=node_facts.stalls,
        )

    def _announce(self, change: SchemaChange) -> None:
        if self.clients is not None:
            self.clients.broadcast(change)

    # Time passes.

    def _tick(self) -> None:
        now = self._world.clock.now()
        self._world.watch()
        self.engine.tick(now)
        if self.clients is not None:
            self.clients.tick(now)

    def _due(self) -> list[Coroutine[Any, Any, None]]:
        due = self.engine.background(self._world.clock.wall_s())
        if self._ceiling is not None and self._ceiling.wants_sync:
            due.append(self._ceiling.sync())
        if self._memory.wants_write:
            due.append(self._memory.write())
        if self.coordinator.are_batches_due:
            due.append(self._finish_batches())
        wall_s = self._world.clock.wall_s()
        if self.snapshots.wants_look(wall_s):
            due.append(self.snapshots.clear_expired(wall_s))
        return due

    async def _finish_batches(self) -> None:
        """Logged batches that were left behind are sent again, done ones are forgotten."""
        deadline = self._world.clock.now() + self._world.config.write_request_timeout_s
        try:
            await self.coordinator.finish_batches(deadline)
        except CorruptData as damage:
            _log.error("a logged batch is damaged and cannot be finished: %s", damage)

    # Tables about this shard.

    def _all_clients(self) -> Iterable[Client]:
        assert self.clients is not None, "clients ask for this table"
        return self.clients

    def _remembered(self) -> list[tuple[bytes, str | None, str]]:
        return [(s.id, s.keyspace, s.text) for s in self._memory.statements()]


def _local_node(config: Config, identity: Identity) -> Node:
    return Node(
        identity.host_id,
        config.rpc_address,
        STORAGE_PORT,
        config.data_center,
        config.rack,
        identity.tokens,
        config.shards,
    )


def _node_facts(world: World) -> NodeFacts:
    config, identity = world.config, world.identity
    return NodeFacts(
        host_id=identity.host_id,
        cluster_name=config.cluster_name,
        datacenter=config.data_center,
        rack=config.rack,
        tokens=identity.tokens,
        listen_address=config.rpc_address,
        broadcast_address=config.rpc_address,
        rpc_address=config.rpc_address,
        storage_port=STORAGE_PORT,
        native_port=world.native_port,
        generation=world.generation,
        version=VERSION,
    )


def engine_config(config: Config) -> EngineConfig:
    """What a shard's storage may use."""
    division = divide(config.memory_bytes, config.shards)
    segment, total = config.commitlog_segment_bytes, config.commitlog_total_bytes // config.shards
    fail_percent = config.data_disk_usage_percentage_fail_threshold
    return EngineConfig(
        memtable_bytes=division.memtables,
        marks=Marks(
            free_min_bytes=config.shards * (division.memtables + SEGMENTS_AHEAD * segment),
            used_max=fail_percent / 100 if fail_percent > 0 else 1.0,
            flush_bytes=config.shards * division.memtables,
            shards=config.shards,
        ),
        row_cache_bytes=division.rows,
        answers_without_damaged=config.disk_failure_policy == "best_effort",
        skips_log_damage=config.commit_failure_policy == "ignore",
        hot_keys_max=config.row_cache_keys_to_save // config.shards,
        hot_keys_period_s=round(config.row_cache_save_period_s),
        block_cache_bytes=division.files,
        read_bytes=division.reads,
        compactions_max=config.concurrent_compactors,
        compaction_bytes_per_s=-(-config.compaction_throughput_bytes // config.shards),
        commitlog=CommitLogConfig(
            mode=SyncMode(config.commitlog_sync),
            period_s=config.commitlog_sync_period_s,
            group_window_s=config.commitlog_sync_group_window_s,
            segment_bytes=segment,
            total_space_bytes=max(total, 4 * segment),
        ),
    )


def _limits(config: Config, requests: Room) -> Limits:
    """A frame that can never be let in is too big, and not too much for now."""
    frame = min(config.native_transport_max_frame_bytes, requests.announced_bytes_max // 2)
    return Limits(frame_bytes_max=frame, stalled_s=config.native_transport_stalled_timeout_s)


def _timeouts(config: Config) -> Timeouts:
    return Timeouts(
        read=config.read_request_timeout_s,
        range=config.range_request_timeout_s,
        write=config.write_request_timeout_s,
        counter=config.counter_write_request_timeout_s,
        cas=config.cas_contention_timeout_s,
        truncate=config.truncate_request_timeout_s,
    )

"""Rows about the whole node which each shard knows a part of: clients, sizes, compactions.

A read of such a table refreshes the facts first; then the rows are made of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

from cql.system.facts import (
    CacheFacts,
    ClientFacts,
    CompactionFacts,
    SizeEstimate,
    SnapshotFacts,
    StallFacts,
    TableFacts,
    TaskFacts,
)

if TYPE_CHECKING:
    from node.clients import Client
    from node.shard_facts import Fact, ShardFacts
    from node.snapshot_files import SnapshotFiles
    from node.stalls import Stalls
    from storage.engine import Engine

CLIENTS: Final = "clients"
SIZES: Final = "sizes"
COMPACTIONS: Final = "compactions"
TASKS: Final = "tasks"
CACHES: Final = "caches"
TABLES: Final = "tables"
STALLS: Final = "stalls"

TOKEN_MIN: Final = -(1 << 63)
_TOKENS: Final = 1 << 64
_UUID_EPOCH_MS: Final = 12_219_292_800_000
"""From the beginning of time-based UUIDs to 1970."""


class NodeWideFacts:
    """What all shards together say, as of the last refresh."""

    def __init__(
        self,
        facts: ShardFacts,
        engine: Engine,
        clients: Callable[[], Iterable[Client]],
        shard: int,
        snapshots: SnapshotFiles,
        stalls: Stalls,
    ) -> None:
        self._facts = facts
        self._snapshot_files = snapshots
        self._snapshots: list[SnapshotFacts] = []
        self._latest: dict[str, list[Fact]] = {}
        facts.provide(CLIENTS, lambda: map(_client_fact, clients()))
        facts.provide(SIZES, lambda: _size_facts(engine))
        facts.provide(COMPACTIONS, lambda: _compaction_facts(engine, shard))
        facts.provide(TASKS, lambda: _task_facts(engine, shard))
        facts.provide(CACHES, lambda: _cache_facts(engine))
        facts.provide(TABLES, lambda: _table_facts(engine))
        facts.provide(STALLS, lambda: _stall_facts(stalls, shard))

    def refreshes(self) -> Mapping[tuple[str, str], Callable[[], Awaitable[None]]]:
        """(keyspace, table) -> what to await before its rows are read."""
        return {
            ("system_views", "caches"): partial(self._refresh, CACHES),
            ("system_views", "table_caches"): partial(self._refresh, TABLES),
            ("system_views", "disk_usage"): partial(self._refresh, TABLES),
            ("system_views", "stalls"): partial(self._refresh, STALLS),
            ("system_views", "clients"): partial(self._refresh, CLIENTS),
            ("system", "size_estimates"): partial(self._refresh, SIZES),
            ("system", "table_estimates"): partial(self._refresh, SIZES),
            ("system", "compaction_history"): partial(self._refresh, COMPACTIONS),
            ("system_views", "sstable_tasks"): partial(self._refresh, TASKS),
            ("system_views", "snapshots"): self._refresh_snapshots,
        }

    def clients(self) -> Iterable[ClientFacts]:
        """The clients of all shards."""
        return map(_client_of, self._latest.get(CLIENTS, ()))

    def size_estimates(self, tokens: tuple[int, ...]) -> Iterable[SizeEstimate]:
        """Each table's size, spread evenly over the node's ranges; empty tables have none.

        Nothing is lost to rounding: the ranges of a table have all of its partitions together.
        """
        partitions: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for table, count, size in self._latest.get(SIZES, ()):
            partitions[table] = partitions.get(table, 0) + count
            sizes[table] = sizes.get(table, 0) + size
        for full_name, count in partitions.items():
            keyspace, _, table = full_name.partition(".")
            mean, told = sizes[full_name] // count, 0
            for start, end, ring_until_end in _primary_ranges(tokens):
                until_end = count * ring_until_end // _TOKENS
                yield SizeEstimate(keyspace, table, start, end, mean, until_end - told)
                told = until_end

    def compactions(self) -> Iterable[CompactionFacts]:
        """The compactions of all shards since they started."""
        for fact in self._latest.get(COMPACTIONS, ()):
            shard, number, full_name, ended_s, bytes_in, bytes_out, merged = fact
            keyspace, _, table = full_name.partition(".")
            yield CompactionFacts(
                compaction_uuid(ended_s, shard, number),
                keyspace,
                table,
                ended_s * 1000,
                bytes_in,
                bytes_out,
                tuple((files, partitions) for files, partitions in merged),
            )

    def snapshots(self) -> Iterable[SnapshotFacts]:
        """The tables of all snapshots, which any shard can read."""
        return self._snapshots

    async def _refresh_snapshots(self) -> None:
        files = self._snapshot_files
        self._snapshots = [
            SnapshotFacts(
                snapshot.tag,
                table.keyspace,
                table.name,
                snapshot.created_ms,
                snapshot.expires_ms,
                table.bytes,
                files.own_bytes(snapshot, table),
            )
            for snapshot in await files.all()
            for table in snapshot.tables
        ]

    def caches(self) -> Iterable[CacheFacts]:
        """The caches, each as the sum of the shards' parts."""
        return [CacheFacts(name, *numbers) for name, *numbers in self._sums(CACHES)]

    def tables(self) -> Iterable[TableFacts]:
        """The tables, each as the sum of the shards' parts."""
        for full_name, *numbers in self._sums(TABLES):
            keyspace, _, table = full_name.partition(".")
            yield TableFacts(keyspace, table, *numbers)

    def stalls(self) -> Iterable[StallFacts]:
        """What the detectors of all shards have counted since they started."""
        return (StallFacts(*fact) for fact in self._latest.get(STALLS, ()))

    def _sums(self, kind: str) -> Iterable[Fact]:
        """Of facts that are a name and numbers, one for each name."""
        sums: dict[str, list[int]] = {}
        for name, *numbers in self._latest.get(kind, ()):
            before = sums.get(name, [0] * len(numbers))
            sums[name] = [a + b for a, b in zip(before, numbers, strict=True)]
        return [[name, *numbers] for name, numbers in sums.items()]

    def tasks(self) -> Iterable[TaskFacts]:
        """The compactions that all shards run."""
        for shard, number, full_name, began_s, files, done, total in self._latest.get(TASKS, ()):
            keyspace, _, table = full_name.partition(".")
            began = compaction_uuid(began_s, shard, number)
            yield TaskFacts(began, keyspace, table, files, done, total)

    async def _refresh(self, kind: str) -> None:
        self._latest[kind] = await self._facts.gather(kind)


def _client_fact(client: Client) -> Fact:
    session = client.session
    return [
        session.address,
        session.port,
        session.stage.name.lower(),
        session.keyspace,
        sorted(session.options.items()),
        session.version,
        client.requests,
    ]


def _client_of(fact: Fact) -> ClientFacts:
    address, port, stage, keyspace, options, version, requests = fact
    named = dict(options)
    return ClientFacts(
        address=address,
        port=port,
        stage=stage,
        keyspace=keyspace,
        driver_name=named.get("DRIVER_NAME"),
        driver_version=named.get("DRIVER_VERSION"),
        options=tuple((key, value) for key, value in options),
        protocol_version=version,
        request_count=requests,
    )


def _size_facts(engine: Engine) -> Iterable[Fact]:
    for table in engine.statistics().tables:
        if table.partitions:
            yield [table.name, table.partitions, table.memtable_bytes + table.file_bytes]


def _cache_facts(engine: Engine) -> Iterable[Fact]:
    for cache in engine.caches():
        sizes = (cache.bytes_max, cache.used_bytes, cache.entries)
        yield [cache.name, *sizes, cache.hits, cache.requests]


def _table_facts(engine: Engine) -> Iterable[Fact]:
    for table in engine.statistics().tables:
        requests = table.row_cache_hits + table.row_cache_misses
        cached = (table.row_cache_partitions, table.row_cache_hits, requests)
        yield [table.name, table.file_bytes, *cached]


def _stall_facts(stalls: Stalls, shard: int) -> Iterable[Fact]:
    for clock, turns in (("wall", stalls.by_clock), ("cpu", stalls.by_cpu)):
        yield [shard, clock, turns.count, turns.total_s, turns.longest_s, turns.what]


def _compaction_facts(engine: Engine, shard: int) -> Iterable[Fact]:
    for done in engine.statistics().compaction_history:
        sizes = (done.bytes_in, done.bytes_out)
        yield [shard, done.number, done.table, done.ended_s, *sizes, done.partitions_merged]


def _task_facts(engine: Engine, shard: int) -> Iterable[Fact]:
    for task in engine.statistics().compactions_running:
        sizes = (task.bytes_done, task.bytes_total)
        yield [shard, task.number, task.table, task.began_s, task.files, *sizes]


def _primary_ranges(tokens: tuple[int, ...]) -> Iterable[tuple[int, int, int]]:
    """(start, end, number of the ring's tokens until there) of the ranges between tokens; the one
    over the ring's end is cut there.
    """
    ends = sorted({TOKEN_MIN, *tokens})
    for start, end in zip(ends, [*ends[1:], TOKEN_MIN], strict=True):
        yield start, end, (end - TOKEN_MIN) or _TOKENS


def compaction_uuid(time_s: int, shard: int, number: int) -> UUID:
    """The id of a shard's compaction: of its time while it runs, and of its end in the history."""
    ticks = (time_s * 1000 + _UUID_EPOCH_MS) * 10_000
    fields = (ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF | 0x1000, 0x80, shard)
    return UUID(fields=(*fields, number & 0xFFFFFFFFFFFF))

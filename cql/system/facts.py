"""What a node says about itself and its peers, as values given by the floor above."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

from storage.values import value_class

CQL_VERSION: Final = "3.4.7"
NATIVE_PROTOCOL_VERSION: Final = "5"
RELEASE_VERSION: Final = "5.0.0-pythia"
"""Begins with a release that tools know: they choose their queries by it, cqlsh warns of others."""
PARTITIONER: Final = "org.apache.cassandra.dht.Murmur3Partitioner"


@value_class
class NodeFacts:
    """This node. Addresses are texts of IPv4 or IPv6 addresses; `rpc_address` is the one that
    clients can reach."""

    host_id: UUID
    cluster_name: str
    datacenter: str
    rack: str
    tokens: tuple[int, ...]
    listen_address: str
    broadcast_address: str
    rpc_address: str
    storage_port: int
    native_port: int
    generation: int
    version: str
    """Our own version, e.g. `0.1.0`."""
    release_version: str = RELEASE_VERSION
    snitch: str = "org.apache.cassandra.locator.SimpleSnitch"


@value_class
class PeerFacts:
    """Another node, as far as this one knows it."""

    host_id: UUID
    datacenter: str
    rack: str
    tokens: tuple[int, ...]
    address: str
    storage_port: int
    native_address: str
    native_port: int
    release_version: str
    schema_version: UUID


@value_class
class ClientFacts:
    """One connection of a client."""

    address: str
    port: int
    stage: str
    keyspace: str | None
    driver_name: str | None
    driver_version: str | None
    options: tuple[tuple[str, str], ...]
    protocol_version: int
    request_count: int
    username: str = "anonymous"


@value_class
class SizeEstimate:
    """How much of a table lies between two tokens."""

    keyspace: str
    table: str
    start: int
    end: int
    mean_partition_bytes: int
    partitions: int


@value_class
class CompactionFacts:
    """One compaction that is over. `id` is time-based."""

    id: UUID
    keyspace: str
    table: str
    compacted_at_ms: int
    bytes_in: int
    bytes_out: int
    rows_merged: tuple[tuple[int, int], ...] = ()


@value_class
class TaskFacts:
    """One compaction that runs. `id` is time-based."""

    id: UUID
    keyspace: str
    table: str
    files: int
    bytes_done: int
    bytes_total: int


@value_class
class SnapshotFacts:
    """One table of one snapshot."""

    tag: str
    keyspace: str
    table: str
    created_ms: int
    expires_ms: int | None
    bytes: int
    own_bytes: int
    """Of files which only this snapshot keeps."""


@value_class
class CacheFacts:
    """One cache of the node, all shards together."""

    name: str
    capacity_bytes: int
    size_bytes: int
    entries: int
    hits: int
    requests: int


@value_class
class TableFacts:
    """One table on the disk and in the row cache, all shards together."""

    keyspace: str
    table: str
    file_bytes: int
    row_cache_partitions: int
    row_cache_hits: int
    row_cache_requests: int


@value_class
class StallFacts:
    """Turns of one shard's loop that took too long, by one of two clocks."""

    shard: int
    clock: str
    turns: int
    total_s: float
    longest_s: float
    longest: str
    """What ran in it."""


@value_class
class SystemSources:
    """Where the rows of the tables about the node's state come from; by default there are none."""

    peers: Callable[[], Iterable[PeerFacts]] = lambda: ()
    clients: Callable[[], Iterable[ClientFacts]] = lambda: ()
    settings: Callable[[], Iterable[tuple[str, str]]] = lambda: ()
    size_estimates: Callable[[], Iterable[SizeEstimate]] = lambda: ()
    compactions: Callable[[], Iterable[CompactionFacts]] = lambda: ()
    tasks: Callable[[], Iterable[TaskFacts]] = lambda: ()
    snapshots: Callable[[], Iterable[SnapshotFacts]] = lambda: ()
    caches: Callable[[], Iterable[CacheFacts]] = lambda: ()
    tables: Callable[[], Iterable[TableFacts]] = lambda: ()
    stalls: Callable[[], Iterable[StallFacts]] = lambda: ()
    prepared_statements: Callable[[], Iterable[tuple[bytes, str | None, str]]] = lambda: ()
    """(id, keyspace, text)"""

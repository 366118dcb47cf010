"""Rows of the tables about this node and its peers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

from cql.system.facts import (
    CQL_VERSION,
    NATIVE_PROTOCOL_VERSION,
    PARTITIONER,
    CacheFacts,
    ClientFacts,
    CompactionFacts,
    NodeFacts,
    PeerFacts,
    SizeEstimate,
    SnapshotFacts,
    StallFacts,
    SystemSources,
    TableFacts,
    TaskFacts,
)
from cql.system.values import (
    FALSE,
    bigint,
    double,
    inet,
    integer,
    text,
    text_map,
    text_or_null,
    text_set,
    uuid,
)
from cql.system.virtual import RowValues
from cql.types.codec import pack_map

LOCAL_KEY: Final = "local"
MIB: Final = 1 << 20
PRIMARY_RANGE: Final = "primary"
BUILD_MODE: Final = "release"


def local_row(facts: NodeFacts, schema_version: UUID) -> RowValues:
    """The one row of system.local; its schema version is never null."""
    return (
        text(LOCAL_KEY),
        text("COMPLETED"),
        inet(facts.broadcast_address),
        integer(facts.storage_port),
        text(facts.cluster_name),
        text(CQL_VERSION),
        text(facts.datacenter),
        integer(facts.generation),
        uuid(facts.host_id),
        inet(facts.listen_address),
        integer(facts.storage_port),
        text(NATIVE_PROTOCOL_VERSION),
        text(PARTITIONER),
        text(facts.rack),
        text(facts.release_version),
        inet(facts.rpc_address),
        integer(facts.native_port),
        uuid(schema_version),
        text_set(map(str, facts.tokens)),
        None,
    )


def version_row(facts: NodeFacts) -> RowValues:
    """The one row of system.versions."""
    return text(LOCAL_KEY), text(""), text(BUILD_MODE), text(facts.version)


def from_sources(
    sources: SystemSources,
) -> dict[tuple[str, str], Callable[[], Iterable[RowValues]]]:
    """(keyspace, table) -> its rows."""
    return {
        ("system", "peers"): lambda: map(_peer_row, sources.peers()),
        ("system", "peers_v2"): lambda: map(_peer_v2_row, sources.peers()),
        ("system", "size_estimates"): lambda: map(_size_row, sources.size_estimates()),
        ("system", "table_estimates"): lambda: map(_table_size_row, sources.size_estimates()),
        ("system", "compaction_history"): lambda: map(_compaction_row, sources.compactions()),
        ("system", "prepared_statements"): lambda: map(
            _prepared_row, sources.prepared_statements()
        ),
        ("system_views", "caches"): lambda: map(_cache_row, sources.caches()),
        ("system_views", "disk_usage"): lambda: map(_disk_row, sources.tables()),
        ("system_views", "table_caches"): lambda: map(_table_cache_row, sources.tables()),
        ("system_views", "stalls"): lambda: map(_stall_row, sources.stalls()),
        ("system_views", "clients"): lambda: map(_client_row, sources.clients()),
        ("system_views", "snapshots"): lambda: map(_snapshot_row, sources.snapshots()),
        ("system_views", "sstable_tasks"): lambda: map(_task_row, sources.tasks()),
        ("system_views", "settings"): lambda: map(_setting_row, sources.settings()),
    }


def _peer_row(peer: PeerFacts) -> RowValues:
    return (
        inet(peer.address),
        text(peer.datacenter),
        uuid(peer.host_id),
        None,
        text(peer.rack),
        text(peer.release_version),
        inet(peer.native_address),
        uuid(peer.schema_version),
        text_set(map(str, peer.tokens)),
    )


def _peer_v2_row(peer: PeerFacts) -> RowValues:
    return (
        inet(peer.address),
        integer(peer.storage_port),
        text(peer.datacenter),
        uuid(peer.host_id),
        inet(peer.native_address),
        integer(peer.native_port),
        None,
        None,
        text(peer.rack),
        text(peer.release_version),
        uuid(peer.schema_version),
        text_set(map(str, peer.tokens)),
    )


def _size_row(estimate: SizeEstimate) -> RowValues:
    return (
        text(estimate.keyspace),
        text(estimate.table),
        text(str(estimate.start)),
        text(str(estimate.end)),
        bigint(estimate.mean_partition_bytes),
        bigint(estimate.partitions),
    )


def _table_size_row(estimate: SizeEstimate) -> RowValues:
    keyspace, table, *rest = _size_row(estimate)
    return (keyspace, table, text(PRIMARY_RANGE), *rest)


def _compaction_row(compaction: CompactionFacts) -> RowValues:
    merged = [(integer(count), bigint(rows)) for count, rows in compaction.rows_merged]
    return (
        uuid(compaction.id),
        bigint(compaction.bytes_in),
        bigint(compaction.bytes_out),
        text(compaction.table),
        bigint(compaction.compacted_at_ms),
        text_map(()),
        text(compaction.keyspace),
        pack_map(merged),
    )


def _task_row(task: TaskFacts) -> RowValues:
    return (
        text(task.keyspace),
        text(task.table),
        uuid(task.id),
        double(task.bytes_done / max(task.bytes_total, 1)),
        text("compaction"),
        bigint(task.bytes_done),
        integer(task.files),
        None,
        bigint(task.bytes_total),
        bigint(task.bytes_total),
        text("bytes"),
    )


def _cache_row(cache: CacheFacts) -> RowValues:
    """Nobody counts what happened in the last minutes, so the recent rates are null."""
    return (
        text(cache.name),
        bigint(cache.capacity_bytes),
        integer(cache.entries),
        bigint(cache.hits),
        double(_ratio(cache.hits, cache.requests)),
        None,
        None,
        bigint(cache.requests),
        bigint(cache.size_bytes),
    )


def _table_cache_row(table: TableFacts) -> RowValues:
    return (
        text(table.keyspace),
        text(table.table),
        bigint(table.row_cache_hits),
        double(_ratio(table.row_cache_hits, table.row_cache_requests)),
        bigint(table.row_cache_partitions),
        bigint(table.row_cache_requests),
    )


def _disk_row(table: TableFacts) -> RowValues:
    """Whole mebibytes: a table that has anything on the disk has at least one."""
    return text(table.keyspace), text(table.table), bigint(-(-table.file_bytes // MIB))


def _stall_row(stall: StallFacts) -> RowValues:
    return (
        integer(stall.shard),
        text(stall.clock),
        double(stall.longest_s * 1e3),
        text(stall.longest) if stall.turns else None,
        double(stall.total_s * 1e3),
        bigint(stall.turns),
    )


def _ratio(hits: int, requests: int) -> float:
    return hits / requests if requests else 0.0


def _prepared_row(prepared: tuple[bytes, str | None, str]) -> RowValues:
    statement_id, keyspace, query = prepared
    return statement_id, text_or_null(keyspace), text(query)


def _client_row(client: ClientFacts) -> RowValues:
    return (
        inet(client.address),
        integer(client.port),
        text_map(client.options),
        text(client.stage),
        text_or_null(client.driver_name),
        text_or_null(client.driver_version),
        text(client.address),
        text_or_null(client.keyspace),
        integer(client.protocol_version),
        bigint(client.request_count),
        None,
        FALSE,
        None,
        text(client.username),
    )


def _snapshot_row(snapshot: SnapshotFacts) -> RowValues:
    expires_ms = snapshot.expires_ms
    return (
        text(snapshot.tag),
        text(snapshot.keyspace),
        text(snapshot.table),
        bigint(snapshot.created_ms),
        FALSE,
        None if expires_ms is None else bigint(expires_ms),
        bigint(snapshot.bytes),
        bigint(snapshot.own_bytes),
    )


def _setting_row(setting: tuple[str, str]) -> RowValues:
    name, value = setting
    return text(name), text(value)

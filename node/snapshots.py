"""Snapshots of a running node: taken, restored and cleared by shard 0, with the help of all shards.

Each shard flushes and links its own files; shard 0 then writes the manifest, which makes them a
snapshot. What was acknowledged before the snapshot was asked for is in it; of what is written
meanwhile, each table on each shard may have a part. A restore takes each shard's table from what
it held to what the snapshot holds in one step; shards follow one after the other, and a restore
that was interrupted is asked for again.

Before a table's rows or the table itself are removed, a snapshot of it is taken by itself, if the
setting `auto_snapshot` and the table's option say so and there are any rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cluster.errors import ClusterError, TruncateFailed
from cluster.schema_sync import LOG_SHARD
from cql.describe import keyspace_text, table_text, type_text
from cql.schema import SYSTEM_KEYSPACES, put_keyspace, put_table, put_type, sorted_types
from node.all_shards import AllShards, CommandFailed, Request
from node.chosen_tables import chosen_tables
from node.ownership import OwnedKeys
from node.snapshot_files import (
    Snapshot,
    SnapshotError,
    SnapshotFiles,
    SnapshotTable,
    check_tag,
    decode_file,
    encode_file,
)
from storage.errors import StorageError

if TYPE_CHECKING:
    from cluster.deadlines import Deadlines
    from cluster.transport import Siblings
    from cql.schema import Keyspace, Op, Schema, SchemaHolder, Table
    from storage.disk import Disk
    from storage.engine import Engine

KIND_SNAPSHOT: Final = 67
"""The mesh message that asks a shard for its part of a snapshot, or shard 0 for a whole one."""
PART_TIMEOUT_S: Final = 600.0
"""A shard's part begins with a flush, which may have much to write."""
RESTORE_TIMEOUT_S: Final = 7 * 86_400.0
"""Shards may have to rewrite all that the snapshot holds; one that dies answers for itself."""
EXPIRY_LOOK_S: Final = 60

_log = logging.getLogger("pythia.snapshots")

BringBack = Callable[[Sequence["Op"]], Awaitable[None]]
"""Makes the keyspaces, types and tables of operations that are not there."""


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """Whether rows that are removed are kept in a snapshot, and for how long."""

    is_automatic: bool = False
    keep_s: int | None = None


class Snapshots:
    """One shard's part in the snapshots of its node; on shard 0 also the whole."""

    def __init__(
        self,
        shard: int,
        shards: int,
        disk: Disk,
        data_directory: str,
        engine: Engine,
        holder: SchemaHolder,
        siblings: Siblings,
        deadlines: Deadlines,
        settle_batches: Callable[[float], Awaitable[None]],
        next_timestamp_us: Callable[[], int],
        policy: SnapshotPolicy,
    ) -> None:
        self._shard = shard
        self._shards = shards
        self._engine = engine
        self._holder = holder
        self._deadlines = deadlines
        self._settle_batches = settle_batches
        self._next_timestamp_us = next_timestamp_us
        self._policy = policy
        self._turn = asyncio.Lock()
        self._next_look_s = 0
        self.files = SnapshotFiles(disk, data_directory)
        self._everywhere = AllShards(
            shard, shards, siblings, deadlines, KIND_SNAPSHOT, PART_TIMEOUT_S, self._perform
        )

    # The whole, on shard 0.

    async def take(
        self, tag: str, tables: Sequence[Table], ttl_s: int | None = None, *, wants_rows: bool
    ) -> Snapshot | None:
        """Take a snapshot of tables; None if `wants_rows` and none of them has any."""
        assert self._shard == LOG_SHARD, "one shard gives tags, so that each is given once"
        check_tag(tag)
        async with self._turn:
            if await self.files.find(tag) is not None:
                raise SnapshotError(f"there is a snapshot {tag!r} already")
            await self.files.clear(tag)
            created_ms = self._next_timestamp_us() // 1000
            try:
                parts = await self._everywhere.ask(
                    {"do": "link", "tag": tag, "tables": _names(tables)}
                )
                found = _tables_of(tables, parts)
                if wants_rows and not any(table.files for table in found):
                    return None
                expires_ms = None if ttl_s is None else created_ms + ttl_s * 1000
                schema = self._holder.current
                ops = tuple(_ops_for(schema, tables))
                snapshot = Snapshot(tag, created_ms, expires_ms, self._shards, found, ops)
                await self.files.complete(snapshot, _schema_text(schema, tables))
            except (ClusterError, StorageError, CommandFailed):
                with contextlib.suppress(StorageError):
                    await self.files.clear(tag)
                raise
            return snapshot

    async def restore(self, tag: str, names: Sequence[str], bring_back: BringBack) -> list[str]:
        """Let tables hold what the snapshot has of them; gives their names.

        Without `names` (`keyspace` or `keyspace.table`) all tables of the snapshot. One that is not
        there is made again as it was.
        """
        snapshot = await self.files.get(tag)
        tables = _chosen(snapshot, names)
        for table in tables:
            self._check_same(table)
        # The schema has a turn of its own, in which a DROP waits for ours: never hold both.
        await bring_back(_ops_of(snapshot, tables))
        await self._settle_batches(self._deadlines.now() + PART_TIMEOUT_S)
        async with self._turn:
            request = {
                "do": "restore",
                "tag": tag,
                "shards": snapshot.shards,
                "tables": [[table.id, table.full_name, _encode_files(table)] for table in tables],
            }
            if snapshot.shards != self._shards:
                # All refuse, or none: each looks again before it begins a table.
                largest = max((table.bytes for table in tables), default=0)
                await self._everywhere.ask({"do": "look for room", "bytes": largest})
            await self._everywhere.ask(request, RESTORE_TIMEOUT_S)
        return [table.full_name for table in tables]

    async def clear(self, tags: Sequence[str]) -> list[str]:
        """Remove snapshots, all of them if no tag is given; gives their tags."""
        async with self._turn:
            wanted = list(tags) or await self.files.tags()
            for tag in wanted:
                await self.files.get(tag)
            for tag in wanted:
                await self.files.clear(tag)
            return wanted

    def wants_look(self, wall_s: int) -> bool:
        """Whether it is time to look for snapshots that have expired."""
        return self._shard == LOG_SHARD and wall_s >= self._next_look_s

    async def clear_expired(self, wall_s: int) -> None:
        """Remove the snapshots whose time is over."""
        self._next_look_s = wall_s + EXPIRY_LOOK_S
        async with self._turn:
            for tag in await self.files.tags():
                try:
                    expires_ms = (await self.files.get(tag)).expires_ms
                    if expires_ms is not None and expires_ms <= wall_s * 1000:
                        await self.files.clear(tag)
                except (SnapshotError, StorageError) as error:
                    _log.warning("snapshot %s was not looked at: %s", tag, error)

    def select(self, names: Sequence[str]) -> list[Table]:
        """The stored tables that `keyspace` or `keyspace.table` name; without any, the users'."""
        return chosen_tables(self._holder.current, names)

    # Before something is removed, on any shard.

    async def before_truncate(self, table_id: bytes, name: str, deadline: float) -> None:
        """Keep the rows of a table which will be truncated; raises TruncateFailed if it cannot."""
        if not self._policy.is_automatic:
            return
        try:
            request = {"do": "keep", "id": table_id.hex()}
            await self._everywhere.ask_one(LOG_SHARD, request, deadline)
        except (CommandFailed, ClusterError) as error:
            raise TruncateFailed(f"{name}: no snapshot was taken: {error}") from error

    async def before_drop(self, tables: Sequence[Table]) -> None:
        """Keep the rows of tables which will be dropped; on shard 0, where that is decided."""
        for table in tables:
            await self._keep(table, "dropped")

    async def _keep(self, table: Table, reason: str) -> None:
        allowed = table.options.allow_auto_snapshot and table.keyspace not in SYSTEM_KEYSPACES
        if self._policy.is_automatic and allowed:
            now_ms = self._next_timestamp_us() // 1000
            while await self.files.find(tag := f"{reason}-{now_ms}-{table.name}") is not None:
                now_ms += 1
            await self.take(tag, [table], self._policy.keep_s, wants_rows=True)

    # One shard's part.

    async def _perform(self, request: Request) -> Any:
        if request["do"] == "keep":
            await self._keep_by_id(bytes.fromhex(request["id"]))
            return None
        if request["do"] == "look for room":
            self._engine.refuse_without_room(request["bytes"], self._shards)
            return None
        if request["do"] == "link":
            return await self._link(request)
        await self._restore(request)
        return None

    async def _keep_by_id(self, table_id: bytes) -> None:
        for table in self._holder.current.tables():
            if table.id.bytes == table_id:
                await self._keep(table, "truncated")

    async def _link(self, request: dict[str, Any]) -> list[list[Any]]:
        """The files of each table, linked."""
        linked = []
        for table_id, full_name in request["tables"]:
            directory = self.files.table_directory(request["tag"], self._shard, full_name, table_id)
            files = await self._engine.link_files(bytes.fromhex(table_id), directory)
            linked.append([encode_file(file) for file in files])
        return linked

    async def _restore(self, request: dict[str, Any]) -> None:
        for table_id, full_name, files in request["tables"]:
            if request["shards"] != self._shards:
                await self._restore_shares(request["tag"], table_id, full_name, files)
                continue
            directory = self.files.table_directory(request["tag"], self._shard, full_name, table_id)
            mine = [decode_file(file) for file in files.get(str(self._shard), ())]
            await self._engine.restore_files(bytes.fromhex(table_id), directory, mine)

    async def _restore_shares(
        self, tag: str, table_id: str, full_name: str, files: dict[str, list[list[Any]]]
    ) -> None:
        """A table of a snapshot by another number of shards: what is ours now of all its files."""
        shares = [
            (
                self.files.table_directory(tag, int(shard), full_name, table_id),
                [decode_file(file) for file in of_shard],
            )
            for shard, of_shard in sorted(files.items())
        ]
        ours = OwnedKeys(self._shard, self._shards)
        await self._engine.restore_shares(bytes.fromhex(table_id), shares, ours)

    def _check_same(self, table: SnapshotTable) -> None:
        present = self._holder.current.find_table(table.keyspace, table.name)
        if present is not None and present.id.hex != table.id:
            raise SnapshotError(
                f"table {table.full_name} was made anew since the snapshot; drop it first, then "
                "it is restored with its schema"
            )


def _names(tables: Sequence[Table]) -> list[list[str]]:
    return [[table.id.hex, table.full_name] for table in tables]


def _tables_of(tables: Sequence[Table], parts: list[Any]) -> tuple[SnapshotTable, ...]:
    """The tables with what each shard says that it has linked of them, in the same order."""
    found = []
    for place, table in enumerate(tables):
        linked = {shard: list(map(decode_file, part[place])) for shard, part in enumerate(parts)}
        files = {shard: files for shard, files in linked.items() if files}
        found.append(SnapshotTable(table.keyspace, table.name, table.id.hex, files))
    return tuple(found)


def _encode_files(table: SnapshotTable) -> dict[str, list[list[Any]]]:
    return {str(shard): [encode_file(f) for f in files] for shard, files in table.files.items()}


def _chosen(snapshot: Snapshot, names: Sequence[str]) -> list[SnapshotTable]:
    for name in names:
        if all(name not in (table.keyspace, table.full_name) for table in snapshot.tables):
            raise SnapshotError(f"snapshot {snapshot.tag!r} has nothing of {name!r}")
    return [
        table
        for table in snapshot.tables
        if not names or table.keyspace in names or table.full_name in names
    ]


def _users_keyspaces(schema: Schema, tables: Sequence[Table]) -> list[Keyspace]:
    names = {table.keyspace for table in tables} - SYSTEM_KEYSPACES
    return [schema.keyspaces[name] for name in sorted(names)]


def _ops_for(schema: Schema, tables: Sequence[Table]) -> list[Op]:
    """The operations that make the tables and what they need."""
    ops: list[Op] = []
    for keyspace in _users_keyspaces(schema, tables):
        ops.append(put_keyspace(keyspace))
        ops += [put_type(user_type) for user_type in sorted_types(keyspace)]
        ops += [put_table(table) for table in tables if table.keyspace == keyspace.name]
    return ops


def _ops_of(snapshot: Snapshot, tables: Sequence[SnapshotTable]) -> list[Op]:
    """Those of the snapshot's operations that some of its tables need."""
    keyspaces = {table.keyspace for table in tables}
    ids = {(table.keyspace, table.name) for table in tables}
    return [
        op
        for op in snapshot.ops
        if (op["do"] == "put keyspace" and op["name"] in keyspaces)
        or (op["do"] == "put type" and op["keyspace"] in keyspaces)
        or (op["do"] == "put table" and (op["keyspace"], op["name"]) in ids)
    ]


def _schema_text(schema: Schema, tables: Sequence[Table]) -> str:
    """The same as CQL."""
    texts: list[str] = []
    for keyspace in _users_keyspaces(schema, tables):
        texts.append(keyspace_text(keyspace))
        texts += [type_text(user_type) for user_type in sorted_types(keyspace)]
        texts += [table_text(t, True) for t in tables if t.keyspace == keyspace.name]
    return "\n\n".join(texts) + "\n"

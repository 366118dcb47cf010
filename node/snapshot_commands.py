"""What the operator's snapshot commands do on a running node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from node.snapshot_files import Snapshot, SnapshotError, SnapshotFiles

if TYPE_CHECKING:
    from node.admin import Arguments, Command, Row
    from node.schema_service import SchemaService
    from node.snapshots import Snapshots


class SnapshotCommands:
    """Shard 0's answers to `pythia snapshot`."""

    def __init__(self, snapshots: Snapshots, schema: SchemaService) -> None:
        self._snapshots = snapshots
        self._schema = schema

    def commands(self) -> Mapping[str, Command]:
        """By name, as the admin socket wants them."""
        return {
            "snapshot take": self._take,
            "snapshot list": self._list,
            "snapshot clear": self._clear,
            "snapshot restore": self._restore,
        }

    async def _take(self, arguments: Arguments) -> AsyncIterator[Row]:
        tables = self._snapshots.select(_texts(arguments, "names"))
        if not tables:
            raise SnapshotError("there are no tables")
        ttl_s = arguments.get("ttl_s")
        taken = await self._snapshots.take(str(arguments["tag"]), tables, ttl_s, wants_rows=False)
        assert taken is not None, "an empty snapshot was allowed"
        for row in rows_of(self._snapshots.files, taken):
            yield row

    async def _list(self, _arguments: Arguments) -> AsyncIterator[Row]:
        for snapshot in await self._snapshots.files.all():
            for row in rows_of(self._snapshots.files, snapshot):
                yield row

    async def _clear(self, arguments: Arguments) -> AsyncIterator[Row]:
        for tag in await self._snapshots.clear(_texts(arguments, "tags")):
            yield {"tag": tag}

    async def _restore(self, arguments: Arguments) -> AsyncIterator[Row]:
        tag = str(arguments["tag"])
        names = _texts(arguments, "names")
        for name in await self._snapshots.restore(tag, names, self._schema.bring_back):
            yield {"tag": tag, "table": name}


def rows_of(files: SnapshotFiles, snapshot: Snapshot) -> list[dict[str, Any]]:
    """One row for each table of a snapshot, as `pythia snapshot list` shows them."""
    return [
        {
            "tag": snapshot.tag,
            "keyspace": table.keyspace,
            "table": table.name,
            "own_bytes": files.own_bytes(snapshot, table),
            "bytes": table.bytes,
            "files": sum(map(len, table.files.values())),
            "created_ms": snapshot.created_ms,
            "expires_ms": snapshot.expires_ms,
        }
        for table in snapshot.tables
    ]


def _texts(arguments: Arguments, name: str) -> list[str]:
    return [str(text) for text in arguments.get(name, ())]

"""The table that an SSTable belongs to, from the schema beside it; works while the node runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cluster.schema_log import read_entries
from cql.schema import Schema
from cql.system.tables import system_keyspaces
from node.schema_service import schema_of
from node.snapshot_files import MANIFEST, read_manifest

if TYPE_CHECKING:
    from cql.schema import Table
    from storage.disk import Disk


async def find_table(disk: Disk, path: Path, table_id: bytes, given: Path | None) -> Table | None:
    """The table with this id, of the schema in `given` or above the file; None if not found.

    A schema is a data directory's, or a snapshot's: its directory or its manifest.
    """
    places = [given] if given is not None else list(path.resolve().parents)
    for place in places:
        directory = place.parent if place.name == MANIFEST else place
        schema = await _schema_in(disk, directory)
        if schema is not None:
            return next((t for t in schema.tables() if t.id.bytes == table_id), None)
    return None


async def _schema_in(disk: Disk, directory: Path) -> Schema | None:
    base = Schema(system_keyspaces())
    if (directory / MANIFEST).is_file():
        snapshot = await read_manifest(disk, str(directory / MANIFEST))
        return None if snapshot is None else base.apply(snapshot.ops)
    if (directory / "schema").is_dir() and (directory / "node.json").is_file():
        return schema_of(base, await read_entries(disk, f"{directory}/schema"))
    return None

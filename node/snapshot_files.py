"""Snapshots on the disk: their manifests, what they hold, and how they go.

    snapshots/TAG/manifest.json                    what is in it; without it, it is no snapshot
    snapshots/TAG/schema.cql                       the keyspaces, types and tables as CQL
    snapshots/TAG/shard-N/KEYSPACE.TABLE-ID/*.sst  hard links to SSTables

The manifest is written last and removed first. So a crash leaves a snapshot whole, or a directory
which is not listed and goes when its tag is used again or cleared. Nothing here needs a node: the
operator's tool reads and clears the snapshots of a stopped one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from node.all_shards import CommandFailed
from storage.checksum import crc32c
from storage.disk import OpenMode
from storage.errors import DiskError, FileMissing
from storage.snapshot import SnapshotFile

if TYPE_CHECKING:
    from cql.schema import Op
    from storage.disk import Disk

DIRECTORY: Final = "snapshots"
MANIFEST: Final = "manifest.json"
SCHEMA: Final = "schema.cql"
FORMAT: Final = 1
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,199}\Z")


class SnapshotError(CommandFailed):
    """A snapshot cannot be taken, found or used; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class SnapshotTable:
    """One table of a snapshot: its files by shard."""

    keyspace: str
    name: str
    id: str
    """32 hex digits"""

    files: dict[int, list[SnapshotFile]]

    @property
    def full_name(self) -> str:
        """`keyspace.table`"""
        return f"{self.keyspace}.{self.name}"

    @property
    def bytes(self) -> int:
        """The length of all its files."""
        return sum(file.size for files in self.files.values() for file in files)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a manifest says."""

    tag: str
    created_ms: int
    expires_ms: int | None
    shards: int
    tables: tuple[SnapshotTable, ...]
    ops: tuple[Op, ...]
    """The operations that make these tables, with their ids, and what they need, from nothing."""


class SnapshotFiles:
    """The snapshots of one data directory."""

    def __init__(self, disk: Disk, data_directory: str) -> None:
        self._disk = disk
        self._data = data_directory
        self._directory = f"{data_directory}/{DIRECTORY}"

    def table_directory(self, tag: str, shard: int, full_name: str, table_id: str) -> str:
        """Where one shard's files of one table are."""
        return f"{self._directory}/{tag}/shard-{shard}/{full_name}-{table_id}"

    async def tags(self) -> list[str]:
        """The tags of all snapshots, in the order of their names."""
        return [
            tag
            for tag in await self._list(self._directory)
            if MANIFEST in await self._list(f"{self._directory}/{tag}")
        ]

    async def find(self, tag: str) -> Snapshot | None:
        """The snapshot with this tag; SnapshotError if its manifest is damaged."""
        check_tag(tag)
        return await read_manifest(self._disk, f"{self._directory}/{tag}/{MANIFEST}")

    async def get(self, tag: str) -> Snapshot:
        """The snapshot with this tag; SnapshotError if there is none."""
        found = await self.find(tag)
        if found is None:
            raise SnapshotError(f"there is no snapshot {tag!r}")
        return found

    async def all(self) -> list[Snapshot]:
        """All snapshots, oldest first."""
        found = [await self.get(tag) for tag in await self.tags()]
        return sorted(found, key=lambda snapshot: (snapshot.created_ms, snapshot.tag))

    def own_bytes(self, snapshot: Snapshot, table: SnapshotTable) -> int:
        """The length of those of a table's files that have no other name any more."""
        size = 0
        for shard, files in table.files.items():
            directory = self.table_directory(snapshot.tag, shard, table.full_name, table.id)
            for file in files:
                with contextlib.suppress(OSError):
                    if os.stat(f"{directory}/{file.name}").st_nlink == 1:
                        size += file.size
        return size

    async def complete(self, snapshot: Snapshot, schema_text: str) -> None:
        """Let a snapshot be one whose files are linked; it is durable on return."""
        directory = f"{self._directory}/{snapshot.tag}"
        await self._disk.make_directory(directory)
        await self._write(f"{directory}/{SCHEMA}", schema_text.encode())
        await self._write(f"{directory}/{MANIFEST}.new", _encode(snapshot))
        await self._disk.sync_directory(directory)
        await self._disk.rename(f"{directory}/{MANIFEST}.new", f"{directory}/{MANIFEST}")
        await self._disk.sync_directory(directory)
        await self._disk.sync_directory(self._directory)

    async def clear(self, tag: str) -> None:
        """Remove a snapshot, or what is left of one that was not completed."""
        check_tag(tag)
        directory = f"{self._directory}/{tag}"
        names = await self._list(directory)
        if MANIFEST in names:
            await self._disk.remove(f"{directory}/{MANIFEST}")
            await self._disk.sync_directory(directory)
            names.remove(MANIFEST)
        for name in names:
            path = f"{directory}/{name}"
            for table in await self._list(path):
                for file in await self._list(f"{path}/{table}"):
                    await self._disk.remove(f"{path}/{table}/{file}")
                await self._disk.sync_directory(f"{path}/{table}")
                await self._disk.remove(f"{path}/{table}")
            await self._disk.remove(path)
        with contextlib.suppress(FileMissing):
            await self._disk.sync_directory(directory)
            await self._disk.remove(directory)
            await self._disk.sync_directory(self._directory)

    async def _list(self, directory: str) -> list[str]:
        """The names in a directory; none if there is no such directory."""
        try:
            return await self._disk.list(directory)
        except DiskError:
            return []

    async def _write(self, path: str, content: bytes) -> None:
        with contextlib.suppress(FileMissing):
            await self._disk.remove(path)
        file = await self._disk.open(path, OpenMode.CREATE)
        try:
            await file.write(0, content)
            await file.sync()
        finally:
            await file.close()


async def read_manifest(disk: Disk, path: str) -> Snapshot | None:
    """What a manifest says; None if there is none, SnapshotError if it is damaged."""
    try:
        size = await disk.size(path)
        file = await disk.open(path, OpenMode.READ)
    except FileMissing:
        return None
    try:
        return _decode(await file.read(0, size), path)
    finally:
        await file.close()


def check_tag(tag: str) -> None:
    """Refuse what cannot be a directory's name."""
    if not _TAG.match(tag):
        raise SnapshotError(
            f"{tag!r} cannot be a tag: letters, digits and _ . : @ + - are, up to 200 of them, "
            "beginning with a letter, a digit or _"
        )


def _encode(snapshot: Snapshot) -> bytes:
    """The manifest, and a last line with its checksum."""
    content = {
        "format": FORMAT,
        "tag": snapshot.tag,
        "created_ms": snapshot.created_ms,
        "expires_ms": snapshot.expires_ms,
        "shards": snapshot.shards,
        "tables": [_table_fields(table) for table in snapshot.tables],
        "schema": list(snapshot.ops),
    }
    text = json.dumps(content, indent=1).encode() + b"\n"
    return text + b"crc32c %08x\n" % crc32c(text)


def _table_fields(table: SnapshotTable) -> dict[str, Any]:
    files = {
        str(shard): [encode_file(file) for file in files] for shard, files in table.files.items()
    }
    return {"keyspace": table.keyspace, "name": table.name, "id": table.id, "files": files}


def _decode(data: bytes, path: str) -> Snapshot:
    text, _, last = data.removesuffix(b"\n").rpartition(b"\n")
    if last != b"crc32c %08x" % crc32c(text + b"\n"):
        raise SnapshotError(f"{path} is damaged: its checksum is wrong")
    content = json.loads(text)
    if content["format"] != FORMAT:
        raise SnapshotError(f"{path} has format {content['format']}, this version knows {FORMAT}")
    tables = []
    for fields in content["tables"]:
        files = {
            int(shard): [decode_file(file) for file in files]
            for shard, files in fields["files"].items()
        }
        tables.append(SnapshotTable(fields["keyspace"], fields["name"], fields["id"], files))
    return Snapshot(
        content["tag"],
        content["created_ms"],
        content["expires_ms"],
        content["shards"],
        tuple(tables),
        tuple(content["schema"]),
    )


def encode_file(file: SnapshotFile) -> list[Any]:
    """A file as JSON has it: number, size, level, identity."""
    return [file.number, file.size, file.level, file.identity.hex()]


def decode_file(fields: list[Any]) -> SnapshotFile:
    """The inverse of `encode_file`."""
    number, size, level, identity = fields
    return SnapshotFile(number, size, level, bytes.fromhex(identity))

"""A table made of a snapshot that was taken with another number of shards.

Each shard reads the files of all shards of the snapshot, and writes the partitions that it owns now
into files of its own, as re-sharding would. Then these take the place of what the table held, in
one step: a crash leaves the old content or the new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from storage.compaction.outputs import Outputs
from storage.compaction.run import SortedRun
from storage.errors import CorruptFile, RestoreRefused
from storage.io_queue import IoClass
from storage.snapshot import SnapshotFile
from storage.split_groups import Group, Part, groups_of
from storage.split_merge import chains_for, let_go, merge_chains
from storage.sstable.output import SSTableOutput
from storage.sstable.reader import SSTable, open_sstable
from storage.store import Store
from storage.table import Table
from storage.upkeep import Upkeep

MIB: Final = 1 << 20
SPARE_PART: Final = 20
"""New files may be a 20th larger than the old ones: other files are merged, in other stretches."""

Shares = Sequence[tuple[str, Sequence[SnapshotFile]]]
"""For each shard of the snapshot, the directory of the table's files and these."""


class Ownership(Protocol):
    """Which keys are ours, of how many shards."""

    @property
    def shards(self) -> int:
        """How many shards there are."""

    def is_mine(self, key: bytes) -> bool:
        """Whether the partition of `key` is ours."""

    def until(self, key: bytes) -> bytes:
        """The first key above that may have another owner than `key` has."""


async def restore_shares(
    store: Store, upkeep: Upkeep, table: Table, shares: Shares, ours: Ownership
) -> None:
    """Let the table hold exactly what is ours of the snapshot, and what is applied from now on.

    Changes nothing and raises `CorruptFile` if a file is damaged or not what the snapshot says,
    `RestoreRefused` if there is no room for the new files beside the old ones.
    """
    size = sum(file.size for _, files in shares for file in files)
    room = refuse_without_room(store, size, ours.shards)
    store.volume.reserve(room)
    try:
        await _restore(store, upkeep, table, shares, ours)
    finally:
        store.volume.free(room)


def refuse_without_room(store: Store, size: int, shards: int) -> int:
    """What a shard's part of so large a snapshot takes; `RestoreRefused` if that is not free.

    Shards have about equal parts; one that owns much more may still find the disk full.
    """
    part = -(-size // shards)
    room = part + part // SPARE_PART
    if not store.volume.fits(room):
        left = max(store.volume.bytes_left, 0)
        raise RestoreRefused(
            f"a shard's part of the snapshot needs {-(-room // MIB)} MiB beside what is there, and "
            f"may take {left // MIB} MiB; nothing was changed, make room"
        )
    return room


async def _restore(
    store: Store, upkeep: Upkeep, table: Table, shares: Shares, ours: Ownership
) -> None:
    parts = [
        [await _part(store, table, directory, file) for file in files]
        for directory, files in shares
    ]
    written: list[SSTable] = []
    try:
        for group in groups_of(table.layout.compaction, parts, ours.shards):
            written += await _write(store, table, group, ours)
    except Exception:
        await store.retire(written)
        raise
    store.points.reach("restore.split")
    async with table.change:
        await upkeep.replace_all(table, written)


async def _part(store: Store, table: Table, directory: str, file: SnapshotFile) -> Part:
    """What is known of a file of the snapshot, which is closed again."""
    path = f"{directory}/{file.name}"
    table_id = table.layout.table_id
    opened = await open_sstable(store.disk, path, table_id, file.number, file.level)
    try:
        if (opened.footer.identity, opened.file_bytes) != (file.identity, file.size):
            raise CorruptFile(path, 0, "this is not the file which the snapshot's manifest names")
        return Part(path, table_id, SortedRun.of(opened))
    finally:
        await let_go(opened)


async def _write(store: Store, table: Table, group: Group, ours: Ownership) -> list[SSTable]:
    """What is ours of a group of files, in files on the group's level."""

    async def create(expected: int) -> SSTableOutput:
        return await store.new_sstable(table, expected, IoClass.STREAMING)

    parts = [part for chain in group.chains for part in chain]
    expected = sum(part.run.partitions for part in parts) // ours.shards + 1
    outputs = Outputs(group.choice, create, expected, group.target_bytes)
    chains = chains_for(store.disk, group, store.load_for_warming)
    try:
        for chain in chains:
            await chain.begin()
        await merge_chains(chains, _Mine(outputs, ours))
        written = await outputs.finish()
    except Exception:
        await store.retire(await outputs.abandon())
        raise
    finally:
        for chain in chains:
            await chain.close()
    for file in written:
        file.level = group.choice.level
    return written


class _Mine:
    """Leaves out what belongs to others."""

    def __init__(self, outputs: Outputs, ours: Ownership) -> None:
        self._outputs = outputs
        self._ours = ours
        self.limit = b""

    def is_mine(self, key: bytes) -> bool:
        """See `Router`."""
        return self._ours.is_mine(key)

    async def output_for(self, key: bytes) -> SSTableOutput:
        """See `Router`."""
        output = await self._outputs.output_for(key)
        self.limit = min(self._ours.until(key), self._outputs.limit)
        return output

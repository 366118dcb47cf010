"""The SSTables of some shards rewritten as those of others: each partition goes to its new owner.

Requires: nobody else touches the sources, and all that they hold is in SSTables; the directories
of the targets are new.

Promises: each partition is written once, with all its rows and tombstones, and nothing is purged.
The sources are only read. A target has no manifest until `finish` has written it, so nothing can
take one that is not whole for a shard.

Files that compaction keeps apart stay apart: see `storage.split_groups`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from storage.compaction.outputs import Outputs
from storage.compaction.run import SortedRun
from storage.disk import Disk
from storage.io_queue import IoClass, IoQueue
from storage.layout import Layout
from storage.manifest import LiveSSTable, Manifest, key_head
from storage.points import NO_POINTS, Points
from storage.split_groups import Group, Part, groups_of
from storage.split_merge import chains_for, let_go, merge_chains
from storage.sstable.fetch import Fetch
from storage.sstable.output import SSTableOutput, Turns, file_name
from storage.sstable.reader import Parsed, SSTable, open_sstable
from storage.store import IDENTITY_BYTES, TABLES_DIRECTORY, table_directory

CALLS_MAX: Final = 16
CALLS_BYTES_MAX: Final = 16 * 1024 * 1024
PARTITIONS_SPARE: Final = 1.1
"""Targets do not get exactly equal numbers of partitions; filters are made for some more."""


class Split:
    """Rewrites table by table; `done_bytes` of `total_bytes` have been read."""

    def __init__(
        self,
        disk: Disk,
        sources: Sequence[str],
        targets: Sequence[str],
        owner_of: Callable[[bytes], int],
        random: Random,
        points: Points = NO_POINTS,
        wall_s: int = 0,
        owned_until: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """`owner_of` gives for a key the number of its target; the new files are from `wall_s`.

        `owned_until`, if given, says up to which key all belong to the same owner.
        """
        self._disk = disk
        self._owner_of = owner_of
        self._owned_until = owned_until or _next_key
        self._points = points
        self._sources = [(source, Manifest(disk, source, points)) for source in sources]
        turns = Turns(IoQueue(CALLS_MAX, CALLS_BYTES_MAX), IoClass.STREAMING)
        self._targets = [_Target(disk, turns, path, random, points, wall_s) for path in targets]
        self._layouts: Sequence[Layout] = ()
        self.total_bytes = 0
        self.done_bytes = 0
        self.files = 0

    async def open(self, layouts: Sequence[Layout]) -> None:
        """See what there is to do."""
        self._layouts = layouts
        tables = {layout.table_id for layout in layouts}
        for _, manifest in self._sources:
            await manifest.load()
            for target in self._targets:
                target.obeys(manifest.state.schema_number)
            live = [file for file in manifest.state.sstables if file.table_id in tables]
            self.total_bytes += sum(file.size for file in live)
            self.files += len(live)

    async def run(self) -> None:
        """Write everything; raises `CorruptFile` if that cannot be all."""
        for target in self._targets:
            await self._disk.make_directory(target.tables)
        for layout in self._layouts:
            parts = [await self._parts(*source, layout) for source in self._sources]
            for group in groups_of(layout.compaction, parts, len(self._targets)):
                await self._rewrite(layout, group)

    async def finish(self) -> None:
        """Make the targets whole and durable."""
        for target in self._targets:
            await target.finish()
            self._points.reach("split.target")
        self.done_bytes = self.total_bytes

    async def _parts(self, source: str, manifest: Manifest, layout: Layout) -> list[Part]:
        """What is known of the files of one table in one source, which are closed again."""
        parts = []
        directory = table_directory(f"{source}/{TABLES_DIRECTORY}", layout)
        for live in manifest.sstables_of(layout.table_id):
            path = f"{directory}/{file_name(live.number)}"
            opened = await open_sstable(self._disk, path, live.table_id, live.number, live.level)
            parts.append(Part(path, live.table_id, SortedRun.of(opened)))
            await let_go(opened)
        return parts

    async def _rewrite(self, layout: Layout, group: Group) -> None:
        parts = [part for chain in group.chains for part in chain]
        expected = sum(part.run.partitions for part in parts) / len(self._targets)
        size = sum(part.run.file_bytes for part in parts)
        router = _Router(
            self._owner_of,
            self._owned_until,
            [
                _TargetOutputs(target, layout, group, int(expected * PARTITIONS_SPARE) + 1)
                for target in self._targets
            ],
        )
        chains = chains_for(self._disk, group, self._load)
        before = self.done_bytes
        try:
            for chain in chains:
                await chain.begin()
            await merge_chains(chains, router)
            await router.finish()
        except Exception:
            await router.abandon()
            raise
        finally:
            for chain in chains:
                await chain.close()
        self.done_bytes = before + size
        self._points.reach("split.group")

    async def _load(self, fetch: Fetch) -> list[Parsed]:
        self.done_bytes += fetch.bytes
        return await fetch.table.fetch(fetch)


def _next_key(key: bytes) -> bytes:
    """Of the key above, nobody knows whose it is."""
    return key + b"\0"


class _Target:
    """The directory of one new shard."""

    def __init__(
        self,
        disk: Disk,
        turns: Turns,
        directory: str,
        random: Random,
        points: Points,
        wall_s: int,
    ) -> None:
        self._disk = disk
        self._turns = turns
        self._random = random
        self._points = points
        self._wall_s = wall_s
        self._manifest = Manifest(disk, directory, points)
        self._files: list[LiveSSTable] = []
        self._has_directory: set[bytes] = set()
        self.tables = f"{directory}/{TABLES_DIRECTORY}"

    def obeys(self, schema_number: int) -> None:
        """What comes here was written under this entry of the schema log, or an earlier one."""
        self._manifest.schema_number = max(self._manifest.schema_number, schema_number)

    async def create(self, layout: Layout, partitions_expected: int) -> SSTableOutput:
        """Begin a file of a table."""
        directory = table_directory(self.tables, layout)
        if layout.table_id not in self._has_directory:
            await self._disk.make_directory(directory)
            self._has_directory.add(layout.table_id)
        return await SSTableOutput.create(
            self._disk,
            self._turns,
            directory,
            layout,
            self._manifest.take_number(),
            self._random.randbytes(IDENTITY_BYTES),
            partitions_expected,
            self._points,
            self._wall_s,
        )

    async def take(self, layout: Layout, written: Sequence[SSTable], level: int) -> None:
        """Keep durable files for the manifest."""
        for file in written:
            self._files.append(
                LiveSSTable(
                    layout.table_id,
                    file.generation,
                    file.file_bytes,
                    level,
                    key_head(file.statistics.first_key),
                    key_head(file.statistics.last_key),
                )
            )
            await let_go(file)

    async def finish(self) -> None:
        """Write the manifest."""
        await self._manifest.change(add=self._files)


class _TargetOutputs:
    """What one group of files becomes in one target."""

    def __init__(self, target: _Target, layout: Layout, group: Group, expected: int) -> None:
        async def create(partitions: int) -> SSTableOutput:
            return await target.create(layout, partitions)

        self._target = target
        self._layout = layout
        self._level = group.choice.level
        self._outputs = Outputs(group.choice, create, expected, group.target_bytes)
        self._current: SSTableOutput | None = None

    async def output_for(self, key: bytes) -> SSTableOutput:
        """The file for the partition of `key`."""
        output = await self._outputs.output_for(key)
        if output is not self._current:
            # Files that are ended are closed at once: there may be more than may be open.
            await self._target.take(self._layout, self._outputs.take_written(), self._level)
            self._current = output
        return output

    @property
    def limit(self) -> bytes:
        """The first key that does not belong into the file which `output_for` gave last."""
        return self._outputs.limit

    async def finish(self) -> None:
        """End the last file."""
        await self._target.take(self._layout, await self._outputs.finish(), self._level)

    async def abandon(self) -> None:
        """Give up."""
        for file in await self._outputs.abandon():
            await let_go(file)


class _Router:
    """Sends each partition to the outputs of its owner."""

    def __init__(
        self,
        owner_of: Callable[[bytes], int],
        owned_until: Callable[[bytes], bytes],
        outputs: Sequence[_TargetOutputs],
    ) -> None:
        self._owner_of = owner_of
        self._owned_until = owned_until
        self.limit = b""
        """The first key that may not belong into the output which `output_for` gave last."""
        self._outputs = outputs
        self._owner = -1
        self._current: SSTableOutput | None = None

    def is_mine(self, key: bytes) -> bool:
        """Every key has an owner among the targets."""
        return True

    async def output_for(self, key: bytes) -> SSTableOutput:
        """The file for the partition of `key`."""
        owner = self._owner_of(key)
        if owner != self._owner:
            # What waits in an output is bounded although each has its turn only now and then.
            if self._current is not None and self._current.is_drain_due:
                await self._current.drain()
            self._owner = owner
        outputs = self._outputs[owner]
        self._current = await outputs.output_for(key)
        self.limit = min(self._owned_until(key), outputs.limit)
        return self._current

    async def finish(self) -> None:
        """End all files."""
        for outputs in self._outputs:
            await outputs.finish()

    async def abandon(self) -> None:
        """Give up."""
        for outputs in self._outputs:
            await outputs.abandon()

"""Files of several shards merged partition by partition, each for the shard that owns it now.

Plain partitions go from block to block, a stretch of keys with one owner at a time; the others
through the whole merge. Nothing is purged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from storage.compaction.rewrite import write_partition
from storage.disk import Disk
from storage.merge import Chunk, CompactionMerge, Head
from storage.pace import Pace
from storage.row import NO_DELETION
from storage.split_groups import Group, Part
from storage.sstable import splice
from storage.sstable.fetch import Fetch
from storage.sstable.output import SSTableOutput
from storage.sstable.reader import NO_KEY, Parsed, SSTable, open_sstable
from storage.sstable.runs import Scan
from storage.sstable.splice import Lane, Splice

READ_AHEAD_BYTES_MAX: Final = 512 * 1024
READ_AHEAD_BYTES_MIN: Final = 32 * 1024
READ_AHEAD_TOTAL_BYTES: Final = 16 * 1024 * 1024
"""Divided among the files that are read at once."""
GOES_ON: Final = (splice.PAUSED, splice.LIMIT, splice.FULL)
"""Why a splice stops and may go on with the blocks that it has."""

Load = Callable[[Fetch], Awaitable[list[Parsed]]]


class Router(Protocol):
    """Where partitions go."""

    limit: bytes
    """The first key that may not belong into the output which `output_for` gave last."""

    def is_mine(self, key: bytes) -> bool:
        """Whether the partition of `key` is wanted."""

    async def output_for(self, key: bytes) -> SSTableOutput:
        """The file for the partition of `key`, which is wanted."""


def chains_for(disk: Disk, group: Group, load: Load) -> list[Chain]:
    """The chains of a group, which have not begun."""
    ahead = READ_AHEAD_TOTAL_BYTES // max(len(group.chains), 1)
    ahead = max(READ_AHEAD_BYTES_MIN, min(READ_AHEAD_BYTES_MAX, ahead))
    return [Chain(disk, chain, load, ahead) for chain in group.chains]


async def merge_chains(chains: Sequence[Chain], router: Router) -> None:
    """Write all partitions of the chains, which have begun.

    Plain ones go from block to block, a stretch of one owner at a time; no time has come, so
    nothing is due for purging.
    """
    merge = CompactionMerge(0, 0, None, False)
    pace = Pace()
    while going := [chain for chain in chains if await chain.skip_others(router.is_mine)]:
        quick = Splice([chain.lane for chain in going], 0, 0, None, _keep)
        output = await router.output_for(min(chain.key for chain in going if chain.key is not None))
        while (reason := quick.run(output.writer.sink, router.limit, pace.run_bytes)) in GOES_ON:
            assert quick.key is not None, "there is another partition"
            if reason == splice.LIMIT:
                if not router.is_mine(quick.key):
                    break
                output = await router.output_for(quick.key)
            elif reason == splice.FULL:
                output.writer.put_block(output.writer.take_block())
            if pace.spend(quick.spent):
                await output.drain()
                await pace.rest()
        if reason == splice.EMPTY:
            for chain in going:
                if chain.is_used_up:
                    await chain.skip()
        elif reason == splice.OTHER:
            key = quick.key
            assert key is not None, "there is another partition"
            at_hand = [chain for chain in going if chain.key == key]
            merge.begin(key, [chain.head for chain in at_hand])
            await write_partition(key, at_hand, merge, output, pace)
            for chain in at_hand:
                if not chain.skip_now():
                    await chain.skip()
        if pace.spend(quick.spent):
            await output.drain()
            await pace.rest()


def _keep(key: bytes) -> int:
    """Nothing of any key is purged."""
    return NO_DELETION


class Chain:
    """Files whose keys follow each other, read one after the other as if they were one `Scan`."""

    def __init__(
        self,
        disk: Disk,
        parts: Sequence[Part],
        load: Callable[[Fetch], Awaitable[list[Parsed]]],
        ahead_bytes: int,
    ) -> None:
        self._disk = disk
        self._left = list(reversed(parts))
        self._load = load
        self._ahead_bytes = ahead_bytes
        self._table: SSTable | None = None
        self._scan: Scan | None = None

    @property
    def key(self) -> bytes | None:
        """The partition at hand; None at the end."""
        return None if self._scan is None else self._scan.key

    @property
    def lane(self) -> Lane:
        """The sections at hand, for `storage.sstable.splice`."""
        assert self._scan is not None, "a partition is at hand"
        return self._scan.lane

    @property
    def is_used_up(self) -> bool:
        """Whether the next block is needed."""
        return self._scan is not None and self._scan.lane.is_used_up

    @property
    def head(self) -> Head:
        """The head of the partition at hand."""
        assert self._scan is not None, "a partition is at hand"
        return self._scan.head

    async def begin(self) -> None:
        """Go to the first partition of the first file that is left and has one."""
        while self.key is None and self._left:
            await self.close()
            part = self._left.pop()
            run = part.run
            self._table = await open_sstable(
                self._disk, part.path, part.table_id, run.generation, run.level
            )
            self._scan = Scan(self._table, (b"", NO_KEY), self._load, self._ahead_bytes)
            await self._scan.begin(b"")

    async def skip_others(self, is_mine: Callable[[bytes], bool]) -> bool:
        """Go on to the next partition that is wanted, if it is not at hand; false at the end."""
        while self.key is not None and not is_mine(self.key):
            if not self.skip_now():
                await self.skip()
        return self.key is not None

    def skip_now(self) -> bool:
        """See `Scan`."""
        return self._scan is not None and self._scan.skip_now()

    async def skip(self) -> None:
        """Go on to the next partition."""
        if self._scan is not None:
            await self._scan.skip()
        await self.begin()

    def chunk_at(self, position: bytes, reverse: bool) -> Chunk | Awaitable[Chunk]:
        """See `Scan`."""
        assert self._scan is not None, "a partition is at hand"
        return self._scan.chunk_at(position, reverse)

    async def close(self) -> None:
        """Close the file that is read."""
        table, self._table, self._scan = self._table, None, None
        if table is not None:
            await let_go(table)


async def let_go(file: SSTable) -> None:
    """One user fewer; the last one closes the file."""
    if file.release():
        await file.close()

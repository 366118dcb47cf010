"""The files which one compaction writes, one after the other, cut by size or at given keys."""

from bisect import bisect_right
from collections.abc import Awaitable, Callable
from typing import Final

from storage.compaction.run import Choice
from storage.sstable.output import SSTableOutput
from storage.sstable.reader import NO_KEY, SSTable

PART_MIN: Final = 1 / 16
"""A filter is made for at least this part of all partitions, however small the files."""


class Outputs:
    """Takes partitions in order. Until `finish` has returned, nothing refers to the files."""

    __slots__ = ("_choice", "_create", "_current", "_expected", "_part", "_written")

    def __init__(
        self,
        choice: Choice,
        create: Callable[[int], Awaitable[SSTableOutput]],
        partitions_expected: int,
        bytes_expected: int,
    ) -> None:
        self._choice = choice
        self._create = create
        parts = len(choice.cuts) + 1
        if choice.file_bytes_max:
            parts = max(parts, bytes_expected // choice.file_bytes_max)
        share = max(1 / parts, PART_MIN)
        self._expected = max(int(partitions_expected * share * (1.25 if parts > 1 else 1)), 1)
        self._current: SSTableOutput | None = None
        self._part = 0
        self._written: list[SSTable] = []

    async def output_for(self, key: bytes) -> SSTableOutput:
        """The file for the partition of `key`; begins another one where that is due."""
        choice, current = self._choice, self._current
        part = bisect_right(choice.cuts, key) if choice.cuts else 0
        if current is not None and current.writer.statistics.partitions:
            size = current.writer.file_bytes
            is_full = choice.file_bytes_max and size >= choice.file_bytes_max
            if is_full or part != self._part:
                await self._end(current)
                current = None
        self._part = part
        if current is None:
            current = self._current = await self._create(self._expected)
        return current

    @property
    def limit(self) -> bytes:
        """The first key that does not belong into the file which `output_for` gave last."""
        cuts = self._choice.cuts
        return cuts[self._part] if self._part < len(cuts) else NO_KEY

    def take_written(self) -> list[SSTable]:
        """The files that are ended by now, which are the caller's from here on."""
        files, self._written = self._written, []
        return files

    async def finish(self) -> list[SSTable]:
        """End the last file; all that were not taken are durable, and the caller's."""
        current = self._current
        if current is not None:
            if current.writer.statistics.partitions:
                await self._end(current)
            else:
                await current.abandon()
                self._current = None
        return self.take_written()

    async def abandon(self) -> list[SSTable]:
        """Give up; the files which were finished are the caller's to remove."""
        current, self._current = self._current, None
        if current is not None:
            await current.abandon()
        return self.take_written()

    async def _end(self, current: SSTableOutput) -> None:
        self._written.append(await current.finish())
        self._current = None

"""An SSTable on its way to the disk: written in large pieces, synced, and opened again.

Invariant: until `finish` returns nothing refers to the file, so a crash or `abandon` leaves
garbage at most, which is removed at the next start.
"""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from storage.disk import Disk, File, OpenMode
from storage.errors import FileMissing
from storage.io_queue import IoClass, IoQueue
from storage.layout import Layout
from storage.points import Points
from storage.sstable.reader import SSTable, open_sstable
from storage.sstable.writer import SSTableWriter

WRITE_BYTES: Final = 128 * 1024
SUFFIX: Final = ".sst"


def file_name(generation: int) -> str:
    """The name of the file with this number."""
    return f"{generation:016x}{SUFFIX}"


def generation_of(name: str) -> int | None:
    """The number in a file's name; None if it is no SSTable's."""
    stem, dot, suffix = name.rpartition(".")
    if dot + suffix != SUFFIX or len(stem) != 16:
        return None
    try:
        return int(stem, 16)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Turns:
    """Whose turns at the disk the calls of a file are."""

    queue: IoQueue
    io_class: IoClass

    async def take(self, size: int, call: Callable[[], Awaitable[None]]) -> None:
        """Make a call that moves `size` bytes when it may be made."""
        await self.queue.run(self.io_class, size, call)


class SSTableOutput:
    """One file being written. `writer` takes the partitions; `drain` writes what has gathered."""

    __slots__ = (
        "_directory",
        "_disk",
        "_file",
        "_generation",
        "_points",
        "_table_id",
        "_turns",
        "writer",
    )

    def __init__(
        self,
        disk: Disk,
        turns: Turns,
        directory: str,
        file: File,
        writer: SSTableWriter,
        table_id: bytes,
        generation: int,
        points: Points,
    ) -> None:
        self._disk = disk
        self._turns = turns
        self._directory = directory
        self._file = file
        self._table_id = table_id
        self._generation = generation
        self._points = points
        self.writer = writer

    @staticmethod
    async def create(
        disk: Disk,
        turns: Turns,
        directory: str,
        layout: Layout,
        generation: int,
        identity: bytes,
        partitions_expected: int,
        points: Points,
        created_s: int = 0,
    ) -> "SSTableOutput":
        """Begin a file in the table's directory."""
        path = f"{directory}/{file_name(generation)}"
        file = await disk.open(path, OpenMode.CREATE)
        points.reach("sstable.created")
        writer = SSTableWriter(layout, identity, generation, partitions_expected, created_s)
        return SSTableOutput(
            disk, turns, directory, file, writer, layout.table_id, generation, points
        )

    @property
    def path(self) -> str:
        """Where the file is."""
        return f"{self._directory}/{file_name(self._generation)}"

    @property
    def is_drain_due(self) -> bool:
        """Whether what has gathered is worth a write."""
        return self.writer.pending_bytes >= WRITE_BYTES

    async def drain(self) -> None:
        """Write what has gathered."""
        await self._write()

    async def finish(self) -> SSTable:
        """End the file, make it and its name durable, and open it."""
        self.writer.finish()
        await self._write()
        self._points.reach("sstable.written")
        await self._turns.take(0, self._file.sync)
        self._points.reach("sstable.synced")
        await self._file.close()
        await self._disk.sync_directory(self._directory)
        self._points.reach("sstable.named")
        return await open_sstable(self._disk, self.path, self._table_id, self._generation)

    async def abandon(self) -> None:
        """Give the file up and remove it."""
        await self._file.close()
        with contextlib.suppress(FileMissing):
            await self._disk.remove(self.path)

    async def _write(self) -> None:
        offset, pages = self.writer.take()
        if pages:
            await self._turns.take(len(pages), lambda: self._file.write(offset, pages))

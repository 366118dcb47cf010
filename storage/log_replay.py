"""Reading a commit log back after a stop, a kill or a power cut, and making it ready to go on.

The rules are in docs/formats/commitlog.md: where a segment stops without a word, a mark beyond
that place says that durable bytes are damaged; without one the log ends there, and nothing after
it may ever be seen.
"""

from collections.abc import AsyncIterator, Callable

from storage.disk import Disk, File, OpenMode
from storage.errors import CorruptCommitLog
from storage.log_segments import find_segment_number, segment_path
from storage.points import Points
from storage.record import (
    BROKEN,
    END,
    MORE,
    RecordBatch,
    RecordBuffer,
    RecordScanner,
    position_of,
)

CHUNK_BYTES = 1 << 20

OnDamage = Callable[[CorruptCommitLog], None]


def refuse_damage(damage: CorruptCommitLog) -> None:
    """The default policy: a damaged log is not replayed further."""
    raise damage


class LogReplay:
    """One reading of the log in a directory."""

    def __init__(self, disk: Disk, directory: str, on_damage: OnDamage = refuse_damage) -> None:
        self._disk = disk
        self._directory = directory
        self._on_damage = on_damage
        self._end: tuple[int, int] | None = None
        """The segment and offset where the log ends without END."""
        self._void: list[int] = []
        self.kept: list[int] = []
        """The segments that hold what was replayed, oldest first."""
        self.number_max = 0
        """The greatest number that a segment here has."""

    async def batches(self) -> AsyncIterator[RecordBatch]:
        """Give (position, mutation) in the order in which they were logged, in batches."""
        found = (find_segment_number(name) for name in await self._disk.list(self._directory))
        numbers = sorted(number for number in found if number is not None)
        self.number_max = max(numbers, default=0)
        for index, number in enumerate(numbers):
            self.kept.append(number)
            file = await self._disk.open(segment_path(self._directory, number), OpenMode.READ)
            try:
                scanner = RecordScanner(number)
                kind = MORE
                offset = 0
                while kind == MORE and (chunk := await file.read(offset, CHUNK_BYTES)):
                    offset += len(chunk)
                    scanner.feed(chunk)
                    batch, kind = scanner.mutations()
                    if len(batch):
                        yield batch
                if kind != END and await self._ends_at(numbers[index:], file, scanner.offset):
                    self._end = number, scanner.offset
                    self._void = numbers[index + 1 :]
                    return
            finally:
                await file.close()

    async def prepare(self, points: Points) -> None:
        """Make what was replayed durable, and what is void impossible to find again."""
        for number in reversed(self._void):
            await self._disk.remove(segment_path(self._directory, number))
        await self._disk.sync_directory(self._directory)
        points.reach("commitlog.void_removed")
        if self._end is not None:
            await self._seal(*self._end)
            points.reach("commitlog.sealed")
        for number in self.kept:
            file = await self._disk.open(segment_path(self._directory, number), OpenMode.READ)
            await file.sync()
            await file.close()

    async def remove_kept(self) -> None:
        """Remove the segments that were replayed, as all they hold has been flushed."""
        while self.kept:
            await self._disk.remove(segment_path(self._directory, self.kept[0]))
            self.kept.pop(0)
        await self._disk.sync_directory(self._directory)

    async def _ends_at(self, numbers: list[int], file: File, offset: int) -> bool:
        """Whether the log ends at this offset of the first segment; if not, it is damaged there."""
        durable = await self._last_mark(numbers[0], file, offset)
        for number in numbers[1:]:
            later = await self._disk.open(segment_path(self._directory, number), OpenMode.READ)
            durable = max(durable, await self._last_mark(number, later, 0))
            await later.close()
        if durable <= position_of(numbers[0], offset):
            return True
        path = segment_path(self._directory, numbers[0])
        self._on_damage(CorruptCommitLog(path, offset, "bytes that were durable are no record"))
        return False

    async def _last_mark(self, number: int, file: File, offset: int) -> int:
        """The greatest durable position that a mark from `offset` on speaks of."""
        scanner = RecordScanner(number, offset)
        durable = 0
        while chunk := await file.read(offset, CHUNK_BYTES):
            offset += len(chunk)
            scanner.feed(chunk)
            durable = max(durable, scanner.last_mark())
        return durable

    async def _seal(self, number: int, offset: int) -> None:
        """Write END where the log ends, so that the next reading does not look further."""
        ending = RecordBuffer()
        ending.begin(number, offset)
        ending.append(END, b"")
        file = await self._disk.open(segment_path(self._directory, number), OpenMode.LOG)
        await file.write(offset, ending.take())
        await file.sync()
        await file.close()


assert BROKEN < MORE < END, "a kind above MORE is a record"

"""The commit log's segment files: their names, and how they come, come back and go."""

from contextlib import suppress
from dataclasses import dataclass, field

from storage.disk import Disk, File, OpenMode
from storage.errors import DiskError
from storage.points import Points
from storage.record import position_of

_PREFIX = "commitlog-"
_SUFFIX = ".log"
_ID_DIGITS = 16


@dataclass(slots=True, eq=False)
class Segment:
    """One segment of this run: its file, how far it is written, and whose mutations it holds."""

    number: int
    path: str
    file: File
    bytes_reserved: int
    end: int = 0
    """Up to where the kernel has it."""

    dirty: dict[bytes, int] = field(default_factory=dict)
    """The position of the last mutation of each table which has not been flushed beyond it."""

    @property
    def end_position(self) -> int:
        """The position after everything written."""
        return position_of(self.number, self.end)

    @property
    def size(self) -> int:
        """How much of the disk it takes."""
        return max(self.end, self.bytes_reserved)


class SegmentFiles:
    """Makes, reuses and removes the segment files of one directory."""

    __slots__ = ("_directory", "_disk", "_next", "_points", "_segment_bytes")

    def __init__(self, disk: Disk, directory: str, segment_bytes: int, points: Points) -> None:
        self._disk = disk
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._points = points
        self._next = 1

    def number_after(self, number: int) -> None:
        """Give no number up to this one to a new segment."""
        self._next = max(self._next, number + 1)

    async def create(self) -> Segment:
        """Make a segment with its blocks reserved and its name durable.

        When this fails the number is given again: a segment that nobody writes must not stay
        between others, as it would look like one whose records are damaged.
        """
        number = self._next
        path = segment_path(self._directory, number)
        file = await self._disk.open(path, OpenMode.LOG)
        try:
            await file.allocate(self._segment_bytes)
        except DiskError:
            await file.close()
            with suppress(DiskError):
                await self._disk.remove(path)
            raise
        await self._disk.sync_directory(self._directory)
        self._next = number + 1
        self._points.reach("commitlog.segment_created")
        return Segment(number, path, file, self._segment_bytes)

    async def reuse(self, segment: Segment) -> Segment:
        """Turn a segment that nobody needs into a new one; its old records are none there.

        When this fails the next segment that is made takes the file over, by its number.
        """
        number = self._next
        path = segment_path(self._directory, number)
        await segment.file.close()
        await self._disk.rename(segment.path, path)
        await self._disk.sync_directory(self._directory)
        self._points.reach("commitlog.segment_reused")
        file = await self._disk.open(path, OpenMode.LOG)
        self._next = number + 1
        return Segment(number, path, file, segment.size)

    async def remove(self, segment: Segment) -> None:
        """Remove a segment that nobody needs; it may come back after a crash and does no harm."""
        await segment.file.close()
        await self._disk.remove(segment.path)
        self._points.reach("commitlog.segment_removed")


def segment_path(directory: str, number: int) -> str:
    """Give the path of a segment."""
    return f"{directory}/{_PREFIX}{number:0{_ID_DIGITS}x}{_SUFFIX}"


def find_segment_number(name: str) -> int | None:
    """Give the number in a segment's file name, if it is one."""
    digits = name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    if len(digits) != _ID_DIGITS or name != f"{_PREFIX}{digits}{_SUFFIX}":
        return None
    try:
        return int(digits, 16)
    except ValueError:
        return None

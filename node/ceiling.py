"""How far the write timestamps of a shard have come, kept on disk so that none is made twice.

The clock may make timestamps up to a ceiling. Before it passes the ceiling, the next one is given
to the kernel: it is found again after the process was killed. A few times a second a sync makes
the newest ceiling durable. A machine that starts anew may have lost what was not synced; it then
goes on `MARGIN_US` after the last ceiling that it finds, which is more than a second of syncs can
lag behind. A clock that goes back, in one life or between two, is thereby harmless.

One file of records, each with a checksum that covers its place; the largest ceiling of the whole
ones counts. A record that is neither whole nor zeros is damage, as records do not cross sectors: it
is told, and the ceiling is then taken for lost as after a power cut.
Each handle writes from the beginning over smaller ceilings, so that the file stays small.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final
from zlib import crc32

from storage.disk import OpenMode
from storage.errors import CorruptFile, FileMissing

if TYPE_CHECKING:
    from storage.disk import Disk, File

FILE_NAME: Final = "clock"
STEP_US: Final = 50_000
"""How far the ceiling lies above the timestamp that needs it; less than a restart takes."""
MARGIN_US: Final = 5_000_000
RECORDS_MAX: Final = 1024
"""Records after which the file is written from its beginning again, at the next sync."""
RECORDS_ROOM: Final = 4096
"""Records that the file has room for; the last place is for what an earlier life left."""

_RECORD = Struct(">4sQ16sI")
_MAGIC: Final = b"PCK2"


class Ceiling:
    """The ceiling of one shard's timestamps. `open` makes it, `pass_to` raises it."""

    def __init__(self, disk: Disk, path: str, boot: bytes) -> None:
        self._disk = disk
        self._path = path
        self._boot = boot.ljust(16, b"\0")[:16]
        self._file: File | None = None
        self._records = 0
        self._needs_sync = False
        self._is_syncing = False
        self._damaged: list[int] = []
        """Offsets of records that are damaged."""
        self.found_us = 0
        """No timestamp up to this one may be made again."""

    @classmethod
    async def open(cls, disk: Disk, directory: str, boot: bytes = b"") -> Ceiling:
        """Find how far an earlier life came; `boot` is another one after the machine restarted."""
        ceiling = cls(disk, f"{directory}/{FILE_NAME}", boot)
        await disk.make_directory(directory)
        content = await ceiling._read()
        found, found_boot = _highest(content)
        ceiling._damaged = _damaged(content)
        if found:
            is_sure = found_boot == ceiling._boot and not ceiling._damaged
            ceiling.found_us = found if is_sure else found + MARGIN_US
        return ceiling

    @property
    def damage(self) -> CorruptFile | None:
        """What is wrong with the file: timestamps may be made again if the clock was set back."""
        if not self._damaged:
            return None
        count = len(self._damaged)
        return CorruptFile(self._path, self._damaged[0], f"{count} records are damaged")

    async def begin(self) -> None:
        """Make durable what was found, as ours; then timestamps may be made.

        Who waits for the clock to pass what was found waits before this, so that margins do not
        add up when the machine restarts again and again.
        """
        file = await self._disk.open(self._path, OpenMode.LOG)
        await file.allocate(RECORDS_ROOM * _RECORD.size)
        # Not in the place of what was found: it counts until this is durable.
        for offset in [*self._damaged, (RECORDS_ROOM - 1) * _RECORD.size]:
            await file.write(offset, _record(self.found_us, self._boot, offset))
        await file.sync()
        await self._disk.sync_directory(self._path.rpartition("/")[0])
        self._file = file

    def pass_to(self, timestamp_us: int) -> int:
        """Let timestamps up to the returned one be made; it is not below `timestamp_us`.

        Raises DiskError when the kernel does not take it: then no more timestamps may be made.
        """
        assert self._file is not None, "the ceiling is open"
        ceiling_us = timestamp_us + STEP_US
        place = self._records * _RECORD.size
        self._file.append_now(_record(ceiling_us, self._boot, place))
        self._records += 1
        self._needs_sync = True
        return ceiling_us

    @property
    def wants_sync(self) -> bool:
        """Whether `sync` has something to do that nobody does already."""
        return self._needs_sync and not self._is_syncing

    async def sync(self) -> None:
        """Make the newest ceiling durable; raises DiskError, and is not called again then."""
        self._is_syncing = True
        assert self._file is not None, "the ceiling is open"
        while self._needs_sync:
            self._needs_sync = False
            await self._file.sync()
            if self._records >= RECORDS_MAX:
                await self._begin_again()
        self._is_syncing = False

    async def close(self) -> None:
        """Make the newest ceiling durable, and close."""
        if self._file is not None:
            file, self._file = self._file, None
            await file.sync()
            await file.close()

    async def _begin_again(self) -> None:
        """Write over the oldest records from here on; the newest ones lie at the other end."""
        before = self._file
        assert before is not None, "the ceiling is open"
        following = await self._disk.open(self._path, OpenMode.LOG)
        self._file, self._records = following, 0
        await before.sync()
        await before.close()

    async def _read(self) -> bytes:
        try:
            size = await self._disk.size(self._path)
        except FileMissing:
            return b""
        file = await self._disk.open(self._path, OpenMode.READ)
        try:
            return await file.read(0, size)
        finally:
            await file.close()


def _record(ceiling_us: int, boot: bytes, offset: int) -> bytes:
    # Without its place, a sector that belongs elsewhere in the file would look whole.
    checksum = crc32(_RECORD.pack(_MAGIC, ceiling_us, boot, offset))
    return _RECORD.pack(_MAGIC, ceiling_us, boot, checksum)


def _damaged(content: bytes) -> list[int]:
    """Where something is that is no record."""
    nothing = bytes(_RECORD.size)
    return [
        offset
        for offset in range(0, len(content), _RECORD.size)
        if content[offset : offset + _RECORD.size] != nothing and not _is_whole(content, offset)
    ]


def _is_whole(content: bytes, offset: int) -> bool:
    if offset + _RECORD.size > len(content):
        return False
    _, ceiling_us, boot, _ = _RECORD.unpack_from(content, offset)
    return content[offset : offset + _RECORD.size] == _record(ceiling_us, boot, offset)


def _highest(content: bytes) -> tuple[int, bytes]:
    """The largest ceiling of whole records and the boot that it was written in; 0 if there is
    none.
    """
    highest = (0, b"")
    for offset in range(0, len(content) - _RECORD.size + 1, _RECORD.size):
        if _is_whole(content, offset):
            _, ceiling_us, boot, _ = _RECORD.unpack_from(content, offset)
            highest = max(highest, (ceiling_us, boot))
    return highest

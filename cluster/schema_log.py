"""The numbered entries of the schema on disk: synced, checksummed, compacted.

One file holds a snapshot of everything up to some number, then the entries after it. An entry is
acknowledged when a sync that covers it has returned. Compaction writes the next file whole, syncs
it, gives it its name and syncs the directory before the file before it is removed; so at every
instant a crash leaves one whole file to start from.

What a crash tore at the end is dropped, and the file is written anew before anything follows.
A seal is written behind what is durable, so that damage to the last entry is not taken for a torn
write: damage with a whole record or a seal behind it is `CorruptFile`. After a failed sync nobody
knows what the disk holds: the log then refuses everything.

The layout is in docs/formats/messages.md.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from random import Random
from struct import Struct
from typing import Final
from zlib import crc32

from storage.disk import Disk, File, OpenMode
from storage.errors import CorruptFile, DiskError, StorageError
from storage.points import NO_POINTS, Points
from storage.values import value_class

_HEADER = Struct(">8s16sQI")
_RECORD = Struct(">IIQB")
_PLACE = Struct(">16sQIQB")
_MAGIC: Final = b"PYSCHEM1"
_PREFIX: Final = "schema-"
_SUFFIX: Final = ".log"
_TEMPORARY: Final = ".tmp"
_SEAL: Final = 2
"""What a seal has in the place of `is_snapshot`."""
ENTRY_BYTES_MAX: Final = 64 * 1024 * 1024
COMPACT_AFTER_BYTES: Final = 4 * 1024 * 1024
COMPACT_AFTER_ENTRIES: Final = 2000


class SchemaLogFailed(StorageError):
    """An earlier write or sync of the schema log failed; only a restart tells what the disk
    holds.
    """


@value_class
class Entry:
    """One numbered piece of the schema: a change, or, as a snapshot, all changes up to its
    number.
    """

    number: int
    is_snapshot: bool
    data: bytes


class SchemaLog:
    """The log of one node, in a directory of its own. `open` makes it."""

    def __init__(self, disk: Disk, directory: str, random: Random, points: Points) -> None:
        self._disk = disk
        self._directory = directory
        self._random = random
        self._points = points
        self._turn = asyncio.Lock()
        self.is_broken = False
        """Nobody knows what the disk holds; only a new process can tell."""
        self._file: File | None = None
        self._file_id = b""
        self._sequence = 0
        self._end = 0
        self._snapshot_end = 0
        self.torn: CorruptFile | None = None
        """What was dropped at the end when the log was opened, as a crash had torn it."""
        self._entries = [Entry(0, True, b"")]

    @classmethod
    async def open(
        cls, disk: Disk, directory: str, random: Random, points: Points = NO_POINTS
    ) -> "SchemaLog":
        """Find what an earlier process left, or begin a log."""
        log = cls(disk, directory, random, points)
        await disk.make_directory(directory)
        await log._recover()
        return log

    @property
    def last_number(self) -> int:
        """The number of the last entry; 0 before the first."""
        return self._entries[-1].number

    @property
    def wants_compaction(self) -> bool:
        """Whether a snapshot would be worth its writing."""
        return (
            self._end - self._snapshot_end > COMPACT_AFTER_BYTES
            or len(self._entries) > COMPACT_AFTER_ENTRIES
        )

    def after(self, number: int) -> list[Entry]:
        """Give what follows `number`: changes, or a snapshot and the changes after it."""
        first = self._entries[0].number
        if number < first:
            return list(self._entries)
        return self._entries[number - first + 1 :]

    async def append(self, data: bytes) -> int:
        """Make a change durable and give its number."""
        assert len(data) <= ENTRY_BYTES_MAX, "an entry is bounded"
        async with self._turn:
            self._refuse_if_broken()
            assert self._file is not None, "the log is open"
            entry = Entry(self.last_number + 1, False, data)
            record = _entry_record(self._file_id, self._end, entry)
            # A write that fails may be repeated in the same place, a sync that fails may not.
            await self._file.write(self._end, record)
            self._points.reach("schema.written")
            self.is_broken = True
            await self._file.sync()
            self._points.reach("schema.synced")
            self.is_broken = False
            self._end += len(record)
            self._entries.append(entry)
            await self._seal()
            return entry.number

    async def compact(self, number: int, snapshot: bytes) -> None:
        """Replace all entries up to `number` by one snapshot of what they say together."""
        async with self._turn:
            self._refuse_if_broken()
            assert self._entries[0].number <= number <= self.last_number, "a snapshot of what was"
            self.is_broken = True
            await self._rewrite([Entry(number, True, snapshot), *self.after(number)])
            self.is_broken = False

    async def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            await self._file.close()
            self._file = None

    def check(self) -> None:
        """Prove the invariants."""
        assert self._entries[0].is_snapshot, "the first entry says all that came before"
        first = self._entries[0].number
        numbers = [entry.number for entry in self._entries]
        assert numbers == list(range(first, first + len(numbers))), "numbers have no gaps"

    async def _seal(self) -> None:
        """Tell the next process that everything so far is durable; without it, it may doubt."""
        assert self._file is not None, "the log is open"
        with contextlib.suppress(DiskError):
            seal = _record(self._file_id, self._end, self.last_number + 1, _SEAL, b"")
            await self._file.write(self._end, seal)
            self._points.reach("schema.sealed")

    def _refuse_if_broken(self) -> None:
        if self.is_broken:
            raise SchemaLogFailed("the schema log failed earlier")

    async def _recover(self) -> None:
        names = await self._disk.list(self._directory)
        for name in names:
            if name.endswith(_TEMPORARY):
                await self._disk.remove(self._path(name))
        sequences = sorted(_sequence_of(n) for n in names if _is_log(n))
        if not sequences:
            await self._rewrite(self._entries)
            return
        self._sequence = sequences[-1]
        path = self._path(_name(self._sequence))
        content = await self._read(path)
        self._file_id = _check_header(path, content, self._sequence)
        self._entries, ends = _records(path, content, self._file_id)
        self._snapshot_end, self._end = ends[0], ends[-1]
        self.check()
        tail = content[self._end :]
        if tail and tail != _record(self._file_id, self._end, self.last_number + 1, _SEAL, b""):
            reason = f"{len(tail)} bytes of a write that a crash has torn are dropped"
            self.torn = CorruptFile(path, self._end, reason)
            await self._rewrite(self._entries)
        else:
            self._file = await self._disk.open(path, OpenMode.LOG)
            # What we have read may be in the kernel only, if our predecessor was killed.
            await self._file.sync()
            if not tail:
                await self._seal()
        # A crash may have come between the naming of this file and the removal of those before it.
        for sequence in sequences:
            if sequence < self._sequence:
                await self._forget(_name(sequence))

    async def _read(self, path: str) -> bytes:
        size = await self._disk.size(path)
        file = await self._disk.open(path, OpenMode.READ)
        try:
            return await file.read(0, size)
        finally:
            await file.close()

    async def _rewrite(self, entries: list[Entry]) -> None:
        """Write the next file with these entries and let it take the place of the present one."""
        sequence = self._sequence + 1
        file_id = self._random.randbytes(16)
        content = bytearray(_header(file_id, sequence))
        snapshot_end = 0
        for entry in entries:
            content += _entry_record(file_id, len(content), entry)
            snapshot_end = snapshot_end or len(content)
        end = len(content)
        content += _record(file_id, end, entries[-1].number + 1, _SEAL, b"")
        name = _name(sequence)
        temporary = self._path(name + _TEMPORARY)
        file = await self._disk.open(temporary, OpenMode.LOG)
        await file.write(0, content)
        await file.sync()
        self._points.reach("schema.rewritten")
        await self._disk.rename(temporary, self._path(name))
        await self._disk.sync_directory(self._directory)
        self._points.reach("schema.renamed")
        before, self._file = self._file, file
        before_name = _name(self._sequence)
        self._sequence, self._file_id, self._end = sequence, file_id, end
        self._snapshot_end = snapshot_end
        self._entries = list(entries)
        if before is not None:
            await before.close()
            await self._forget(before_name)

    async def _forget(self, name: str) -> None:
        await self._disk.remove(self._path(name))
        await self._disk.sync_directory(self._directory)
        self._points.reach("schema.removed")

    def _path(self, name: str) -> str:
        return f"{self._directory}/{name}"


async def read_entries(disk: Disk, directory: str) -> list[Entry]:
    """The whole entries of a log which another process may be writing; changes nothing."""
    sequences = sorted(_sequence_of(name) for name in await disk.list(directory) if _is_log(name))
    if not sequences:
        return []
    path = f"{directory}/{_name(sequences[-1])}"
    file = await disk.open(path, OpenMode.READ)
    try:
        content = await file.read(0, await disk.size(path))
    finally:
        await file.close()
    entries, _ = _records(path, content, _check_header(path, content, sequences[-1]))
    return entries


def _name(sequence: int) -> str:
    return f"{_PREFIX}{sequence:012d}{_SUFFIX}"


def _is_log(name: str) -> bool:
    digits = name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    return name == f"{_PREFIX}{digits}{_SUFFIX}" and digits.isascii() and digits.isdigit()


def _sequence_of(name: str) -> int:
    return int(name.removeprefix(_PREFIX).removesuffix(_SUFFIX))


def _header(file_id: bytes, sequence: int) -> bytes:
    unchecked = _HEADER.pack(_MAGIC, file_id, sequence, 0)
    return _HEADER.pack(_MAGIC, file_id, sequence, crc32(unchecked))


def _check_header(path: str, content: bytes, sequence: int) -> bytes:
    """Give the id of the file, if its header is whole and belongs to its name."""
    if len(content) < _HEADER.size:
        raise CorruptFile(path, 0, "the header is cut off")
    file_id: bytes
    _, file_id, _, _ = _HEADER.unpack_from(content)
    if content[: _HEADER.size] != _header(file_id, sequence):
        raise CorruptFile(path, 0, "the header is damaged or belongs to another file")
    return file_id


def _entry_record(file_id: bytes, offset: int, entry: Entry) -> bytes:
    return _record(file_id, offset, entry.number, entry.is_snapshot, entry.data)


def _record(file_id: bytes, offset: int, number: int, kind: int, data: bytes) -> bytes:
    """The checksum covers the place too, so that a record is right only where it was written."""
    place = _PLACE.pack(file_id, offset, len(data), number, kind)
    return _RECORD.pack(len(data), crc32(data, crc32(place)), number, kind) + data


def _records(path: str, content: bytes, file_id: bytes) -> tuple[list[Entry], list[int]]:
    """Read all whole records and where each ends; what follows the last of them is a torn tail or
    `CorruptFile`.
    """
    entries: list[Entry] = []
    ends: list[int] = []
    offset = _HEADER.size
    while (entry := _record_at(content, offset, file_id)) is not None:
        entries.append(entry)
        offset += _RECORD.size + len(entry.data)
        ends.append(offset)
    if not entries or not entries[0].is_snapshot:
        raise CorruptFile(path, _HEADER.size, "the first record is damaged")
    for later in _offsets_of_numbers(content, offset + 1, entries[-1].number):
        if _is_seal(content, later, file_id) or _record_at(content, later, file_id) is not None:
            raise CorruptFile(path, offset, "a record before the end is damaged")
    return entries, ends


def _record_at(content: bytes, offset: int, file_id: bytes) -> Entry | None:
    """The entry that is whole there."""
    if offset + _RECORD.size > len(content):
        return None
    length, _, number, kind = _RECORD.unpack_from(content, offset)
    start = offset + _RECORD.size
    if length > len(content) - start or kind > 1:
        return None
    entry = Entry(number, bool(kind), content[start : start + length])
    is_whole = content[offset : start + length] == _entry_record(file_id, offset, entry)
    return entry if is_whole else None


def _is_seal(content: bytes, offset: int, file_id: bytes) -> bool:
    if offset + _RECORD.size > len(content):
        return False
    number = _RECORD.unpack_from(content, offset)[2]
    return content[offset : offset + _RECORD.size] == _record(file_id, offset, number, _SEAL, b"")


def _offsets_of_numbers(content: bytes, start: int, last_number: int) -> Iterable[int]:
    """Give the places where a record after the damage might begin, by the numbers such records
    would have.
    """
    lost_max = min((len(content) - start) // _RECORD.size + 1, 2 * COMPACT_AFTER_ENTRIES)
    for number in range(last_number + 2, last_number + 2 + lost_max):
        pattern = number.to_bytes(8, "big")
        found = content.find(pattern, start)
        while found >= 0:
            yield found - 8
            found = content.find(pattern, found + 1)

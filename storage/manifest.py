"""Which SSTables live, and up to where of the log each table is flushed; survives any crash.

One small file, replaced atomically by each change; docs/formats/manifest.md has the bytes. What
`Manifest` says in memory is what is durable on disk, never more.
"""

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from storage.checksum import crc32c
from storage.disk import Disk, OpenMode
from storage.errors import CorruptData, CorruptManifest, DiskError, FileMissing, ManifestFailed
from storage.layout import TABLE_ID_BYTES
from storage.points import NO_POINTS, Points

NAME = "manifest"
NEW_NAME = "manifest.new"

_MAGIC = b"PYTHIAMF"
_VERSION = 2
_MARK = struct.Struct(">8sH")
_HEADS = {1: struct.Struct(">QQI"), 2: struct.Struct(">QQQI")}
_TABLE = struct.Struct(f">{TABLE_ID_BYTES}sQ")
_COUNT = struct.Struct(">I")
KEY_HEAD_BYTES = 8
_SSTABLES = {
    1: struct.Struct(f">{TABLE_ID_BYTES}sQQB"),
    2: struct.Struct(f">{TABLE_ID_BYTES}sQQB{KEY_HEAD_BYTES}s{KEY_HEAD_BYTES}s"),
}
_CHECKSUM = struct.Struct(">I")
LOWEST, HIGHEST = b"\0" * KEY_HEAD_BYTES, b"\xff" * KEY_HEAD_BYTES


def key_head(key: bytes) -> bytes:
    """The first bytes of a key: its token. Heads are ordered as keys are, if not as finely."""
    return key[:KEY_HEAD_BYTES].ljust(KEY_HEAD_BYTES, b"\0")


@dataclass(frozen=True, slots=True, order=True)
class LiveSSTable:
    """An SSTable that is part of its table."""

    table_id: bytes
    number: int
    """Names the file; unique in the shard for all time."""

    size: int
    level: int = 0
    """What compaction wants to remember of it."""

    first: bytes = LOWEST
    """`key_head` of the lowest key; with the other bound, known though the file cannot be read."""

    last: bytes = HIGHEST
    """`key_head` of the highest key."""


@dataclass(frozen=True, slots=True)
class ManifestState:
    """Everything a manifest says, as a value."""

    generation: int = 0
    next_number: int = 1
    flushed: Mapping[bytes, int] = field(default_factory=dict)
    """The position of the commit log up to which, and with which, each table is flushed."""

    sstables: tuple[LiveSSTable, ...] = ()
    """Sorted by table and number."""

    schema_number: int = 0
    """The schema entry that was obeyed when this was written; 0 is unknown.

    A schema log that goes at least so far says of each table here whether it still is one.
    """


class Manifest:
    """The manifest of one shard's directory."""

    __slots__ = (
        "_changing",
        "_directory",
        "_disk",
        "_next_number",
        "_on_failure",
        "_points",
        "failure",
        "schema_number",
        "state",
    )

    def __init__(
        self,
        disk: Disk,
        directory: str,
        points: Points = NO_POINTS,
        on_failure: Callable[[ManifestFailed], None] | None = None,
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._points = points
        self._on_failure = on_failure
        self._changing = asyncio.Lock()
        self._next_number = 1
        self.state = ManifestState()
        """What is durable."""
        self.failure: ManifestFailed | None = None
        self.schema_number = 0
        """The schema entry that this shard obeys; the next change notes it."""

    async def load(self) -> bool:
        """Read the manifest and say whether there was one; raises `CorruptManifest`.

        Without one the state is empty. A caller who finds SSTables there all the same must not
        take them for rubbish.
        """
        names = await self._disk.list(self._directory)
        if NEW_NAME in names:
            with contextlib.suppress(DiskError):  # The next change removes it too.
                await self._disk.remove(self._path(NEW_NAME))
        if NAME not in names:
            return False
        path = self._path(NAME)
        file = await self._disk.open(path, OpenMode.READ)
        try:
            data = await file.read(0, await self._disk.size(path))
        finally:
            await file.close()
        try:
            self.state = decode_state(data)
        except CorruptData as problem:
            raise CorruptManifest(path, 0, str(problem)) from problem
        self._next_number = self.state.next_number
        self.schema_number = self.state.schema_number
        return True

    def take_number(self) -> int:
        """Give a number for a new SSTable, which no other has or had."""
        number = self._next_number
        self._next_number += 1
        return number

    def reserve(self, number: int) -> None:
        """Never give this number, nor one below it, to a new SSTable."""
        self._next_number = max(self._next_number, number + 1)

    def sstables_of(self, table_id: bytes) -> tuple[LiveSSTable, ...]:
        """Give the SSTables of one table, oldest number first."""
        return tuple(live for live in self.state.sstables if live.table_id == table_id)

    def flushed_position(self, table_id: bytes) -> int:
        """Give the position up to which a replay may leave out the table's mutations; 0 is none."""
        return self.state.flushed.get(table_id, 0)

    def numbers(self) -> frozenset[int]:
        """Give the numbers of all SSTables that live."""
        return frozenset(live.number for live in self.state.sstables)

    async def change(
        self,
        *,
        add: Iterable[LiveSSTable] = (),
        remove: Iterable[int] = (),
        flushed: Mapping[bytes, int] | None = None,
        forget: Iterable[bytes] = (),
    ) -> None:
        """Durably remove SSTables by number, add others, note positions and forget dropped tables.

        One that is removed may be added again, at another level.

        All of it happens or nothing. Raises `DiskError` when nothing happened and it may be tried
        again, `ManifestFailed` when nobody knows. Changes wait for each other.
        """
        added, removed, forgotten = tuple(add), frozenset(remove), frozenset(forget)
        async with self._changing:
            if self.failure is not None:
                raise self.failure
            state = self._changed(added, removed, flushed or {}, forgotten)
            await self._write(encode_state(state))
            await self._replace()
            self.state = state

    def check(self) -> None:
        """Prove the invariants."""
        assert decode_state(encode_state(self.state)) == self.state, "the state survives its bytes"
        assert self.state.next_number <= self._next_number, "numbers are not given twice"

    def _changed(
        self,
        added: tuple[LiveSSTable, ...],
        removed: frozenset[int],
        flushed: Mapping[bytes, int],
        forgotten: frozenset[bytes],
    ) -> ManifestState:
        """The state after a change; asserts that the change makes sense."""
        old = self.state
        assert removed <= self.numbers(), "only what lives is removed"
        staying = self.numbers() - removed
        assert not staying & {live.number for live in added}, "what lives is not added again"
        kept = (live for live in old.sstables if live.number not in removed)
        positions = dict(old.flushed)
        for table_id, position in flushed.items():
            positions[table_id] = max(position, positions.get(table_id, 0))
        return replace(
            old,
            generation=old.generation + 1,
            next_number=self._next_number,
            flushed={t: positions[t] for t in sorted(positions) if t not in forgotten},
            sstables=tuple(
                sorted(live for live in (*kept, *added) if live.table_id not in forgotten)
            ),
            schema_number=max(old.schema_number, self.schema_number),
        )

    async def _write(self, data: bytes) -> None:
        """Make the new manifest durable under its first name; a failure leaves the old one."""
        path = self._path(NEW_NAME)
        with contextlib.suppress(FileMissing):
            await self._disk.remove(path)
        file = await self._disk.open(path, OpenMode.CREATE)
        try:
            await file.write(0, data)
            await file.sync()
        finally:
            await file.close()
        self._points.reach("manifest.written")

    async def _replace(self) -> None:
        """Let the new manifest be the manifest; a failure leaves us not knowing."""
        try:
            await self._disk.rename(self._path(NEW_NAME), self._path(NAME))
            self._points.reach("manifest.renamed")
            await self._disk.sync_directory(self._directory)
        except DiskError as cause:
            self.failure = ManifestFailed(f"the manifest could not be replaced: {cause}")
            if self._on_failure is not None:
                self._on_failure(self.failure)
            raise self.failure from cause
        self._points.reach("manifest.durable")

    def _path(self, name: str) -> str:
        return f"{self._directory}/{name}"


def encode_state(state: ManifestState) -> bytes:
    """Give the bytes of a manifest."""
    head = _HEADS[_VERSION].pack(
        state.generation, state.next_number, state.schema_number, len(state.flushed)
    )
    tables = b"".join(_TABLE.pack(table, state.flushed[table]) for table in sorted(state.flushed))
    pack = _SSTABLES[_VERSION].pack
    sstables = b"".join(
        pack(live.table_id, live.number, live.size, live.level, live.first, live.last)
        for live in state.sstables
    )
    mark = _MARK.pack(_MAGIC, _VERSION)
    body = mark + head + tables + _COUNT.pack(len(state.sstables)) + sstables
    return body + _CHECKSUM.pack(crc32c(body))


def decode_state(data: bytes) -> ManifestState:
    """Read the bytes of a manifest of this or an earlier version; raises `CorruptData`."""
    body = data[: -_CHECKSUM.size]
    if len(body) < _MARK.size or data[len(body) :] != _CHECKSUM.pack(crc32c(body)):
        raise CorruptData("the checksum is wrong")
    magic, version = _MARK.unpack_from(body)
    if magic != _MAGIC or version not in _HEADS:
        raise CorruptData(f"not a manifest of a version up to {_VERSION}")
    head, sstable = _HEADS[version], _SSTABLES[version]
    begin = _MARK.size + head.size
    if begin > len(body):
        raise CorruptData("the head leads beyond the end")
    generation, next_number, *schema_number, tables = head.unpack_from(body, _MARK.size)
    at = begin + tables * _TABLE.size
    if at + _COUNT.size > len(body):
        raise CorruptData("the tables lead beyond the end")
    (sstables,) = _COUNT.unpack_from(body, at)
    if at + _COUNT.size + sstables * sstable.size != len(body):
        raise CorruptData("the SSTables do not end at the end")
    flushed = dict(_TABLE.iter_unpack(body[begin:at]))
    rows = sstable.iter_unpack(body[at + _COUNT.size :])
    live = tuple(LiveSSTable(*row) for row in rows)
    if list(live) != sorted(set(live)) or len(flushed) != tables:
        raise CorruptData("tables or SSTables are out of order")
    return ManifestState(generation, next_number, flushed, live, *schema_number)

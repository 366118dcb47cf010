"""Reads every byte of an SSTable and says what is wrong with it, and where.

Beyond the checksums, which every read checks, it proves what only the whole file can show: that
keys and rows ascend from block to block, that index, filter and statistics say what the blocks
hold, and that nothing but zeros lies between frames.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from storage.disk import OpenMode
from storage.errors import CorruptData, CorruptFile
from storage.row import check_row
from storage.sstable.block import Block
from storage.sstable.bloom import key_hash
from storage.sstable.fetch import Extent, Fetch
from storage.sstable.footer import Footer
from storage.sstable.format import PAGE_BYTES
from storage.sstable.frame import Kind
from storage.sstable.index import IndexBlock
from storage.sstable.output import generation_of
from storage.sstable.reader import SSTable, open_sstable
from storage.sstable.statistics import Statistics

if TYPE_CHECKING:
    from storage.disk import Disk, File
    from storage.sstable.block import Section

DAMAGES_MAX: Final = 100
"""Where so much is wrong, the rest is not looked for."""

Progress = Callable[[int], None]
"""Told up to which offset the file was read."""


async def open_alone(disk: Disk, path: str) -> SSTable:
    """Open a file without its table: what it belongs to is what its footer says."""
    number = generation_of(path.rpartition("/")[2])
    if number is None:
        raise CorruptFile(path, 0, "this is not the name of an SSTable")
    size = await disk.size(path)
    offset = size - PAGE_BYTES
    if offset < 0 or size % PAGE_BYTES:
        raise CorruptFile(path, 0, f"an SSTable has whole pages, this has {size} bytes")
    file = await disk.open(path, OpenMode.READ)
    try:
        footer = Footer.decode(await file.read(offset, PAGE_BYTES))
    except CorruptData as error:
        raise CorruptFile(path, offset, str(error)) from error
    finally:
        await file.close()
    return await open_sstable(disk, path, footer.table_id, number)


async def sections_of(table: SSTable) -> AsyncIterator[tuple[int, Section]]:
    """All sections of a file in order, each with the offset of its frame, a block at a time."""
    for position in range(table.summary.count):
        index = await fetch_index(table, Extent(*table.summary.place(position)))
        for entry in range(index.count):
            place = Extent(*index.place(entry))
            for section in (await fetch_block(table, place)).sections():
                yield place.offset, section


async def fetch_index(table: SSTable, place: Extent) -> IndexBlock:
    """One index block; CorruptFile if it is damaged."""
    (parsed,) = await table.fetch(Fetch(table, Kind.INDEX, [place]))
    assert isinstance(parsed, IndexBlock), "index frames are index blocks"
    return parsed


async def fetch_block(table: SSTable, place: Extent) -> Block:
    """One data block; CorruptFile if it is damaged."""
    (parsed,) = await table.fetch(Fetch(table, Kind.DATA, [place]))
    assert isinstance(parsed, Block), "data frames are blocks"
    return parsed


async def verify(disk: Disk, path: str, progress: Progress = lambda _: None) -> list[CorruptFile]:
    """What is wrong with a file; an empty list if nothing is."""
    try:
        table = await open_alone(disk, path)
    except CorruptFile as damage:
        return [damage]
    file = await disk.open(path, OpenMode.READ)
    try:
        return await _Verification(table, file, progress).run()
    finally:
        await file.close()
        if table.release():
            await table.close()


class _Verification:
    """One pass over one file."""

    def __init__(self, table: SSTable, file: File, progress: Progress) -> None:
        self._table = table
        self._file = file
        self._progress = progress
        self._found = Statistics()
        self._last: Section | None = None
        self._end = 0
        """Everything before this offset was read."""
        self._pending: Extent | None = None
        """An index frame whose bytes are not counted yet."""
        self._damages: list[CorruptFile] = []

    async def run(self) -> list[CorruptFile]:
        table = self._table
        for position in range(table.summary.count):
            await self._check_index(position)
            if len(self._damages) >= DAMAGES_MAX:
                return self._damages[:DAMAGES_MAX]
        if self._last is not None and self._last.continues:
            self._note(self._end, "the last partition goes on in no other block")
        footer = table.footer
        for extent in (footer.filter, footer.summary, footer.statistics):
            await self._cover(extent)
        await self._skip_to(footer.file_bytes - PAGE_BYTES)
        if not self._damages:
            self._check_statistics()
        return self._damages

    async def _check_index(self, position: int) -> None:
        summary = self._table.summary
        place = Extent(*summary.place(position))
        try:
            index = await fetch_index(self._table, place)
        except CorruptFile as damage:
            self._damages.append(damage)
            # Which blocks it had is not known; what comes after it can still be read.
            self._last = None
            await self._cover_index(place)
            return
        if index.start(0) != summary.start(position):
            self._note(place.offset, "an index block begins elsewhere than the summary says")
        for entry in range(index.count):
            await self._check_block(index, entry)
        await self._cover_index(place)

    async def _check_block(self, index: IndexBlock, entry: int) -> None:
        place = Extent(*index.place(entry))
        await self._cover(place)
        self._progress(place.end)
        try:
            block = await fetch_block(self._table, place)
            sections = block.sections()
            first = sections[0]
            if (first.key, first.low) != index.start(entry):
                raise CorruptData("a block begins elsewhere than the index says")
            for section in sections:
                self._check_section(section)
        except CorruptFile as damage:
            self._damages.append(damage)
            self._last = None
        except CorruptData as error:
            self._note(place.offset, str(error))
            self._last = None
        else:
            self._found.raw_bytes += block.memory_bytes

    def _check_section(self, section: Section) -> None:
        last = self._last
        if last is not None:
            _check_order(last, section)
        self._last = section
        if not section.continued:
            self._found.add_partition(section.key, section.deletion, section.static_row)
            if not self._table.filter.may_contain(key_hash(section.key)):
                raise CorruptData("a key which the filter does not have")
            if section.static_row:
                check_row(section.static_row)
        for tombstone in section.tombstones():
            self._found.add_tombstone(*tombstone)
        clusterings, rows = section.rows(b"", b"")
        for row in rows:
            check_row(row)
        if len(rows) != section.row_count or (
            rows
            and (
                clusterings[0] < section.low
                or (section.continues and clusterings[-1] >= section.high)
            )
        ):
            raise CorruptData("rows outside of their block's bounds")
        self._found.add_rows(clusterings, rows)

    def _check_statistics(self) -> None:
        found, said = self._found, self._table.statistics
        for name in ("partitions", "rows", "raw_bytes", "first_key", "last_key"):
            if getattr(found, name) != getattr(said, name):
                self._note(
                    self._table.footer.statistics.offset,
                    f"the statistics' {name} is {getattr(said, name)!r}, the file has "
                    f"{getattr(found, name)!r}",
                )
        for name in ("timestamp", "deletion_s"):
            low, high = f"min_{name}", f"max_{name}"
            if getattr(found, low) < getattr(said, low) or getattr(found, high) > getattr(
                said, high
            ):
                self._note(
                    self._table.footer.statistics.offset,
                    f"the file has a {name} outside of the statistics' bounds",
                )

    async def _cover_index(self, place: Extent) -> None:
        """An index frame is written when it is full, which the block after its last one shows."""
        previous, self._pending = self._pending, None
        if previous is not None:
            await self._cover(previous)
        self._pending = place

    async def _cover(self, place: Extent) -> None:
        """Count a frame's bytes as read, after those of the index frame that lies before it."""
        pending = self._pending
        if pending is not None and pending.offset <= place.offset:
            self._pending = None
            await self._cover(pending)
        await self._skip_to(place.offset)
        self._end = place.end

    async def _skip_to(self, offset: int) -> None:
        """Go on at `offset`; all bytes between must be zeros."""
        if offset < self._end:
            self._note(offset, "a frame that lies in another one")
        elif offset > self._end:
            # A frame is padded to the next page at most; more means that an index was lost.
            gap = await self._file.read(self._end, min(offset - self._end, PAGE_BYTES))
            if any(gap) and not self._damages:
                wrong = next(at for at, byte in enumerate(gap) if byte)
                self._note(self._end + wrong, "bytes between frames that are not zero")
            elif offset - self._end >= PAGE_BYTES and not self._damages:
                self._note(self._end, "pages that belong to no frame")

    def _note(self, offset: int, reason: str) -> None:
        self._damages.append(CorruptFile(self._table.path, offset, reason))


def _check_order(last: Section, section: Section) -> None:
    if section.continued:
        if not last.continues or (last.key, last.high) != (section.key, section.low):
            raise CorruptData("a block goes on with another partition than the one before began")
        if last.deletion != section.deletion:
            raise CorruptData("a partition's deletion differs between its blocks")
    elif last.continues or section.key <= last.key:
        raise CorruptData("partitions that do not ascend")

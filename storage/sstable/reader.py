"""An SSTable that is open: summary and filter in memory, frames when they are asked for.

Invariants: nothing of the file is used before its checksum was right. `Cursor` does no I/O: it
says which frames it needs next (`Fetch`), whoever drives it brings them. So one code serves reads
that find everything in memory, without waiting, and those that go to the disk.
"""

from collections import deque
from typing import Final

from storage.disk import Disk, File, OpenMode
from storage.errors import CorruptData, CorruptFile
from storage.pace import Pace
from storage.sstable.block import Block
from storage.sstable.bloom import BloomFilter
from storage.sstable.fetch import Extent, Fetch
from storage.sstable.footer import Footer
from storage.sstable.format import FRAME_HEADER_BYTES, PAGE_BYTES
from storage.sstable.frame import Kind
from storage.sstable.frames import FrameFile
from storage.sstable.index import IndexBlock
from storage.sstable.opening import open_frame
from storage.sstable.statistics import Statistics

READ_AHEAD_BYTES: Final = 256 * 1024
NO_KEY: Final = b"\xff" * 70_000
"""Above every key: a partition key has less than 64 KiB."""

Parsed = Block | IndexBlock


class SSTable(FrameFile):
    """One open file. It is closed, and removed if it is obsolete, when the last user lets go."""

    __slots__ = ()

    async def close(self) -> None:
        """Close the file that nobody uses, and remove it if it is obsolete."""
        assert self.users == 0, "a table in use stays open"
        await self._file.close()
        if self.is_obsolete:
            await self._disk.remove(self.path)

    async def fetch(self, fetch: Fetch) -> list[Parsed]:
        """Read, check and parse neighbouring frames with one read."""
        return await self.parse(fetch, await self.read(fetch), Pace())

    async def read(self, fetch: Fetch) -> bytes:
        """The pages which have the frames."""
        start, end = fetch.pages
        return await self._file.read(start, end - start)

    async def parse(self, fetch: Fetch, data: bytes, pace: Pace) -> list[Parsed]:
        """Check and parse what `read` gave; many frames are made ready in several turns."""
        parsed: list[Parsed] = []
        while len(parsed) < len(fetch.places):
            frame = self.parse_at(fetch, len(parsed), data)
            parsed.append(frame)
            if pace.spend(frame.memory_bytes) and len(parsed) < len(fetch.places):
                await pace.rest()
        return parsed


class Cursor:
    """The data blocks between two positions of a table, in file order or in reverse.

    A position is (key, clustering). `step` gives the next block, or a `Fetch` whose result must be
    given to `supply` before the next step, or None at the end. The first and last block may hold
    rows outside the positions.
    """

    __slots__ = (
        "_ahead_bytes",
        "_blocks",
        "_end",
        "_fetch_bytes",
        "_index",
        "_is_reverse",
        "_needed",
        "_place",
        "_queue",
        "_start",
        "_summary_at",
        "_summary_stop",
        "table",
    )

    def __init__(
        self,
        table: SSTable,
        start: tuple[bytes, bytes],
        end: tuple[bytes, bytes],
        is_reverse: bool = False,
        ahead_bytes: int = READ_AHEAD_BYTES,
    ) -> None:
        """Blocks with rows in [start, end)."""
        self.table = table
        self._start = start
        self._end = end
        self._is_reverse = is_reverse
        self._ahead_bytes = ahead_bytes
        self._fetch_bytes = 1
        self._queue: deque[Extent] = deque()
        self._blocks: deque[Block] = deque()
        self._needed: Fetch | None = None
        first = max(table.summary.find(*start), 0)
        last = _last_below(table.summary, end)
        self._summary_at, self._summary_stop = (
            (last, first - 1) if is_reverse else (first, last + 1)
        )
        if last < first:
            self._summary_at = self._summary_stop

    def step(self) -> Block | Fetch | None:
        """The next block, or what is needed to find it, or None."""
        assert self._needed is None, "what was asked for is supplied before the next step"
        if self._blocks:
            return self._blocks.popleft()
        if self._queue:
            self._needed = self._next_blocks()
        elif self._summary_at != self._summary_stop:
            place = Extent(*self.table.summary.place(self._summary_at))
            self._needed = Fetch(self.table, Kind.INDEX, [place])
        return self._needed

    def supply(self, parsed: list[Parsed]) -> None:
        """All that `step` asked for, in the order of the places."""
        fetch = self._needed
        assert fetch is not None, "nothing is supplied that was not asked for"
        assert len(parsed) == len(fetch.places), "everything asked for is supplied"
        self._needed = None
        if fetch.kind is Kind.INDEX:
            self._take_index(parsed[0])
            return
        for block in reversed(parsed) if self._is_reverse else parsed:
            assert isinstance(block, Block), "data frames are blocks"
            self._blocks.append(block)
            self._queue.popleft()

    def _take_index(self, index: Parsed) -> None:
        assert isinstance(index, IndexBlock), "index frames are index blocks"
        first = max(index.find(*self._start), 0)
        last = _last_below(index, self._end)
        positions = range(first, last + 1)
        step = -1 if self._is_reverse else 1
        self._queue.extend(Extent(*index.place(position)) for position in positions[::step])
        self._summary_at += step

    def _next_blocks(self) -> Fetch:
        """The next block alone at first, then more and more of them at once."""
        size = 0
        places: list[Extent] = []
        for place in self._queue:
            size += place.size
            if places and size > self._fetch_bytes:
                break
            places.append(place)
        self._fetch_bytes = min(max(self._fetch_bytes, size) * 2, self._ahead_bytes)
        return Fetch(self.table, Kind.DATA, places[::-1] if self._is_reverse else places)


def _last_below(index: IndexBlock, end: tuple[bytes, bytes]) -> int:
    """The position of the last entry below `end`; -1 if there is none."""
    position = index.find(*end)
    if position >= 0 and index.start(position) == end:
        position -= 1
    return position


async def open_sstable(
    disk: Disk, path: str, table_id: bytes, generation: int, level: int = 0
) -> SSTable:
    """Open the file and check all that is kept in memory; CorruptFile names what is damaged."""
    file = await disk.open(path, OpenMode.READ)
    try:
        size = await disk.size(path)
        footer = await _read_footer(file, path, size)
        if (footer.table_id, footer.generation, footer.file_bytes) != (table_id, generation, size):
            raise CorruptFile(path, size - PAGE_BYTES, "this is another table's or another file")
        tail = await file.read(footer.filter.offset, size - PAGE_BYTES - footer.filter.offset)
        return _parse_tail(disk, path, file, footer, memoryview(tail), level)
    except BaseException:
        await file.close()
        raise


async def _read_footer(file: File, path: str, size: int) -> Footer:
    offset = size - PAGE_BYTES
    if offset < 0 or size % PAGE_BYTES:
        raise CorruptFile(path, 0, f"an SSTable has whole pages, this has {size} bytes")
    try:
        return Footer.decode(await file.read(offset, PAGE_BYTES))
    except CorruptData as error:
        raise CorruptFile(path, offset, str(error)) from error


def _parse_tail(
    disk: Disk, path: str, file: File, footer: Footer, tail: memoryview, level: int
) -> SSTable:
    def payload(kind: Kind, place: Extent) -> bytes:
        start = place.offset - footer.filter.offset
        return open_frame(footer.identity, place.offset, kind, tail[start : start + place.size])

    offset = footer.filter.offset
    try:
        bloom, offset = _parse_filter(footer, tail)
        offset = footer.summary.offset
        summary = IndexBlock(payload(Kind.SUMMARY, footer.summary))
        offset = footer.statistics.offset
        statistics = Statistics.decode(payload(Kind.STATISTICS, footer.statistics))
    except CorruptData as error:
        raise CorruptFile(path, offset, str(error)) from error
    return SSTable(disk, path, file, footer, statistics, summary, bloom, level)


def _parse_filter(footer: Footer, tail: memoryview) -> tuple[BloomFilter, int]:
    """The filter from its frames, which follow each other; what is there says how long each is."""
    pieces = []
    position = 0
    while position < footer.filter.size:
        stored = int.from_bytes(tail[position + 4 : position + 8], "big")
        size = min(FRAME_HEADER_BYTES + stored, footer.filter.size - position)
        frame = tail[position : position + size]
        offset = footer.filter.offset + position
        pieces.append(open_frame(footer.identity, offset, Kind.FILTER, frame))
        position += size
    return BloomFilter.decode(b"".join(pieces)), footer.filter.end

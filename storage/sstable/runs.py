"""Partitions of an SSTable as runs which the merge takes chunks from."""

from collections.abc import Awaitable, Callable
from typing import Final

from storage.eager import start as start_eagerly
from storage.errors import CorruptFile
from storage.merge import Chunk, Head, RangeTombstone
from storage.row import NO_DELETION
from storage.sstable.block import Block, Section
from storage.sstable.fetch import Fetch
from storage.sstable.format import NO_END
from storage.sstable.lookup import Lookup
from storage.sstable.reader import Cursor, Parsed, SSTable
from storage.sstable.splice import Lane

Load = Callable[[Fetch], Awaitable[list[Parsed]]]
"""Brings frames: from a cache, or from the disk."""

Bounds = tuple[bytes, bytes]
"""The clusterings of interest, [start, end); end b"" is unbounded."""

NO_BOUNDS: Final = (b"", b"")


async def next_block(cursor: Cursor, load: Load) -> Block | None:
    """The cursor's next block, or None at its end."""
    while isinstance(step := cursor.step(), Fetch):
        cursor.supply(await load(step))
    return step


def head_of(section: Section) -> Head:
    """The partition's deletion, and its static row if it is in this section."""
    if section.deletion is None:
        return (NO_DELETION, 0, section.static_row)
    return (*section.deletion, section.static_row)


def chunk_of(section: Section, bounds: Bounds) -> Chunk:
    """What lies in the section and in the bounds."""
    start, end = section.low, section.high
    if bounds[0] > start:
        start = bounds[0]
    if bounds[1] and (not end or bounds[1] < end):
        end = bounds[1]
    tombstones = _clip(section.tombstones(), start, end) if section.tombstone_count else []
    clusterings, rows = section.rows(start, end)
    return Chunk(start, end, clusterings, rows, tombstones)


def _clip(tombstones: list[RangeTombstone], start: bytes, end: bytes) -> list[RangeTombstone]:
    clipped = []
    for low, high, timestamp, deleted_at in tombstones:
        if low < start:
            low = start
        if end and (not high or high > end):
            high = end
        if not high or low < high:
            clipped.append((low, high, timestamp, deleted_at))
    return clipped


class PartitionRun:
    """One partition of one SSTable, read from any position, forward or in reverse."""

    __slots__ = ("_bounds", "_cursor", "_key", "_load", "_next", "_reverse", "_section", "_table")

    def __init__(self, table: SSTable, key: bytes, bounds: Bounds, load: Load) -> None:
        self._table = table
        self._key = key
        self._bounds = bounds
        self._load = load
        self._section: Section | None = None
        self._cursor: Cursor | None = None
        self._next: bytes | None = None
        self._reverse = False

    async def open(self, position: bytes, reverse: bool, wants_static: bool) -> Head | None:
        """The partition's head; None if the file has nothing of this partition.

        Reads the block at `position`, where the first chunk will be asked for, and the partition's
        first block only if the static row is wanted and lies there.
        """
        section = await self._seek(position, reverse)
        if section is None:
            return None
        head = head_of(section)
        self._section = section
        if wants_static and section.continued:
            first = await self._find_first()
            return (head[0], head[1], first.static_row if first is not None else b"")
        return head if wants_static else (head[0], head[1], b"")

    def chunk_at(self, position: bytes, reverse: bool) -> Chunk | Awaitable[Chunk]:
        """The chunk at `position`, as `storage.merge` asks for it."""
        section = self._section
        if section is not None and _covers(section, position, reverse):
            return self._take(section, reverse)
        return start_eagerly(self._chunk_at(position, reverse))

    async def _chunk_at(self, position: bytes, reverse: bool) -> Chunk:
        if position == self._next and reverse == self._reverse:
            if self._cursor is None:
                end = (self._key, self._bounds[1] or NO_END)
                self._cursor = Cursor(self._table, (self._key, position), end)
            block = await next_block(self._cursor, self._load)
            section = None if block is None else block.find(self._key)
        else:
            section = await self._seek(position, reverse)
        if section is None:
            return Chunk(b"", position, [], []) if reverse else Chunk(position, b"", [], [])
        return self._take(section, reverse)

    def _take(self, section: Section, reverse: bool) -> Chunk:
        self._section = None
        chunk = chunk_of(section, self._bounds)
        self._next = section.low if reverse else section.high
        return chunk

    async def _seek(self, position: bytes, reverse: bool) -> Section | None:
        """The section at `position`; later ones come from a cursor, in reverse the same."""
        key, low = self._key, self._bounds[0]
        if reverse:
            self._reverse = True
            self._cursor = Cursor(self._table, (key, low), (key, position or NO_END), True)
            block = await next_block(self._cursor, self._load)
            return None if block is None else block.find(key)
        self._reverse, self._cursor = False, None
        lookup = Lookup(self._table, self._table.summary, key, position)
        while (fetch := lookup.step()) is not None:
            lookup.supply(await self._load(fetch))
        return lookup.section

    async def _find_first(self) -> Section | None:
        cursor = Cursor(self._table, (self._key, b""), (self._key, b"\0"))
        block = await next_block(cursor, self._load)
        return None if block is None else block.find(self._key)


def _covers(section: Section, position: bytes, reverse: bool) -> bool:
    if reverse:
        if not position:
            return not section.high
        return section.low < position and (not section.high or position <= section.high)
    return section.low <= position and (not section.high or position < section.high)


class Scan:
    """The partitions of an SSTable in order, each a run that is read once and forward.

    `key` is the partition at hand, None at the end. While it is at hand, the scan is its run.
    """

    __slots__ = ("_ahead_bytes", "_cursor", "_end", "_load", "_table", "lane")

    def __init__(
        self, table: SSTable, keys: tuple[bytes, bytes], load: Load, ahead_bytes: int
    ) -> None:
        """The partitions with keys in [keys[0], keys[1])."""
        self._table = table
        self._end = keys[1]
        self._load = load
        self._ahead_bytes = ahead_bytes
        self._cursor = Cursor(table, (keys[0], b""), (keys[1], b""), False, ahead_bytes)
        self.lane = Lane(keys[1])
        """The sections of the current block; the first of those left is at hand."""

    @property
    def table(self) -> SSTable:
        """The file which is scanned."""
        return self._table

    @property
    def key(self) -> bytes | None:
        """The partition at hand."""
        return self.lane.key

    @property
    def head(self) -> Head:
        """The head of the partition at hand."""
        return head_of(self._at_hand)

    @property
    def _at_hand(self) -> Section:
        section = self.lane.section
        assert section is not None, "a partition is at hand"
        return section

    async def begin(self, first_key: bytes) -> None:
        """Go to the first partition at or above `first_key`, which the scan started with."""
        await self._next_section()
        while not self.lane.seek(first_key):
            await self._next_section()

    def skip_now(self) -> bool:
        """Go on to the next partition if it is in the same block; false if that takes `skip`."""
        section = self.lane.section
        return section is not None and not section.continues and self.lane.step()

    async def skip(self) -> None:
        """Go on to the next partition."""
        section = self.lane.section
        if section is None:
            return
        after = section.key + b"\0"
        if section.continues:
            end = (self._end, b"")
            self._cursor = Cursor(self._table, (after, b""), end, False, self._ahead_bytes)
            self.lane.fill(None)
        await self._next_section()
        while not self.lane.seek(after):
            await self._next_section()

    def chunk_at(self, position: bytes, reverse: bool) -> Chunk | Awaitable[Chunk]:
        """The chunk at `position`; positions only grow while a partition is at hand."""
        assert not reverse, "a scan goes forward"
        section = self._at_hand
        if not section.high or position < section.high:
            return chunk_of(section, NO_BOUNDS)
        return start_eagerly(self._chunk_at(position))

    async def _chunk_at(self, position: bytes) -> Chunk:
        section = self._at_hand
        while section.high and position >= section.high:
            await self._next_section()
            following = self.lane.section
            if following is None or following.key != section.key:
                raise CorruptFile(self._table.path, 0, "a partition goes on in no other block")
            section = following
        return chunk_of(section, NO_BOUNDS)

    async def _next_section(self) -> None:
        lane = self.lane
        if lane.step():
            return
        lane.fill(await next_block(self._cursor, self._load))

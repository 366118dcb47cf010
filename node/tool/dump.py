"""One SSTable as JSON, a block of it in memory at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from storage.sstable.verify import sections_of

if TYPE_CHECKING:
    from cql.sstable_json import SSTableJson
    from storage.sstable.block import Section
    from storage.sstable.reader import SSTable

Tombstone = tuple[bytes, bytes, int, int]


async def dump(
    table: SSTable, shape: SSTableJson, keys: frozenset[str], excluded: frozenset[str]
) -> AsyncIterator[str]:
    """The pieces of one JSON array of partitions."""
    partition: _Partition | None = None
    last = b""
    yield "[\n"
    separator = ""
    async for offset, section in sections_of(table):
        if section.key != last:
            if partition is not None:
                yield partition.end()
            last, partition = section.key, None
            name = ":".join(shape.key_texts(section.key))
            if (not keys or name in keys) and name not in excluded:
                partition = _Partition(shape)
                head = shape.partition(section.key, offset, section.deletion)
                yield f'{separator}{{"partition": {head}, "rows": ['
                separator = ",\n"
        if partition is not None:
            for piece in partition.pieces(section, offset):
                yield piece
    if partition is not None:
        yield partition.end()
    yield "\n]\n"


class _Partition:
    """The rows of one partition, and the tombstone which covers the place where we are."""

    def __init__(self, shape: SSTableJson) -> None:
        self._shape = shape
        self._open: Tombstone | None = None
        self._separator = "\n  "

    def pieces(self, section: Section, offset: int) -> Iterator[str]:
        """What a section holds, in order."""
        if section.static_row:
            yield self._item(self._shape.row(None, section.static_row, offset))
        clusterings, rows = section.rows(b"", b"")
        at = 0
        for tombstone in section.tombstones():
            while at < len(rows) and clusterings[at] < tombstone[0]:
                yield from self._row(clusterings[at], rows[at], offset)
                at += 1
            yield from self._begin(tombstone)
        for clustering, row in zip(clusterings[at:], rows[at:], strict=True):
            yield from self._row(clustering, row, offset)

    def end(self) -> str:
        """The rest of the partition's text."""
        return "".join(self._close()) + "\n]}"

    def _row(self, clustering: bytes, row: bytes, offset: int) -> Iterator[str]:
        if self._open is not None and self._open[1] and self._open[1] <= clustering:
            yield from self._close()
        yield self._item(self._shape.row(clustering, row, offset))

    def _begin(self, tombstone: Tombstone) -> Iterator[str]:
        start, end, timestamp, seconds = tombstone
        before = self._open
        self._open = tombstone
        if before is not None and before[1] == start:
            if before[2:] == tombstone[2:]:
                # One tombstone, which the end of a block has cut.
                self._open = (before[0], end, timestamp, seconds)
                return
            deletions = [before[2:], tombstone[2:]]
            yield self._item(self._shape.bound(start, start, deletions))
            return
        if before is not None:
            yield self._item(self._shape.bound(None, before[1], [before[2:]]))
        yield self._item(self._shape.bound(start, None, [tombstone[2:]]))

    def _close(self) -> Iterator[str]:
        if self._open is not None:
            _, end, *deletion = self._open
            self._open = None
            yield self._item(self._shape.bound(None, end, [(deletion[0], deletion[1])]))

    def _item(self, text: str) -> str:
        piece = self._separator + text
        self._separator = ",\n  "
        return piece

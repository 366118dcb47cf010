"""Pages of a key range that several shards hold, merged in key order.

Every partition lies on one shard, so merging is choosing the shard whose next key is smallest.
Keys are spread evenly over the shards: each is asked for its share of the page and a little more,
and asked again when its rows run out before the page is full. What is held at any time is about
one page; what was fetched and not given is fetched again for the next page.

A shard that finds only dead rows gives empty pages and how far it has come. After a few of them
the page ends there, so that a range full of tombstones costs the client round trips and not a
timeout.
"""

from collections.abc import Awaitable, Callable, Sequence
from heapq import heapify, heappop, heappush
from math import isqrt
from typing import Final

from cluster.replica import abandon
from storage.slice import Pack, Page, PartitionRows, Slice

Fetch = Callable[[Slice], Page | Awaitable[Page]]
"""Asks one shard; what it gives has been started already."""

PAGE_BYTES_DEFAULT: Final = 4 * 1024 * 1024
"""Of a page whose slice names no limit."""

PACK_BYTES: Final = 256 * 1024
"""A pack of the merged page takes nothing more at so many bytes."""

EMPTY_PAGES_MAX: Final = 4
"""From one shard for one merged page."""


async def merged_page(wanted: Slice, fetches: Sequence[Fetch]) -> Page:
    """Give the next rows of a range from all shards, in key order."""
    assert not wanted.reverse, "a range of keys is read forward"
    if not wanted.byte_limit:
        wanted = wanted.changed(byte_limit=PAGE_BYTES_DEFAULT)
    cursors = [_Cursor(fetch, wanted, len(fetches)) for fetch in fetches]
    try:
        for cursor in cursors:
            cursor.start(wanted.row_limit)
        for cursor in cursors:
            await cursor.fill(wanted.row_limit)
        return await _Merge(wanted, cursors).run()
    finally:
        abandon(cursor.answer for cursor in cursors)


class _Cursor:
    """One shard's part of the range: what it gave and where it goes on."""

    __slots__ = (
        "_at",
        "_empty_pages",
        "_fetch",
        "_page",
        "_row",
        "_rows_given",
        "_sources",
        "_wanted",
        "answer",
    )

    def __init__(self, fetch: Fetch, wanted: Slice, sources: int) -> None:
        self._fetch = fetch
        self._wanted = wanted
        self._sources = sources
        self._page = Page([], True, wanted.resume_key, wanted.resume_clustering)
        self._at = 0
        self._row = 0
        self._rows_given = wanted.resume_rows
        self.answer: Page | Awaitable[Page] | None = None
        self._empty_pages = 0

    @property
    def key(self) -> bytes:
        """The key of the next partition, or of the place where we know nothing more."""
        if not self.has_rows:
            return self._page.last_key
        part = self._page.parts[self._at]
        return part.key(self._row) if isinstance(part, Pack) else part.key

    @property
    def has_rows(self) -> bool:
        """Whether a partition is at hand."""
        return self._at < len(self._page.parts)

    @property
    def may_have_more(self) -> bool:
        """Whether rows are at hand or may follow."""
        return self.has_rows or self._page.more

    @property
    def position(self) -> tuple[bytes, bytes]:
        """Where the shard's last page ended."""
        return self._page.last_key, self._page.last_clustering

    def next_partition(self) -> PartitionRows:
        """Take the partition at hand."""
        part = self._page.parts[self._at]
        if not isinstance(part, Pack):
            self._at += 1
            return part
        partition = part.partition(self._row)
        self._step(part, len(partition.rows))
        return partition

    def take_packed(self, into: Pack, end: bytes, rows_max: int, bytes_max: int) -> int:
        """Move what is packed and complete to another pack; gives how many rows, see `Pack.take`.

        The partition in which the shard's page ends is not complete.
        """
        part = self._page.parts[self._at]
        if not isinstance(part, Pack):
            return 0
        last_key, last_clustering = self.position
        if self._page.more and last_clustering:
            end = min(end, last_key) if end else last_key
        taken = into.take(part, self._row, end, rows_max, bytes_max)
        self._step(part, taken)
        return taken

    def _step(self, pack: Pack, rows: int) -> None:
        self._row += rows
        if self._row == len(pack):
            self._at += 1
            self._row = 0

    def ends_partition(self, key: bytes) -> bool:
        """Say whether the partition that was taken last is complete."""
        if self.has_rows or not self._page.more:
            return True
        last_key, last_clustering = self.position
        return last_key != key or not last_clustering

    def start(self, rows_left: int) -> None:
        """Ask the shard for what follows, if nothing is at hand and anything may follow."""
        if self.has_rows or not self._page.more or self.answer is not None:
            return
        key, clustering = self.position
        share = rows_left // self._sources + 2 * isqrt(rows_left) + 1 if rows_left else 0
        self.answer = self._fetch(
            self._wanted.changed(
                row_limit=min(share, rows_left),
                byte_limit=max(1, self._wanted.byte_limit // self._sources),
                resume_key=key,
                resume_clustering=clustering,
                resume_rows=self._rows_given if clustering else 0,
            )
        )

    async def fill(self, rows_left: int) -> bool:
        """Have a partition at hand, asking for at most `rows_left` rows or, with 0, for any
        number; `False` if the shard has none for now or none at all.
        """
        while not self.has_rows and self._page.more and self._empty_pages < EMPTY_PAGES_MAX:
            self.start(rows_left)
            answer = self.answer
            assert answer is not None, "the shard was asked"
            page = answer if isinstance(answer, Page) else await answer
            self.answer = None
            self._turn_to(page)
        return self.has_rows

    def _turn_to(self, page: Page) -> None:
        assert not page.more or page.last_key, (
            "a page that does not end the range says where it ends"
        )
        if not page.parts:
            self._empty_pages += 1
        last_rows = 0
        if page.more and page.last_clustering:
            before = self._rows_given if page.last_key == self._page.last_key else 0
            last_rows = before + page.rows_at_position()
        self._rows_given = last_rows
        self._page = page
        self._at = 0
        self._row = 0


class _Merge:
    """One page being put together."""

    def __init__(self, wanted: Slice, cursors: list[_Cursor]) -> None:
        self._rows_left = wanted.row_limit
        self._has_row_limit = wanted.row_limit > 0
        self._bytes_left = wanted.byte_limit
        self._cursors = cursors
        self._heap = [(c.key, i) for i, c in enumerate(cursors) if c.may_have_more]
        self._parts: list[PartitionRows | Pack] = []

    async def run(self) -> Page:
        """Take partitions in key order until a limit or the end."""
        heapify(self._heap)
        while self._heap:
            _, index = heappop(self._heap)
            cursor = self._cursors[index]
            if not cursor.has_rows:
                return self._page(True, *cursor.position)
            key = self._take_packed(cursor)
            if not key:
                partition = cursor.next_partition()
                if self._has_row_limit and len(partition.rows) > self._rows_left:
                    return self._cut(partition)
                self._take(partition)
                key = partition.key
            if self._is_full:
                return self._end_after(key, cursor)
            await cursor.fill(self._rows_left if self._has_row_limit else 0)
            if cursor.may_have_more:
                heappush(self._heap, (cursor.key, index))
        return self._page(False)

    @property
    def _is_full(self) -> bool:
        return self._bytes_left <= 0 or (self._has_row_limit and self._rows_left <= 0)

    def _take_packed(self, cursor: _Cursor) -> bytes:
        """Take all that is packed and lies before what other shards have; gives the last key, b""
        if there was nothing.
        """
        last = self._parts[-1] if self._parts else None
        if isinstance(last, PartitionRows) and last.key == cursor.key:
            return b""
        pack = last if isinstance(last, Pack) and last.size < PACK_BYTES else Pack()
        before = pack.size
        end = self._heap[0][0] if self._heap else b""
        rows_max = self._rows_left if self._has_row_limit else 0
        rows = cursor.take_packed(pack, end, rows_max, self._bytes_left)
        if not rows:
            return b""
        if pack is not last:
            self._parts.append(pack)
        self._rows_left -= rows
        self._bytes_left -= pack.size - before
        return pack.key(len(pack) - 1)

    def _take(self, partition: PartitionRows) -> None:
        self._bytes_left -= size_of(partition)
        last = self._parts[-1] if self._parts else None
        if isinstance(last, PartitionRows) and last.key == partition.key:
            self._rows_left -= len(partition.rows)
            last.clusterings.extend(partition.clusterings)
            last.rows.extend(partition.rows)
            return
        self._rows_left -= max(1, len(partition.rows))
        self._parts.append(partition)

    def _cut(self, partition: PartitionRows) -> Page:
        """End the page inside a partition."""
        kept = self._rows_left
        assert kept > 0, "a full page is ended before another partition is taken"
        start = PartitionRows(
            partition.key,
            partition.deletion,
            partition.static_row,
            partition.clusterings[:kept],
            partition.rows[:kept],
        )
        self._take(start)
        return self._page(True, partition.key, partition.clusterings[kept - 1])

    def _end_after(self, key: bytes, cursor: _Cursor) -> Page:
        """End the page with a partition, or with what its shard gave of it so far."""
        if not cursor.ends_partition(key):
            return self._page(True, *cursor.position)
        more = bool(self._heap) or cursor.may_have_more
        return self._page(more, key, b"")

    def _page(self, more: bool, last_key: bytes = b"", last_clustering: bytes = b"") -> Page:
        return Page(self._parts, more, last_key, last_clustering)


def size_of(partition: PartitionRows) -> int:
    """Give about how many bytes a partition's rows take."""
    return (
        len(partition.key)
        + len(partition.static_row)
        + sum(map(len, partition.clusterings))
        + sum(map(len, partition.rows))
    )

"""Tables that are answers: rows made by a callable, read through a Slice like stored ones.

A virtual table's rows are brought into the very form that storage uses (decorated keys, ordered
clusterings, row bytes), so that planning, filtering and results know no difference. The form is
kept as long as the source's version stays the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cluster.token import decorate
from cql.schema import Column, Table
from cql.types.catalog import ListType, MapType, SetType
from cql.types.codec import pack_key, unpack_list, unpack_map
from cql.types.ordering import ClusteringCodec
from storage.row import RowBuilder, live
from storage.slice import Page, PartitionRows, Slice

RowValues: TypeAlias = Sequence[bytes | None]
"""The values of one row as wire bytes, in the order of `Table.all_columns`."""

WRITE_TIMESTAMP_US: Final = 0


@dataclass(slots=True)
class _Partition:
    """One partition: clusterings ascending, and the row of each."""

    key: bytes
    clusterings: list[bytes] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)


class VirtualTable:
    """A table and where its rows come from.

    `version` tells when rows made before are still right: they are made again whenever it gives
    another object or value. Without it they are made for each read.
    """

    def __init__(
        self,
        table: Table,
        rows: Callable[[], Iterable[RowValues]],
        version: Callable[[], object] | None = None,
    ) -> None:
        self.table = table
        self._rows = rows
        self._version = version
        self._made_for: object = None
        self._partitions: list[_Partition] | None = None
        self._clustering_codec = ClusteringCodec([column.type for column in table.clustering])
        self._encoded: dict[tuple[bytes | None, ...], tuple[bytes, bytes, bytes]] = {}

    def answer(self, wanted: Slice) -> Page:
        """The page of rows that the slice asks for."""
        partitions = self._current()
        low, high = _key_bounds(partitions, wanted)
        if wanted.resume_key:
            low = max(low, bisect_left(partitions, wanted.resume_key, key=_key_of))
        return _Reader(wanted).read(partitions, low, high)

    def check(self) -> None:
        """Prove the order that binary search relies on."""
        partitions = self._current()
        assert [p.key for p in partitions] == sorted({p.key for p in partitions})
        for partition in partitions:
            assert partition.clusterings == sorted(set(partition.clusterings))
            assert len(partition.rows) == len(partition.clusterings)

    def _current(self) -> list[_Partition]:
        if self._version is None:
            return self._make()
        version = self._version()
        if self._partitions is None or version != self._made_for:
            self._partitions = self._make()
            self._made_for = version
        return self._partitions

    def _make(self) -> list[_Partition]:
        """All rows in order; of two with the same key the later one stays."""
        before, self._encoded = self._encoded, {}
        placed: dict[bytes, dict[bytes, bytes]] = {}
        for values in self._rows():
            row_values = tuple(values)
            encoded = before.get(row_values) or self._encode(row_values)
            self._encoded[row_values] = encoded
            key, clustering, row = encoded
            placed.setdefault(key, {})[clustering] = row
        return [
            _Partition(key, sorted(rows), [rows[clustering] for clustering in sorted(rows)])
            for key, rows in sorted(placed.items())
        ]

    def _encode(self, values: tuple[bytes | None, ...]) -> tuple[bytes, bytes, bytes]:
        """Key, clustering and row bytes of one row."""
        table = self.table
        partition_count = len(table.partition_key)
        key_count = partition_count + len(table.clustering)
        assert len(values) == len(table.all_columns), "a row has a value for each column"
        key_parts = [value for value in values[:key_count] if value is not None]
        assert len(key_parts) == key_count, f"a key of {table.full_name} has no nulls"
        key = decorate(_partition_key(key_parts[:partition_count]))
        clustering = b""
        if table.clustering:
            clustering = self._clustering_codec.encode(key_parts[partition_count:])
        builder = RowBuilder()
        builder.begin(WRITE_TIMESTAMP_US, True)
        for column, value in zip(table.regular, values[key_count:], strict=True):
            if value is not None:
                _add_value(builder, column, value)
        return key, clustering, builder.finish()


class _Reader:
    """One walk over the partitions, up to the limits of the slice."""

    def __init__(self, wanted: Slice) -> None:
        self._wanted = wanted
        self._rows_left = wanted.row_limit or -1
        self._bytes_left = wanted.byte_limit or -1
        self._page: list[PartitionRows] = []

    def read(self, partitions: list[_Partition], low: int, high: int) -> Page:
        """The rows of partitions[low:high] which the slice wants."""
        wanted = self._wanted
        for index in range(low, high):
            partition = partitions[index]
            resume = b""
            used = 0
            if wanted.resume_key == partition.key:
                resume = wanted.resume_clustering
                used = wanted.resume_rows
                if not resume:
                    continue
            if self._rows_left == 0 or (self._bytes_left == 0 and self._page):
                return Page(self._page, True, partitions[index - 1].key, b"")
            if self._take(partition, resume, used):
                return self._more_here()
        return Page(self._page, False)

    def _more_here(self) -> Page:
        """More follows after the last row given."""
        last = self._page[-1]
        return Page(self._page, True, last.key, last.clusterings[-1])

    def _take(self, partition: _Partition, resume: bytes, used: int) -> bool:
        """Add the partition's rows; True if the limits of the page left some behind."""
        places = self._places(partition, resume)
        limit = len(places)
        if self._wanted.distinct:
            limit = 0 if resume else min(limit, 1)
        elif self._wanted.partition_limit:
            limit = min(limit, max(0, self._wanted.partition_limit - used))
        count = limit if self._rows_left < 0 else min(limit, self._rows_left)
        if self._bytes_left > 0:
            count = self._within_bytes(partition, places[:count])
        if count:
            taken = places[:count]
            clusterings = [partition.clusterings[place] for place in taken]
            rows = [partition.rows[place] for place in taken]
            if self._wanted.columns is not None:
                rows = [live(row, WRITE_TIMESTAMP_US, self._wanted.columns) for row in rows]
            self._page.append(PartitionRows(partition.key, None, b"", clusterings, rows))
        if self._rows_left > 0:
            self._rows_left -= count
        return count < limit

    def _within_bytes(self, partition: _Partition, places: list[int]) -> int:
        """How many of the rows fit into the page; one always does."""
        for count, place in enumerate(places):
            size = len(partition.rows[place]) + len(partition.clusterings[place])
            if size > self._bytes_left and (count or self._page):
                self._bytes_left = 0
                return count
            self._bytes_left = max(0, self._bytes_left - size)
        return len(places)

    def _places(self, partition: _Partition, resume: bytes) -> list[int]:
        """Indices of the wanted rows in the order in which they are given."""
        places: list[int] = []
        clusterings = partition.clusterings
        for start, end in self._wanted.ranges:
            low = bisect_left(clusterings, start)
            high = bisect_left(clusterings, end) if end else len(clusterings)
            places.extend(range(low, high))
        if self._wanted.reverse:
            places.reverse()
        if resume:
            is_reverse = self._wanted.reverse
            places = [p for p in places if (clusterings[p] < resume) == is_reverse]
            places = [p for p in places if clusterings[p] != resume]
        return places


def _key_of(partition: _Partition) -> bytes:
    return partition.key


def _key_bounds(partitions: list[_Partition], wanted: Slice) -> tuple[int, int]:
    """The partitions that the slice's key or key range covers, as a range of indices."""
    key = wanted.key
    if key is None:
        return 0, len(partitions)
    if isinstance(key, tuple):
        start, end = key
        high = bisect_left(partitions, end, key=_key_of) if end else len(partitions)
        return bisect_left(partitions, start, key=_key_of), high
    low = bisect_left(partitions, key, key=_key_of)
    found = low < len(partitions) and partitions[low].key == key
    return low, low + int(found)


def _partition_key(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else pack_key(parts)


def _add_value(builder: RowBuilder, column: Column, value: bytes) -> None:
    """One cell, or one per element if the column is stored so."""
    if not column.type.is_multicell:
        builder.cell(column.id, WRITE_TIMESTAMP_US, value)
    elif isinstance(column.type, SetType):
        for element in unpack_list(value):
            builder.element(column.id, WRITE_TIMESTAMP_US, element, b"")
    elif isinstance(column.type, MapType):
        for path, element in unpack_map(value):
            builder.element(column.id, WRITE_TIMESTAMP_US, path, element)
    else:
        assert isinstance(column.type, ListType), "no system table has a non-frozen user type"
        for index, element in enumerate(unpack_list(value)):
            path = index.to_bytes(16, "big")
            builder.element(column.id, WRITE_TIMESTAMP_US, path, element)

"""The obvious, slow model of one table: it keeps every write and settles them when asked.

It knows nothing of bytes, runs or order of arrival. What a read must answer follows from the list
of writes by the rules of last-write-wins alone, so it is the oracle for memtable, merge, engine
and whole nodes. Clusterings are order-preserving bytes as everywhere below `cql`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

STATIC = b""
NEVER = 1 << 62


@dataclass(frozen=True)
class CellWrite:
    """A value (or with `value` None a tombstone) for one cell or one collection element."""

    key: bytes
    clustering: bytes
    column: int
    path: bytes | None
    ts: int
    value: bytes | None
    ttl: int = 0
    second: int = 0
    """When it expires, if `ttl`; when it was deleted, if a tombstone."""

    def strength(self) -> tuple[int, int, int, int, bytes]:
        """The stronger of two writes to one place wins."""
        kind = 2 if self.value is None else 1 if self.ttl else 0
        return (self.ts, kind, self.second if kind else 0, -self.ttl, self.value or b"")


@dataclass(frozen=True)
class MarkerWrite:
    """The row exists since `ts`, for ever or until `expiry`."""

    key: bytes
    clustering: bytes
    ts: int
    ttl: int = 0
    expiry: int = 0

    def strength(self) -> tuple[int, bool, int, int]:
        """The stronger of two markers wins."""
        return (self.ts, self.ttl > 0, self.expiry if self.ttl else 0, -self.ttl)


@dataclass(frozen=True)
class Deletion:
    """Everything written to the rows in [start, end) up to `ts` is gone; end b"" is no end.

    `includes_static` makes it a deletion of the partition; `column` limits it to one collection.
    """

    key: bytes
    start: bytes
    end: bytes
    ts: int
    includes_static: bool = False
    column: int | None = None

    def covers(self, key: bytes, clustering: bytes, has_static: bool, column: int | None) -> bool:
        """Whether a write of that row and column is deleted, if it is old enough."""
        if key != self.key or (self.column is not None and column != self.column):
            return False
        if has_static and clustering == STATIC and self.start == STATIC and self.column is None:
            return self.includes_static or self.end == clustering + b"\0"
        return self.start <= clustering and (not self.end or clustering < self.end)


RowId = tuple[bytes, bytes]
"""(key, clustering)."""

Place = tuple[int, bytes | None]
"""(column, path)."""

Value = tuple[int, bytes, int, int]
"""(timestamp, value, ttl, expiry)."""


@dataclass
class ModelRow:
    """A live row: its marker's timestamp if that lives, and its live cells."""

    marker_ts: int | None
    cells: dict[Place, Value]


@dataclass
class ModelPartition:
    """A live partition."""

    key: bytes
    static_row: ModelRow | None
    rows: list[tuple[bytes, ModelRow]]


@dataclass
class TableModel:
    """Every write that one table has seen."""

    has_static: bool = False
    cells: dict[RowId, list[CellWrite]] = field(default_factory=dict)
    markers: dict[RowId, list[MarkerWrite]] = field(default_factory=dict)
    deletions: dict[bytes, list[Deletion]] = field(default_factory=dict)

    def write(self, change: CellWrite | MarkerWrite | Deletion) -> None:
        """Remembers one write."""
        if isinstance(change, CellWrite):
            self.cells.setdefault((change.key, change.clustering), []).append(change)
        elif isinstance(change, MarkerWrite):
            self.markers.setdefault((change.key, change.clustering), []).append(change)
        else:
            self.deletions.setdefault(change.key, []).append(change)

    def write_all(self, changes: Iterable[CellWrite | MarkerWrite | Deletion]) -> None:
        """Remembers several writes."""
        for change in changes:
            self.write(change)

    def keys(self) -> list[bytes]:
        """All keys that were ever written, ascending."""
        return sorted({key for key, _ in self.cells} | {key for key, _ in self.markers})

    def row(self, key: bytes, clustering: bytes, now: int) -> ModelRow | None:
        """The row as it is at second `now`; None if it is not live."""
        markers = [
            marker
            for marker in self.markers.get((key, clustering), ())
            if marker.ts > self._deleted_until(key, clustering, None)
        ]
        marker = max(markers, key=MarkerWrite.strength, default=None)
        if marker is not None and marker.ttl and marker.expiry <= now:
            marker = None
        cells = self._cells(key, clustering, now)
        if marker is None and not cells:
            return None
        return ModelRow(marker.ts if marker else None, cells)

    def partition(
        self,
        key: bytes,
        now: int,
        ranges: Iterable[tuple[bytes, bytes]] = ((b"", b""),),
        reverse: bool = False,
    ) -> ModelPartition | None:
        """What lives of a partition in the ranges."""
        places = {place for owner, place in [*self.cells, *self.markers] if owner == key}
        static_row = self.row(key, STATIC, now) if self.has_static else None
        if self.has_static:
            places.discard(STATIC)
        rows = []
        for clustering in sorted(places, reverse=reverse):
            if any(start <= clustering and (not end or clustering < end) for start, end in ranges):
                row = self.row(key, clustering, now)
                if row is not None:
                    rows.append((clustering, row))
        if static_row is None and not rows:
            return None
        return ModelPartition(key, static_row, rows)

    def _cells(self, key: bytes, clustering: bytes, now: int) -> dict[Place, Value]:
        winners: dict[Place, CellWrite] = {}
        for write in self.cells.get((key, clustering), ()):
            if write.ts <= self._deleted_until(key, clustering, write.column):
                continue
            place = (write.column, write.path)
            if place not in winners or winners[place].strength() < write.strength():
                winners[place] = write
        return {
            place: (write.ts, write.value, write.ttl, write.second if write.ttl else 0)
            for place, write in sorted(winners.items(), key=lambda item: str(item[0]))
            if write.value is not None and not (write.ttl and write.second <= now)
        }

    def _deleted_until(self, key: bytes, clustering: bytes, column: int | None) -> int:
        return max(
            (
                deletion.ts
                for deletion in self.deletions.get(key, ())
                if deletion.covers(key, clustering, self.has_static, column)
            ),
            default=-NEVER,
        )

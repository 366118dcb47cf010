"""The obvious, slow model of a CQL table: typed columns, every write kept, settled when asked.

It knows keys as tuples of Python values and cells as wire bytes. Order comes from Python's order of
the values, visibility from the list of writes by last-write-wins alone; nothing is shared with the
code it judges but the token of a partition key.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.token import token_of

NEVER = -(1 << 63)
FIELDS = ("a", "b")
"""The fields of the user type: a int, b text."""

Key = tuple[Any, ...]
Pack = Callable[[Any], bytes]


def _varint(value: int) -> bytes:
    return value.to_bytes(
        (value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True
    )


PACK: Mapping[str, Pack] = {
    "int": lambda value: struct.pack(">i", value),
    "bigint": lambda value: struct.pack(">q", value),
    "smallint": lambda value: struct.pack(">h", value),
    "varint": _varint,
    "boolean": lambda value: b"\x01" if value else b"\x00",
    "text": str.encode,
    "blob": bytes,
}
"""Value to wire bytes, for each scalar type that is used."""

ORDER: Mapping[str, Callable[[Any], Any]] = {"text": str.encode}
"""What values are compared by, where it is not themselves."""

MULTICELL = {
    "set": "set<text>",
    "map": "map<int, text>",
    "udt": "pair",
    "list": "list<int>",
}
"""Collections and the user type: our name for each, and the CQL type."""


@dataclass(frozen=True)
class Column:
    """One column; `type` is a scalar's CQL name or a name in MULTICELL."""

    name: str
    kind: str
    type: str
    is_descending: bool = False

    @property
    def cql_type(self) -> str:
        return MULTICELL.get(self.type, self.type)

    @property
    def is_multicell(self) -> bool:
        return self.type in MULTICELL

    def pack(self, value: Any) -> bytes:
        """A whole value as wire bytes, for binding."""
        if not self.is_multicell:
            return PACK[self.type](value)
        if self.type == "set":
            return packed([item.encode() for item in sorted(value, key=str.encode)])
        if self.type == "list":
            return packed([PACK["int"](item) for item in value])
        if self.type == "map":
            pairs = [(PACK["int"](key), value[key].encode()) for key in sorted(value)]
            return struct.pack(">i", len(pairs)) + b"".join(
                sized(part) for p in pairs for part in p
            )
        return b"".join(sized(None if part is None else part) for part in udt_parts(value))

    def elements(self, value: Any) -> dict[Any, bytes]:
        """The cells of a collection: their places in the order of the type, and their bytes.

        Not of a list, whose places are in the order in which they were made; see `CqlTable`.
        """
        if self.type == "set":
            return {item.encode(): b"" for item in value}
        if self.type == "map":
            return {key: text.encode() for key, text in value.items()}
        return {n: part for n, part in enumerate(udt_parts(value)) if part is not None}

    def joined(self, cells: Mapping[Any, bytes]) -> bytes | None:
        """What a read shows of a collection's live cells."""
        if not cells:
            return None
        places = sorted(cells)
        if self.type == "set":
            return packed(places)
        if self.type == "list":
            return packed([cells[place] for place in places])
        if self.type == "map":
            parts = [sized(part) for key in places for part in (PACK["int"](key), cells[key])]
            return struct.pack(">i", len(places)) + b"".join(parts)
        return b"".join(sized(cells.get(number)) for number in range(len(FIELDS)))


def udt_parts(value: Mapping[str, Any]) -> list[bytes | None]:
    """The fields of the user type as bytes."""
    first, second = value.get("a"), value.get("b")
    return [
        None if first is None else PACK["int"](first),
        None if second is None else second.encode(),
    ]


def sized(data: bytes | None) -> bytes:
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def packed(items: Iterable[bytes]) -> bytes:
    items = list(items)
    return struct.pack(">i", len(items)) + b"".join(sized(item) for item in items)


@dataclass(frozen=True)
class Cell:
    """One write of one cell; `value` None is a tombstone, `expiry` 0 is never."""

    ts: int
    value: bytes | None
    expiry: int = 0

    @property
    def strength(self) -> tuple[int, int, int, bytes]:
        kind = 2 if self.value is None else 1 if self.expiry else 0
        return (self.ts, kind, self.expiry, self.value or b"")


@dataclass(frozen=True)
class Deletion:
    """Rows that `covers` admits are gone as of `ts`; the static row only with `is_partition`."""

    ts: int
    covers: Callable[[Key], bool]
    is_partition: bool = False


@dataclass
class Row:
    """All writes to one row. The static row has only cells."""

    markers: list[Cell] = field(default_factory=list)
    cells: dict[tuple[str, Any], list[Cell]] = field(default_factory=dict)
    emptied: dict[str, int] = field(default_factory=dict)
    """When the cells of a collection were last deleted together."""


@dataclass
class Partition:
    """All writes to one partition."""

    rows: dict[Key, Row] = field(default_factory=dict)
    static: Row = field(default_factory=Row)
    deletions: list[Deletion] = field(default_factory=list)


Shown = dict[str, bytes | None]


@dataclass
class CqlTable:
    """One table. Clustering values are compared by `order_of`."""

    columns: tuple[Column, ...]
    partitions: dict[Key, Partition] = field(default_factory=dict)
    list_start: int = 0
    list_end: int = 0
    """The places of list elements that were made lie between them, newer ones further outside."""

    def of_kind(self, kind: str) -> list[Column]:
        """The columns of a kind, in their order."""
        return [column for column in self.columns if column.kind == kind]

    # Writes.

    def partition(self, key: Key) -> Partition:
        return self.partitions.setdefault(key, Partition())

    def row(self, key: Key, clustering: Key | None) -> Row:
        """A row to be written; None is the static one."""
        partition = self.partition(key)
        if clustering is None:
            return partition.static
        return partition.rows.setdefault(clustering, Row())

    def mark(self, key: Key, clustering: Key, ts: int, expiry: int) -> None:
        """INSERT: the row exists."""
        self.row(key, clustering).markers.append(Cell(ts, b"", expiry))

    def put(self, row: Row, column: Column, place: Any, cell: Cell) -> None:
        """One cell."""
        row.cells.setdefault((column.name, place), []).append(cell)

    def assign(self, row: Row, column: Column, value: Any, ts: int, expiry: int) -> None:
        """SET column = value."""
        if not column.is_multicell:
            data = None if value is None else column.pack(value)
            self.put(row, column, None, Cell(ts, data, 0 if data is None else expiry))
            return
        self.empty(row, column, ts - 1)
        cells = (
            self.appended(value or []) if column.type == "list" else column.elements(value or {})
        )
        for place, data in cells.items():
            self.put(row, column, place, Cell(ts, data, expiry))

    def appended(self, items: Sequence[int]) -> dict[int, bytes]:
        """The cells of new elements behind all others of any list."""
        first, self.list_end = self.list_end, self.list_end + len(items)
        return {first + n: PACK["int"](item) for n, item in enumerate(items)}

    def prepended(self, items: Sequence[int]) -> dict[int, bytes]:
        """The cells of new elements before all others."""
        self.list_start -= len(items)
        return {self.list_start + n: PACK["int"](item) for n, item in enumerate(items)}

    def live_cells(
        self, key: Key, clustering: Key | None, column: Column, now: int
    ) -> dict[Any, bytes]:
        """What lives of a collection, by place in their order; None is the static row."""
        partition = self.partition(key)
        row = partition.static if clustering is None else partition.rows.get(clustering, Row())
        gone = [d.ts for d in partition.deletions if _reaches(d, clustering)]
        live = _live(row, column, max(gone, default=NEVER), now)
        return {place: live[place] for place in sorted(live)}

    def empty(self, row: Row, column: Column, ts: int) -> None:
        """The cells of a collection up to `ts` are gone."""
        row.emptied[column.name] = max(ts, row.emptied.get(column.name, NEVER))

    def delete(self, key: Key, deletion: Deletion) -> None:
        """Rows, or all of a partition."""
        self.partition(key).deletions.append(deletion)

    # Reads.

    def in_scan_order(self) -> list[Key]:
        """Every partition key, in the order of a scan."""
        return sorted(self.partitions, key=lambda key: (token_of(self.key_bytes(key)), key))

    def key_bytes(self, key: Key) -> bytes:
        """The serialized partition key."""
        columns = self.of_kind("partition")
        parts = [column.pack(part) for column, part in zip(columns, key, strict=True)]
        if len(parts) == 1:
            return parts[0]
        return b"".join(struct.pack(">H", len(part)) + part + b"\0" for part in parts)

    def order_of(self, clustering: Key) -> tuple[Any, ...]:
        """What rows are sorted by."""
        parts = []
        for column, part in zip(self.of_kind("clustering"), clustering, strict=True):
            by = ORDER.get(column.type, lambda value: value)(part)
            parts.append(_Reversed(by) if column.is_descending else by)
        return tuple(parts)

    def show(
        self, key: Key, now: int, admits: Callable[[Key], bool] | None, reverse: bool
    ) -> list[Shown]:
        """The rows of one partition which a SELECT shows; `admits` None asks for all of it."""
        partition = self.partitions.get(key)
        if partition is None:
            return []
        named = dict(zip(self.of_kind("partition"), key, strict=True))
        head = {column.name: column.pack(part) for column, part in named.items()}
        gone = max((d.ts for d in partition.deletions if d.is_partition), default=NEVER)
        static = self._cells(partition.static, "static", gone, now)
        shown: list[Shown] = []
        for clustering in sorted(partition.rows, key=self.order_of, reverse=reverse):
            if admits is None or admits(clustering):
                row = self._row(partition, clustering, now)
                if row is not None:
                    shown.append({**head, **self._clustering(clustering), **static, **row})
        has_static = any(value is not None for value in static.values())
        if not shown and has_static and admits is None:
            others = self.of_kind("clustering") + self.of_kind("regular")
            shown.append({**head, **static, **{column.name: None for column in others}})
        return shown

    def _row(self, partition: Partition, clustering: Key, now: int) -> Shown | None:
        row = partition.rows[clustering]
        gone = max((d.ts for d in partition.deletions if d.covers(clustering)), default=NEVER)
        markers = [marker for marker in row.markers if marker.ts > gone]
        marker = max(markers, key=lambda m: m.strength, default=None)
        has_marker = marker is not None and not 0 < marker.expiry <= now
        cells = self._cells(row, "regular", gone, now)
        return cells if has_marker or any(v is not None for v in cells.values()) else None

    def _clustering(self, clustering: Key) -> Shown:
        columns = self.of_kind("clustering")
        return {c.name: c.pack(part) for c, part in zip(columns, clustering, strict=True)}

    def _cells(self, row: Row, kind: str, gone: int, now: int) -> Shown:
        shown: Shown = {}
        for column in self.of_kind(kind):
            live = _live(row, column, gone, now)
            shown[column.name] = column.joined(live) if column.is_multicell else live.get(None)
        return shown


def _reaches(deletion: Deletion, clustering: Key | None) -> bool:
    """Whether a deletion covers a row; None is the static one."""
    return deletion.is_partition if clustering is None else deletion.covers(clustering)


def _live(row: Row, column: Column, gone: int, now: int) -> dict[Any, bytes]:
    """The cells of a column that win and live, by place."""
    live: dict[Any, bytes] = {}
    until = max(gone, row.emptied.get(column.name, NEVER))
    for (name, place), cells in row.cells.items():
        candidates = [cell for cell in cells if cell.ts > until]
        if name == column.name and candidates:
            best = max(candidates, key=lambda cell: cell.strength)
            if best.value is not None and not 0 < best.expiry <= now:
                live[place] = best.value
    return live


@dataclass(frozen=True)
class _Reversed:
    """Sorts the other way round."""

    value: Any

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.value < self.value)

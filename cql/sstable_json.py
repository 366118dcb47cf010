"""What an SSTable holds of a partition as JSON texts, in the shape that sstabledump gave them.

Without the table's definition everything is shown as bytes in hexadecimal. Values are written as
CQL writes JSON, keys of partitions and of collections as texts.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cql.assemble import raw_clustering
from cql.errors import InvalidRequest
from cql.schema import HIDDEN_CLUSTERING_COLUMN
from cql.types.catalog import TIMEUUID, CqlType, ListType, MapType, SetType, UserType
from cql.types.codec import unpack_key
from cql.types.ordering import ClusteringCodec
from cql.types.text import to_json, to_text
from storage.row import NO_DELETION, CellCursor

if TYPE_CHECKING:
    from cql.schema import Column, Table

TOMBSTONE, EXPIRING, HAS_PATH, COMPLEX_DELETION, COUNTER = 1, 2, 4, 8, 64
TOKEN_BYTES: Final = 8
_COUNTER_SHARD: Final = struct.Struct(">16sqq")

Deletion = tuple[int, int]
Fields = Sequence[tuple[str, str]]


class SSTableJson:
    """Makes the texts for the files of one table."""

    def __init__(self, table: Table | None, now_s: int, *, raw_times: bool = False) -> None:
        self._table = table
        self._now_s = now_s
        self._raw_times = raw_times
        self._columns: dict[int, Column] = {}
        self._codecs: list[ClusteringCodec] = []
        if table is not None:
            self._columns = {column.id: column for column in table.all_columns}
            types = [column.type for column in table.clustering]
            orders = [column.reversed for column in table.clustering]
            counts = range(1, len(types) + 1)
            self._codecs = [ClusteringCodec(types[:n], orders[:n]) for n in counts]

    def key_texts(self, key: bytes) -> list[str]:
        """The components of a partition key, as texts."""
        serialized = key[TOKEN_BYTES:]
        if self._table is None:
            return [serialized.hex()]
        columns = self._table.partition_key
        parts = [serialized] if len(columns) == 1 else unpack_key(serialized, len(columns))
        return [to_text(column.type, part) for column, part in zip(columns, parts, strict=True)]

    def partition(self, key: bytes, position: int, deletion: Deletion | None) -> str:
        """The member "partition" of a partition."""
        fields = [("key", json.dumps(self.key_texts(key))), ("position", str(position))]
        if deletion is not None:
            fields.append(("deletion_info", self._deletion(deletion)))
        return _object(fields)

    def row(self, clustering: bytes | None, row: bytes, position: int) -> str:
        """One row; the static one has no clustering."""
        cursor = CellCursor()
        cursor.reset(row)
        kind = "static_block" if clustering is None else "row"
        fields = [("type", json.dumps(kind)), ("position", str(position))]
        marker_ts = cursor.marker_ts if cursor.has_marker else None
        if cursor.has_marker:
            fields.append(("liveness_info", self._liveness(cursor)))
        if cursor.deletion_ts != NO_DELETION:
            deletion = (cursor.deletion_ts, cursor.deleted_at)
            fields.append(("deletion_info", self._deletion(deletion)))
        cells: list[str] = []
        while cursor.next():
            if cursor.column != HIDDEN_CLUSTERING_COLUMN or self._table is None:
                cells.append(self._cell(cursor, marker_ts))
        if clustering:
            fields.insert(2, ("clustering", self._clustering(clustering, row)))
        fields.append(("cells", _array(cells)))
        return _object(fields)

    def bound(self, start: bytes | None, end: bytes | None, deletions: Sequence[Deletion]) -> str:
        """Where a range tombstone begins or ends, or where one ends and another begins.

        `deletions` are those of `end` and `start`, in this order.
        """
        infos = list(map(self._deletion, deletions))
        fields = []
        if start is not None:
            fields.append(("start", self._bound(start, True, infos[-1])))
        if end is not None:
            fields.append(("end", self._bound(end, False, infos[0])))
        kind = "range_tombstone_" + ("boundary" if len(fields) == 2 else "bound")
        return _object([("type", json.dumps(kind)), *fields])

    def _bound(self, place: bytes, is_start: bool, info: str) -> str:
        """Storage knows places between rows; a place after a prefix begins behind its rows."""
        is_after = False
        found = None
        if place not in (b"", b"\x01"):
            found = self._prefix(place)
            if found is None:
                is_after = True
                found = self._prefix(place[:-1])
        kind = "exclusive" if is_after == is_start and found is not None else "inclusive"
        parts = found if found is not None else []
        missing = 0 if self._table is None else len(self._table.clustering) - len(parts)
        shown = _array([*parts, *['"*"'] * max(missing, 0)])
        return _object([("type", json.dumps(kind)), ("clustering", shown), ("deletion_info", info)])

    def _prefix(self, place: bytes) -> list[str] | None:
        """The values of a prefix of the clustering columns; None if the bytes are none."""
        if self._table is None:
            return [json.dumps(place.hex())]
        for codec in self._codecs:
            try:
                values = codec.decode(place)
            except InvalidRequest:
                continue
            return [to_json(kind, value) for kind, value in zip(codec.types, values, strict=True)]
        return None

    def _clustering(self, clustering: bytes, row: bytes) -> str:
        if self._table is None:
            return _array([json.dumps(clustering.hex())])
        codec = self._codecs[-1]
        values = _raw_values(row) if codec.is_lossy else None
        values = values or codec.decode(clustering)
        return _array([to_json(kind, v) for kind, v in zip(codec.types, values, strict=True)])

    def _liveness(self, cursor: CellCursor) -> str:
        fields = [("tstamp", self._time_us(cursor.marker_ts))]
        if cursor.marker_expiry:
            fields += self._expiry(cursor.marker_ttl, cursor.marker_expiry)
        return _object(fields)

    def _cell(self, cursor: CellCursor, marker_ts: int | None) -> str:
        column = self._columns.get(cursor.column)
        name = f"column {cursor.column}" if column is None else column.name
        fields = [("name", json.dumps(name))]
        if cursor.flags & COMPLEX_DELETION:
            info = self._deletion((cursor.timestamp, cursor.expiry))
            return _object([*fields, ("deletion_info", info)])
        kind = None if column is None else column.type
        if cursor.flags & HAS_PATH:
            path, kind = _element(kind, cursor.path())
            fields.append(("path", _array([json.dumps(path)])))
        if cursor.flags & TOMBSTONE:
            # One that expired counts as deleted when it was written.
            deleted_at = max(cursor.expiry - cursor.ttl, 0)
            when = _object([("local_delete_time", self._time_s(deleted_at))])
            fields.append(("deletion_info", when))
        else:
            fields.append(("value", _value(kind, cursor)))
        if cursor.timestamp != marker_ts:
            fields.append(("tstamp", self._time_us(cursor.timestamp)))
        if cursor.flags & (EXPIRING | TOMBSTONE) == EXPIRING:
            fields += self._expiry(cursor.ttl, cursor.expiry)
        return _object(fields)

    def _expiry(self, ttl: int, expiry: int) -> Fields:
        return (
            ("ttl", str(ttl)),
            ("expires_at", self._time_s(expiry)),
            ("expired", json.dumps(expiry <= self._now_s)),
        )

    def _deletion(self, deletion: Deletion) -> str:
        timestamp, seconds = deletion
        return _object(
            [
                ("marked_deleted", self._time_us(timestamp)),
                ("local_delete_time", self._time_s(seconds)),
            ]
        )

    def _time_us(self, time_us: int) -> str:
        return json.dumps(str(time_us) if self._raw_times else instant_text(time_us))

    def _time_s(self, time_s: int) -> str:
        return json.dumps(str(time_s) if self._raw_times else instant_text(time_s * 1_000_000))


def _raw_values(row: bytes) -> list[bytes] | None:
    """What was written for the clustering, if the row still says so; a deleted one does not."""
    cursor = CellCursor()
    cursor.reset(row)
    if cursor.next() and cursor.column == HIDDEN_CLUSTERING_COLUMN:
        return raw_clustering(row)
    return None


def _element(kind: CqlType | None, path: bytes) -> tuple[str, CqlType | None]:
    """An element's path as text, and the type of its value."""
    if isinstance(kind, MapType):
        return to_text(kind.key, path), kind.value
    if isinstance(kind, SetType):
        return to_text(kind.element, path), None
    if isinstance(kind, ListType):
        return to_text(TIMEUUID, path), kind.element
    if isinstance(kind, UserType):
        field = int.from_bytes(path, "big")
        return kind.field_names[field], kind.field_types[field]
    return path.hex(), None


def _value(kind: CqlType | None, cursor: CellCursor) -> str:
    value = cursor.value()
    if cursor.flags & COUNTER:
        total = sum(count for _, _, count in _COUNTER_SHARD.iter_unpack(value))
        return str((total + (1 << 63)) % (1 << 64) - (1 << 63))
    return json.dumps(value.hex()) if kind is None else to_json(kind, value)


def instant_text(time_us: int) -> str:
    """An instant as ISO 8601 in UTC, with no, three or six digits of a second's fraction."""
    seconds, fraction = divmod(time_us, 1_000_000)
    days, second = divmod(seconds, 86_400)
    year, month, day = _date(days)
    digits = ""
    if fraction:
        digits = f".{fraction // 1000:03d}" if fraction % 1000 == 0 else f".{fraction:06d}"
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    shown = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+d}"
    return f"{shown}-{month:02d}-{day:02d}T{clock}{digits}Z"


def _date(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day counted from 1970, in the Gregorian calendar without end."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    leaps = day_of_era // 1_460 - day_of_era // 36_524 + day_of_era // 146_096
    year_of_era = (day_of_era - leaps) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month += 3 if month < 10 else -9
    return era * 400 + year_of_era + (month <= 2), month, day


def _object(fields: Fields) -> str:
    return "{" + ", ".join(f'"{name}": {text}' for name, text in fields) + "}"


def _array(texts: Sequence[str]) -> str:
    return "[" + ", ".join(texts) + "]"

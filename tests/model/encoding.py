"""Between the model's writes and the bytes of storage."""

from collections.abc import Iterable

from storage.mutation import Mutation, MutationBuilder
from storage.row import CellCursor, RowBuilder, check_row
from tests.model.table import CellWrite, Deletion, MarkerWrite, ModelRow, Place, Value

TABLE_ID = bytes(range(16))
CELL_HAS_PATH = 4


def mutation_of(change: CellWrite | MarkerWrite | Deletion) -> Mutation:
    """One write as a mutation of its own."""
    builder = MutationBuilder(TABLE_ID, change.key)
    if isinstance(change, Deletion) and change.column is None:
        _delete(builder, change)
    else:
        clustering = change.start if isinstance(change, Deletion) else change.clustering
        builder.row(clustering, row_of([change]))
    return builder.finish()


def row_of(changes: Iterable[CellWrite | MarkerWrite | Deletion]) -> bytes:
    """Writes of one row as a row; deletions among them are of collections."""
    row = RowBuilder()
    row.begin(0, False)
    for change in changes:
        if isinstance(change, MarkerWrite):
            row.begin(change.ts, True, change.ttl, change.expiry)
        elif isinstance(change, Deletion):
            assert change.column is not None, "only a collection's deletion is part of a row"
            row.complex_deletion(change.column, change.ts, 0)
        elif change.value is None and change.path is None:
            row.tombstone(change.column, change.ts, change.second)
        elif change.value is None:
            assert change.path is not None
            row.element_tombstone(change.column, change.ts, change.second, change.path)
        elif change.path is not None:
            row.element(
                change.column, change.ts, change.path, change.value, change.ttl, change.second
            )
        elif change.ttl:
            row.expiring_cell(change.column, change.ts, change.ttl, change.second, change.value)
        else:
            row.cell(change.column, change.ts, change.value)
    return row.finish()


def _delete(builder: MutationBuilder, change: Deletion) -> None:
    if change.includes_static:
        builder.delete_partition(change.ts, 0)
    elif change.end == change.start + b"\0":
        row = RowBuilder()
        row.begin(0, False)
        row.delete_row(change.ts, 0)
        builder.row(change.start, row.finish())
    else:
        builder.range_tombstone(change.start, change.end, change.ts, 0)


def model_row(row: bytes) -> ModelRow:
    """A live row's bytes as the model shows it."""
    check_row(row)
    cursor = CellCursor()
    cursor.reset(row)
    cells: dict[Place, Value] = {}
    while cursor.next():
        path = cursor.path() if cursor.flags & CELL_HAS_PATH else None
        cells[(cursor.column, path)] = (
            cursor.timestamp,
            cursor.value(),
            cursor.ttl,
            cursor.expiry,
        )
    return ModelRow(cursor.marker_ts if cursor.has_marker else None, cells)

"""Cells and tombstones of one row as bytes, and which of two writes wins."""

from collections.abc import Collection
from typing import Final, final

from storage.row_builder import RowBuilder as RowBuilder

NO_DELETION: Final[int]

def merge_rows(a: bytes, b: bytes) -> bytes: ...
def shadow(row: bytes, deletion_ts: int) -> bytes: ...
def live(
    row: bytes,
    wall_s: int,
    columns: Collection[int] | None = None,
    existing: Collection[int] | None = None,
) -> bytes: ...
def purge(
    row: bytes,
    wall_s: int,
    gc_before_s: int,
    purgeable: bool,
    live_columns: Collection[int] | None = None,
) -> bytes: ...
def timestamps(row: bytes) -> tuple[int, int] | None: ...
def check_row(row: bytes) -> None: ...

@final
class ColumnSet:
    def __init__(self, columns: Collection[int]) -> None: ...

@final
class CellCursor:
    column: int
    timestamp: int
    flags: int
    ttl: int
    expiry: int
    has_marker: bool
    marker_ts: int
    marker_ttl: int
    marker_expiry: int
    deletion_ts: int
    deleted_at: int

    def reset(self, row: bytes) -> int: ...
    def next(self) -> bool: ...
    def path(self) -> bytes: ...
    def value(self) -> bytes: ...

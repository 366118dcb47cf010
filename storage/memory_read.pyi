"""One slice of one partition, answered from memory alone: from memtables and cached rows."""

from storage.cache import TableCache
from storage.memtable import Memtable
from storage.row import ColumnSet
from storage.slice import Page, Slice

def read_memory(
    memtables: list[Memtable],
    cache: TableCache | None,
    wanted: Slice,
    key: bytes,
    wall_s: int,
    existing: ColumnSet,
    steps_max: int,
) -> Page | None: ...

"""A read of one partition that may go to the disk: its way from the first look to the page."""

from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Protocol

from storage.cache import TableCache
from storage.errors import CorruptData, DiskError
from storage.later import Later
from storage.memtable import Memtable
from storage.read_turns import ReadTurns
from storage.section_read import SectionRead
from storage.slice import Page, Slice
from storage.sstable.reader import SSTable
from storage.store import Store
from storage.table import Table

STEPS_MAX: int

class _Ways(Protocol):
    """What the engine does where the short way ends."""

    def keep(
        self, rows: TableCache, key: bytes, search: SectionRead, phase: int, steps_max: int
    ) -> Page | None: ...
    def read_long(
        self,
        table: Table,
        rows: TableCache | None,
        wanted: Slice,
        key: bytes,
        wall_s: int,
        files: Sequence[SSTable],
        memtables: Sequence[Memtable],
    ) -> Coroutine[Any, Any, Page]: ...
    def blame(
        self, table: Table, files: Sequence[SSTable], error: CorruptData | DiskError, key: bytes
    ) -> Awaitable[Page]: ...

class PointRead:
    """One read. `begin` is called once."""

    def __init__(
        self,
        engine: _Ways,
        store: Store,
        room: ReadTurns,
        table: Table,
        rows: TableCache | None,
        wanted: Slice,
        key: bytes,
        wall_s: int,
    ) -> None: ...
    def begin(self, files: list[SSTable], memtables: list[Memtable]) -> Page | Later[Page] | None:
        """The page, if nothing has to be waited for; otherwise what comes later.

        `files` are those to look at, beside `memtables`. None if the slice goes beyond what lies in
        one block of each file.
        """
    def done(self) -> bool:
        """Whether nobody waits for the answer any more."""
    def set_result(self, _result: None) -> None:
        """There is room: begins anew, as everything may have changed meanwhile."""

class FrameLoad:
    """What the lookup in one file misses, frame after frame."""

    def done(self) -> bool:
        """Never, as what was begun has to be ended, even if nobody waits for it any more."""
    def set_result(self, data: bytes | None) -> None:
        """It is our turn, or the disk has brought what was asked for."""
    def set_exception(self, error: BaseException) -> None:
        """The disk has failed."""

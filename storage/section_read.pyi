"""One slice of one partition, answered from memtables and one section of each file."""

from storage.memtable import Memtable
from storage.merge import Chunk
from storage.row import ColumnSet
from storage.slice import Page, Slice
from storage.sstable.fetch import Fetch
from storage.sstable.lookup import Lookup
from storage.sstable.runs import Bounds

class SectionRead:
    """The lookups of one read, and the page when they are done. It goes forward only."""

    def __init__(
        self,
        memtables: list[Memtable],
        lookups: list[Lookup],
        wanted: Slice,
        key: bytes,
        wall_s: int,
        existing: ColumnSet,
        wants_static: bool,
        bounds: Bounds,
    ) -> None: ...
    def step(self) -> Fetch | None:
        """The frame that is missing, to be given to its lookup; None when all lookups are done."""
    def whole(self) -> Chunk | None:
        """All that the files have, as a chunk, if that is one partition of mere rows or nothing.

        None if it is anything else, which has to be merged first.
        """
    def page(self, steps_max: int) -> Page | None:
        """The page; None if it takes more of the files, or more than `steps_max` merged rows."""

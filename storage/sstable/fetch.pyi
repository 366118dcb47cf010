"""Places in an SSTable's file, and which of them are wanted with one read."""

from typing import final

from storage.sstable.frame import Kind
from storage.sstable.reader import SSTable

@final
class Extent:
    """A run of bytes of the file."""

    offset: int
    size: int
    def __init__(self, offset: int, size: int) -> None: ...
    @property
    def end(self) -> int:
        """The offset of the first byte after it."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Fetch:
    """Frames of one table, of one kind and in ascending places, which a reader needs."""

    table: SSTable
    kind: Kind
    places: list[Extent]
    def __init__(self, table: SSTable, kind: Kind, places: list[Extent]) -> None: ...
    @property
    def bytes(self) -> int:
        """What is read of the file, but for the rounding to pages."""

    @property
    def pages(self) -> tuple[int, int]:
        """Where the read of the file begins and ends."""

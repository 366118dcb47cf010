"""Sorted (key, clustering) -> place of a frame: index blocks and the summary above them."""

from typing import Final

ENTRY_OVERHEAD_MAX: Final[int]

class IndexBuilder:
    """Collects entries in ascending order."""

    count: int
    def add(self, key: bytes, low: bytes, offset: int, size: int) -> None:
        """Adds the frame at `offset` whose first row is at or above (key, low)."""
    def fits(self, key: bytes, low: bytes, bytes_max: int) -> bool:
        """Whether one more entry keeps the block within `bytes_max`."""
    @property
    def size(self) -> int:
        """Bytes of all entries so far."""
    @property
    def first(self) -> tuple[bytes, bytes]:
        """The (key, low) of the first entry."""
    def take(self) -> bytes:
        """The block's payload; the next `add` begins another block."""

class IndexBlock:
    """An index block or a summary, searched by key and clustering."""

    count: int
    def __init__(self, payload: bytes) -> None: ...
    def find(self, key: bytes, low: bytes) -> int:
        """The position of the last entry at or below (key, low); -1 if all are above."""
    def place(self, position: int) -> tuple[int, int]:
        """The (offset, size) of the frame which the entry at `position` names."""
    def start(self, position: int) -> tuple[bytes, bytes]:
        """The (key, low) of the entry at `position`."""
    @property
    def memory_bytes(self) -> int:
        """What the block holds of memory."""

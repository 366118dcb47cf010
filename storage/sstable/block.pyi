"""Rows and tombstones of one or more partitions <-> the payload of a data frame."""

class BlockBuilder:
    """Builds one block after the other; a section is the part of a partition in this block."""

    bytes_max: int
    first_key: bytes | None
    first_clustering: bytes
    def __init__(self, bytes_max: int) -> None: ...
    @property
    def size(self) -> int:
        """Bytes in the block so far, the open section included."""
    @property
    def is_full(self) -> bool:
        """Whether the next row or tombstone belongs into another block."""
    @property
    def is_empty(self) -> bool:
        """Whether nothing is in the block, not even an open section."""
    def begin(
        self,
        key: bytes,
        deletion: tuple[int, int] | None,
        static_row: bytes,
        low: bytes | None,
    ) -> None:
        """Opens a section; `low` is None if the partition begins here."""
    def add_tombstone(self, start: bytes, end: bytes, timestamp: int, deleted_at: int) -> None:
        """Adds [start, end), which lies after every tombstone before it."""
    def add_rows(self, clusterings: list[bytes], rows: list[bytes], first: int, stop: int) -> int:
        """Adds rows [first, stop) until the block is full; the position of the first not added."""
    def end(self, high: bytes | None) -> tuple[bytes, bytes, int, int] | None:
        """Closes the section at `high` (None: the partition ends)."""
    def take(self) -> bytes:
        """The block's payload; the next `begin` begins another block."""

class Section:
    """The part of one partition that lies in one block."""

    key: bytes
    deletion: tuple[int, int] | None
    static_row: bytes
    low: bytes
    high: bytes
    continued: bool
    continues: bool
    tombstone_count: int
    row_count: int
    def tombstones(self) -> list[tuple[bytes, bytes, int, int]]:
        """The range tombstones as (start, end, timestamp, deleted at), ascending."""
    def rows(self, start: bytes, end: bytes) -> tuple[list[bytes], list[bytes]]:
        """Clusterings and rows of [start, end), ascending; an empty `end` is no end."""

class Block:
    """A data frame's payload, which was checked and decompressed, as sections."""

    memory_bytes: int
    def __init__(self, payload: bytes) -> None: ...
    def find(self, key: bytes) -> Section | None:
        """The section of `key`, if the block has one."""
    def sections(self) -> list[Section]:
        """All sections, ascending."""

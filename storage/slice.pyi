"""Which rows are wanted, and the pages of rows that answer."""

from typing import Any, Final, final

WHOLE_PARTITION: Final[tuple[tuple[bytes, bytes], ...]]

@final
class Slice:
    table_id: bytes
    key: bytes | tuple[bytes, bytes] | None
    ranges: tuple[tuple[bytes, bytes], ...]
    static: bool
    reverse: bool
    columns: frozenset[int] | None
    row_limit: int
    partition_limit: int
    byte_limit: int
    distinct: bool
    resume_key: bytes
    resume_clustering: bytes
    resume_rows: int
    bypass_cache: bool

    def __init__(
        self,
        table_id: bytes,
        *,
        key: bytes | tuple[bytes, bytes] | None = None,
        ranges: tuple[tuple[bytes, bytes], ...] = ...,
        static: bool = True,
        reverse: bool = False,
        columns: frozenset[int] | None = None,
        row_limit: int = 0,
        partition_limit: int = 0,
        byte_limit: int = 0,
        distinct: bool = False,
        resume_key: bytes = b"",
        resume_clustering: bytes = b"",
        resume_rows: int = -1,
        bypass_cache: bool = False,
    ) -> None: ...
    def changed(self, **changes: Any) -> Slice: ...
    def after(self, page: Page) -> Slice: ...
    def encode(self) -> bytes: ...
    @staticmethod
    def decode(data: bytes) -> Slice: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class PartitionRows:
    key: bytes
    deletion: tuple[int, int] | None
    static_row: bytes
    clusterings: list[bytes]
    rows: list[bytes]

    def __init__(
        self,
        key: bytes,
        deletion: tuple[int, int] | None,
        static_row: bytes,
        clusterings: list[bytes],
        rows: list[bytes],
    ) -> None: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Pack:
    """Partitions which have nothing but a few rows, in one buffer: a scan's page is made of them.

    A row is named by its number among all rows of the pack.
    """

    partitions: int
    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def take(self, other: Pack, first: int, end: bytes, rows_max: int, bytes_max: int) -> int:
        """Adds whole partitions of another pack from its row `first` on, with keys below `end` (b""
        is no end), at most `rows_max` rows (0 is all), until they have `bytes_max` bytes; gives how
        many rows.
        """
    def key(self, row: int) -> bytes:
        """The key of a row's partition."""
    @property
    def size(self) -> int:
        """The bytes of all partitions."""
    def partition(self, row: int) -> PartitionRows:
        """The partition whose first row this is, as an object."""
    def clustering(self, row: int) -> bytes:
        """The clustering of a row."""
    def rows_before(self, row: int) -> int:
        """How many rows the partition of a row has before it; 0 at the end of the pack."""

@final
class Page:
    parts: list[PartitionRows | Pack]
    more: bool
    last_key: bytes
    last_clustering: bytes
    last_rows: int

    @property
    def partitions(self) -> list[PartitionRows]:
        """All partitions as objects; from then on there are no packs."""
    def __init__(
        self,
        partitions: list[PartitionRows] | list[PartitionRows | Pack],
        more: bool = False,
        last_key: bytes = b"",
        last_clustering: bytes = b"",
        last_rows: int = 0,
    ) -> None: ...
    def rows_at_position(self) -> int:
        """How many rows of the partition at the position are on the page."""
    def encode(self) -> bytes: ...
    @staticmethod
    def decode(data: bytes) -> Page: ...
    def __eq__(self, other: object, /) -> bool: ...

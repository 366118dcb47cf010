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
class Page:
    partitions: list[PartitionRows]
    more: bool
    last_key: bytes
    last_clustering: bytes
    last_rows: int

    def __init__(
        self,
        partitions: list[PartitionRows],
        more: bool = False,
        last_key: bytes = b"",
        last_clustering: bytes = b"",
        last_rows: int = 0,
    ) -> None: ...
    def encode(self) -> bytes: ...
    @staticmethod
    def decode(data: bytes) -> Page: ...
    def __eq__(self, other: object, /) -> bool: ...

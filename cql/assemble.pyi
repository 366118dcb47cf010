from typing import Any

from cql.types.catalog import CqlType
from storage.slice import Pack, PartitionRows

class FetchedRow:
    key: bytes
    clustering: bytes
    values: list[bytes | None]
    times: list[Any] | None
    ttls: list[Any] | None
    def __init__(
        self,
        key: bytes,
        clustering: bytes,
        values: list[bytes | None],
        times: list[Any] | None,
        ttls: list[Any] | None,
    ) -> None: ...

class Assembler:
    row_count: int
    byte_count: int
    def __new__(
        cls,
        columns: tuple[tuple[int, int, CqlType], ...],
        outputs: tuple[int, ...],
        key_parts: int,
        codec: Any,
        lossy: bool,
        is_counter: bool,
        with_times: bool = False,
        wall_s: int = 0,
    ) -> Assembler: ...
    def add_partition(
        self, partition: Any, bytes_max: int = 0, first: int = 0, count: int = ...
    ) -> int:
        """Append the result rows of a partition, or `count` of them from `first` on, or those of
        them before which the result has less than `bytes_max`; gives the first that was not taken.
        """
    def fetch_partition(
        self, partition: Any, first: int = 0, count: int = ...
    ) -> list[FetchedRow]: ...
    def add_pack(self, pack: Pack, bytes_max: int, first: int, count: int) -> int:
        """Append `count` rows of a pack from `first` on, or those of them before which the result
        has `bytes_max` (0 is no limit); gives the first that was not taken.
        """
    def fetch(self, part: PartitionRows | Pack, first: int, count: int) -> list[FetchedRow]:
        """`count` rows of a part of a page from `first` on as FetchedRows."""
    def add_values(self, values: list[bytes | None]) -> None: ...
    def take(self) -> tuple[bytes, int]: ...

def raw_clustering(row: bytes) -> list[bytes]: ...
def timeuuid_order(path: bytes) -> tuple[bytes, bytes]: ...
def sort_elements(type_: CqlType, elements: list[tuple[bytes, bytes]]) -> None: ...
def pack_elements(type_: CqlType, elements: list[tuple[bytes, bytes]]) -> bytes: ...
def counter_total(context: bytes) -> bytes: ...

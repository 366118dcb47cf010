from typing import Any

from cql.types.catalog import CqlType

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
    def add_values(self, values: list[bytes | None]) -> None: ...
    def take(self) -> tuple[bytes, int]: ...

def raw_clustering(row: bytes) -> list[bytes]: ...
def timeuuid_order(path: bytes) -> tuple[bytes, bytes]: ...
def sort_elements(type_: CqlType, elements: list[tuple[bytes, bytes]]) -> None: ...
def pack_elements(type_: CqlType, elements: list[tuple[bytes, bytes]]) -> bytes: ...
def counter_total(context: bytes) -> bytes: ...

from collections.abc import Callable, Sequence
from typing import Any

from cql.types.catalog import CqlType
from cql.types.ordering import ClusteringCodec
from storage.mutation import Mutation

class Slot:
    source: int
    index: int
    constant: bytes | None
    type: CqlType
    compute: Callable[[Binding], Any] | None
    def __init__(
        self,
        cql_type: CqlType,
        source: int,
        index: int,
        constant: bytes | None,
        compute: Callable[[Binding], Any] | None,
    ) -> None: ...
    @staticmethod
    def of_constant(cql_type: CqlType, value: bytes | None) -> Slot: ...
    @staticmethod
    def of_marker(cql_type: CqlType, index: int) -> Slot: ...
    @staticmethod
    def of_expression(cql_type: CqlType, compute: Callable[[Binding], Any]) -> Slot: ...
    @property
    def is_constant(self) -> bool: ...
    @property
    def is_marker(self) -> bool: ...
    def resolve(self, binding: Binding) -> Any: ...

class Binding:
    values: list[Any]
    timestamp_us: int
    wall_s: int
    ttl: int
    moment: Any
    environment: Any
    found: dict[int, list[tuple[bytes, bytes]]] | None
    json: dict[str, Any] | None
    def __init__(
        self, values: list[Any], timestamp_us: int, wall_s: int, moment: Any, environment: Any
    ) -> None: ...
    @property
    def expiry(self) -> int: ...

class KeyTemplate:
    slots: tuple[Slot, ...]
    names: tuple[str, ...]
    def __init__(self, slots: tuple[Slot, ...], names: tuple[str, ...]) -> None: ...
    def bind(self, binding: Binding) -> bytes: ...

class ClusteringTemplate:
    slots: tuple[Slot, ...]
    names: tuple[str, ...]
    codec: ClusteringCodec
    def __init__(
        self, slots: tuple[Slot, ...], names: tuple[str, ...], codec: ClusteringCodec
    ) -> None: ...
    def values(self, binding: Binding) -> list[bytes]: ...
    def bind(self, binding: Binding) -> bytes: ...

class SetCell:
    column_id: int
    slot: Slot
    needs_read: bool
    def __init__(self, column_id: int, slot: Slot) -> None: ...
    def apply(self, builder: Any, binding: Binding) -> Any: ...

class RowTemplate:
    marker: bool
    operations: tuple[Any, ...]
    lossy: bool
    def __init__(self, marker: bool, operations: tuple[Any, ...], lossy: bool = False) -> None: ...
    def bind(self, binding: Binding, raw_clustering: bytes) -> bytes: ...

class OneRow:
    table_id: bytes
    key: KeyTemplate
    clustering: ClusteringTemplate
    row: RowTemplate
    static_row: RowTemplate | None
    def __init__(
        self,
        table_id: bytes,
        key: KeyTemplate,
        clustering: ClusteringTemplate,
        row: RowTemplate,
        static_row: RowTemplate | None,
    ) -> None: ...
    def bind(self, binding: Binding) -> Mutation: ...

def partition_key(components: Sequence[bytes]) -> bytes: ...
def key_value(slot: Slot, binding: Binding, name: str) -> bytes: ...
def pack_clustering(values: list[bytes]) -> bytes: ...

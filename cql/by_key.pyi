from collections.abc import Callable
from typing import final

from cql.assemble import Assembler
from cql.bind import Binding, KeyTemplate
from cql.results import ColumnSpec
from cql.rows import Rows
from storage.slice import Page, Slice

@final
class RowsByKey:
    def __init__(
        self,
        question: Slice,
        key: KeyTemplate,
        ranges_of: Callable[[Binding], tuple[tuple[bytes, bytes], ...]] | None,
        assembler: Assembler,
        columns: tuple[ColumnSpec, ...],
        metadata_id: bytes,
    ) -> None: ...
    def slice(self, binding: Binding, page_size: int) -> Slice | None: ...
    def is_quick(self, page: Page) -> bool: ...
    def rows(self, page: Page | None) -> Rows: ...

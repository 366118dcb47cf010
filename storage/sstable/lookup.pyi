"""One partition's section at a clustering, in one SSTable: which frames it takes to find it."""

from storage.block_cache import BlockCache
from storage.sstable.block import Section
from storage.sstable.fetch import Fetch
from storage.sstable.index import IndexBlock
from storage.sstable.reader import Parsed, SSTable

class Lookup:
    """What the file's summary, an index block and a data block say, in turn."""

    section: Section | None
    def __init__(
        self,
        table: SSTable,
        summary: IndexBlock,
        key: bytes,
        position: bytes,
        cache: BlockCache | None = None,
    ) -> None: ...
    def step(self) -> Fetch | None:
        """The frame that is missing, or None if `section` is final: None if there is nothing."""
    def supply(self, parsed: list[Parsed]) -> None:
        """What `step` asked for; CorruptData if it is a malformed block."""

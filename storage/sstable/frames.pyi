"""What an open SSTable says without waiting: may it have a key, and what is in a frame."""

from typing import Self, TypeVar

from storage.disk import Disk, File, Taker
from storage.slice import Slice
from storage.sstable.block import Block
from storage.sstable.bloom import BloomFilter
from storage.sstable.fetch import Fetch
from storage.sstable.footer import Footer
from storage.sstable.index import IndexBlock
from storage.sstable.statistics import Statistics

_File = TypeVar("_File", bound=FrameFile)

class FrameFile:
    """One open file and its users."""

    _disk: Disk
    _file: File
    path: str
    footer: Footer
    statistics: Statistics
    summary: IndexBlock
    filter: BloomFilter
    level: int
    """Where leveled compaction keeps it; the manifest remembers."""
    generation: int
    """The number in the file's name; a younger file has a higher one."""
    file_bytes: int
    """How long the file is."""
    is_obsolete: bool
    users: int
    def __init__(
        self,
        disk: Disk,
        path: str,
        file: File,
        footer: Footer,
        statistics: Statistics,
        summary: IndexBlock,
        bloom: BloomFilter,
        level: int = 0,
    ) -> None: ...
    @property
    def memory_bytes(self) -> int:
        """What the open table holds of memory."""

    def may_contain(self, key: bytes, hashed: int) -> bool:
        """Whether the partition of `key`, whose `key_hash` is `hashed`, could be in the file."""

    def acquire(self) -> Self:
        """One more user, who calls `release` in the end."""

    def release(self) -> bool:
        """One user fewer; true if that was the last one, who must then await `close`."""

    def retire(self) -> None:
        """The manifest no longer names the file: it goes when its last user does."""

    def begin_read(self, fetch: Fetch, taker: Taker) -> None:
        """Begin to read the pages which have the frames; `taker` gets them."""

    def parse_one(self, fetch: Fetch, data: bytes) -> Block | IndexBlock:
        """Check and parse what was read of a single frame."""

    def parse_at(self, fetch: Fetch, which: int, data: bytes) -> Block | IndexBlock:
        """Check and parse one frame of all that were read."""

def files_with(files: tuple[_File, ...], key: bytes) -> list[_File]:
    """The files which may have something of a partition."""

def files_for(found: list[_File], wanted: Slice, wants_static: bool) -> list[_File]:
    """Of the files with a partition, those which may have something for a slice of it."""

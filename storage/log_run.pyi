"""One table's mutations as the log has them, sorted by key and put into a file."""

from typing import final

from storage.memtable import MemoryRun
from storage.sstable.splice import Sink

@final
class LogRun:
    """Mutations of one table, in memory."""

    has_clustering: bool
    has_static: bool
    memory_bytes: int
    partitions: int
    def __init__(self, has_clustering: bool, has_static: bool) -> None: ...
    def __len__(self) -> int: ...
    def sort(self) -> None:
        """Brings the mutations in the order of their keys, and counts these."""

@final
class LogSplice:
    """Writes the partitions of a sorted run, as `MemorySplice` does those of a memtable."""

    key: bytes
    spent: int
    def __init__(self, run: LogRun) -> None: ...
    def run(self, sink: Sink, bytes_max: int) -> int:
        """Goes on until a reason to stop; after OTHER it goes on behind that partition."""

    def other(self) -> MemoryRun:
        """The partition at which `run` has stopped, which needs the whole merge."""

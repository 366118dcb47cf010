"""The writes that are not in SSTables yet: partitions by key, rows by clustering."""

from typing import final

from storage.merge import Chunk
from storage.mutation import Mutation

@final
class Memtable:
    has_clustering: bool
    has_static: bool
    memory_bytes: int
    mutation_count: int

    def __init__(self, has_clustering: bool, has_static: bool) -> None: ...
    def __len__(self) -> int: ...
    @property
    def timestamps(self) -> tuple[int, int] | None: ...
    def apply(self, mutation: Mutation) -> int: ...
    def find(self, key: bytes) -> MemoryRun | None: ...
    def keys(self, start: bytes = b"", end: bytes = b"", limit: int = 0) -> list[bytes]: ...
    @property
    def users(self) -> int: ...
    def acquire(self) -> Memtable:
        """One more user, who goes on looking for keys after a wait; calls `release` in the end."""

    def release(self) -> None:
        """One user fewer."""

    def dissolve(self, count: int) -> bool:
        """Frees about so many entries of a memtable that nobody is going to look into any more;
        False once nothing is left."""

    def check(self) -> None: ...
    def count_bytes(self) -> int: ...

@final
class MemoryRun:
    @property
    def head(self) -> tuple[int, int, bytes]: ...
    def chunk_at(self, position: bytes, reverse: bool) -> Chunk: ...

@final
class MemoryPartition: ...

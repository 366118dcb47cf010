"""The Disk and File ports: everything storage wants from a file system.

Five things stand behind these ports and pass the same suite (`tests/ports`):
`storage.direct_disk` (files, O_DIRECT) through io_uring or threads, its buffered fallback,
`storage.memory_disk` (`memory://`) and the simulated disk of the tests.

What holds for all of them:
- Paths are `/`-separated strings. `open` with a mode that writes needs the directory to exist.
- Nothing is durable before a sync returns: the bytes of a file after `File.sync`, its name (after
  a create, rename, link or remove) after `Disk.sync_directory` on the directory that holds it. Only
  `make_directory` is durable by itself.
- What fails raises `storage.errors.DiskError` or one of its subclasses, never a bare `OSError`.
- After `File.sync` has failed, nobody knows what the disk holds: do not sync again, give the file
  up.
- A file may be read and written by several callers at once; overlapping writes have no order.
"""

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from storage.values import value_class

Bytes = bytes | bytearray | memoryview
"""What may be written."""


class OpenMode(Enum):
    """How a file is going to be used."""

    READ = "read"
    """An existing file, only read; past the page cache where that is possible."""

    CREATE = "create"
    """A new file, written and read past the page cache where that is possible.

    `FileAlreadyExists` if there is one.
    """

    LOG = "log"
    """A new or an existing file, through the page cache; `append_now` overwrites from offset 0."""


@value_class
class Space:
    """How large a volume is, and how much of it is free for us."""

    total_bytes: int
    free_bytes: int


ENDLESS = Space(1 << 62, 1 << 62)
"""Of a volume that has no end of its own."""


class Taker(Protocol):
    """Who is told the end of a read: a future, or what stands for one. It raises nothing."""

    def done(self) -> bool:
        """Whether it wants to hear nothing more."""

    def set_result(self, data: bytes, /) -> None:
        """This is what was read."""

    def set_exception(self, failure: BaseException, /) -> None:
        """The read has failed: `DiskError`, or an `OSError` of the call itself."""


class Watch(Protocol):
    """Makes of a callback one whose turns of the loop are timed; `what` is the name of the work."""

    def __call__(self, what: str, call: Callable[..., None], /) -> Callable[..., None]:
        """The same callback, watched."""


class File(Protocol):
    """One open file."""

    def begin_read(self, offset: int, size: int, taker: Taker) -> None:
        """Like `read`, without a coroutine: `taker` hears of its end in a later turn of the loop.

        Who begins reads bounds their number.
        """

    async def read(self, offset: int, size: int) -> bytes:
        """Give `size` bytes from `offset`, fewer only where the file ends."""

    async def write(self, offset: int, data: Bytes) -> None:
        """Write all of `data` at `offset`. Multiples of 4096 at multiples of 4096 are fastest."""

    def append_now(self, data: Bytes) -> None:
        """Write all of `data` after what this handle appended before; the kernel has it on return.

        Only for files opened with `OpenMode.LOG`. It does not wait for the disk, and it is not
        durable.
        """

    async def allocate(self, size: int) -> None:
        """Make the file at least `size` bytes long, with blocks reserved, zero until written."""

    async def sync(self) -> None:
        """Make everything written so far durable (the name is not: see `Disk.sync_directory`)."""

    async def close(self) -> None:
        """Give the file back; syncs nothing. A second close does nothing."""


class Lock(Protocol):
    """A directory that is ours until released or until the process ends."""

    def release(self) -> None:
        """Let others have the directory."""


class Disk(Protocol):
    """A file system, or what stands for one."""

    @property
    def description(self) -> str:
        """Which back-end this is, as the node says it at start."""

    async def open(self, path: str, mode: OpenMode) -> File:
        """Open a file; see `OpenMode`."""

    async def list(self, directory: str) -> list[str]:
        """Give the names in a directory, sorted."""

    async def size(self, path: str) -> int:
        """Give the length of a file in bytes."""

    async def rename(self, source: str, target: str) -> None:
        """Give a file another name, replacing what has that name, at once for every observer.

        A directory moves with all that is in it; nothing may have its new name.
        """

    async def link(self, source: str, target: str) -> None:
        """Give a file one more name; `FileAlreadyExists` if something has it.

        The file lives until its last name is removed. The name is durable once the directory is.
        """

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""

    async def make_directory(self, path: str) -> None:
        """Make a directory and those above it, durably; one that exists is left alone."""

    async def sync_directory(self, path: str) -> None:
        """Make the creates, renames, links and removes in a directory durable."""

    def space(self, path: str) -> Space:
        """Give the size of the volume on which an existing directory lies; it does not wait."""

    async def lock(self, directory: str) -> Lock:
        """Take an existing directory for this process alone, or raise `DirectoryLocked`."""

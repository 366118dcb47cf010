"""A disk that is only memory: what `memory://` as data directory means.

Nothing is slow and nothing fails but by the caller's mistake, so no method ever waits. Syncs do
nothing: the data live exactly as long as the process. Removed files live on while they are open,
as on a real disk.
"""

import asyncio
import errno
from collections.abc import Callable
from posixpath import dirname, normpath

from storage.disk import ENDLESS, Bytes, OpenMode, Space, Taker
from storage.errors import DirectoryLocked, FileAlreadyExists, FileMissing, disk_error


class MemoryDisk:
    """A tree of named byte arrays behind the Disk port."""

    __slots__ = ("_directories", "_files", "_locks")

    def __init__(self) -> None:
        self._files: dict[str, bytearray] = {}
        self._directories: set[str] = {"/", "."}
        self._locks: set[str] = set()

    @property
    def description(self) -> str:
        """Which back-end this is."""
        return "memory"

    def submit(self) -> None:
        """There is nothing to submit."""

    def submit_after(self, first: Callable[[], None]) -> None:
        """Nothing is before nothing."""

    def stop(self) -> None:
        """Does nothing: there are no threads to end."""

    async def open(self, path: str, mode: OpenMode) -> "MemoryFile":
        """Open a file; see `OpenMode`."""
        path = normpath(path)
        data = self._files.get(path)
        if mode is OpenMode.CREATE and data is not None:
            raise FileAlreadyExists(errno.EEXIST, "open", path)
        if data is None:
            if mode is OpenMode.READ or _parent(path) not in self._directories:
                raise FileMissing(errno.ENOENT, "open", path)
            data = self._files[path] = bytearray()
        return MemoryFile(path, mode, data)

    async def list(self, directory: str) -> list[str]:
        """Give the names in a directory, sorted."""
        directory = self._get_directory("list", directory)
        names = [path for path in self._files if _parent(path) == directory]
        names += [path for path in self._directories if _parent(path) == directory]
        return sorted(name.rpartition("/")[2] for name in names if name != directory)

    async def size(self, path: str) -> int:
        """Give the length of a file in bytes."""
        data = self._files.get(normpath(path))
        if data is None:
            raise FileMissing(errno.ENOENT, "size", path)
        return len(data)

    async def rename(self, source: str, target: str) -> None:
        """Give a file another name, replacing what has that name."""
        source, target = normpath(source), normpath(target)
        is_directory = source in self._directories
        if _parent(target) not in self._directories or not (is_directory or source in self._files):
            raise FileMissing(errno.ENOENT, "rename", source)
        if is_directory:
            self._move_directory(source, target)
        else:
            self._files[target] = self._files.pop(source)

    async def link(self, source: str, target: str) -> None:
        """Give a file one more name."""
        source, target = normpath(source), normpath(target)
        if source not in self._files or _parent(target) not in self._directories:
            raise FileMissing(errno.ENOENT, "link", source)
        if target in self._files or target in self._directories:
            raise FileAlreadyExists(errno.EEXIST, "link", target)
        self._files[target] = self._files[source]

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        path = normpath(path)
        if self._files.pop(path, None) is not None:
            return
        self._get_directory("remove", path)
        if await self.list(path):
            raise disk_error(errno.ENOTEMPTY, "remove", path)
        self._directories.discard(path)

    async def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        path = normpath(path)
        while path not in self._directories:
            if path in self._files:
                raise disk_error(errno.EEXIST, "make_directory", path)
            self._directories.add(path)
            path = _parent(path)

    async def sync_directory(self, path: str) -> None:
        """Nothing outlives the process, so there is nothing to make durable."""
        self._get_directory("sync_directory", path)

    def space(self, path: str) -> Space:
        """Memory is counted elsewhere."""
        self._get_directory("space", path)
        return ENDLESS

    async def lock(self, directory: str) -> "MemoryLock":
        """Take a directory; only this disk's other users can hold it."""
        directory = self._get_directory("lock", directory)
        if directory in self._locks:
            raise DirectoryLocked(errno.EWOULDBLOCK, "lock", directory)
        self._locks.add(directory)
        return MemoryLock(self._locks, directory)

    def _move_directory(self, source: str, target: str) -> None:
        if target in self._files or target in self._directories:
            raise disk_error(errno.EEXIST, "rename", target)
        below = f"{source}/"
        for path in [path for path in self._files if path.startswith(below)]:
            self._files[target + path[len(source) :]] = self._files.pop(path)
        moved = {path for path in self._directories if path == source or path.startswith(below)}
        self._directories -= moved
        self._directories |= {target + path[len(source) :] for path in moved}

    def _get_directory(self, operation: str, path: str) -> str:
        path = normpath(path)
        if path not in self._directories:
            raise FileMissing(errno.ENOENT, operation, path)
        return path


class MemoryLock:
    """A directory taken in a `MemoryDisk`."""

    __slots__ = ("_directory", "_locks")

    def __init__(self, locks: set[str], directory: str) -> None:
        self._locks = locks
        self._directory = directory

    def release(self) -> None:
        """Let others have the directory."""
        self._locks.discard(self._directory)


class MemoryFile:
    """One open file of a `MemoryDisk`."""

    __slots__ = ("_appended", "_data", "_mode", "_path")

    def __init__(self, path: str, mode: OpenMode, data: bytearray) -> None:
        self._path = path
        self._mode = mode
        self._data: bytearray | None = data
        self._appended = 0

    async def read(self, offset: int, size: int) -> bytes:
        """Give `size` bytes from `offset`, fewer only where the file ends."""
        return bytes(memoryview(self._get_data("read"))[offset : offset + size])

    def begin_read(self, offset: int, size: int, taker: Taker) -> None:
        """Like `read`; `taker` hears of it in a later turn of the loop."""
        data = bytes(memoryview(self._get_data("read"))[offset : offset + size])
        asyncio.get_running_loop().call_soon(taker.set_result, data)

    async def write(self, offset: int, data: Bytes) -> None:
        """Write all of `data` at `offset`."""
        self._put("write", offset, data)

    def append_now(self, data: Bytes) -> None:
        """Write all of `data` after what this handle appended before."""
        assert self._mode is OpenMode.LOG, "only log files are appended to"
        self._put("append", self._appended, data)
        self._appended += len(data)

    async def allocate(self, size: int) -> None:
        """Make the file at least `size` bytes long."""
        self._grow(self._get_writable("allocate"), size)

    async def sync(self) -> None:
        """Nothing outlives the process, so there is nothing to make durable."""
        self._get_data("sync")

    async def close(self) -> None:
        """Give the file back."""
        self._data = None

    def _put(self, operation: str, offset: int, data: Bytes) -> None:
        content = self._get_writable(operation)
        if not data:
            return  # As on a real disk, nothing written past the end moves the end.
        self._grow(content, offset)
        content[offset : offset + len(data)] = data

    def _grow(self, content: bytearray, size: int) -> None:
        if size > len(content):
            content.extend(bytes(size - len(content)))

    def _get_data(self, operation: str) -> bytearray:
        if self._data is None:
            raise disk_error(errno.EBADF, operation, self._path)
        return self._data

    def _get_writable(self, operation: str) -> bytearray:
        if self._mode is OpenMode.READ:
            raise disk_error(errno.EBADF, operation, self._path)
        return self._get_data(operation)


def _parent(path: str) -> str:
    return dirname(path) or "."

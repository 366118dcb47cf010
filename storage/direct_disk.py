"""Real files behind the Disk port: O_DIRECT where the file system has it, buffered where not.

Calls that may wait for the disk are made by a `FileCalls`: `storage.uring` where the kernel allows
it, `storage.io_threads` elsewhere. Only the start-up calls (`list`, `make_directory`, `lock`),
`link`, which only snapshots make, and the log's `append_now`, which goes to the page cache, are
made by the caller's thread.

Direct I/O moves whole 4096-byte pages. Reads are widened to pages and cut again; of a write the
whole pages go directly and a rest goes through a second, buffered descriptor, which the kernel
keeps coherent with the first.
"""

import asyncio
import errno
import fcntl
import mmap
import os
from asyncio import Future
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Protocol, TypeVar

from storage.disk import Bytes, OpenMode, Space, Taker, Watch
from storage.errors import DirectoryLocked, DiskError, IoUringRefused, disk_error
from storage.io_call import Descriptor
from storage.io_memory import IoMemory
from storage.io_threads import IoThreads
from storage.uring import IoUring

PAGE_BYTES = 4096
THREADS_MAX_DEFAULT = 16
SLOW_THREADS_MAX_DEFAULT = 3
CALLS_MAX_DEFAULT = 256
MEMORY_BYTES_DEFAULT = 1 << 20

_O_DIRECT: int = getattr(os, "O_DIRECT", 0)
_FLAGS = {
    OpenMode.READ: os.O_RDONLY | os.O_CLOEXEC,
    OpenMode.CREATE: os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC,
    OpenMode.LOG: os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
}

T = TypeVar("T")


class IoChoice(Enum):
    """Who makes the calls to the file system."""

    AUTO = "auto"
    """The kernel's rings where it allows them and files are direct, threads elsewhere."""

    URING = "uring"
    """The kernel's rings, or no start."""

    THREADS = "threads"
    """A few threads, past the page cache where that is possible."""

    BUFFERED = "buffered"
    """A few threads, through the page cache."""


class FileCalls(Protocol):
    """Makes calls on files for one event loop, and raises `OSError` from the futures it gives.

    Cancelling a future does not undo its call: what the call works on lives until the call is done.
    """

    def read(
        self, file: Descriptor, offset: int, size: int, skip: int, wanted: int
    ) -> Future[bytes]:
        """Read `size` bytes at `offset`; the future gives `wanted` after the first `skip`."""

    def begin_read(
        self, file: Descriptor, offset: int, size: int, skip: int, wanted: int, taker: Taker
    ) -> None:
        """Like `read`, for who is told in the place of a future."""

    def write(self, file: Descriptor, offset: int, data: Bytes, aligned: bool) -> Future[None]:
        """Write all of `data` at `offset`, from aligned memory if `aligned`."""

    def sync(self, file: Descriptor) -> Future[None]:
        """Make the data of a file durable, and its length."""

    def sync_directory(self, directory: Descriptor) -> Future[None]:
        """Make the names in a directory durable."""

    def allocate(self, file: Descriptor, size: int) -> Future[None]:
        """Make a file at least `size` bytes long."""

    def open(self, path: bytes, flags: int) -> Future[Descriptor]:
        """Open a file."""

    def rename(self, source: bytes, target: bytes) -> Future[None]:
        """Give a file another name."""

    def remove(self, path: bytes) -> Future[None]:
        """Remove a file or an empty directory."""

    def stop(self) -> None:
        """Finish the calls in flight and resolve their futures."""


class DirectDisk:
    """The file system of the machine, used by one event loop."""

    __slots__ = ("_calls", "_is_direct", "_maker", "_name", "_uring")

    def __init__(
        self,
        *,
        is_direct: bool,
        threads_max: int = THREADS_MAX_DEFAULT,
        slow_threads_max: int = SLOW_THREADS_MAX_DEFAULT,
        calls_max: int = CALLS_MAX_DEFAULT,
        uring: IoUring | None = None,
        memory: IoMemory | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Make calls through `uring`, or through threads with `memory` if there is none."""
        self._is_direct = is_direct and _O_DIRECT != 0
        self._name = "threads" if uring is None else "io_uring"
        self._uring = uring
        self._maker: FileCalls = uring or IoThreads(threads_max, slow_threads_max, memory, watch)
        self._calls = _Calls(calls_max)

    @property
    def description(self) -> str:
        """Which back-end this is."""
        return f"{self._name}, {'O_DIRECT' if self._is_direct else 'buffered'}"

    async def open(self, path: str, mode: OpenMode) -> "DirectFile":
        """Open a file; past the page cache if the disk is direct, unless it is a log."""
        flags = _FLAGS[mode]
        if self._is_direct and mode is not OpenMode.LOG:
            try:
                file = await self._open(path, flags | _O_DIRECT)
                return DirectFile(self._maker, self._calls, path, mode, file, is_direct=True)
            except DiskError as failure:
                if failure.errno != errno.EINVAL:
                    raise
            # This one file's file system has no O_DIRECT; it may have made the file all the same.
            flags &= ~os.O_EXCL
        file = await self._open(path, flags)
        return DirectFile(self._maker, self._calls, path, mode, file, is_direct=False)

    async def list(self, directory: str) -> list[str]:
        """Give the names in a directory, sorted."""
        try:
            return sorted(os.listdir(directory))
        except OSError as failure:
            raise _typed(failure, "list", directory) from failure

    async def size(self, path: str) -> int:
        """Give the length of a file in bytes."""
        try:
            return os.stat(path).st_size
        except OSError as failure:
            raise _typed(failure, "size", path) from failure

    async def rename(self, source: str, target: str) -> None:
        """Give a file another name, replacing what has that name."""
        names = os.fsencode(source), os.fsencode(target)
        await self._calls.make("rename", source, lambda: self._maker.rename(*names))

    async def link(self, source: str, target: str) -> None:
        """Give a file one more name."""
        try:
            os.link(source, target)
        except OSError as failure:
            raise _typed(failure, "link", source) from failure

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        await self._calls.make("remove", path, lambda: self._maker.remove(os.fsencode(path)))

    async def make_directory(self, path: str) -> None:
        """Make a directory and those above it, durably."""
        missing: list[str] = []
        above = os.path.abspath(path)
        while not os.path.isdir(above):
            missing.append(above)
            above = os.path.dirname(above)
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
        except OSError as failure:
            raise _typed(failure, "make_directory", path) from failure
        for made in missing:
            await self.sync_directory(os.path.dirname(made))

    async def sync_directory(self, path: str) -> None:
        """Make the creates, renames and removes in a directory durable."""
        directory = await self._open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        await self._calls.make(
            "sync_directory", path, lambda: self._maker.sync_directory(directory)
        )

    def space(self, path: str) -> Space:
        """Give the size of the volume, and what of it is free for those who are not root."""
        try:
            found = os.statvfs(path)
        except OSError as failure:
            raise _typed(failure, "space", path) from failure
        return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    async def lock(self, directory: str) -> "DirectLock":
        """Take a directory; the kernel gives it back when the process ends, however it ends."""
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as failure:
            raise _typed(failure, "lock", directory) from failure
        file = Descriptor(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as failure:
            if failure.errno == errno.EWOULDBLOCK:
                raise DirectoryLocked(errno.EWOULDBLOCK, "lock", directory) from None
            raise _typed(failure, "lock", directory) from failure
        return DirectLock(file)

    def submit(self) -> None:
        """Let calls go that would go at the end of the turn: something long comes before."""
        if self._uring is not None:
            self._uring.submit()

    def submit_after(self, first: Callable[[], None]) -> None:
        """Call `first` at the end of a turn before the calls of that turn go."""
        if self._uring is not None:
            self._uring.submit_after(first)

    def stop(self) -> None:
        """Finish the calls in flight; files opened before are of no use now."""
        self._maker.stop()

    async def _open(self, path: str, flags: int) -> Descriptor:
        name = os.fsencode(path)
        return await self._calls.make("open", path, lambda: self._maker.open(name, flags))


class DirectFile:
    """One open file of a `DirectDisk`."""

    __slots__ = (
        "_appended",
        "_calls",
        "_file",
        "_is_direct",
        "_maker",
        "_mode",
        "_path",
        "_rest",
    )

    def __init__(
        self,
        maker: FileCalls,
        calls: "_Calls",
        path: str,
        mode: OpenMode,
        file: Descriptor,
        *,
        is_direct: bool,
    ) -> None:
        self._maker = maker
        self._calls = calls
        self._path = path
        self._mode = mode
        self._is_direct = is_direct
        self._file: Descriptor | None = file
        self._rest: Descriptor | None = None
        """The buffered descriptor for what is not a whole page, once there was such a write."""
        self._appended = 0

    async def read(self, offset: int, size: int) -> bytes:
        """Give `size` bytes from `offset`, fewer only where the file ends."""
        file = self._get_file("read")
        start, end = offset, offset + size
        if self._is_direct:
            start = offset - offset % PAGE_BYTES
            end += -end % PAGE_BYTES
        calls = self._calls
        # What `_Calls.make` does, without its frames: this is most of an uncached read's way.
        if not calls.try_enter():
            await calls.enter()
        try:
            return await self._maker.read(file, start, end - start, offset - start, size)
        except OSError as failure:
            raise _typed(failure, "read", self._path) from failure
        finally:
            calls.leave()

    def begin_read(self, offset: int, size: int, taker: Taker) -> None:
        """Like `read`, without a coroutine: `taker` hears of its end in a later turn."""
        file = self._get_file("read")
        start, end = offset, offset + size
        if self._is_direct:
            start = offset - offset % PAGE_BYTES
            end += -end % PAGE_BYTES
        try:
            self._maker.begin_read(file, start, end - start, offset - start, size, taker)
        except OSError as failure:
            raise _typed(failure, "read", self._path) from failure

    async def write(self, offset: int, data: Bytes) -> None:
        """Write all of `data` at `offset`."""
        file = self._get_writable("write")
        if not self._is_direct:
            await self._write(file, offset, data, is_aligned=False)
            return
        whole = len(data) - len(data) % PAGE_BYTES if offset % PAGE_BYTES == 0 else 0
        with memoryview(data) as view:
            if whole:
                await self._write(file, offset, view[:whole], is_aligned=True)
            if whole < len(data):
                rest = await self._get_rest(file)
                await self._write(rest, offset + whole, view[whole:], is_aligned=False)

    def append_now(self, data: Bytes) -> None:
        """Write all of `data` after what this handle appended before, to the kernel."""
        assert self._mode is OpenMode.LOG, "only log files are appended to"
        fd = self._get_file("append").fd
        try:
            written = os.pwrite(fd, data, self._appended)
            while written < len(data):
                written += os.pwrite(fd, memoryview(data)[written:], self._appended + written)
        except OSError as failure:
            raise _typed(failure, "append", self._path) from failure
        self._appended += written

    async def allocate(self, size: int) -> None:
        """Make the file at least `size` bytes long, with blocks reserved where that is possible."""
        file = self._get_writable("allocate")
        await self._calls.make("allocate", self._path, lambda: self._maker.allocate(file, size))

    async def sync(self) -> None:
        """Make everything written so far durable, whichever descriptor it went through."""
        file = self._get_file("sync")
        await self._calls.make("sync", self._path, lambda: self._maker.sync(file))

    async def close(self) -> None:
        """Give the file back; the kernel closes it when the last call in flight is done."""
        if self._rest is not None and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._rest.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self._file = None
        self._rest = None

    async def _write(self, file: Descriptor, offset: int, data: Bytes, *, is_aligned: bool) -> None:
        await self._calls.make(
            "write", self._path, lambda: self._maker.write(file, offset, data, is_aligned)
        )

    async def _get_rest(self, file: Descriptor) -> Descriptor:
        if self._rest is None:
            # By its descriptor, as the file may have another name by now. Only Linux comes here.
            name, flags = b"/proc/self/fd/%d" % file.fd, os.O_RDWR | os.O_CLOEXEC
            rest = await self._calls.make("open", self._path, lambda: self._maker.open(name, flags))
            self._rest = self._rest or rest
        return self._rest

    def _get_file(self, operation: str) -> Descriptor:
        if self._file is None:
            raise disk_error(errno.EBADF, operation, self._path)
        return self._file

    def _get_writable(self, operation: str) -> Descriptor:
        if self._mode is OpenMode.READ:
            raise disk_error(errno.EBADF, operation, self._path)
        return self._get_file(operation)


class DirectLock:
    """A directory taken by this process."""

    __slots__ = ("_file",)

    def __init__(self, file: Descriptor) -> None:
        self._file: Descriptor | None = file

    def release(self) -> None:
        """Let others have the directory."""
        self._file = None


class _Calls:
    """Makes the calls of all files of a disk, a bounded number at once, and types their errors."""

    __slots__ = ("_free", "_waiting")

    def __init__(self, calls_max: int) -> None:
        self._free = calls_max
        self._waiting: deque[Future[None]] = deque()

    def try_enter(self) -> bool:
        """Begin a call now, if there is room; then `leave` must follow."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def enter(self) -> None:
        """Begin a call when it has its turn; then `leave` must follow."""
        if self.try_enter():
            return
        turn: Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """A call is over; who waited longest has its room."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def make(self, operation: str, path: str, call: Callable[[], Future[T]]) -> T:
        """Make one call when there is room for it; raises `DiskError`."""
        await self.enter()
        try:
            return await call()
        except OSError as failure:
            raise _typed(failure, operation, path) from failure
        finally:
            self.leave()


def open_direct_disk(
    directory: str,
    choice: IoChoice = IoChoice.AUTO,
    memory_bytes: int = MEMORY_BYTES_DEFAULT,
    watch: Watch | None = None,
) -> DirectDisk:
    """The disk of an existing directory; raises `IoUringRefused` if that is forced and impossible.

    Calls borrow from `memory_bytes`. `watch`, if given, makes of a callback one whose turns are
    timed. To be called in the process and the thread that will use the disk.
    """
    memory = IoMemory(memory_bytes)
    if choice is IoChoice.BUFFERED:
        return DirectDisk(is_direct=False, memory=memory, watch=watch)
    is_direct = supports_direct(directory)
    if choice is IoChoice.THREADS or (choice is IoChoice.AUTO and not is_direct):
        return DirectDisk(is_direct=is_direct, memory=memory, watch=watch)
    try:
        uring = IoUring(CALLS_MAX_DEFAULT, SLOW_THREADS_MAX_DEFAULT, memory, watch)
    except OSError as failure:
        if choice is IoChoice.AUTO:
            return DirectDisk(is_direct=is_direct, memory=memory, watch=watch)
        raise IoUringRefused(failure.errno or errno.EIO, "io_uring", directory) from None
    return DirectDisk(is_direct=is_direct, uring=uring)


def supports_direct(directory: str) -> bool:
    """Whether files in a directory can be written and read directly, which only trying tells."""
    if not _O_DIRECT:
        return False
    path = os.path.join(directory, f".direct-{os.getpid()}")
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | _O_DIRECT
    try:
        file = Descriptor(os.open(path, flags, 0o600))
        with mmap.mmap(-1, PAGE_BYTES) as page:
            return (
                os.pwritev(file.fd, [page], 0) == PAGE_BYTES
                and os.preadv(file.fd, [page], 0) == PAGE_BYTES
            )
    except OSError:
        return False
    finally:
        if os.path.exists(path):
            os.remove(path)


def _typed(failure: OSError, operation: str, path: str) -> DiskError:
    return disk_error(failure.errno or errno.EIO, operation, path)

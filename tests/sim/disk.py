"""A simulated disk: forgets what was not synced, tears writes, fails, crashes and lies on demand.

Every call of the port has a number. `Faults` says what happens at which: an errno, or the end of
the world. After a crash the dead disk answers nothing more, and `restart` gives the disk that the
next process finds: all of it after a killed process, and after a power cut what was synced plus a
random part of the rest, torn at 512 bytes.

All chance comes from the `Random` given, and nothing waits but by one turn of the loop, so a seed
repeats a run.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from posixpath import dirname, normpath
from random import Random

from storage.disk import ENDLESS, Bytes, OpenMode, Space, Taker
from storage.errors import DirectoryLocked, DiskError, FileAlreadyExists, FileMissing, disk_error

SECTOR_BYTES = 512


class SimulatedCrash(BaseException):
    """The machine stopped in the middle of a call; no handler of `Exception` may go on."""


class AfterCrash(BaseException):
    """A call to a machine that has stopped: what runs on does not exist any more."""


@dataclass(slots=True)
class Faults:
    """What goes wrong, by the number of the call (the first is 1)."""

    crash_at: int = 0
    """The call at which the machine stops; 0 is never."""

    errnos: dict[int, int] = field(default_factory=dict)
    """Calls that fail, and with what."""

    choose: Callable[[int, str, str], int] | None = None
    """Decides by number, operation and path: an errno, or 0."""

    bytes_max: int = 0
    """How much fits on the disk; 0 is everything."""

    is_immediate: bool = False
    """Calls that may wait do not: for who does one thing after the other, and many times."""

    before: Callable[[str, str], Awaitable[None]] | None = None
    """Awaited before each call that may wait, with operation and path: lets a test hold a call."""


class Inode:
    """A file without a name: what readers see, what is durable, and the writes in between."""

    __slots__ = ("content", "durable", "failed_sync", "pending")

    def __init__(self, durable: bytes = b"") -> None:
        self.content = bytearray(durable)
        self.durable = bytearray(durable)
        self.pending: list[tuple[int, bytes]] = []
        self.failed_sync = False

    def put(self, offset: int, data: bytes) -> None:
        """Write to the page cache."""
        _put(self.content, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        """Make the writes since the last sync durable; not those which a failed sync has lost."""
        for offset, data in self.pending:
            _put(self.durable, offset, data)
        self.pending.clear()

    def after_power_cut(self, random: Random) -> bytes:
        """Give what the disk holds when the machine stops now."""
        survivor = bytearray(self.durable)
        fate = random.choice(("nothing", "everything", "prefix", "sectors"))
        kept = {"nothing": 0, "prefix": random.randint(0, len(self.pending))}
        for offset, data in self.pending[: kept.get(fate, len(self.pending))]:
            if fate == "sectors":
                for at, sector in _sectors(offset, data):
                    if random.random() < 0.5:
                        _put(survivor, at, sector)
            else:
                _put(survivor, offset, data)
        return bytes(survivor)


Moving = tuple[Inode, int, bytes]
"""A write on its way: to which file, where, and what."""


@dataclass(frozen=True, slots=True)
class NameChange:
    """A create, rename, link or remove that `sync_directory` has not made durable."""

    removed: str | None
    added: str | None
    inode: Inode | None
    moves_directory: bool = False
    """`removed` is a directory that became `added` with all that is in it."""


class SimulatedDisk:
    """Files, names and faults behind the Disk port."""

    def __init__(self, random: Random, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.trace: list[tuple[str, str]] = []
        """Every call made: operation and path."""
        self.is_dead = False
        self.crashed = asyncio.Event()
        self._random = random
        self._names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._changes: list[NameChange] = []
        self._directories = {"/", "."}
        self._locks: set[str] = set()
        self._moving: Moving | None = None
        """The write that is being made: a disk that stops now has a part of it."""

    @property
    def description(self) -> str:
        """Which back-end this is."""
        return "simulated"

    @property
    def calls(self) -> int:
        """How many calls were made."""
        return len(self.trace)

    def restart(self, *, power_cut: bool, faults: Faults | None = None) -> "SimulatedDisk":
        """Give the disk that the next process finds; this one is dead."""
        self.is_dead = True
        found = SimulatedDisk(self._random, faults)
        found._directories = set(self._directories)
        names = self._names
        if power_cut:
            survived = self._surviving_changes()
            names = dict(self._durable_names)
            for change in survived:
                _apply(names, change)
            for change in reversed(self._changes):
                if change.moves_directory and not any(change is other for other in survived):
                    _move_below(found._directories, change.added or "", change.removed or "")
        survivors: dict[int, Inode] = {}
        for name, inode in names.items():
            if id(inode) not in survivors:
                left = self._with_part(inode)
                if power_cut:
                    left = Inode(left.after_power_cut(self._random))
                survivors[id(inode)] = left if left is not inode else _copy(inode)
            found._names[name] = survivors[id(inode)]
            # That a directory was removed is not durable before what was in it is gone.
            found._directories.add(_parent(name))
        # After a killed process the names are in the kernel; that they are also on the disk is
        # one of the possible worlds, and the one in which what follows is about the new process.
        found._durable_names = dict(found._names)
        return found

    def fork(self) -> "SimulatedDisk":
        """Give the disk as it is now, as if the machine had stopped; `restart` gives what is found.

        This one goes on as if nothing had happened. A write that is being made is in part on what
        is found, in another part each time.
        """
        copies: dict[int, Inode] = {}

        def copy_of(inode: Inode) -> Inode:
            if id(inode) not in copies:
                copies[id(inode)] = _copy(inode)
            return copies[id(inode)]

        stopped = SimulatedDisk(self._random)
        stopped.is_dead = True
        stopped._directories = set(self._directories)
        stopped._names = {name: copy_of(inode) for name, inode in self._names.items()}
        stopped._durable_names = {n: copy_of(inode) for n, inode in self._durable_names.items()}
        stopped._changes = [
            replace(change, inode=None if change.inode is None else copy_of(change.inode))
            for change in self._changes
        ]
        if self._moving is not None:
            inode, offset, data = self._moving
            stopped._moving = copy_of(inode), offset, data
        return stopped

    # What a test does behind the node's back.

    def content(self, path: str) -> bytes:
        """Give the bytes of a file."""
        return bytes(self._names[normpath(path)].content)

    def paths(self) -> list[str]:
        """Give the names of all files."""
        return sorted(self._names)

    def fingerprint(self) -> bytes:
        """Give a short value that is another one if anything else can be found here.

        Only of a disk after a power cut, when nothing waits for a sync.
        """
        found = blake2b(digest_size=16)
        for name in sorted(self._directories):
            found.update(b"%s/\0" % name.encode())
        for name, inode in sorted(self._names.items()):
            found.update(b"%s\0%d\0" % (name.encode(), len(inode.content)))
            found.update(inode.content)
        return found.digest()

    def unlock(self, directory: str) -> None:
        """The process that had taken a directory is dead."""
        self._locks.discard(normpath(directory))

    def forgive(self) -> None:
        """A new process may sync files whose sync has failed; what that lost stays lost."""
        for inode in self._names.values():
            inode.failed_sync = False

    @property
    def bytes_used(self) -> int:
        """How much the files take."""
        return sum(len(inode.content) for inode in set(self._names.values()))

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        """Damage a file, durably."""
        inode = self._names[normpath(path)]
        inode.put(offset, data)
        inode.sync()

    def cut(self, path: str, size: int) -> None:
        """Make a file shorter, durably."""
        inode = self._names[normpath(path)]
        inode.sync()
        del inode.content[size:], inode.durable[size:]

    def flip_bit(self, path: str, bit: int) -> None:
        """Damage one bit of a file."""
        before = self.content(path)[bit // 8]
        self.overwrite(path, bit // 8, bytes([before ^ 1 << bit % 8]))

    def misplace(self, path: str, source: int, target: int, size: int = SECTOR_BYTES) -> None:
        """Let a block of a file hold what another one should."""
        self.overwrite(path, target, self.content(path)[source : source + size])

    # The Disk port.

    async def open(self, path: str, mode: OpenMode) -> "SimulatedFile":
        """Open a file; see `OpenMode`."""
        path = normpath(path)
        await self._call("open", path)
        inode = self._names.get(path)
        if mode is OpenMode.CREATE and inode is not None:
            raise FileAlreadyExists(errno.EEXIST, "open", path)
        if inode is None:
            if mode is OpenMode.READ or _parent(path) not in self._directories:
                raise FileMissing(errno.ENOENT, "open", path)
            inode = Inode()
            self._change(NameChange(None, path, inode))
        return SimulatedFile(self, path, mode, inode)

    async def list(self, directory: str) -> list[str]:
        """Give the names in a directory, sorted."""
        await self._call("list", directory)
        directory = self._get_directory("list", directory)
        paths = [*self._names, *(path for path in self._directories if path != directory)]
        return sorted(path.rpartition("/")[2] for path in paths if _parent(path) == directory)

    async def size(self, path: str) -> int:
        """Give the length of a file in bytes."""
        path = normpath(path)
        await self._call("size", path)
        if path not in self._names:
            raise FileMissing(errno.ENOENT, "size", path)
        return len(self._names[path].content)

    async def rename(self, source: str, target: str) -> None:
        """Give a file another name, replacing what has that name."""
        source, target = normpath(source), normpath(target)
        await self._call("rename", source)
        is_directory = source in self._directories
        if _parent(target) not in self._directories or not (is_directory or source in self._names):
            raise FileMissing(errno.ENOENT, "rename", source)
        if not is_directory:
            self._change(NameChange(source, target, self._names[source]))
            return
        if target in self._names or target in self._directories:
            raise disk_error(errno.ENOTEMPTY, "rename", target)
        self._change(NameChange(source, target, None, moves_directory=True))
        _move_below(self._directories, source, target)

    async def link(self, source: str, target: str) -> None:
        """Give a file one more name."""
        source, target = normpath(source), normpath(target)
        await self._call("link", source)
        if source not in self._names or _parent(target) not in self._directories:
            raise FileMissing(errno.ENOENT, "link", source)
        if target in self._names or target in self._directories:
            raise FileAlreadyExists(errno.EEXIST, "link", target)
        self._change(NameChange(None, target, self._names[source]))

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        path = normpath(path)
        await self._call("remove", path)
        if path in self._names:
            self._change(NameChange(path, None, None))
            return
        self._get_directory("remove", path)
        if any(_parent(other) == path for other in [*self._names, *self._directories]):
            raise disk_error(errno.ENOTEMPTY, "remove", path)
        self._directories.discard(path)

    async def make_directory(self, path: str) -> None:
        """Make a directory and those above it, durably."""
        path = normpath(path)
        await self._call("make_directory", path)
        while path not in self._directories:
            if path in self._names:
                raise disk_error(errno.EEXIST, "make_directory", path)
            self._directories.add(path)
            path = _parent(path)

    async def sync_directory(self, path: str) -> None:
        """Make the creates, renames and removes in a directory durable."""
        await self._call("sync_directory", path)
        directory = self._get_directory("sync_directory", path)
        kept: list[NameChange] = []
        for change in self._changes:
            if directory in (_parent(change.removed or ""), _parent(change.added or "")):
                _apply(self._durable_names, change)
            else:
                kept.append(change)
        self._changes = kept

    def space(self, path: str) -> Space:
        """Give how much fits on the disk, and how much more."""
        self._get_directory("space", path)
        full = self.faults.bytes_max
        return Space(full, max(0, full - self.bytes_used)) if full else ENDLESS

    async def lock(self, directory: str) -> "SimulatedLock":
        """Take a directory."""
        await self._call("lock", directory)
        directory = self._get_directory("lock", directory)
        if directory in self._locks:
            raise DirectoryLocked(errno.EWOULDBLOCK, "lock", directory)
        self._locks.add(directory)
        return SimulatedLock(self._locks, directory)

    # What files ask of their disk.

    async def _call(self, operation: str, path: str, moving: Moving | None = None) -> None:
        """Count a call that may wait, let others run, and fail or crash if it is its turn."""
        if self.faults.before is not None:
            await self.faults.before(operation, path)
        if not self.faults.is_immediate:
            await asyncio.sleep(0)
        if self.is_dead:
            await asyncio.Future()  # A machine that has stopped does not answer.
        self.count(operation, path, moving)

    def count(self, operation: str, path: str, moving: Moving | None = None) -> None:
        """Count a call, and fail or crash if it is its turn."""
        if self.is_dead:
            raise AfterCrash(f"{operation} {path}")
        self.trace.append((operation, path))
        number = len(self.trace)
        if number == self.faults.crash_at:
            self.is_dead = True
            self.crashed.set()
            raise SimulatedCrash(f"call {number}: {operation} {path}")
        failure = self.faults.errnos.get(number, 0)
        if not failure and self.faults.choose is not None:
            self._moving = moving
            failure = self.faults.choose(number, operation, path)
            self._moving = None
        if failure:
            raise disk_error(failure, operation, path)

    def room(self, inode: Inode, end: int) -> int:
        """Give up to which offset a file may be written when it should be written up to `end`."""
        if not self.faults.bytes_max:
            return end
        others = sum(len(i.content) for i in set(self._names.values()) if i is not inode)
        return min(end, max(len(inode.content), self.faults.bytes_max - others))

    def random_part(self, size: int) -> int:
        """Give how much of a write had happened when it was cut short: whole sectors."""
        part = self._random.randint(0, size)
        return part - part % SECTOR_BYTES

    def _with_part(self, inode: Inode) -> Inode:
        """The file, or a copy that has a part of the write that was being made."""
        if self._moving is None or self._moving[0] is not inode:
            return inode
        _, offset, data = self._moving
        copy = _copy(inode)
        if part := self.random_part(len(data)):
            copy.put(offset, data[:part])
        return copy

    def _change(self, change: NameChange) -> None:
        _apply(self._names, change)
        self._changes.append(change)

    def _surviving_changes(self) -> Sequence[NameChange]:
        """A random part of the changes that nobody has made durable."""
        fate = self._random.choice(("nothing", "everything", "prefix", "subset"))
        kept = {"nothing": 0, "prefix": self._random.randint(0, len(self._changes))}
        survivors = self._changes[: kept.get(fate, len(self._changes))]
        return [c for c in survivors if fate != "subset" or self._random.random() < 0.5]

    def _get_directory(self, operation: str, path: str) -> str:
        path = normpath(path)
        if path not in self._directories:
            raise FileMissing(errno.ENOENT, operation, path)
        return path


class SimulatedFile:
    """One open file of a `SimulatedDisk`."""

    def __init__(self, disk: SimulatedDisk, path: str, mode: OpenMode, inode: Inode) -> None:
        self._disk = disk
        self._path = path
        self._mode = mode
        self._inode = inode
        self._is_open = True
        self._appended = 0
        self._reads: set[asyncio.Task[None]] = set()

    async def read(self, offset: int, size: int) -> bytes:
        """Give `size` bytes from `offset`, fewer only where the file ends."""
        await self._disk._call("read", self._path)
        self._check("read")
        return bytes(self._inode.content[offset : offset + size])

    def begin_read(self, offset: int, size: int, taker: Taker) -> None:
        """Like `read`; `taker` hears of it in a later turn of the loop."""
        task = asyncio.get_running_loop().create_task(self._tell(offset, size, taker))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def _tell(self, offset: int, size: int, taker: Taker) -> None:
        try:
            data = await self.read(offset, size)
        except asyncio.CancelledError:
            raise
        except BaseException as failure:  # A crash too is the reader's.
            taker.set_exception(failure)
        else:
            taker.set_result(data)

    async def write(self, offset: int, data: Bytes) -> None:
        """Write all of `data` at `offset`."""
        content = bytes(data)
        try:
            await self._disk._call("write", self._path, (self._inode, offset, content))
        except (SimulatedCrash, DiskError):
            self._put_part(offset, content)
            raise
        self._check("write")
        self._put("write", offset, content)

    def append_now(self, data: Bytes) -> None:
        """Write all of `data` after what this handle appended before."""
        assert self._mode is OpenMode.LOG, "only log files are appended to"
        content = bytes(data)
        try:
            self._disk.count("append", self._path, (self._inode, self._appended, content))
        except (SimulatedCrash, DiskError):
            self._put_part(self._appended, content)
            raise
        self._check("append")
        self._put("append", self._appended, content)
        self._appended += len(content)

    async def allocate(self, size: int) -> None:
        """Make the file at least `size` bytes long."""
        await self._disk._call("allocate", self._path)
        self._check("allocate")
        if self._disk.room(self._inode, size) < size:
            raise disk_error(errno.ENOSPC, "allocate", self._path)
        missing = size - len(self._inode.content)
        if missing > 0:
            self._inode.put(len(self._inode.content), bytes(missing))

    async def sync(self) -> None:
        """Make everything written so far durable, or lose it for good when the sync fails."""
        self._check("sync")
        assert not self._inode.failed_sync, f"{self._path}: a failed sync was tried again"
        covered = list(self._inode.pending)
        try:
            await self._disk._call("sync", self._path)
        except DiskError:
            self._inode.failed_sync = True
            self._inode.pending.clear()
            raise
        # What was written while the sync ran may be durable or not: here it is not.
        later = self._inode.pending[len(covered) :]
        self._inode.pending = covered
        self._inode.sync()
        self._inode.pending = later

    async def close(self) -> None:
        """Give the file back; syncs nothing."""
        if self._is_open:
            await self._disk._call("close", self._path)
        self._is_open = False

    def _put(self, operation: str, offset: int, data: bytes) -> None:
        end = self._disk.room(self._inode, offset + len(data))
        self._inode.put(offset, data[: max(0, end - offset)])
        if end < offset + len(data):
            raise disk_error(errno.ENOSPC, operation, self._path)

    def _put_part(self, offset: int, data: bytes) -> None:
        """Some of the sectors that a call would have written when it failed, from the start."""
        part = self._disk.random_part(len(data))
        if part and self._mode is not OpenMode.READ:
            self._inode.put(offset, data[:part])

    def _check(self, operation: str) -> None:
        writes = operation in ("write", "append", "allocate")
        if not self._is_open or (writes and self._mode is OpenMode.READ):
            raise disk_error(errno.EBADF, operation, self._path)


class SimulatedLock:
    """A directory taken in a `SimulatedDisk`."""

    def __init__(self, locks: set[str], directory: str) -> None:
        self._locks = locks
        self._directory = directory

    def release(self) -> None:
        """Let others have the directory."""
        self._locks.discard(self._directory)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if data and offset > len(content):
        content.extend(bytes(offset - len(content)))
    if data:
        content[offset : offset + len(data)] = data


def _copy(inode: Inode) -> Inode:
    """The file as the kernel holds it, with what a later power cut could still take."""
    copy = Inode(bytes(inode.durable))
    copy.content = bytearray(inode.content)
    copy.pending = list(inode.pending)
    return copy


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut a write where the disk may tear it."""
    at = 0
    while at < len(data):
        size = SECTOR_BYTES - (offset + at) % SECTOR_BYTES
        yield offset + at, data[at : at + size]
        at += size


def _apply(names: dict[str, Inode], change: NameChange) -> None:
    if change.moves_directory:
        source, target = f"{change.removed}/", f"{change.added}/"
        for path in [path for path in names if path.startswith(source)]:
            names[target + path[len(source) :]] = names.pop(path)
        return
    if change.removed is not None:
        names.pop(change.removed, None)
    if change.added is not None and change.inode is not None:
        names[change.added] = change.inode


def _move_below(directories: set[str], source: str, target: str) -> None:
    """Let a directory, and those in it, have another name."""
    moved = {path for path in directories if path == source or path.startswith(f"{source}/")}
    directories -= moved
    directories |= {target + path[len(source) :] for path in moved}


@lru_cache(maxsize=4096)
def _parent(path: str) -> str:
    return dirname(path) or "."

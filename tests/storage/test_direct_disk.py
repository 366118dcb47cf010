"""What only real files show: O_DIRECT, errors of the system, threads, locks between processes."""

import asyncio
import errno
import fcntl
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from storage.direct_disk import DirectDisk, FileCalls, supports_direct
from storage.disk import OpenMode
from storage.errors import DirectoryLocked, DiskError, DiskFull, TooManyOpenFiles
from storage.io_call import Descriptor
from storage.io_threads import ANSWERS_AT_ONCE, IoThreads
from storage.uring import IoUring

SHARED_MEMORY = Path("/dev/shm")


def run(disk: DirectDisk, test: Coroutine[Any, Any, None]) -> None:
    """Run a test and end the disk's threads."""

    async def bounded() -> None:
        try:
            async with asyncio.timeout(20):
                await test
        finally:
            disk.stop()

    asyncio.run(bounded())


def open_flags(path: Path) -> list[int]:
    """The flags of this process's descriptors of a file, as the kernel has them."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == str(path):
                found.append(fcntl.fcntl(int(name), fcntl.F_GETFL))
        except OSError:
            continue
    return found


def test_the_disk_says_what_it_uses(tmp_path: Path) -> None:
    direct = DirectDisk(is_direct=True)
    buffered = DirectDisk(is_direct=False)
    assert direct.description == "threads, O_DIRECT"
    assert buffered.description == "threads, buffered"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="O_DIRECT is Linux's")
def test_data_files_are_direct_and_logs_are_not(tmp_path: Path) -> None:
    if not supports_direct(str(tmp_path)):
        pytest.skip("this file system has no O_DIRECT")
    disk = DirectDisk(is_direct=True)

    async def test() -> None:
        data = await disk.open(f"{tmp_path}/data", OpenMode.CREATE)
        await data.write(0, bytes(8192))
        assert [bool(f & os.O_DIRECT) for f in open_flags(tmp_path / "data")] == [True]
        log = await disk.open(f"{tmp_path}/log", OpenMode.LOG)
        assert [bool(f & os.O_DIRECT) for f in open_flags(tmp_path / "log")] == [False]
        await data.close()
        await log.close()
        assert open_flags(tmp_path / "data") == []

    run(disk, test())


def test_the_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    supports_direct(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert supports_direct(str(tmp_path / "none")) is False


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="no tmpfs here")
def test_a_file_system_without_direct_io_is_served_all_the_same() -> None:
    directory = SHARED_MEMORY / f"pythia-test-{os.getpid()}"
    directory.mkdir()
    disk = DirectDisk(is_direct=supports_direct(str(directory)))

    async def test() -> None:
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        await file.write(0, b"x" * 5000)
        await file.sync()
        assert await file.read(4090, 100) == b"x" * 100
        await file.close()
        await disk.remove(f"{directory}/a")

    try:
        run(disk, test())
    finally:
        directory.rmdir()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_a_typed_error() -> None:
    disk = DirectDisk(is_direct=False)

    async def test() -> None:
        file = await disk.open("/dev/full", OpenMode.LOG)
        with pytest.raises(DiskFull) as caught:
            file.append_now(b"x")
        assert caught.value.errno == errno.ENOSPC and caught.value.path == "/dev/full"
        with pytest.raises(DiskFull):
            await file.write(0, b"x")

    run(disk, test())


def test_a_process_without_descriptors_gets_a_typed_error(tmp_path: Path) -> None:
    disk = DirectDisk(is_direct=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def test() -> None:
        await (await disk.open(f"{tmp_path}/a", OpenMode.CREATE)).close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(TooManyOpenFiles):
                await disk.open(f"{tmp_path}/b", OpenMode.CREATE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    run(disk, test())


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    disk = DirectDisk(is_direct=False)

    async def test() -> None:
        with pytest.raises(DiskError) as caught:
            await disk.open(str(tmp_path), OpenMode.LOG)
        assert caught.value.errno == errno.EISDIR

    run(disk, test())


def test_another_process_cannot_lock_what_is_locked_and_can_when_its_owner_dies(
    tmp_path: Path,
) -> None:
    disk = DirectDisk(is_direct=False)
    script = (
        "import fcntl, os, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None and other.stdout.readline() == b"locked\n"

    async def test() -> None:
        with pytest.raises(DirectoryLocked):
            await disk.lock(str(tmp_path))
        other.kill()
        other.communicate()
        (await disk.lock(str(tmp_path))).release()

    run(disk, test())


def test_a_file_closed_under_a_running_call_stays_open_until_the_call_is_done(
    tmp_path: Path,
) -> None:
    disk = DirectDisk(is_direct=False, threads_max=1)

    async def test() -> None:
        file = await disk.open(f"{tmp_path}/a", OpenMode.CREATE)
        await file.write(0, b"x" * 100_000)
        reads = [asyncio.ensure_future(file.read(0, 100_000)) for _ in range(8)]
        await asyncio.sleep(0)
        await file.close()
        assert all(data == b"x" * 100_000 for data in await asyncio.gather(*reads))
        assert open_flags(tmp_path / "a") == []

    run(disk, test())


def test_threads_start_when_they_are_needed_and_stop(tmp_path: Path) -> None:
    disk = DirectDisk(is_direct=False, threads_max=4, slow_threads_max=2)
    before = len(os.listdir("/proc/self/task"))

    async def test() -> None:
        file = await disk.open(f"{tmp_path}/a", OpenMode.CREATE)
        assert len(os.listdir("/proc/self/task")) == before + 1
        await asyncio.gather(*(file.write(n * 4096, bytes(4096)) for n in range(100)))
        assert len(os.listdir("/proc/self/task")) <= before + 6
        await file.close()

    run(disk, test())
    assert len(os.listdir("/proc/self/task")) == before


def test_stopping_finishes_what_is_queued(tmp_path: Path) -> None:
    async def test() -> None:
        threads = IoThreads(1, 1)
        file = Descriptor(os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT, 0o600))
        writes = [threads.write(file, n * 10, b"0123456789", False) for n in range(50)]
        threads.stop()
        assert threads.in_flight == 0
        for write in writes:
            await write
        assert (tmp_path / "a").stat().st_size == 500

    asyncio.run(test())


def test_calls_beyond_the_bound_wait_their_turn(tmp_path: Path) -> None:
    disk = DirectDisk(is_direct=False, threads_max=2, calls_max=3)

    async def test() -> None:
        file = await disk.open(f"{tmp_path}/a", OpenMode.CREATE)
        await asyncio.gather(*(file.write(n, b"x") for n in range(50)))
        assert await file.read(0, 100) == b"x" * 50
        await file.close()

    run(disk, test())


def test_a_caller_who_gives_up_waiting_leaves_the_turn_to_others(tmp_path: Path) -> None:
    disk = DirectDisk(is_direct=False, threads_max=1, calls_max=1)

    async def test() -> None:
        file = await disk.open(f"{tmp_path}/a", OpenMode.CREATE)
        await file.write(0, b"x" * 100)
        reads = [asyncio.ensure_future(file.read(n, 1)) for n in range(20)]
        await asyncio.sleep(0)
        for read in reads[1::2]:
            read.cancel()
        assert await asyncio.gather(*reads[::2]) == [b"x"] * 10
        assert await file.read(0, 100) == b"x" * 100
        await file.close()

    run(disk, test())


class Turns:
    """Counts in how many watched turns how many reads were answered."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.per_turn: list[int] = []

    def watch(self, what: str, call: Callable[..., None]) -> Callable[..., None]:
        assert "disk" in what

        def watched() -> None:
            before = len(self.answers)
            call()
            self.per_turn.append(len(self.answers) - before)

        return watched

    def done(self) -> bool:
        return False

    def set_result(self, data: bytes) -> None:
        self.answers.append(data)

    def set_exception(self, failure: BaseException) -> None:
        raise failure


def calls_of(name: str, turns: Turns) -> FileCalls:
    """The calls of one kind, watched; the test is skipped where the kernel does not allow them."""
    if name == "threads":
        return IoThreads(4, 1, watch=turns.watch)
    try:
        return IoUring(128, 1, watch=turns.watch)
    except OSError as failure:
        pytest.skip(f"no io_uring here: {errno.errorcode.get(failure.errno or 0)}")


@pytest.mark.parametrize("name", ["uring", "threads"])
@pytest.mark.parametrize("stops", [False, True])
def test_calls_that_end_together_are_answered_a_few_in_each_watched_turn(
    tmp_path: Path, name: str, stops: bool
) -> None:
    turns = Turns()
    calls = calls_of(name, turns)
    count = 5 * ANSWERS_AT_ONCE + 3
    (tmp_path / "a").write_bytes(b"".join(bytes([n]) * 512 for n in range(count)))

    async def test() -> None:
        file = Descriptor(os.open(tmp_path / "a", os.O_RDONLY))
        for n in range(count):
            calls.begin_read(file, n * 512, 512, 0, 512, turns)
        while len(turns.answers) < (1 if stops else count):
            await asyncio.sleep(0)
        others = len(turns.answers)
        calls.stop()
        assert len(turns.answers) == count
        assert sum(turns.per_turn) == others, "all turns in which calls are answered are watched"

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())
    assert sorted(turns.answers) == [bytes([n]) * 512 for n in range(count)]
    assert max(turns.per_turn) <= ANSWERS_AT_ONCE
    if name == "uring" and not stops:
        assert max(turns.per_turn) == ANSWERS_AT_ONCE, "many have ended together"

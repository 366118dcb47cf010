"""What only io_uring shows: rings that are full, refused, stopped, or left by a fork."""

import asyncio
import errno
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest

import storage.direct_disk
from storage.direct_disk import DirectDisk, IoChoice, open_direct_disk, supports_direct
from storage.disk import OpenMode
from storage.errors import DiskError, IoUringRefused
from storage.io_call import Descriptor
from storage.uring import IoUring

PAGE = bytes(range(256)) * 16


@pytest.fixture
def uring() -> IoUring:
    """A small ring; the test is skipped where the kernel does not allow one."""
    try:
        return IoUring(8, 1)
    except OSError as failure:
        pytest.skip(f"no io_uring here: {errno.errorcode.get(failure.errno or 0)}")


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test that must not hang."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(bounded())


def open_new(path: Path) -> Descriptor:
    """A new file, through the page cache."""
    return Descriptor(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def test_the_disk_says_that_it_uses_the_ring(uring: IoUring) -> None:
    assert DirectDisk(is_direct=False, uring=uring).description == "io_uring, buffered"
    uring.stop()


def test_more_calls_than_the_ring_has_entries_are_all_made(uring: IoUring, tmp_path: Path) -> None:
    async def test() -> None:
        file = open_new(tmp_path / "a")
        await asyncio.gather(
            *(uring.write(file, n * 4096, bytes([n]) * 4096, n % 2 == 0) for n in range(200))
        )
        reads = [uring.read(file, n * 4096, 4096, 0, 4096) for n in range(200)]
        assert [data[:1] for data in await asyncio.gather(*reads)] == [
            bytes([n]) for n in range(200)
        ]
        assert uring.in_flight == 0
        uring.stop()

    run(test())


def test_what_was_asked_for_goes_to_the_kernel_before_the_end_of_the_turn(
    uring: IoUring, tmp_path: Path
) -> None:
    async def test() -> None:
        disk = DirectDisk(is_direct=False, uring=uring)
        disk.submit()  # There is nothing yet.
        file = open_new(tmp_path / "a")
        os.write(file.fd, PAGE)
        read = uring.read(file, 0, 4096, 0, 4096)
        written = uring.write(file, 4096, PAGE, True)
        disk.submit()
        # No turn of the loop ends here; the kernel may leave the write to a worker of its own.
        until = time.monotonic() + 10
        while os.pread(file.fd, 4096, 4096) != PAGE:
            assert time.monotonic() < until, "the kernel has not heard of it"
        assert await read == PAGE
        await written
        disk.submit()
        disk.stop()
        disk.submit()

    run(test())


def test_stopping_finishes_what_is_in_flight_and_what_was_never_submitted(
    uring: IoUring, tmp_path: Path
) -> None:
    async def test() -> None:
        file = open_new(tmp_path / "a")
        writes = [uring.write(file, n * 10, b"0123456789", False) for n in range(50)]
        uring.stop()
        assert uring.in_flight == 0
        for write in writes:
            await write
        assert (tmp_path / "a").stat().st_size == 500

    run(test())


def test_a_stopped_ring_is_made_again_by_the_next_call(uring: IoUring, tmp_path: Path) -> None:
    uring.stop()

    async def test() -> None:
        file = open_new(tmp_path / "a")
        await uring.write(file, 0, b"again", False)
        assert await uring.read(file, 0, 10, 2, 8) == b"ain"
        uring.stop()
        uring.stop()

    run(test())


def test_a_cancelled_read_keeps_its_memory_until_the_kernel_is_done(
    uring: IoUring, tmp_path: Path
) -> None:
    disk = DirectDisk(is_direct=supports_direct(str(tmp_path)), uring=uring)
    random = Random(7)

    async def test() -> None:
        file = await disk.open(f"{tmp_path}/a", OpenMode.CREATE)
        await file.write(0, PAGE * 256)
        for _ in range(20):
            reads = [asyncio.ensure_future(file.read(n * 4096, 65536)) for n in range(32)]
            for _ in range(random.randrange(3)):
                await asyncio.sleep(0)
            for read in reads[::2]:
                read.cancel()
            kept = await asyncio.gather(*reads[1::2])
            assert all(data == PAGE * 16 for data in kept)
        await file.close()
        disk.stop()
        assert uring.in_flight == 0

    run(test())


def test_a_failed_call_fails_alone_with_its_type(uring: IoUring, tmp_path: Path) -> None:
    disk = DirectDisk(is_direct=False, uring=uring)

    async def test() -> None:
        file = await disk.open(f"{tmp_path}/a", OpenMode.CREATE)
        await file.write(0, PAGE)
        wrong, right = await asyncio.gather(
            file.read(-4096, 4096), file.read(0, 4096), return_exceptions=True
        )
        assert isinstance(wrong, DiskError) and wrong.errno == errno.EINVAL
        assert right == PAGE
        await file.close()
        disk.stop()

    run(test())


def test_a_child_of_a_fork_does_not_see_the_ring_and_the_parent_goes_on(
    uring: IoUring, tmp_path: Path
) -> None:
    async def test() -> None:
        file = open_new(tmp_path / "a")
        write = uring.write(file, 0, PAGE, True)
        child = os.fork()
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        await write
        assert await uring.read(file, 0, 4096, 0, 4096) == PAGE
        uring.stop()

    run(test())


def test_a_closed_ring_leaves_no_descriptor(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    try:
        uring = IoUring(8, 1)
    except OSError:
        pytest.skip("no io_uring here")
    assert len(os.listdir("/proc/self/fd")) > len(before)
    uring.stop()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_kernel_without_rings_ends_the_start_only_if_rings_are_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> IoUring:
        raise OSError(errno.EPERM, "refused")

    monkeypatch.setattr(storage.direct_disk, "IoUring", refuse)
    disk = open_direct_disk(str(tmp_path), IoChoice.AUTO)
    assert disk.description.startswith("threads, ")
    with pytest.raises(IoUringRefused) as caught:
        open_direct_disk(str(tmp_path), IoChoice.URING)
    assert caught.value.errno == errno.EPERM and caught.value.is_definite
    assert open_direct_disk(str(tmp_path), IoChoice.BUFFERED).description == "threads, buffered"

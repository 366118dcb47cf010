"""Memory for calls: runs of pages are lent once, and every call gives back what it borrowed."""

import asyncio
import errno
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage.direct_disk import DirectDisk, supports_direct
from storage.disk import OpenMode
from storage.io_call import Descriptor
from storage.io_memory import IoMemory
from storage.io_threads import IoThreads
from storage.uring import PINNED_FROM_CALLS, IoUring

PAGES = 12
PAGE = 4096


class IoMemoryMachine(RuleBasedStateMachine):
    """Beside a set of pages."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = IoMemory(PAGES * PAGE + 100)
        self.lent: list[tuple[int, int]] = []

    def _free(self) -> list[int]:
        taken = {p for page, size in self.lent for p in range(page, page - -size // PAGE)}
        return [page for page in range(PAGES) if page not in taken]

    @rule(size=st.integers(1, (PAGES + 1) * PAGE))
    def lend(self, size: int) -> None:
        free, wanted = set(self._free()), -(-size // PAGE)
        runs = [p for p in range(PAGES) if all(p + i in free for i in range(wanted))]
        page = self.memory.lend(size)
        assert page == (runs[0] if runs else None)
        if page is not None:
            self.lent.append((page, size))

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.lent) - 1))
        self.memory.take_back(*self.lent.pop(at))

    @invariant()
    def is_consistent(self) -> None:
        self.memory.check()
        assert self.memory.used_pages == PAGES - len(self._free())


TestIoMemory = IoMemoryMachine.TestCase


def test_without_pages_everything_is_refused() -> None:
    memory = IoMemory(PAGE - 1)
    assert memory.pages == 0
    assert memory.lend(1) is None
    assert IoMemory(PAGE).lend(0) is None


def _threads(memory: IoMemory) -> IoThreads:
    return IoThreads(2, 1, memory)


def _uring(memory: IoMemory) -> IoUring:
    try:
        return IoUring(8, 1, memory)
    except OSError as failure:
        pytest.skip(f"no io_uring here: {errno.errorcode.get(failure.errno or 0)}")


Maker = Callable[[IoMemory], IoThreads | IoUring]
BOTH = pytest.mark.parametrize("maker", [_threads, _uring])


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test that must not hang."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(bounded())


@BOTH
def test_more_calls_than_have_room_go_to_the_allocator(maker: Maker, tmp_path: Path) -> None:
    async def test() -> None:
        memory = IoMemory(3 * PAGE)
        calls = maker(memory)
        file = Descriptor(os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT, 0o600))
        content = Random(1).randbytes(20 * PAGE)
        pieces = [content[at : at + PAGE] for at in range(0, len(content), PAGE)]
        writes = [calls.write(file, n * PAGE, piece, True) for n, piece in enumerate(pieces)]
        assert (memory.used_pages, memory.loans, memory.refusals) == (3, 3, 17)
        await asyncio.gather(*writes)
        del writes
        assert memory.used_pages == 0
        reads = [calls.read(file, n * PAGE, 2 * PAGE, 10, PAGE) for n in range(19)]
        assert (memory.used_pages, memory.loans, memory.refusals) == (2, 4, 35)
        for n, data in enumerate(await asyncio.gather(*reads)):
            assert data == content[n * PAGE + 10 : (n + 1) * PAGE + 10]
        assert memory.used_pages == 0
        memory.check()
        calls.stop()

    run(test())


@BOTH
def test_memory_is_lent_until_the_call_is_done_though_nobody_waits(
    maker: Maker, tmp_path: Path
) -> None:
    async def test() -> None:
        memory = IoMemory(8 * PAGE)
        calls = maker(memory)
        file = Descriptor(os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT, 0o600))
        calls.write(file, 0, b"x" * PAGE, True).cancel()
        read = calls.read(file, 0, 2 * PAGE, 0, PAGE)
        read.cancel()
        del read
        gc.collect()
        assert memory.used_pages == 3
        calls.stop()
        assert memory.used_pages == 0
        assert os.pread(file.fd, PAGE, 0) == b"x" * PAGE

    run(test())


@BOTH
def test_a_call_that_fails_gives_its_memory_back(maker: Maker, tmp_path: Path) -> None:
    async def test() -> None:
        memory = IoMemory(8 * PAGE)
        calls = maker(memory)
        file = Descriptor(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
        with pytest.raises(OSError) as caught:
            await calls.read(file, 0, PAGE, 0, PAGE)
        assert caught.value.errno == errno.EISDIR
        assert memory.used_pages == 0
        assert memory.loans == 1
        calls.stop()

    run(test())


def test_direct_calls_use_what_was_lent(tmp_path: Path) -> None:
    """The kernel refuses memory that is not aligned; some file systems refuse direct I/O."""
    if not supports_direct(str(tmp_path)):
        pytest.skip("no direct I/O here")
    memory = IoMemory(64 * PAGE)
    disk = DirectDisk(is_direct=True, memory=memory)

    async def test() -> None:
        content = Random(2).randbytes(5 * PAGE + 7)
        file = await disk.open(f"{tmp_path}/a", OpenMode.CREATE)
        await asyncio.gather(*(file.write(n * PAGE, content[n * PAGE :]) for n in range(6)))
        assert await file.read(PAGE + 1, 9000) == content[PAGE + 1 :][:9000]
        assert memory.loans == 6
        assert memory.refusals == 0
        await file.close()

    run(test())
    disk.stop()
    assert memory.used_pages == 0


CONFINED = """
import asyncio, os, resource, sys
from storage.io_call import Descriptor
from storage.io_memory import IoMemory
from storage.uring import PINNED_FROM_CALLS, IoUring

file = Descriptor(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600))
if os.getuid() == 0:
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 17, 1 << 17))
try:
    uring = IoUring(8, 1, IoMemory(1 << 20))
except OSError:
    sys.exit(77)

async def test():
    await uring.write(file, 0, b"x" * 4096, True)
    for _ in range(PINNED_FROM_CALLS):
        assert await uring.read(file, 0, 4096, 1, 4000) == b"x" * 4000
    assert uring.memory.loans == 1 + PINNED_FROM_CALLS and not uring.is_pinned
    uring.stop()

asyncio.run(test())
"""


def test_who_may_not_pin_memory_uses_it_unpinned(tmp_path: Path) -> None:
    """Root may pin what it likes, so it becomes somebody else."""
    command = [sys.executable, "-c", CONFINED, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 77:
        pytest.skip("no io_uring here for others than root")
    assert done.returncode == 0, done.stderr


def test_memory_is_pinned_when_it_is_worth_it_and_anew_by_a_ring_made_again(
    tmp_path: Path,
) -> None:
    memory = IoMemory(4 * PAGE)
    uring = _uring(memory)

    pinned: list[bool] = []

    async def test(content: bytes) -> None:
        file = Descriptor(os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT, 0o600))
        await uring.write(file, PAGE, content, True)
        for _ in range(PINNED_FROM_CALLS - 2):
            assert await uring.read(file, PAGE, 2 * PAGE, 0, PAGE) == content
        assert not uring.is_pinned
        for _ in range(4):
            assert await uring.read(file, PAGE, 2 * PAGE, 0, PAGE) == content
        pinned.append(uring.is_pinned)
        uring.stop()
        assert not uring.is_pinned

    run(test(b"a" * PAGE))
    run(test(b"b" * PAGE))
    assert memory.used_pages == 0
    assert memory.refusals == 0
    if not any(pinned):
        pytest.skip("no memory may be pinned here")
    assert all(pinned)

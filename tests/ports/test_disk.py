"""One suite for every disk: io_uring, threads, buffered, memory and simulated."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.disk import Disk, OpenMode
from storage.errors import DirectoryLocked, DiskError, FileAlreadyExists, FileMissing
from tests.ports.disks import NAMES, run_on

Test = Callable[[Disk, str], Awaitable[None]]
Run = Callable[[Test], None]

PAGE = bytes(range(256)) * 16


@pytest.fixture(params=NAMES)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test's coroutine on one of the disks."""
    return lambda test: run_on(request.param, tmp_path, test)


def test_what_was_written_is_read_at_any_offset_and_size(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        await file.write(0, PAGE * 3)
        await file.write(len(PAGE) * 3, b"the rest")
        expected = PAGE * 3 + b"the rest"
        for offset, size in ((0, 1), (4095, 2), (4096, 4096), (1, len(expected)), (12288, 8)):
            assert await file.read(offset, size) == expected[offset : offset + size]
        await file.close()

    run(test)


def test_a_read_past_the_end_gives_what_there_is(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        await file.write(0, PAGE + b"end")
        assert await file.read(4096, 100) == b"end"
        assert await file.read(4099, 100) == b""
        assert await file.read(1_000_000, 100) == b""
        assert await file.read(0, 0) == b""
        assert await disk.size(f"{directory}/a") == 4099
        await file.close()

    run(test)


def test_a_read_that_was_begun_tells_its_taker_in_a_later_turn(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        await file.write(0, PAGE * 2 + b"the rest")
        begun: list[tuple[asyncio.Future[bytes], bytes]] = []
        for offset, size in ((0, 1), (4095, 2), (8192, 100), (1_000_000, 1)):
            told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            file.begin_read(offset, size, told)
            assert not told.done()
            begun.append((told, (PAGE * 2 + b"the rest")[offset : offset + size]))
        for told, expected in begun:
            assert await told == expected
        await file.close()

    run(test)


def test_a_write_may_start_past_the_end_and_leaves_zeroes(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        await file.write(10, b"x")
        assert await file.read(0, 20) == bytes(10) + b"x"
        await file.close()

    run(test)


def test_nothing_written_past_the_end_moves_no_end(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        await file.write(5000, b"")
        assert await disk.size(f"{directory}/a") == 0
        await file.close()

    run(test)


def test_a_log_is_appended_to_from_its_start(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        path = f"{directory}/log"
        file = await disk.open(path, OpenMode.LOG)
        await file.allocate(20)
        assert await disk.size(path) == 20
        file.append_now(b"first ")
        file.append_now(bytearray(b"second"))
        assert await file.read(0, 20) == b"first second" + bytes(8)
        await file.sync()
        await file.close()
        again = await disk.open(path, OpenMode.LOG)
        again.append_now(b"third")
        assert await again.read(0, 20) == b"third second" + bytes(8)
        await again.close()

    run(test)


def test_allocating_less_than_there_is_changes_nothing(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        file = await disk.open(f"{directory}/log", OpenMode.LOG)
        file.append_now(b"content")
        await file.allocate(3)
        assert await file.read(0, 20) == b"content"
        await file.close()

    run(test)


def test_a_new_file_must_be_new(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        await (await disk.open(f"{directory}/a", OpenMode.CREATE)).close()
        with pytest.raises(FileAlreadyExists):
            await disk.open(f"{directory}/a", OpenMode.CREATE)

    run(test)


def test_what_is_missing_is_said_to_be_missing(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        for call in (
            disk.open(f"{directory}/none", OpenMode.READ),
            disk.open(f"{directory}/none/a", OpenMode.CREATE),
            disk.open(f"{directory}/none/a", OpenMode.LOG),
            disk.size(f"{directory}/none"),
            disk.list(f"{directory}/none"),
            disk.rename(f"{directory}/none", f"{directory}/other"),
            disk.remove(f"{directory}/none"),
            disk.sync_directory(f"{directory}/none"),
            disk.lock(f"{directory}/none"),
        ):
            with pytest.raises(FileMissing) as caught:
                await call
            assert caught.value.errno == errno.ENOENT
            assert caught.value.is_definite

    run(test)


def test_a_file_opened_to_read_is_not_written(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        await (await disk.open(f"{directory}/a", OpenMode.CREATE)).close()
        file = await disk.open(f"{directory}/a", OpenMode.READ)
        with pytest.raises(DiskError):
            await file.write(0, b"x")
        await file.close()

    run(test)


def test_a_closed_file_refuses_every_call_and_closes_again(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        file = await disk.open(f"{directory}/a", OpenMode.LOG)
        await file.close()
        await file.close()
        with pytest.raises(DiskError):
            await file.read(0, 1)
        with pytest.raises(DiskError):
            await file.write(0, b"x")
        with pytest.raises(DiskError):
            await file.sync()
        with pytest.raises(DiskError):
            file.append_now(b"x")

    run(test)


def test_a_rename_replaces_and_a_remove_removes(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        for name in ("a", "b"):
            file = await disk.open(f"{directory}/{name}", OpenMode.CREATE)
            await file.write(0, name.encode())
            await file.close()
        await disk.rename(f"{directory}/a", f"{directory}/b")
        await disk.sync_directory(directory)
        assert await disk.list(directory) == ["b"]
        file = await disk.open(f"{directory}/b", OpenMode.READ)
        assert await file.read(0, 10) == b"a"
        await disk.remove(f"{directory}/b")
        assert await disk.list(directory) == []
        assert await file.read(0, 10) == b"a", "an open file outlives its name"
        await file.close()

    run(test)


def test_a_linked_file_lives_until_its_last_name_is_removed(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        await disk.make_directory(f"{directory}/beside")
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        await file.write(0, PAGE)
        await disk.link(f"{directory}/a", f"{directory}/beside/b")
        await disk.sync_directory(f"{directory}/beside")
        await file.write(len(PAGE), PAGE)
        await file.close()
        assert await disk.size(f"{directory}/beside/b") == 2 * len(PAGE), "it is one file"
        await disk.remove(f"{directory}/a")
        assert await disk.list(directory) == ["beside"]
        again = await disk.open(f"{directory}/beside/b", OpenMode.READ)
        assert await again.read(0, 4096) == PAGE
        await again.close()

    run(test)


def test_a_link_neither_replaces_nor_comes_from_nowhere(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        for name in ("a", "b"):
            await (await disk.open(f"{directory}/{name}", OpenMode.CREATE)).close()
        with pytest.raises(FileAlreadyExists):
            await disk.link(f"{directory}/a", f"{directory}/b")
        with pytest.raises(FileMissing):
            await disk.link(f"{directory}/none", f"{directory}/c")
        with pytest.raises(FileMissing):
            await disk.link(f"{directory}/a", f"{directory}/none/c")


def test_a_renamed_directory_takes_along_what_is_in_it(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        await disk.make_directory(f"{directory}/old/x/deep")
        await disk.make_directory(f"{directory}/new")
        file = await disk.open(f"{directory}/old/x/deep/f", OpenMode.CREATE)
        await file.write(0, b"content")
        await disk.rename(f"{directory}/old/x", f"{directory}/new/y")
        await disk.sync_directory(f"{directory}/new")
        assert await disk.list(f"{directory}/old") == []
        assert await disk.list(f"{directory}/new") == ["y"]
        assert await disk.list(f"{directory}/new/y/deep") == ["f"]
        assert await file.read(0, 10) == b"content"
        await file.close()
        with pytest.raises(FileMissing):
            await disk.list(f"{directory}/old/x")
        with pytest.raises(DiskError):
            await disk.rename(f"{directory}/old", f"{directory}/new")

    run(test)


def test_a_file_renamed_while_it_is_written_keeps_its_content(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        await file.write(0, PAGE)
        await disk.rename(f"{directory}/a", f"{directory}/b")
        await file.write(len(PAGE), b"tail")
        await file.sync()
        await file.close()
        assert await disk.size(f"{directory}/b") == 4100

    run(test)


def test_directories_are_made_listed_and_removed_when_empty(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        await disk.make_directory(f"{directory}/x/y")
        await disk.make_directory(f"{directory}/x/y")
        await (await disk.open(f"{directory}/x/f", OpenMode.CREATE)).close()
        assert await disk.list(directory) == ["x"]
        assert await disk.list(f"{directory}/x") == ["f", "y"]
        with pytest.raises(DiskError):
            await disk.remove(f"{directory}/x")
        await disk.remove(f"{directory}/x/f")
        await disk.remove(f"{directory}/x/y")
        await disk.remove(f"{directory}/x")
        assert await disk.list(directory) == []

    run(test)


def test_a_directory_is_locked_once(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        lock = await disk.lock(directory)
        with pytest.raises(DirectoryLocked):
            await disk.lock(directory)
        lock.release()
        (await disk.lock(directory)).release()

    run(test)


def test_many_calls_run_at_once_and_each_gets_its_own_answer(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        blocks = [bytes([number]) * 4096 for number in range(200)]
        await asyncio.gather(*(file.write(i * 4096, block) for i, block in enumerate(blocks)))
        await file.sync()
        found = await asyncio.gather(*(file.read(i * 4096, 4096) for i in range(200)))
        assert found == blocks
        await file.close()

    run(test)


def test_a_call_given_up_disturbs_nobody(run: Run) -> None:
    async def test(disk: Disk, directory: str) -> None:
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        await file.write(0, PAGE)
        tasks = [asyncio.ensure_future(file.read(0, 4096)) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(answer == PAGE for answer in answers[1::2])
        await file.close()

    run(test)


_OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 9000), st.integers(0, 9000)),
    st.tuples(st.just("page"), st.integers(0, 3), st.integers(1, 3)),
    st.tuples(st.just("read"), st.integers(0, 20000), st.integers(0, 20000)),
    st.tuples(st.just("sync"), st.just(0), st.just(0)),
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(operations=st.lists(_OPERATIONS, max_size=25))
def test_a_file_is_an_array_of_bytes(name: str, operations: list[tuple[str, int, int]]) -> None:
    async def test(disk: Disk, directory: str) -> None:
        model = bytearray()
        file = await disk.open(f"{directory}/a", OpenMode.CREATE)
        for number, (operation, first, second) in enumerate(operations, start=1):
            if operation == "read":
                assert await file.read(first, second) == bytes(model[first : first + second])
            elif operation == "sync":
                await file.sync()
            else:
                scale = 4096 if operation == "page" else 1
                offset, data = first * scale, bytes([number]) * second * scale
                await file.write(offset, data)
                if data:
                    model.extend(bytes(max(0, offset - len(model))))
                    model[offset : offset + len(data)] = data
        assert await file.read(0, 50000) == bytes(model)
        await file.close()

    with TemporaryDirectory() as directory:
        run_on(name, Path(directory), test)

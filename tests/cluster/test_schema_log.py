"""The schema's log on a disk that crashes, tears and lies."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.schema_log import Entry, SchemaLog, SchemaLogFailed
from storage.errors import CorruptFile, DiskError
from storage.memory_disk import MemoryDisk
from tests.sim.disk import Faults, SimulatedCrash, SimulatedDisk

DIRECTORY = "/data/schema"
SEAL_BYTES = 17
"""What lies behind the last entry."""


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


async def opened(disk: Any, seed: int = 1) -> SchemaLog:
    log = await SchemaLog.open(disk, DIRECTORY, Random(seed))
    log.check()
    return log


async def until_crash(disk: SimulatedDisk, work: Coroutine[Any, Any, Any]) -> Any:
    """Run work to its end or to the crash; what waits for a dead machine waits for ever."""
    task = asyncio.create_task(work)
    crash = asyncio.create_task(disk.crashed.wait())
    await asyncio.wait({task, crash}, return_when=asyncio.FIRST_COMPLETED)
    crash.cancel()
    if disk.is_dead:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise SimulatedCrash
    return task.result()


def changes(log: SchemaLog) -> list[tuple[int, bytes]]:
    return [(entry.number, entry.data) for entry in log.after(-1) if not entry.is_snapshot]


def test_entries_are_numbered_and_found_again() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        log = await opened(disk)
        assert log.last_number == 0
        assert [await log.append(b"%d" % n) for n in range(3)] == [1, 2, 3]
        await log.close()
        again = await opened(disk)
        assert changes(again) == [(1, b"0"), (2, b"1"), (3, b"2")]
        assert again.after(2) == [Entry(3, False, b"2")]
        assert again.after(3) == []
        assert await again.append(b"next") == 4

    run(main())


def test_a_snapshot_replaces_what_it_says() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        log = await opened(disk)
        for n in range(5):
            await log.append(b"%d" % n)
        await log.compact(3, b"up to three")
        expected = [Entry(3, True, b"up to three"), Entry(4, False, b"3"), Entry(5, False, b"4")]
        assert log.after(0) == expected
        assert log.after(2) == expected
        assert log.after(4) == expected[2:]
        await log.append(b"six")
        await log.close()
        again = await opened(disk)
        assert again.after(0) == [*expected, Entry(6, False, b"six")]
        assert len(await disk.list(DIRECTORY)) == 1

    run(main())


async def work(disk: SimulatedDisk, acknowledged: list[bytes], attempted: list[bytes]) -> None:
    """Entries and compactions; what is acknowledged is noted when it is."""
    log = await opened(disk, seed=len(acknowledged) + 7)
    for round_ in range(3):
        for n in range(3):
            data = b"%d.%d " % (len(acknowledged), n) * (1 + 90 * n)
            attempted.append(data)
            await log.append(data)
            acknowledged.append(data)
            attempted.clear()
        if round_ < 2:
            said = b"\x00".join(acknowledged)
            await log.compact(log.last_number, said)
    await log.close()


async def again(
    disk: SimulatedDisk, acknowledged: list[bytes], attempted: list[bytes], seed: int
) -> None:
    """The next process: what was acknowledged is there, perhaps what was attempted too."""
    log = await opened(disk, seed)
    said = all_said(log)
    assert said in (acknowledged, acknowledged + attempted)
    acknowledged[:], attempted[:] = said, [b"after"]
    assert await log.append(b"after") == len(said) + 1
    acknowledged.append(b"after")
    attempted.clear()
    await log.close()


def all_said(log: SchemaLog) -> list[bytes]:
    first, *rest = log.after(-1)
    before = first.data.split(b"\x00") if first.data else []
    return before + [entry.data for entry in rest]


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_crash_at_any_call_loses_nothing_that_was_acknowledged(power_cut: bool) -> None:
    async def main() -> int:
        crashes = 0
        for crash_at in range(1, 400):
            disk = SimulatedDisk(Random(crash_at), Faults(crash_at=crash_at))
            acknowledged: list[bytes] = []
            attempted: list[bytes] = []
            try:
                await until_crash(disk, work(disk, acknowledged, attempted))
                return crashes
            except SimulatedCrash:
                crashes += 1
            for second in (1, 3, 5, 0):
                disk = disk.restart(power_cut=power_cut, faults=Faults(crash_at=second))
                try:
                    seed = crash_at * 7 + second
                    await until_crash(disk, again(disk, acknowledged, attempted, seed))
                except SimulatedCrash:
                    continue
        raise AssertionError("the work never ended")

    assert run(main()) > 40


def test_a_torn_tail_is_dropped_at_every_byte_and_the_log_goes_on() -> None:
    async def main() -> None:
        whole = MemoryDisk()
        log = await opened(whole)
        await log.append(b"kept")
        (name,) = await whole.list(DIRECTORY)
        path = f"{DIRECTORY}/{name}"
        kept = await whole.size(path) - SEAL_BYTES
        await log.append(b"torn" * 10)
        content = bytes(whole._files[path])[:-SEAL_BYTES]
        for cut in range(kept, len(content)):
            for tail in (b"", b"\x00" * 7, b"\xff" * 30):
                disk = MemoryDisk()
                await disk.make_directory(DIRECTORY)
                disk._files[path] = bytearray(content[:cut] + tail)
                again = await opened(disk)
                assert changes(again) == [(1, b"kept")]
                assert (again.torn is not None) is (len(content[:cut] + tail) > kept)
                assert await again.append(b"next") == 2
                assert changes(await opened(disk)) == [(1, b"kept"), (2, b"next")]

    run(main())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_flipped_bit_is_reported_in_every_entry(data: st.DataObject) -> None:
    async def main() -> None:
        disk = MemoryDisk()
        log = await opened(disk)
        for n in range(4):
            await log.append(b"entry %d" % n)
        (name,) = await disk.list(DIRECTORY)
        content = disk._files[f"{DIRECTORY}/{name}"]
        bit = data.draw(st.integers(0, (len(content) - SEAL_BYTES) * 8 - 1))
        content[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptFile) as damage:
            await opened(disk)
        assert damage.value.path == f"{DIRECTORY}/{name}"
        assert damage.value.offset <= bit // 8

    run(main())


@pytest.mark.parametrize("harm", ["cut", "flipped", "zeroed"])
def test_a_seal_that_is_damaged_costs_nothing(harm: str) -> None:
    async def main() -> None:
        for byte in range(SEAL_BYTES):
            disk = MemoryDisk()
            log = await opened(disk)
            await log.append(b"entry")
            (name,) = await disk.list(DIRECTORY)
            content = disk._files[f"{DIRECTORY}/{name}"]
            at = len(content) - SEAL_BYTES + byte
            if harm == "cut":
                del content[at:]
            elif harm == "flipped":
                content[at] ^= 0x10
            else:
                content[at:] = bytes(len(content) - at)
            again = await opened(disk)
            assert changes(again) == [(1, b"entry")]
            assert await again.append(b"next") == 2
            assert changes(await opened(disk)) == [(1, b"entry"), (2, b"next")]

    run(main())


def test_after_a_failed_sync_nothing_is_acknowledged_any_more() -> None:
    async def main() -> None:
        def choose(number: int, operation: str, path: str) -> int:
            return errno.EIO if operation == "sync" and is_armed else 0

        is_armed = False
        disk = SimulatedDisk(Random(1), Faults(choose=choose))
        log = await opened(disk)
        await log.append(b"one")
        is_armed = True
        with pytest.raises(DiskError):
            await log.append(b"two")
        is_armed = False
        with pytest.raises(SchemaLogFailed):
            await log.append(b"three")

    run(main())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_a_file_of_arbitrary_bytes_is_corrupt(content: bytes) -> None:
    async def main() -> None:
        disk = MemoryDisk()
        await disk.make_directory(DIRECTORY)
        disk._files[f"{DIRECTORY}/schema-000000000001.log"] = bytearray(content)
        with pytest.raises(CorruptFile):
            await opened(disk)

    run(main())

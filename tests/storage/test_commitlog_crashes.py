"""The commit log when the machine stops at any call, and when the log's end is torn at any byte."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from storage.commitlog import CommitLog, CommitLogConfig, SyncMode
from storage.disk import OpenMode
from storage.errors import CorruptCommitLog
from storage.memory_disk import MemoryDisk
from storage.record import (
    BROKEN,
    HEADER_BYTES,
    MORE,
    MUTATION,
    RecordBuffer,
    RecordScanner,
    offset_of,
)
from tests.sim.crash import crash_at_every_call, run_until_crash
from tests.sim.disk import Faults, SimulatedDisk

DIRECTORY = "/log"
TABLES = (b"a" * 16, b"b" * 16)
CONFIG = CommitLogConfig(SyncMode.BATCH, segment_bytes=4096, total_space_bytes=1 << 20)


@dataclass
class History:
    """What the writer knows it was promised, by the number of the write."""

    written: int = 0
    """Writes before this one were in the kernel when their turn ended."""

    synced: int = 0
    """Writes before this one were durable when their sync returned."""

    flushed: dict[bytes, int] = field(default_factory=dict)
    """Writes of a table up to and with this one may be gone from the log."""

    begun: int = 0
    """Writes before this one were appended; later ones must not be found."""

    def may_be_gone(self, number: int) -> bool:
        """Whether the log may have forgotten a write."""
        return number <= self.flushed.get(table_of(number), -1)

    def check(self, found: list[int], *, power_cut: bool) -> None:
        """A prefix of what was written, that holds everything promised."""
        assert found == sorted(set(found)), "in order, each once"
        assert all(number < self.begun for number in found), "nothing from nowhere"
        promised = self.synced if power_cut else self.written
        end = max([promised, *(number + 1 for number in found)])
        missing = set(range(end)) - set(found)
        assert all(self.may_be_gone(number) for number in missing), "no hole, nothing lost"


def table_of(number: int) -> bytes:
    """The table of a write."""
    return TABLES[number % 7 == 0]


def mutation_of(number: int) -> bytes:
    """The bytes of a write, of a size between 20 and 320 bytes."""
    return b"%08d" % number + bytes([number % 251]) * (12 + number * 37 % 300)


async def replayed(disk: SimulatedDisk) -> tuple[CommitLog, list[int]]:
    """A log that has been replayed and the numbers of the writes in it."""
    await disk.make_directory(DIRECTORY)
    log = CommitLog(disk, DIRECTORY, CONFIG)
    records = [record async for batch in log.replay() for record in batch]
    numbers = [int(body[:8]) for _, body in records]
    assert [body for _, body in records] == [mutation_of(number) for number in numbers]
    positions = [position for position, _ in records]
    assert positions == sorted(set(positions))
    return log, numbers


async def work(disk: SimulatedDisk, history: History, turns: int = 40) -> None:
    """Recover, then write, sync, flush and switch segments; close."""
    log, _ = await replayed(disk)
    await log.start()
    positions: dict[int, int] = {}
    for turn in range(turns):
        for _ in range(1 + turn % 4):
            number = history.begun
            history.begun += 1
            positions[number] = log.append(table_of(number), mutation_of(number))
        log.end_of_turn()
        history.written = history.begun
        if turn % 5 == 2:
            await log.sync_for(positions[history.begun - 1])
            history.synced = max(history.synced, history.written)
        if turn % 11 == 7:
            # As after a flush: the SSTable is durable before the log hears of it.
            for table in TABLES:
                last = max((n for n in positions if table_of(n) == table), default=-1)
                if last >= 0:
                    history.flushed[table] = last
                    log.mark_flushed(table, positions[last])
        log.tick(float(turn))
        log.check()
        await asyncio.sleep(0)
    await log.close()
    history.synced = history.written


@pytest.mark.parametrize("power_cut", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_crash_at_any_call_loses_nothing_promised(
    seed: int, power_cut: bool, proven: Callable[[str, int], None]
) -> None:
    async def test() -> None:
        random = Random(seed)
        histories: list[History] = []

        def scenario(disk: SimulatedDisk) -> Coroutine[Any, Any, None]:
            histories.append(History())
            return work(disk, histories[-1])

        runs = 0
        async for dead in crash_at_every_call(random, scenario):
            runs += 1
            proven("crash states", 1)
            history = histories[-1]
            disk = dead.restart(power_cut=power_cut)
            log, found = await replayed(disk)
            history.check(found, power_cut=power_cut)
            # What was found stays, whatever happens next: it is durable once the log has started.
            await log.start()
            again = disk.restart(power_cut=True)
            _, kept = await replayed(again)
            assert kept == found, f"run {runs}"
        assert runs > 100

    asyncio.run(test())


@pytest.mark.parametrize("seed", range(2))
def test_a_crash_at_any_call_of_a_recovery_changes_nothing(seed: int) -> None:
    async def test() -> None:
        random = Random(seed)
        checked = 0
        for crash_at in range(20, 200, 13):
            history = History()
            dead = SimulatedDisk(random, Faults(crash_at=crash_at))
            if not await run_until_crash(dead, work(dead, history)):
                break
            state = random.getstate()
            for second in range(1, 200):
                random.setstate(state)
                disk = dead.restart(power_cut=True, faults=Faults(crash_at=second))
                state_found = disk.restart(power_cut=False)
                _, found = await replayed(state_found)
                disk.is_dead = False
                if not await run_until_crash(disk, recover(disk)):
                    break
                checked += 1
                _, kept = await replayed(disk.restart(power_cut=second % 2 == 0))
                history.check(kept, power_cut=True)
                assert kept == found, (crash_at, second)
        assert checked > 50

    asyncio.run(test())


async def recover(disk: SimulatedDisk) -> None:
    """Start, without a write."""
    log, _ = await replayed(disk)
    await log.start()
    await log.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_log_goes_on_over_many_crashes(seed: int) -> None:
    async def test() -> None:
        random = Random(seed)
        history = History(begun=1)
        history.flushed = dict.fromkeys(TABLES, 0)
        disk = SimulatedDisk(random)
        for _ in range(30):
            disk.faults.crash_at = random.randint(20, 200)
            power_cut = random.random() < 0.5
            if not await run_until_crash(disk, work(disk, history)):
                power_cut = True
            disk = disk.restart(power_cut=power_cut)
            _, found = await replayed(disk)
            history.check(found, power_cut=power_cut)
            # What a power cut took was never promised; the writer goes on from what is there.
            history.begun = max([history.synced, *(number + 1 for number in found)])
            history.written = history.synced = history.begun

    asyncio.run(test())


# The torn end.

LAST_BYTES = 64 * 1024
QUICK_STEP = 61
MARK_BYTES = HEADER_BYTES + 8


@dataclass
class Image:
    """One segment's bytes, and where its records are."""

    data: bytes
    starts: list[int]
    """The offset of each record, marks included, and of the end."""

    mutations: list[int]
    """The offset of each mutation."""

    durable: int
    """The offset up to which a mark says that all is durable."""


def image(first: int = 0) -> Image:
    """A segment of a little over 64 KiB; its first half is known to be durable."""
    buffer = RecordBuffer()
    buffer.begin(1, 0)
    starts, durable = [0, buffer.end], 0
    mutations: list[int] = []
    while buffer.end < LAST_BYTES + 1000:
        mutations.append(offset_of(buffer.append(MUTATION, mutation_of(first + len(mutations)))))
        starts.append(buffer.end)
        if not durable and buffer.end > LAST_BYTES // 2:
            durable = buffer.end
            buffer.mark((1 << 32) | durable)
            starts.append(buffer.end)
    return Image(buffer.take(), starts, mutations, durable)


LOGS_QUICK, LOGS_LONG = 1, 200


def test_a_tail_cut_or_garbled_at_every_byte_ends_before_its_record(
    request: pytest.FixtureRequest, proven: Callable[[str, int], None]
) -> None:
    for first in range(LOGS_LONG if request.config.getoption("--long") else LOGS_QUICK):
        check_every_byte(image(first * 1_000))
        proven("torn log, bytes", LAST_BYTES)


def check_every_byte(torn: Image) -> None:
    """Cut and garble each of the last bytes: the record in which it lies is where the log ends."""
    at = 0
    for byte in range(len(torn.data) - LAST_BYTES, len(torn.data)):
        while torn.starts[at + 1] <= byte:
            at += 1
        start, end = torn.starts[at], torn.starts[at + 1]
        scanner = RecordScanner(1, start)
        scanner.feed(torn.data[start:byte])
        assert scanner.next() == MORE and scanner.offset == start
        scanner = RecordScanner(1, start)
        record = bytearray(torn.data[start:end])
        record[byte - start] ^= 1 + byte % 255
        scanner.feed(bytes(record) + torn.data[end : end + 400])
        assert scanner.next() in (BROKEN, MORE) and scanner.offset == start


@pytest.mark.parametrize("change", ["cut", "garbled", "zeroed"])
def test_a_log_torn_anywhere_is_a_prefix_or_reported(
    change: str, request: pytest.FixtureRequest
) -> None:
    step = 1 if request.config.getoption("--long") else QUICK_STEP

    async def test() -> None:
        torn = image()
        for byte in range(len(torn.data) - LAST_BYTES, len(torn.data), step):
            data = bytearray(torn.data)
            if change == "cut":
                del data[byte:]
            elif change == "garbled":
                data[byte] ^= 1 + byte % 255
            else:
                data[byte : byte + 512] = bytes(len(data[byte : byte + 512]))
            await check_torn(torn, bytes(data), byte)

    asyncio.run(test())


async def check_torn(torn: Image, data: bytes, byte: int) -> None:
    """The records before the first damaged byte, and a report if the damage was durable."""
    disk = MemoryDisk()
    await disk.make_directory(DIRECTORY)
    file = await disk.open(f"{DIRECTORY}/commitlog-{1:016x}.log", OpenMode.CREATE)
    await file.write(0, data)
    log = CommitLog(disk, DIRECTORY, CONFIG)
    found: list[int] = []
    changed = next((n for n in range(byte, len(data)) if data[n] != torn.data[n]), len(data))
    broken = max(start for start in torn.starts if start <= changed)
    try:
        async for batch in log.replay():
            found += [offset_of(position) for position, _ in batch]
    except CorruptCommitLog as damage:
        assert damage.offset == broken < torn.durable
    else:
        # A mark that is gone itself cannot tell.
        mark = slice(torn.durable, torn.durable + MARK_BYTES)
        assert broken >= torn.durable or data[mark] != torn.data[mark]
    assert found == [start for start in torn.mutations if start < broken]


def test_void_segments_never_come_back_once_the_end_is_sealed() -> None:
    async def test() -> None:
        first, second = RecordBuffer(), RecordBuffer()
        first.begin(1, 0)
        first.append(MUTATION, mutation_of(0))
        second.begin(2, 0)
        second.append(MUTATION, mutation_of(1))
        contents = (first.take() + bytes(500), second.take() + bytes(500))
        random = Random(5)
        for second_crash in [number for number in range(1, 40) for _ in range(10)]:
            disk = SimulatedDisk(random)
            await disk.make_directory(DIRECTORY)
            for number, content in enumerate(contents, start=1):
                path = f"{DIRECTORY}/commitlog-{number:016x}.log"
                file = await disk.open(path, OpenMode.CREATE)
                await file.write(0, content)
                await file.sync()
            await disk.sync_directory(DIRECTORY)
            disk = disk.restart(power_cut=True, faults=Faults(crash_at=second_crash))
            await run_until_crash(disk, recover(disk))
            _, found = await replayed(disk.restart(power_cut=True))
            assert found == [0], "the second segment follows a hole"

    asyncio.run(test())

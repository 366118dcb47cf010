"""Append, sync, replay: the commit log on disks that work, are slow, or fail once."""

import asyncio
import errno
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from storage.commitlog import CommitLog, CommitLogConfig, SyncMode
from storage.disk import Disk
from storage.errors import CommitLogFailed, CorruptCommitLog, DiskError, Overloaded
from storage.memory_disk import MemoryDisk
from storage.record import offset_of, segment_of
from tests.sim.disk import Faults, SimulatedDisk

DIRECTORY = "/log"
A, B = b"a" * 16, b"b" * 16


def config(mode: SyncMode = SyncMode.PERIODIC, **settings: Any) -> CommitLogConfig:
    """Small segments, so that a test sees several."""
    return CommitLogConfig(
        **{"mode": mode, "segment_bytes": 4096, "total_space_bytes": 1 << 20, **settings}
    )


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test that must not wait for ever."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(bounded())


async def started(disk: Disk, settings: CommitLogConfig | None = None) -> CommitLog:
    """A log that goes on after what the disk holds."""
    await disk.make_directory(DIRECTORY)
    log = CommitLog(disk, DIRECTORY, settings or config())
    async for _ in log.replay():
        pass
    await log.start()
    return log


async def replayed(disk: Disk) -> list[tuple[int, bytes]]:
    """What another process would replay."""
    log = CommitLog(disk, DIRECTORY, config())
    return [record async for batch in log.replay() for record in batch]


def write(log: CommitLog, mutation: bytes, table: bytes = A) -> tuple[int, bytes]:
    """One write in a turn of its own."""
    position = log.append(table, mutation)
    log.end_of_turn()
    log.check()
    return position, mutation


async def settle() -> None:
    """Let the log's jobs do what they can."""
    for _ in range(60):
        await asyncio.sleep(0)


class Gate:
    """Holds the syncs of a simulated disk until it is opened."""

    def __init__(self) -> None:
        self.waiting = 0
        self._opened = asyncio.Event()

    async def before(self, operation: str, path: str) -> None:
        """Wait if this is a sync."""
        if operation == "sync":
            self.waiting += 1
            await self._opened.wait()

    def open(self) -> None:
        """Let those which wait go, and later ones wait again."""
        self._opened.set()
        self._opened = asyncio.Event()


def test_what_was_written_is_replayed_in_order_without_a_sync() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        log = await started(disk, config(segment_bytes=1 << 15))
        expected = [write(log, b"%d" % number * 9) for number in range(500)]
        assert await replayed(disk) == expected
        await log.close()
        assert await replayed(disk) == expected

    run(test())


def test_nothing_reaches_the_kernel_before_the_end_of_the_turn() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        log = await started(disk)
        position = log.append(A, b"one")
        assert await replayed(disk) == []
        log.end_of_turn()
        assert await replayed(disk) == [(position, b"one")]
        await log.close()

    run(test())


def test_a_turn_is_one_write() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        log = await started(disk)
        await settle()
        before = disk.calls
        for _ in range(20):
            log.append(A, b"m" * 30)
        log.end_of_turn()
        log.end_of_turn()
        assert [operation for operation, _ in disk.trace[before:]] == ["append"]
        await log.close()

    run(test())


def test_positions_grow_over_segments_and_restarts() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        positions: list[int] = []
        for _ in range(3):
            log = await started(disk)
            for _ in range(50):
                positions.append(write(log, bytes(300))[0])
                await asyncio.sleep(0)
            await log.close()
        assert positions == sorted(set(positions))
        assert len({segment_of(position) for position in positions}) > 6

    run(test())


def test_positions_start_beyond_what_is_asked_for() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        await disk.make_directory(DIRECTORY)
        log = CommitLog(disk, DIRECTORY, config())
        assert [batch async for batch in log.replay()] == []
        await log.start(position_min=(77 << 32) + 5)
        assert segment_of(write(log, b"x")[0]) == 78
        await log.close()

    run(test())


@pytest.mark.parametrize("mode", [SyncMode.BATCH, SyncMode.GROUP])
def test_writes_that_arrive_during_a_sync_share_the_next_one(mode: SyncMode) -> None:
    async def test() -> None:
        gate = Gate()
        disk = SimulatedDisk(Random(1))
        log = await started(disk, config(mode, group_window_s=0.0))
        disk.faults.before = gate.before
        first = log.acknowledgement(write(log, b"first")[0])
        await settle()
        assert gate.waiting == 1
        others = [log.acknowledgement(write(log, b"%d" % n)[0]) for n in range(100)]
        await settle()
        assert first is not None and not first.done()
        gate.open()
        await settle()
        assert first.done() and not any(other.done() for other in others if other)
        assert gate.waiting == 2
        gate.open()
        await settle()
        assert all(other is not None and other.done() for other in others)
        assert log.syncs == 2
        disk.faults.before = None
        await log.close()

    run(test())


def test_group_mode_syncs_once_per_window() -> None:
    async def test() -> None:
        log = await started(MemoryDisk(), config(SyncMode.GROUP, group_window_s=3600.0))
        first = log.acknowledgement(write(log, b"first")[0])
        await settle()
        second = log.acknowledgement(write(log, b"second")[0])
        await settle()
        assert first is not None and first.done()
        assert second is not None and not second.done()
        await log.close()
        assert second.done()

    run(test())


def test_periodic_mode_acknowledges_at_once_and_syncs_each_period() -> None:
    async def test() -> None:
        log = await started(MemoryDisk(), config(period_s=10.0))
        log.tick(100.0)
        assert log.acknowledgement(write(log, b"x")[0]) is None
        for now, syncs in ((100.5, 0), (110.4, 0), (110.6, 1), (130.0, 1), (150.0, 1)):
            log.tick(now)
            await settle()
            assert log.syncs == syncs, now
        await log.close()

    run(test())


def test_periodic_mode_holds_writers_while_a_sync_is_late() -> None:
    async def test() -> None:
        gate = Gate()
        disk = SimulatedDisk(Random(1))
        log = await started(disk, config(period_s=10.0))
        disk.faults.before = gate.before
        write(log, b"x")
        for now in (0.0, 10.0, 14.9):
            log.tick(now)
            await settle()
            assert log.acknowledgement(write(log, b"y")[0]) is None
        log.tick(15.0)
        held = log.acknowledgement(write(log, b"z")[0])
        assert held is not None and not held.done()
        gate.open()
        await settle()
        gate.open()
        await settle()
        assert held.done()
        disk.faults.before = None
        log.tick(15.1)
        assert log.acknowledgement(write(log, b"y")[0]) is None
        await log.close()

    run(test())


def test_a_sync_may_be_asked_for_in_any_mode() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        log = await started(disk)
        written = write(log, b"schema")
        await log.sync_for(written[0])
        assert log.durable > written[0]
        assert log.sync_for(written[0]).done()
        for _ in range(20):
            survivor = disk.restart(power_cut=True)
            assert await replayed(survivor) == [written]

    run(test())


@pytest.mark.parametrize("operation", ["append", "sync"])
def test_after_one_failure_everything_refuses_and_nothing_is_tried_again(operation: str) -> None:
    async def test() -> None:
        told: list[CommitLogFailed] = []
        disk = SimulatedDisk(Random(1))
        await disk.make_directory(DIRECTORY)
        log = CommitLog(disk, DIRECTORY, config(SyncMode.BATCH), on_failure=told.append)
        assert [batch async for batch in log.replay()] == []
        await log.start()
        await settle()
        await log.sync_for(write(log, b"good")[0])
        log.tick(1.0)
        disk.faults.choose = lambda _, call, __: errno.EIO if call == operation else 0
        before = disk.calls
        with pytest.raises(CommitLogFailed):
            position = log.append(A, b"bad")
            log.end_of_turn()
            await log.sync_for(position)
        disk.faults.choose = None
        for call in (
            lambda: log.append(A, b"later"),
            lambda: log.sync_for(1),
            lambda: log.tick(99.0),
        ):
            with pytest.raises(CommitLogFailed):
                call()
        await settle()
        await log.close()
        made = [name for name, _ in disk.trace[before:] if name in ("append", "sync")]
        assert made == (["append"] if operation == "append" else ["append", "sync"])
        assert told == [log.failure]
        # The dead log still holds what was acknowledged.
        assert b"good" in [m for _, m in await replayed(disk.restart(power_cut=True))]

    run(test())


def test_all_who_wait_for_a_sync_that_fails_are_told() -> None:
    async def test() -> None:
        gate = Gate()
        disk = SimulatedDisk(Random(1))
        log = await started(disk, config(SyncMode.BATCH))
        disk.faults.before = gate.before
        first = log.acknowledgement(write(log, b"1")[0])
        await settle()
        second = log.acknowledgement(write(log, b"2")[0])
        disk.faults.choose = lambda _, call, __: errno.EIO if call == "sync" else 0
        gate.open()
        await settle()
        for future in (first, second):
            assert future is not None
            with pytest.raises(CommitLogFailed):
                await future
        await log.close()

    run(test())


def test_a_waiter_that_gives_up_disturbs_nobody() -> None:
    async def test() -> None:
        log = await started(MemoryDisk(), config(SyncMode.BATCH))
        futures = [log.acknowledgement(write(log, b"%d" % n)[0]) for n in range(10)]
        for future in futures[::2]:
            assert future is not None
            future.cancel()
        await settle()
        assert all(f is not None and f.done() and not f.cancelled() for f in futures[1::2])
        await log.close()

    run(test())


def test_a_segment_goes_when_all_its_tables_are_flushed_and_it_is_durable() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        log = await started(disk)
        last = {A: 0, B: 0}
        for number in range(120):
            table = (A, B)[number % 2]
            last[table] = write(log, b"%03d" % number * 60, table)[0]
            await asyncio.sleep(0)
        await settle()
        names = await disk.list(DIRECTORY)
        log.mark_flushed(A, last[A])
        await settle()
        assert await disk.list(DIRECTORY) == names, "table B still needs every segment"
        log.mark_flushed(B, last[B])
        await settle()
        assert await disk.list(DIRECTORY) == names, "nothing was synced"
        await log.sync_for(last[B])
        await settle()
        log.check()
        assert len(await disk.list(DIRECTORY)) <= 3, "the current segment and its spares"
        await log.close()

    run(test())


def test_a_flush_up_to_a_position_keeps_what_came_after() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        log = await started(disk)
        records = []
        for number in range(100):
            records.append(write(log, b"%03d" % number * 60))
            await asyncio.sleep(0)
        await log.sync_for(records[-1][0])
        log.mark_flushed(A, records[49][0])
        await settle()
        left = await replayed(disk)
        assert left == records[-len(left) :] and 50 <= len(left) < 100
        await log.close()

    run(test())


def test_a_reused_segment_never_gives_back_what_it_held() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        log = await started(disk)
        numbers = set()
        for number in range(2000):
            position, _ = write(log, b"%04d" % number * 40)
            numbers.add(segment_of(position))
            await asyncio.sleep(0)
            if number % 50 == 49:
                await log.sync_for(position)
                log.mark_flushed(A, position)
                await settle()
        names = await disk.list(DIRECTORY)
        assert len(numbers) > 50 and len(names) <= 3
        found = await replayed(disk)
        assert [body for _, body in found] == [
            b"%04d" % number * 40 for number in range(2000 - len(found), 2000)
        ]
        await log.close()

    run(test())


def test_the_tables_of_the_oldest_segments_are_flushed_when_the_log_is_too_large() -> None:
    async def test() -> None:
        log = await started(MemoryDisk(), config(total_space_bytes=8 * 4096))
        assert log.tables_to_flush() == []
        write(log, bytes(500), B)
        while log.bytes_used <= 6 * 4096:
            write(log, bytes(500), A)
            await settle()
        assert log.tables_to_flush() == [B, A]
        await log.close()

    run(test())


def test_writers_are_refused_when_the_log_may_not_grow_and_go_on_after_a_flush() -> None:
    async def test() -> None:
        log = await started(MemoryDisk(), config(total_space_bytes=4 * 4096))
        position = 0
        with pytest.raises(Overloaded) as refused:
            for _ in range(1000):
                position, _ = write(log, bytes(500))
                await settle()
        assert refused.value.is_definite
        assert log.bytes_used <= 5 * 4096 + 2048
        await log.sync_for(position)
        log.mark_flushed(A, position)
        await settle()
        write(log, bytes(500))
        log.check()
        await log.close()

    run(test())


def test_a_full_disk_refuses_writers_and_harms_nothing() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1), Faults(bytes_max=5 * 4096))
        log = await started(disk)
        records = []
        with pytest.raises(Overloaded):
            for number in range(1000):
                records.append(write(log, b"%03d" % number * 100))
                await settle()
                if log.failure:
                    raise log.failure
        disk.faults.bytes_max = 0
        log.tick(1.0)
        await settle()
        records += [write(log, b"%03d" % number * 100) for number in range(3)]
        assert await replayed(disk.restart(power_cut=False)) == records

    run(test())


def test_a_mutation_larger_than_half_a_segment_is_refused() -> None:
    async def test() -> None:
        log = await started(MemoryDisk())
        write(log, bytes(2048))
        with pytest.raises(Overloaded):
            log.append(A, bytes(2049))
        await log.close()

    run(test())


def test_replayed_segments_stay_until_they_are_discarded() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        log = await started(disk)
        first = [write(log, b"first %d" % number) for number in range(3)]
        await log.close()
        log = await started(disk)
        second = [write(log, b"second %d" % number) for number in range(3)]
        assert await replayed(disk) == first + second
        await log.discard_replayed()
        assert await replayed(disk) == second
        await log.close()

    run(test())


def test_replaying_twice_gives_the_same() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        log = await started(disk)
        expected = [write(log, b"%d" % number * 50) for number in range(40)]
        for _ in range(3):
            assert await replayed(disk) == expected
        log = await started(disk)
        assert await replayed(disk) == expected
        await log.close()

    run(test())


async def damaged(
    damage: Callable[[SimulatedDisk, str, list[tuple[int, bytes]]], None],
) -> tuple[SimulatedDisk, list[tuple[int, bytes]]]:
    """A log of thirty durable and ten later records in one segment, damaged."""
    disk = SimulatedDisk(Random(1))
    log = await started(disk, config(segment_bytes=1 << 16))
    records = [write(log, b"%02d" % number * 20) for number in range(30)]
    await log.sync_for(records[-1][0])
    log.tick(1.0)
    records += [write(log, b"%02d" % number * 20) for number in range(30, 40)]
    found = disk.restart(power_cut=False)
    damage(found, found.paths()[0], records)
    return found, records


def test_damage_after_what_is_durable_is_the_end_of_the_log() -> None:
    async def test() -> None:
        disk, records = await damaged(
            lambda disk, path, records: disk.flip_bit(path, (offset_of(records[35][0]) + 20) * 8)
        )
        assert await replayed(disk) == records[:35]
        log = await started(disk)
        later = write(log, b"later")
        assert await replayed(disk) == [*records[:35], later]
        await log.close()
        assert await replayed(disk) == [*records[:35], later], "the end was sealed"

    run(test())


def test_damage_before_what_is_durable_is_reported_with_its_place() -> None:
    async def test() -> None:
        disk, records = await damaged(
            lambda disk, path, records: disk.flip_bit(path, (offset_of(records[10][0]) + 20) * 8)
        )
        with pytest.raises(CorruptCommitLog) as caught:
            await replayed(disk)
        assert caught.value.offset == offset_of(records[10][0])
        assert caught.value.path == disk.paths()[0]

    run(test())


def test_a_misplaced_block_is_found() -> None:
    async def test() -> None:
        disk, _ = await damaged(lambda disk, path, _: disk.misplace(path, 1024, 512))
        with pytest.raises(CorruptCommitLog):
            await replayed(disk)

    run(test())


def test_a_caller_may_go_on_beyond_damage_knowing_of_it() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        log = await started(disk)
        records = []
        for number in range(100):
            records.append(write(log, b"%02d" % number * 60))
            await asyncio.sleep(0)
        await log.sync_for(records[-1][0])
        log.tick(1.0)
        found = disk.restart(power_cut=False)
        found.flip_bit(found.paths()[1], 2000 * 8)
        seen: list[CorruptCommitLog] = []
        log = CommitLog(found, DIRECTORY, config())
        left = [record async for batch in log.replay(seen.append) for record in batch]
        assert len(seen) == 1 and seen[0].path == found.paths()[1]
        lost = [record for record in records if record not in left]
        assert {segment_of(position) for position, _ in lost} == {2}
        assert left == [record for record in records if record in left]

    run(test())


def test_other_files_in_the_directory_are_left_alone() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        log = await started(disk)
        await disk.make_directory(f"{DIRECTORY}/commitlog-other.log")
        expected = [write(log, b"x")]
        assert await replayed(disk) == expected
        await log.close()

    run(test())


def test_a_start_that_finds_no_room_fails_as_what_it_is() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1), Faults(bytes_max=100))
        with pytest.raises(DiskError):
            await started(disk)

    run(test())


def test_a_closed_log_ends_turns_in_peace_and_takes_nothing_more() -> None:
    async def test() -> None:
        log = await started(MemoryDisk())
        write(log, b"the last")
        await log.close()
        log.end_of_turn()
        with pytest.raises(Overloaded):
            log.append(A, b"too late")

    run(test())


@pytest.mark.parametrize("failing", ["allocate remove", "open"])
def test_a_segment_that_could_not_be_made_leaves_no_hole(failing: str) -> None:
    """Records after an empty segment would make it look like one with damaged records."""
    failures = {"left": 0}
    calls: list[str] = []

    def choose(_number: int, operation: str, path: str) -> int:
        is_reuse = calls[-2:] == ["rename", "sync_directory"]
        calls.append(operation)
        is_chosen = operation in failing.split() and (operation != "open" or is_reuse)
        if failures["left"] and is_chosen:
            failures["left"] -= 1
            return errno.EMFILE
        return 0

    async def test() -> None:
        disk = SimulatedDisk(Random(4), Faults(choose=choose))
        log = await started(disk)
        await settle()
        written = []
        for number in range(60):
            if number == 10:
                failures["left"] = 2 if "remove" in failing else 1
            written.append(write(log, b"%d" % number * 400)[0])
            if failing == "open" and number % 8 == 0:
                await log.sync_for(written[-1])
                log.mark_flushed(A, written[-1])
            log.tick(float(number))
            await settle()
        assert failures["left"] == 0, "the disk has failed as it should"
        await log.sync_for(written[-1])
        log.append(A, b"after the mark")
        log.end_of_turn()
        found = [position for position, _ in await replayed(disk.restart(power_cut=False))]
        assert found[-1] > written[-1], "the log is read to its end"

    run(test())

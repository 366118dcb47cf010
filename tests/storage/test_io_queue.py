"""Turns at the disk: bounds, shares, nobody starves, nobody waits for nothing."""

from __future__ import annotations

import asyncio

from storage.io_queue import IoClass, IoQueue

PAGE = 4096


async def _nothing() -> None:
    return


def test_a_call_that_finds_room_is_made_without_a_turn_of_the_loop() -> None:
    async def run() -> None:
        queue = IoQueue(1, PAGE)
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1

        asyncio.get_running_loop().call_soon(count)
        await queue.run(IoClass.QUERY, PAGE, _nothing)
        assert turns == 0

    asyncio.run(run())


def test_classes_share_a_busy_disk_by_their_shares_within_its_bounds() -> None:
    done = {IoClass.QUERY: 0, IoClass.COMPACTION: 0, IoClass.STREAMING: 0}
    queue = IoQueue(4, 4 * PAGE)

    async def call() -> None:
        assert queue.in_flight[0] <= 4
        assert queue.in_flight[1] <= 4 * PAGE
        await asyncio.sleep(0)

    async def work(io_class: IoClass) -> None:
        while sum(done.values()) < 6000:
            await queue.run(io_class, PAGE, call)
            done[io_class] += 1

    async def run() -> None:
        await asyncio.gather(*(work(io_class) for io_class in done for _ in range(16)))

    asyncio.run(run())
    assert queue.in_flight == (0, 0)
    assert 8 < done[IoClass.QUERY] / done[IoClass.COMPACTION] < 12
    assert done[IoClass.STREAMING] > 300


def test_a_call_larger_than_the_bound_goes_alone() -> None:
    queue = IoQueue(4, PAGE)
    seen = []

    async def call() -> None:
        seen.append(queue.in_flight)
        await asyncio.sleep(0)

    async def run() -> None:
        await asyncio.gather(*(queue.run(IoClass.FLUSH, size, call) for size in (1, 9 * PAGE, 1)))

    asyncio.run(run())
    assert seen == [(1, 1), (1, 9 * PAGE), (1, 1)]


def test_the_commit_log_waits_for_nobody() -> None:
    async def run() -> None:
        queue, gate = IoQueue(1, PAGE), asyncio.Event()
        slow = asyncio.ensure_future(queue.run(IoClass.COMPACTION, PAGE, gate.wait))
        await asyncio.sleep(0)
        await queue.run(IoClass.COMMIT_LOG, 0, _nothing)
        gate.set()
        await slow

    asyncio.run(run())


def test_a_caller_that_gives_up_as_its_turn_comes_takes_none_from_others() -> None:
    async def run() -> None:
        queue, gate = IoQueue(1, PAGE), asyncio.Event()

        async def end_and_cancel() -> None:
            await gate.wait()
            asyncio.get_running_loop().call_soon(gone.cancel)

        first = asyncio.ensure_future(queue.run(IoClass.COMPACTION, PAGE, end_and_cancel))
        gone = asyncio.ensure_future(queue.run(IoClass.QUERY, PAGE, _nothing))
        stays = asyncio.ensure_future(queue.run(IoClass.QUERY, PAGE, _nothing))
        await asyncio.sleep(0)
        gate.set()
        await first
        await stays
        assert gone.cancelled()
        assert queue.in_flight == (0, 0)

    asyncio.run(run())


def test_a_failed_call_gives_its_turn_back() -> None:
    async def fail() -> None:
        raise OSError

    async def run() -> None:
        queue = IoQueue(1, PAGE)
        for _ in range(3):
            await asyncio.gather(queue.run(IoClass.QUERY, 1, fail), return_exceptions=True)
        assert queue.in_flight == (0, 0)
        assert queue.statistics()[1].calls == 3

    asyncio.run(run())

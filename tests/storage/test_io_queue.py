"""Turns at the disk: bounds, shares, nobody starves, nobody waits for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storage.io_queue import IoClass, IoQueue
from storage.io_turns import COST_BYTES

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


class _Caller:
    """Who waits for a turn without a coroutine."""

    def __init__(self, number: int, told: list[int]) -> None:
        self.number, self.told = number, told
        self.is_gone = False

    def done(self) -> bool:
        return self.is_gone

    def set_result(self, _: None, /) -> None:
        self.told.append(self.number)


class _FairQueue:
    """The slow, obvious twin: of the calls that wait, who is told when a call is over."""

    def __init__(self, calls_max: int, bytes_max: int) -> None:
        self.calls_max, self.bytes_max = calls_max, bytes_max
        self.flying: list[int] = []
        self.waiting: list[tuple[IoClass, int, _Caller]] = []
        self.start = 0.0
        self.had = dict.fromkeys(IoClass, 0.0)

    def fits(self, size: int) -> bool:
        is_small = not self.flying or sum(self.flying) + size <= self.bytes_max
        return len(self.flying) < self.calls_max and is_small

    def take(self, io_class: IoClass, size: int) -> None:
        self.start = max(self.start, self.had[io_class])
        self.had[io_class] = self.start + (COST_BYTES + size) / io_class.shares
        self.flying.append(size)

    def told(self) -> list[int]:
        numbers = []
        while self.waiting:
            order = list(IoClass)
            first = min(
                self.waiting,
                key=lambda call: (max(self.start, self.had[call[0]]), order.index(call[0])),
            )
            io_class, size, caller = first
            if not caller.is_gone and not self.fits(size):
                break
            self.waiting.remove(first)
            if not caller.is_gone:
                self.take(io_class, size)
                numbers.append(caller.number)
        return numbers


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("begin", "begin", "end", "give up")),
        st.sampled_from(list(IoClass)),
        st.integers(0, 3).map(lambda pages: pages * PAGE),
        st.integers(0, 100),
    ),
    max_size=60,
)


@given(_STEPS, st.integers(1, 4), st.integers(1, 5))
def test_turns_come_in_the_order_of_fair_queueing(
    steps: list[tuple[str, IoClass, int, int]], calls_max: int, pages_max: int
) -> None:
    async def run() -> None:
        queue = IoQueue(calls_max, pages_max * PAGE)
        model, told, expected = _FairQueue(calls_max, pages_max * PAGE), list[int](), list[int]()
        for number, (step, io_class, size, which) in enumerate(steps):
            if step == "begin":
                caller = _Caller(number, told)
                is_free = not model.waiting and model.fits(size)
                assert queue.begin(io_class, size, caller) is is_free
                if is_free:
                    model.take(io_class, size)
                else:
                    model.waiting.append((io_class, size, caller))
            elif step == "end" and model.flying:
                over = model.flying.pop(which % len(model.flying))
                expected += model.told()
                queue.end(io_class, over, 0.0, 0.0)
            elif step == "give up" and model.waiting:
                model.waiting[which % len(model.waiting)][2].is_gone = True
            assert told == expected
            assert queue.in_flight == (len(model.flying), sum(model.flying))

    asyncio.run(run())


def test_turns_that_are_given_back_at_once_are_passed_on_however_many() -> None:
    class Returning(_Caller):
        def set_result(self, _: None, /) -> None:
            super().set_result(None)
            queue.end(IoClass.QUERY, PAGE, 0.0, 0.0)

    told: list[int] = []
    queue = IoQueue(1, PAGE)

    async def run() -> None:
        assert queue.begin(IoClass.QUERY, PAGE, _Caller(-1, told))
        for number in range(20_000):
            assert not queue.begin(IoClass.QUERY, PAGE, Returning(number, told))
        queue.end(IoClass.QUERY, PAGE, 0.0, 0.0)

    asyncio.run(run())
    assert told == list(range(20_000))
    assert queue.in_flight == (0, 0)


def test_a_call_that_is_given_up_after_its_loop_leaves_its_turn() -> None:
    queue = IoQueue(1, PAGE)

    async def begin() -> Coroutine[Any, Any, None]:
        never = asyncio.get_running_loop().create_future()

        async def wait() -> None:
            await never

        call = queue.run(IoClass.QUERY, PAGE, wait)
        call.send(None)
        return call

    abandoned = asyncio.run(begin())
    assert queue.in_flight == (1, PAGE)
    abandoned.close()
    assert queue.in_flight == (0, 0)

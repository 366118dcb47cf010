"""Turns that take too long are counted, named and told, seldom."""

from __future__ import annotations

import asyncio

import pytest

from node.stalls import LONG_TURN_S, TELL_EVERY_S, Stalls


class Hand:
    """A clock that only moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _stalls() -> tuple[Stalls, Hand, list[str]]:
    clock = Hand()
    said: list[str] = []
    return Stalls(clock, said.append), clock, said


def test_a_long_callback_is_counted_and_a_short_one_is_not() -> None:
    stalls, clock, said = _stalls()

    def work(seconds: float) -> None:
        clock.now += seconds

    watched = stalls.timed("some work", work)
    watched(LONG_TURN_S * 0.9)
    assert (stalls.count, said) == (0, [])
    watched(LONG_TURN_S * 1.1)
    assert (stalls.count, stalls.what) == (1, "some work")
    assert stalls.longest_s == pytest.approx(LONG_TURN_S * 1.1)


def test_stalls_are_told_at_most_once_in_ten_seconds_with_the_longest_since() -> None:
    stalls, clock, said = _stalls()
    stalls.note(0.006, "first")
    for seconds, what in ((0.02, "short"), (0.3, "longest"), (0.1, "middle")):
        clock.now += 1
        stalls.note(seconds, what)
    assert said == ["1 turns of the loop took more than 5 ms, the longest 6.0 ms: first"]
    clock.now += TELL_EVERY_S
    stalls.note(0.01, "last")
    assert said[1:] == ["4 turns of the loop took more than 5 ms, the longest 300.0 ms: longest"]
    clock.now += TELL_EVERY_S
    stalls.note(0.01, "later")
    assert said[2:] == ["1 turns of the loop took more than 5 ms, the longest 10.0 ms: later"]


def test_each_step_of_a_task_is_timed_and_named_by_what_awaits_what() -> None:
    stalls, clock, _ = _stalls()

    async def inner() -> int:
        clock.now += 0.004
        await asyncio.sleep(0)
        clock.now += 0.004
        await asyncio.sleep(0)
        clock.now += 0.05
        await asyncio.sleep(0)
        return 7

    async def outer() -> int:
        return await inner() + 1

    async def scenario() -> int:
        asyncio.get_running_loop().set_task_factory(stalls.make_task)
        return await asyncio.create_task(outer(), name="job")

    assert asyncio.run(scenario()) == 8
    assert stalls.count == 1, "pieces that rest in between are not one"
    assert "outer" in stalls.what
    assert "inner" in stalls.what


def test_a_watched_task_can_be_cancelled_and_fails_as_any_other() -> None:
    stalls, _, _ = _stalls()
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("as it must")

    async def scenario() -> None:
        asyncio.get_running_loop().set_task_factory(stalls.make_task)
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ValueError, match="as it must"):
            await asyncio.create_task(fails())
        await asyncio.wait_for(asyncio.sleep(0, "x"), 1)

    asyncio.run(scenario())
    assert ended == ["cancelled"]

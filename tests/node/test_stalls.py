"""Turns that take too long are counted, named and told, seldom."""

from __future__ import annotations

import asyncio
import gc

import pytest

from node.stalls import LONG_TURN_S, TELL_EVERY_S, Stalls


class Hand:
    """Clocks that only move by hand: the one on the wall, and that of our work."""

    def __init__(self) -> None:
        self.now = 100.0
        self.cpu = 7.0
        self.looks = 0

    def work(self, seconds: float) -> None:
        """We do something."""
        self.now += seconds
        self.cpu += seconds

    def look(self) -> float:
        """How long we have worked."""
        self.looks += 1
        return self.cpu


def _stalls() -> tuple[Stalls, Hand, list[str]]:
    clock = Hand()
    said: list[str] = []
    return Stalls(lambda: clock.now, clock.look, said.append), clock, said


def test_a_long_callback_is_counted_and_a_short_one_is_not() -> None:
    stalls, clock, said = _stalls()

    watched = stalls.timed("some work", clock.work)
    watched(LONG_TURN_S * 0.9)
    assert (stalls.by_clock.count, stalls.by_cpu.count, said) == (0, 0, [])
    watched(LONG_TURN_S * 1.1)
    watched(LONG_TURN_S * 1.5)
    for turns in (stalls.by_clock, stalls.by_cpu):
        assert (turns.count, turns.what) == (2, "some work")
        assert turns.longest_s == pytest.approx(LONG_TURN_S * 1.5)
        assert turns.total_s == pytest.approx(LONG_TURN_S * 2.6)


def test_a_turn_in_which_the_processor_did_something_else_is_no_work_of_ours() -> None:
    stalls, clock, said = _stalls()

    def interrupted() -> None:
        clock.work(0.002)
        clock.now += 0.04

    clock.work(3.0)  # What was done before, nobody has looked at.
    stalls.timed("some work", interrupted)()
    assert stalls.by_clock.count == 1
    assert stalls.by_clock.longest_s == pytest.approx(0.042)
    assert stalls.by_cpu.count == 0
    assert "42.0 ms with 2.0 ms of work: some work" in said[0]


def test_our_work_is_right_to_a_millisecond_and_looked_at_once_in_a_millisecond() -> None:
    stalls, clock, _ = _stalls()
    short = stalls.timed("short", clock.work)
    before = clock.looks
    for _ in range(1000):
        short(0.0001)
    assert 90 <= clock.looks - before <= 110

    def interrupted() -> None:
        clock.work(0.02)
        clock.now += 0.02

    clock.work(0.0009)  # Nobody looks before a millisecond has passed.
    stalls.timed("interrupted", interrupted)()
    assert 0.02 - 1e-9 <= stalls.by_cpu.longest_s <= 0.021
    assert stalls.by_clock.longest_s == pytest.approx(0.04)


def test_a_long_turn_says_how_long_garbage_was_collected_in_it() -> None:
    stalls, clock, said = _stalls()
    stalls.watch_garbage()
    try:
        stalls.timed("without", clock.work)(0.02)

        def collects(seconds: float) -> None:
            clock.work(0.001)
            gc.callbacks[-1]("start", {})
            clock.work(seconds)
            gc.callbacks[-1]("stop", {})

        clock.now += TELL_EVERY_S
        stalls.timed("with", collects)(0.008)
    finally:
        gc.callbacks.pop()
    assert said[0].endswith("without")
    assert said[1].endswith("with (garbage collection: 8.0 ms)")


def test_stalls_are_told_at_most_once_in_ten_seconds_with_the_longest_since() -> None:
    stalls, clock, said = _stalls()

    def turn(seconds: float, what: str) -> None:
        began = stalls.begin()
        clock.work(seconds)
        stalls.note(began, what)

    turn(0.006, "first")
    for seconds, what in ((0.02, "short"), (0.3, "longest"), (0.1, "middle")):
        clock.now += 1
        turn(seconds, what)
    words = "turns of the loop took more than 5 ms, the longest"
    assert said == [f"1 {words} 6.0 ms with 6.0 ms of work: first"]
    clock.now += TELL_EVERY_S
    turn(0.01, "last")
    assert said[1:] == [f"4 {words} 300.0 ms with 300.0 ms of work: longest"]
    clock.now += TELL_EVERY_S
    turn(0.01, "later")
    assert said[2:] == [f"1 {words} 10.0 ms with 10.0 ms of work: later"]


def test_each_step_of_a_task_is_timed_and_named_by_what_awaits_what() -> None:
    stalls, clock, _ = _stalls()

    async def inner() -> int:
        clock.work(0.004)
        await asyncio.sleep(0)
        clock.work(0.004)
        await asyncio.sleep(0)
        clock.work(0.05)
        await asyncio.sleep(0)
        return 7

    async def outer() -> int:
        return await inner() + 1

    async def scenario() -> int:
        asyncio.get_running_loop().set_task_factory(stalls.make_task)
        return await asyncio.create_task(outer(), name="job")

    assert asyncio.run(scenario()) == 8
    assert stalls.by_cpu.count == 1, "pieces that rest in between are not one"
    assert "outer" in stalls.by_cpu.what
    assert "inner" in stalls.by_cpu.what


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

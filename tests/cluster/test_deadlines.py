"""Whoever waits is told at its deadline, also by a shard that stood still itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from cluster.deadlines import TICK_S, Deadlines
from cluster.errors import DeadlinePassed
from storage.later import Later

TIMEOUT_S = 2.0


class Loop:
    """Timers that run when time is let pass, all that are due in one turn."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, Callable[..., None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., None]) -> object:
        self._timers.append((self.now + delay, callback))
        return object()

    def turn(self, seconds: float) -> None:
        """The loop comes to its timers after so long."""
        self.now += seconds
        due = [timer for timer in self._timers if timer[0] <= self.now]
        self._timers = [timer for timer in self._timers if timer[0] > self.now]
        for _, callback in due:
            callback()

    def run(self, seconds: float) -> None:
        """Time passes, and the loop is there all the while."""
        for _ in range(round(seconds / TICK_S)):
            self.turn(TICK_S)


def _waiting() -> tuple[Loop, Deadlines, Later[str], list[object]]:
    loop = Loop()
    deadlines = Deadlines(cast(asyncio.AbstractEventLoop, cast(Any, loop)))
    answer: Later[str] = Later()
    heard: list[object] = []
    held = deadlines.hold(answer, loop.now + TIMEOUT_S)
    held.then(heard.append, heard.append)
    return loop, deadlines, answer, heard


def test_who_waits_is_told_at_the_deadline_and_not_before() -> None:
    loop, deadlines, _, heard = _waiting()
    loop.run(TIMEOUT_S - TICK_S)
    assert heard == []
    loop.run(3 * TICK_S)
    assert [type(error) for error in heard] == [DeadlinePassed]
    assert deadlines.waiting() == 0
    deadlines.check()


def test_a_shard_that_stood_still_reads_what_has_come_before_it_gives_up() -> None:
    loop, deadlines, answer, heard = _waiting()
    loop.run(0.1)
    loop.turn(3 * TIMEOUT_S)
    # Timers come before sockets: the answer came long ago, and is read in this turn.
    answer.set_result("there it was")
    loop.run(0.1)
    assert heard == ["there it was"]
    assert deadlines.waiting() == 0
    deadlines.check()


@pytest.mark.parametrize("turn_s", [0.15, 1.0, 5.0])
def test_a_loop_that_is_always_late_tells_all_the_same(turn_s: float) -> None:
    loop, _, _, heard = _waiting()
    for _ in range(2 + int(TIMEOUT_S / turn_s) + 2):
        loop.turn(turn_s)
    assert [type(error) for error in heard] == [DeadlinePassed]

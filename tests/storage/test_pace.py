"""Shares of background work: kept while others want the loop, not kept while nobody does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import pace as pace_module
from storage.pace import (
    COMPACTION_SHARES,
    FLUSH_SHARES,
    SLICE_BYTES,
    WAITING_FILES,
    Hours,
    Pace,
    compaction_share,
    flush_share,
    others_first,
)

SLICE_S = 0.001
"""Of the workers here."""


class World:
    """A clock that only work moves, on a loop whose callbacks are all of the world's making."""

    def __init__(self) -> None:
        self.time = 10.0
        self.served_s = 0.0

    def now(self) -> float:
        return self.time

    async def serve(self, turn_s: float, is_done: Callable[[], bool]) -> None:
        """Requests that take so much of every turn of the loop."""
        while not is_done():
            self.time += turn_s
            self.served_s += turn_s
            await asyncio.sleep(0)


def _worked_part(share: float, turn_s: float, slices: int = 200) -> float:
    """The part of the time which a worker with this share got beside these requests."""

    async def test() -> float:
        world, is_over = World(), False
        pace = Pace(Hours(world.now), lambda: share)
        served = asyncio.ensure_future(world.serve(turn_s, lambda: is_over))
        for _ in range(slices):
            world.time += SLICE_S
            await pace.rest()
        is_over = True
        part = slices * SLICE_S / (slices * SLICE_S + world.served_s)
        await served
        return part

    return asyncio.run(test())


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 1.0), st.floats(0.0001, 0.0004))
def test_beside_requests_a_worker_gets_its_share_and_no_more(share: float, turn_s: float) -> None:
    part = _worked_part(share, turn_s)
    # A rest ends with the turn in which it is over, and lasts one turn at least.
    fewest = SLICE_S / (SLICE_S + SLICE_S * (1 - share) / share + 2 * turn_s)
    assert fewest - 0.01 <= part <= share + 0.01


def test_turns_in_which_nobody_did_anything_end_a_rest() -> None:
    assert _worked_part(0.05, 0.00001) > 0.98
    assert _worked_part(0.05, 0.0) == 1.0


def test_waiting_for_the_disk_is_not_counted_as_work_without_a_bound() -> None:
    async def test() -> None:
        world, is_over = World(), False
        pace = Pace(Hours(world.now), lambda: 0.5)
        served = asyncio.ensure_future(world.serve(0.0001, lambda: is_over))
        world.time += 1.0
        before = world.time
        await pace.rest()
        assert world.time - before < 0.01
        is_over = True
        await served

    asyncio.run(test())


def test_a_slice_ends_with_its_time_although_few_bytes_were_done() -> None:
    async def test() -> None:
        world = World()
        pace = Pace(Hours(world.now), lambda: 0.5)
        assert not pace.spend(1)
        world.time += 2 * pace_module.SLICE_S
        assert pace.spend(1)
        await pace.rest()
        assert not pace.spend(1)

    asyncio.run(test())


def test_on_a_clock_that_stands_still_the_bytes_end_a_slice() -> None:
    pace = Pace(Hours(World().now), lambda: 0.5)
    assert not pace.spend(SLICE_BYTES - 1)
    assert pace.spend(1)


def test_what_was_waited_for_is_no_work() -> None:
    async def test() -> None:
        world, is_over = World(), False
        hours = Hours(world.now)
        pace = Pace(hours, lambda: 0.5)
        served = asyncio.ensure_future(world.serve(0.0001, lambda: is_over))

        async def disk() -> str:
            world.time += 1.0
            return "read"

        world.time += 0.0005
        assert await pace.wait(disk()) == "read"
        assert not pace.spend(1), "the slice begins after the wait"
        world.time += 0.0005
        before = world.time
        await pace.rest()
        assert world.time - before == pytest.approx(0.001, abs=0.0003)
        assert hours.worked_s == pytest.approx(0.001)
        is_over = True
        await served

    asyncio.run(test())


def test_the_slices_of_other_background_work_do_not_make_a_rest_longer() -> None:
    async def test() -> int:
        world = World()
        hours = Hours(world.now)

        async def work(slices: int) -> None:
            pace = Pace(hours, lambda: 0.05)
            for _ in range(slices):
                world.time += SLICE_S
                await pace.rest()

        other = asyncio.ensure_future(work(1_000))
        before = world.time
        await work(100)
        turns = round((world.time - before) / SLICE_S)
        other.cancel()
        return turns

    # Each has every second slice, and not one in twenty.
    assert asyncio.run(test()) <= 201


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_beside_long_turns_of_others_slices_are_longer_and_the_share_is_kept(share: float) -> None:
    async def test() -> tuple[float, float]:
        world, is_over, worked, longest, slice_s = World(), False, 0.0, 0.0, 0.0
        pace = Pace(Hours(world.now), lambda: share)
        served = asyncio.ensure_future(world.serve(0.001, lambda: is_over))
        while worked < 0.2:
            world.time += 10e-6
            worked += 10e-6
            slice_s += 10e-6
            if pace.spend(100):
                longest, slice_s = max(longest, slice_s), 0.0
                await pace.rest()
        is_over = True
        await served
        return worked / (worked + world.served_s), longest

    part, longest = asyncio.run(test())
    # The first slice is short, and a rest ends with a turn.
    assert share * 0.7 <= part <= share + 0.01
    assert longest <= pace_module.SLICE_LONG_S + 20e-6


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 0.5), st.floats(60e-6, 300e-6), st.floats(5e-6, 60e-6))
def test_beside_requests_without_a_pause_slices_do_not_grow(
    share: float, turn_s: float, step_s: float
) -> None:
    async def test() -> tuple[float, float]:
        world, is_over, worked, slices = World(), False, 0.0, []
        pace = Pace(Hours(world.now, lambda: True), lambda: share)
        served = asyncio.ensure_future(world.serve(turn_s, lambda: is_over))
        for _ in range(300):
            began = world.time
            world.time += step_s
            while not pace.spend(100):
                world.time += step_s
            slices.append(world.time - began)
            worked += slices[-1]
            await pace.rest()
        is_over = True
        await served
        return max(slices), worked / (worked + world.served_s)

    longest, part = asyncio.run(test())
    # A rest that is over goes on for up to three turns of others, of which we get our part.
    too_long_s = turn_s + pace_module.SLICE_S + pace_module.PATIENCE * pace_module.SLICE_S
    most = pace_module.SLICE_S + too_long_s * share / (1 - share) + step_s + pace_module.LOOK_S
    assert longest <= most
    assert share * 0.7 <= part <= share + 0.01


def test_a_share_that_rises_is_seen_at_the_next_rest() -> None:
    shares = iter([0.1, 0.5])

    async def test() -> list[float]:
        world, is_over, rests = World(), False, []
        pace = Pace(Hours(world.now), lambda: next(shares))
        served = asyncio.ensure_future(world.serve(0.0001, lambda: is_over))
        for _ in range(2):
            world.time += SLICE_S
            before = world.time
            await pace.rest()
            rests.append(world.time - before)
        is_over = True
        await served
        return rests

    long, short = asyncio.run(test())
    assert long == pytest.approx(0.009, abs=0.0003)
    assert short == pytest.approx(0.001, abs=0.0003)


def test_without_a_clock_every_second_turn_is_the_worker_s() -> None:
    async def test() -> None:
        world, is_over = World(), False
        pace = Pace()
        served = asyncio.ensure_future(world.serve(1.0, lambda: is_over))
        for _ in range(10):
            await pace.rest()
        assert 9 <= world.served_s <= 11
        is_over = True
        await served

    asyncio.run(test())


def test_shares_rise_with_the_backlog_between_their_bounds() -> None:
    few, many = WAITING_FILES
    flushes = [flush_share(used, 1000) for used in (0, 500, 750, 1000, 2000)]
    merges = [compaction_share(n) for n in (0, few, (few + many) // 2, many, 10 * many)]
    for shares, (least, most) in ((flushes, FLUSH_SHARES), (merges, COMPACTION_SHARES)):
        assert shares == pytest.approx([least, least, (least + most) / 2, most, most])
    assert flush_share(0, 0) == FLUSH_SHARES[0], "no limit, no backlog"


def _works_until_due(pace: Pace, world: World, step_s: float) -> float:
    began = world.time
    world.time += step_s
    while not pace.spend(1):
        world.time += step_s
    return world.time - began


def test_a_slice_ends_with_the_step_in_which_something_comes_for_the_loop() -> None:
    world, comes_at = World(), 0.0
    pace = Pace(Hours(world.now, lambda: world.time >= comes_at), lambda: 0.5)
    step_s = pace_module.SLICE_S / 10
    comes_at = world.time + 2.5 * step_s
    took = _works_until_due(pace, world, step_s)
    assert took == pytest.approx(max(3 * step_s, pace_module.LOOK_S), abs=step_s / 2)
    assert took < pace_module.SLICE_S / 2


def test_it_does_not_look_at_every_step() -> None:
    world, looks = World(), 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        return False

    pace = Pace(Hours(world.now, look), lambda: 0.5)
    _works_until_due(pace, world, pace_module.LOOK_S / 100)
    assert 2 <= looks <= pace_module.SLICE_S / pace_module.LOOK_S


def test_a_worker_has_its_share_although_somebody_waits_all_the_time() -> None:
    share = 0.5

    async def test() -> float:
        world, is_over, worked = World(), False, 0.0
        pace = Pace(Hours(world.now, lambda: True), lambda: share)
        served = asyncio.ensure_future(world.serve(0.001, lambda: is_over))
        while worked < 0.2:
            world.time += 10e-6
            worked += 10e-6
            if pace.spend(100) or pace.is_wanted():
                await pace.rest()
        is_over = True
        await served
        return worked / (worked + world.served_s)

    assert asyncio.run(test()) >= share * 0.7


def test_a_long_step_is_announced_only_after_what_is_ours() -> None:
    async def test() -> list[bool]:
        world, is_over = World(), False
        pace = Pace(Hours(world.now, lambda: True), lambda: 0.5)
        served = asyncio.ensure_future(world.serve(0.001, lambda: is_over))
        world.time += 0.001
        await pace.rest()
        wanted = [pace.is_wanted()]
        world.time += pace_module.SLICE_LONG_S
        wanted.append(pace.is_wanted())
        is_over = True
        await served
        return wanted

    assert asyncio.run(test()) == [False, True]
    assert not Pace().is_wanted()
    assert not Pace(Hours(World().now)).is_wanted()


def test_a_rest_goes_on_while_others_take_short_steps() -> None:
    async def test() -> tuple[int, int]:
        world, steps, left = World(), 0, 0
        # The steps of all tasks, the worker's among them.
        hours = Hours(world.now, None, lambda: steps + hours.steps)
        pace = Pace(hours, lambda: 0.05)

        async def chain(length: int) -> None:
            """A request that takes a few turns, each of them short."""
            nonlocal steps, left
            for _ in range(length):
                steps += 1
                world.time += 5e-6
                await asyncio.sleep(0)
            left += 1

        requests = [asyncio.ensure_future(chain(5)) for _ in range(3)]
        world.time += SLICE_S
        await pace.rest()
        answered = left
        await asyncio.gather(*requests)
        return answered, left

    assert asyncio.run(test()) == (3, 3)


def test_what_others_have_gathered_leaves_before_a_slice() -> None:
    async def test() -> list[str]:
        world = World()
        said: list[str] = []

        def let_go() -> int:
            said.append("sent")
            return 0

        pace = Pace(Hours(world.now, None, let_go), lambda: 1.0)
        world.time += SLICE_S
        asyncio.get_running_loop().call_soon(said.append, "gathered")
        await pace.rest()
        said.append("slice")
        return said

    said = asyncio.run(test())
    assert said[-2:] == ["sent", "slice"]
    assert said.index("gathered") < len(said) - 2


def test_who_asks_during_a_step_of_long_work_is_answered_before_the_next_one() -> None:
    said: list[str] = []
    ours, theirs = socket.socketpair()

    def hear(loop: asyncio.AbstractEventLoop) -> None:
        ours.recv(1)
        loop.call_soon(said.append, "reply")  # As replies leave at the end of a turn.

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(ours.fileno(), hear, loop)
        for step in range(4):
            said.append(f"step {step}")
            if step == 1:
                theirs.send(b"?")
            await others_first()
        loop.remove_reader(ours.fileno())

    with ours, theirs, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
    assert said == ["step 0", "step 1", "reply", "step 2", "step 3"]

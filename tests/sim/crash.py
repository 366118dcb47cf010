"""Stops a machine at each call it makes to its disk, one run per call."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from random import Random
from typing import Any

from tests.sim.disk import Faults, SimulatedCrash, SimulatedDisk

Scenario = Callable[[SimulatedDisk], Coroutine[Any, Any, None]]

CALLS_MAX = 5000
"""A scenario that makes more calls than this does not end."""


async def run_until_crash(disk: SimulatedDisk, scenario: Coroutine[Any, Any, None]) -> bool:
    """Run a scenario on a disk; end all its tasks when the disk stops. Say whether it stopped."""
    mine = asyncio.current_task()
    asyncio.get_running_loop().set_exception_handler(_ignore_the_crash)
    before = asyncio.all_tasks()
    running = asyncio.ensure_future(scenario)
    stopped = asyncio.ensure_future(disk.crashed.wait())
    await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not disk.is_dead:
        stopped.cancel()
        await running
        return False
    left = [task for task in asyncio.all_tasks() - before if task is not mine]
    while waiting := [task for task in (running, stopped, *left) if not task.done()]:
        # More than once: what a task does when it ends may wait for the dead disk again.
        for task in waiting:
            task.cancel()
        await asyncio.sleep(0)
    for task in (running, stopped, *left):
        with contextlib.suppress(asyncio.CancelledError, SimulatedCrash):
            task.exception()
    return True


async def crash_at_every_call(
    random: Random, scenario_on: Scenario, first: int = 1, step: int = 1
) -> AsyncIterator[SimulatedDisk]:
    """Give the dead disk of one run per call; the run after the last call was not stopped."""
    for number in range(first, CALLS_MAX, step):
        disk = SimulatedDisk(random, Faults(crash_at=number))
        if not await run_until_crash(disk, scenario_on(disk)):
            return
        yield disk
    raise AssertionError("the scenario does not end")


def _ignore_the_crash(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A task that the crash ended is of no interest; what else went wrong is."""
    if not isinstance(context.get("exception"), SimulatedCrash):
        loop.default_exception_handler(context)

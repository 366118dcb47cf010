"""All states of a disk in which a machine can stop while it does its work, from one run of it.

At each call the disk is copied with what was promised by then. Each copy stands for many states: a
power cut keeps, drops, reorders and tears what was not synced, as chance has it. What the next
process finds depends on nothing but the bytes there, so the same bytes are recovered once.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from tests.sim.disk import Faults, SimulatedDisk

Found = TypeVar("Found")
State = tuple[SimulatedDisk, Any]
"""A disk that has stopped, and what was promised at that moment."""


async def states_of(
    random: Random, work: Callable[[SimulatedDisk, Any], Coroutine[Any, Any, None]], promises: Any
) -> list[State]:
    """One state before each call that `work` makes; it changes `promises` as it goes on."""
    states: list[State] = []

    def remember(number: int, operation: str, path: str) -> int:
        states.append((disk.fork(), copy.deepcopy(promises)))
        return 0

    disk = SimulatedDisk(random, Faults(choose=remember))
    await work(disk, promises)
    return states


async def power_cuts(
    states: list[State], count: int, recover: Callable[[SimulatedDisk], Awaitable[Found]]
) -> AsyncIterator[tuple[Any, Found, bool]]:
    """Cut the power so often, in one state after the other, each time with other luck.

    Gives what was promised, what `recover` finds, and whether it is the first time that a disk
    looks so.
    """
    found: dict[bytes, Found] = {}
    for number in range(count):
        stopped, promises = states[number % len(states)]
        disk = stopped.restart(power_cut=True, faults=Faults(is_immediate=True))
        looks = disk.fingerprint()
        is_new = looks not in found
        if is_new:
            found[looks] = await recover(disk)
        yield promises, found[looks], is_new


async def end_tasks() -> None:
    """What the process would have done if it had lived on is over."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)

"""An event loop whose selector moves virtual time instead of waiting."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(AssertionError):
    """Nothing is scheduled and somebody waits: nothing will ever happen again."""


class _VirtualSelector:
    """Nothing ever becomes readable; waiting is a jump of the clock."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock(f"nothing is scheduled at {self._loop.time():.6f} s of virtual time")
        self._loop.advance(timeout)
        return []

    def get_map(self) -> dict[int, Any]:
        return {}

    def close(self) -> None:
        """There is nothing to close."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """The scheduler and the clock of a simulation. `trace` tells two runs apart by a hash."""

    def __init__(self, seed: int = 0) -> None:
        self._virtual_s = 1000.0
        super().__init__()
        self._selector = _VirtualSelector(self)
        self._clock_resolution = 1e-9
        self.random = Random(seed)
        self._trace = hashlib.blake2b(digest_size=16)
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def time(self) -> float:
        return self._virtual_s

    def advance(self, seconds: float) -> None:
        """Let virtual time pass. A jump smaller than the clock can show still moves it."""
        if seconds > 0:
            self._virtual_s += max(seconds, 1e-9)

    def trace(self, event: str) -> None:
        """Add an event to the hash of this run."""
        self._trace.update(f"{self._virtual_s:.9f} {event}\n".encode())

    def trace_hash(self) -> str:
        """What two runs of the same seed have in common."""
        return self._trace.hexdigest()

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """No thread ever wakes a simulation."""


def simulate(main: Callable[[SimulatedLoop], Coroutine[Any, Any, T]], seed: int = 0) -> T:
    """Run one coroutine to its end in a world of its own; what nobody handled fails the run."""
    loop = SimulatedLoop(seed)
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(main(loop))
        leftover = [task for task in asyncio.all_tasks(loop) if not task.done()]
        for task in leftover:
            task.cancel()
        if leftover:
            loop.run_until_complete(asyncio.gather(*leftover, return_exceptions=True))
        assert not loop.errors, loop.errors
        return result
    finally:
        asyncio.set_event_loop(None)
        loop.close()

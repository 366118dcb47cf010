"""An event loop whose selector moves virtual time instead of waiting."""

from __future__ import annotations

import asyncio
import hashlib
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from random import Random
from typing import Any, TypeVar

from tests.sim.process import Process, process_of

T = TypeVar("T")

EVENTS_KEPT = 400
"""The last events of the trace, for the report of a failure."""

BURIAL_ROUNDS_MAX = 10
BURIAL_ROUND_S = 1.0


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
    """The scheduler and the clock of a simulation. `trace` tells two runs apart by a hash.

    What belongs to a process that is dead does not run any more; see tests/sim/process.
    """

    def __init__(self, seed: int = 0) -> None:
        self._virtual_s = 1000.0
        super().__init__()
        self._selector = _VirtualSelector(self)
        self._clock_resolution = 1e-9
        self.random = Random(seed)
        self._trace = hashlib.blake2b(digest_size=16)
        self.events: deque[str] = deque(maxlen=EVENTS_KEPT)
        self.traced = 0
        self.processes: list[Process] = []
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(self._note_error)

    def time(self) -> float:
        return self._virtual_s

    def advance(self, seconds: float) -> None:
        """Let virtual time pass. A jump smaller than the clock can show still moves it."""
        if seconds > 0:
            self._virtual_s += max(seconds, 1e-9)

    def trace(self, event: str) -> None:
        """Add an event to the hash of this run."""
        line = f"{self._virtual_s:.9f} {event}"
        self._trace.update(line.encode() + b"\n")
        self.events.append(line)
        self.traced += 1

    def trace_hash(self) -> str:
        """What two runs of the same seed have in common."""
        return self._trace.hexdigest()

    def process(self, name: str) -> Process:
        """A new process."""
        self.processes.append(Process(name))
        return self.processes[-1]

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See asyncio."""
        return super().call_soon(_guarded(callback, context), *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        return super().call_at(when, _guarded(callback, context), *args, context=context)

    def _note_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody handled is an error, unless it is what the dead have left."""
        if not any(process.is_buried for process in self.processes):
            self.errors.append(context)

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
        assert not loop.errors, loop.errors
        end_simulation(loop)
        assert not loop.errors, loop.errors
        return result
    finally:
        end_simulation(loop)
        asyncio.set_event_loop(None)
        loop.close()


def end_simulation(loop: SimulatedLoop) -> None:
    """Cancel what is left, in the processes that died before too.

    A task that a kill kept from its first step never awaits the coroutines it was given.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        _cancel_all(loop)


def _cancel_all(loop: SimulatedLoop) -> None:
    for process in loop.processes:
        process.is_buried = True
        held, process.held = process.held, []
        for callback, args, context in held:
            loop.call_soon(callback, *args, context=context)
    for _ in range(BURIAL_ROUNDS_MAX):
        leftover = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not leftover:
            return
        for task in leftover:
            task.cancel()
        # One that is cancelled while it waits for another may go on: it is asked again.
        loop.run_until_complete(asyncio.wait(leftover, timeout=BURIAL_ROUND_S))
        for task in leftover:
            # Where it was cancelled holds what it was given, until somebody has looked.
            with suppress(asyncio.CancelledError):
                if task.cancelled():
                    task.result()


def _guarded(callback: Callable[..., Any], context: Context | None) -> Callable[..., Any]:
    """The callback, which does nothing once its process is dead."""
    process = process_of(context)
    if process is None:
        return callback

    def run(*args: Any) -> None:
        if process.is_buried or not process.is_dead:
            try:
                callback(*args)
            except Exception:
                # What goes wrong in the callback that ends a process, nobody hears of.
                if not process.is_dead:
                    raise
        else:
            process.held.append((callback, args, copy_context()))

    return run

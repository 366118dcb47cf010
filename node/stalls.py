"""Stalls of a shard's loop: how many turns took longer than 5 ms, and what ran in them.

A turn is what runs without a pause: one step of a task, what one client sent, what the disk has
done by now, the end of a turn. Who runs it reads the clock around it, which costs two calls; all
else happens only after a stall.

A turn may be long because we worked, or because the processor did something else meanwhile: another
process, another virtual machine. So the thread's own time is read too. As that costs a call into
the kernel, it is read at most once in a millisecond; what is said of it is right to a millisecond,
and never too little.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Final, TypeVar, cast

__all__ = ["LONG_TURN_S", "LongTurns", "Stalls"]

LONG_TURN_S: Final = 0.005
"""`node/connection` has the same number."""

CPU_LOOK_S: Final = 0.001
"""The time of the thread is read at the beginning of a turn if that was last done so long ago."""

TELL_EVERY_S: Final = 10.0
DEPTH_MAX: Final = 32
"""Coroutines that await each other, of which a stall names the first and the last."""

T = TypeVar("T")
_log = logging.getLogger("pythia.stalls")


class LongTurns:
    """What is counted of turns that took too long."""

    __slots__ = ("count", "longest_s", "total_s", "what")

    def __init__(self) -> None:
        self.count = 0
        self.total_s = 0.0
        self.longest_s = 0.0
        self.what = ""
        """What ran in the longest."""

    def add(self, seconds: float, what: str) -> None:
        """One more of them."""
        self.count += 1
        self.total_s += seconds
        if seconds > self.longest_s:
            self.longest_s, self.what = seconds, what


class Stalls:
    """Counts long turns; `tell` hears of them at most once in ten seconds.

    `by_clock` has all of them: so long others had to wait. `by_cpu` has those in which we worked
    for so long; its times are those of our work.
    """

    __slots__ = (
        "_cpu",
        "_garbage_began",
        "_garbage_ended",
        "_garbage_s",
        "_looked_at",
        "_now",
        "_tell",
        "_told_at",
        "_untold",
        "_worked_s",
        "by_clock",
        "by_cpu",
        "turns",
    )

    def __init__(
        self,
        now: Callable[[], float],
        cpu: Callable[[], float],
        tell: Callable[[str], None] = _log.warning,
    ) -> None:
        """`now` gives monotonic seconds, `cpu` the seconds of the processor that we have had."""
        self._now = now
        self._cpu = cpu
        self._tell = tell
        self._looked_at = now()
        self._worked_s = cpu()
        self._told_at = -TELL_EVERY_S
        self._untold = LongTurns()
        self._garbage_began = self._garbage_ended = self._garbage_s = 0.0
        self.by_clock = LongTurns()
        self.by_cpu = LongTurns()
        self.turns = 0
        """That have begun, whatever they took."""

    def begin(self) -> float:
        """A turn begins; the time, for `note`."""
        self.turns += 1
        began = self._now()
        if began - self._looked_at >= CPU_LOOK_S:
            self._looked_at, self._worked_s = began, self._cpu()
        return began

    def note(self, began: float, what: str) -> None:
        """A turn is over that began then, and has taken too long; `what` ran in it."""
        now = self._now()
        seconds = now - began
        cpu = self._cpu()
        worked_s = min(cpu - self._worked_s, seconds)
        self._looked_at, self._worked_s = now, cpu
        if self._garbage_ended > began:
            what += f" (garbage collection: {self._garbage_s * 1e3:.1f} ms)"
        self.by_clock.add(seconds, what)
        if worked_s >= LONG_TURN_S:
            self.by_cpu.add(worked_s, what)
        self._untold.add(seconds, f"{worked_s * 1e3:.1f} ms of work: {what}")
        if now - self._told_at >= TELL_EVERY_S:
            longest = self._untold
            self._tell(
                f"{longest.count} turns of the loop took more than {LONG_TURN_S * 1e3:.0f} ms, "
                f"the longest {longest.longest_s * 1e3:.1f} ms with {longest.what}"
            )
            self._told_at, self._untold = now, LongTurns()

    def watch_garbage(self) -> None:
        """From now on, say of a long turn how long the last collection of garbage in it took."""
        gc.callbacks.append(self._collects)

    def _collects(self, phase: str, _facts: dict[str, int]) -> None:
        if phase == "start":
            self._garbage_began = self._now()
        else:
            self._garbage_ended = self._now()
            self._garbage_s = self._garbage_ended - self._garbage_began

    def timed(self, what: str, call: Callable[..., None]) -> Callable[..., None]:
        """The same callback, watched."""
        begin, now = self.begin, self._now

        def watched(*arguments: object) -> None:
            began = begin()
            call(*arguments)
            if now() - began >= LONG_TURN_S:
                self.note(began, what)

        return watched

    def make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T] | Generator[Any, None, T],
        /,
        **options: Any,
    ) -> asyncio.Task[T]:
        """A task of which every step is watched: a task factory."""
        assert isinstance(work, Coroutine), "tasks are made of coroutines"
        return asyncio.Task(_Watched(work, self.begin, self._now, self.note), loop=loop, **options)


class _Watched(Coroutine[Any, Any, T]):
    """A coroutine whose every step is timed."""

    __slots__ = ("_begin", "_note", "_now", "_send", "_work")

    def __init__(
        self,
        work: Coroutine[Any, Any, T],
        begin: Callable[[], float],
        now: Callable[[], float],
        note: Callable[[float, str], None],
    ) -> None:
        self._work = work
        self._send = work.send
        self._begin = begin
        self._now = now
        self._note = note

    def send(self, value: Any, /) -> Any:
        began = self._begin()
        try:
            return self._send(value)
        finally:
            if self._now() - began >= LONG_TURN_S:
                self._note(began, _name_of(self._work))

    def throw(
        self,
        kind: Any,
        value: Any = None,
        trace: TracebackType | None = None,
        /,
    ) -> Any:
        return self._work.throw(kind if value is None else value)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, None, T]:
        return self._work.__await__()

    @property
    def cr_frame(self) -> object:
        """For the trace of a task that is shown."""
        return getattr(self._work, "cr_frame", None)

    def __repr__(self) -> str:
        return repr(self._work)


def _name_of(work: object) -> str:
    """The coroutine, and where it rests now; after its last step that is nowhere."""
    names = [str(getattr(work, "__qualname__", type(work).__name__))]
    for _ in range(DEPTH_MAX):
        inner = getattr(work, "cr_await", None) or getattr(work, "gi_yieldfrom", None)
        if inner is None:
            break
        work = cast(object, inner)
        frame = getattr(work, "cr_frame", None) or getattr(work, "gi_frame", None)
        if frame is not None:
            names.append(f"{work.__qualname__}:{frame.f_lineno}")  # type: ignore[attr-defined]
    return names[0] if len(names) == 1 else f"{names[0]}, up to {' > '.join(names[-3:])}"

"""Stalls of a shard's loop: how many turns took longer than 5 ms, and what ran in them.

A turn is what runs without a pause: one step of a task, what one client sent, the end of a turn.
Who runs it reads the clock around it, which costs two calls; all else happens only after a stall.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Final, TypeVar, cast

__all__ = ["LONG_TURN_S", "Stalls"]

LONG_TURN_S: Final = 0.005
"""`node/connection` has the same number."""

TELL_EVERY_S: Final = 10.0
DEPTH_MAX: Final = 32
"""Coroutines that await each other, of which a stall names the first and the last."""

T = TypeVar("T")
_log = logging.getLogger("pythia.stalls")


class Stalls:
    """Counts them; `tell` hears of them at most once in ten seconds."""

    __slots__ = ("_now", "_tell", "_told_at", "_untold", "_worst", "count", "longest_s", "what")

    def __init__(self, now: Callable[[], float], tell: Callable[[str], None] = _log.warning):
        self._now = now
        self._tell = tell
        self._told_at = -TELL_EVERY_S
        self._untold = 0
        self._worst = (0.0, "")
        self.count = 0
        self.longest_s = 0.0
        self.what = ""
        """What ran in the longest."""

    def note(self, seconds: float, what: str) -> None:
        """A turn took so long; `what` ran in it."""
        self.count += 1
        self._untold += 1
        if seconds > self.longest_s:
            self.longest_s, self.what = seconds, what
        self._worst = max(self._worst, (seconds, what))
        now = self._now()
        if now - self._told_at >= TELL_EVERY_S:
            longest_s, its_work = self._worst
            self._tell(
                f"{self._untold} turns of the loop took more than {LONG_TURN_S * 1e3:.0f} ms, "
                f"the longest {longest_s * 1e3:.1f} ms: {its_work}"
            )
            self._told_at, self._untold, self._worst = now, 0, (0.0, "")

    def timed(self, what: str, call: Callable[..., None]) -> Callable[..., None]:
        """The same callback, watched."""
        now = self._now

        def watched(*arguments: object) -> None:
            began = now()
            call(*arguments)
            took = now() - began
            if took >= LONG_TURN_S:
                self.note(took, what)

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
        return asyncio.Task(_Watched(work, self._now, self.note), loop=loop, **options)


class _Watched(Coroutine[Any, Any, T]):
    """A coroutine whose every step is timed."""

    __slots__ = ("_note", "_now", "_send", "_work")

    def __init__(
        self,
        work: Coroutine[Any, Any, T],
        now: Callable[[], float],
        note: Callable[[float, str], None],
    ) -> None:
        self._work = work
        self._send = work.send
        self._now = now
        self._note = note

    def send(self, value: Any, /) -> Any:
        began = self._now()
        try:
            return self._send(value)
        finally:
            took = self._now() - began
            if took >= LONG_TURN_S:
                self._note(took, _name_of(self._work))

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

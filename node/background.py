"""Who does flush, compaction and the shard's other slow work, and when.

One coarse timer wakes the shard a few times a second for what only needs time to pass; work that
storage reports as due is started at once. An idle shard therefore costs a handful of wake-ups.

Work that met a full disk, too many open files or a damaged file has done nothing: it is logged, and
what is still due then is looked for at the next tick. Any other error stops the shard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from storage.errors import CorruptFile, DiskFull, TooManyOpenFiles

TICK_S: Final = 0.25
LOOK_EVERY_TICKS: Final = 4
"""How often background work is looked for when nobody says that there is some."""
JOBS_MAX: Final = 8

_log = logging.getLogger("pythia.background")


class Background:
    """Owns a shard's coarse timer and its background jobs; `stop` waits for both."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tick: Callable[[], None],
        due: Callable[[], list[Coroutine[Any, Any, None]]],
        has_failed: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._tick = tick
        self._due = due
        self._has_failed = has_failed
        self._jobs: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._is_look_asked = False
        self._is_stopped = False

    def start(self) -> None:
        """Begins to tick."""
        self._timer = self._loop.call_later(TICK_S, self._ticked)

    def look_soon(self) -> None:
        """There is work: look for it at the end of this turn."""
        if not self._is_look_asked and not self._is_stopped:
            self._is_look_asked = True
            self._loop.call_soon(self._look)

    async def stop(self) -> None:
        """Starts nothing more and waits for what runs."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs)

    def _ticked(self) -> None:
        if self._is_stopped:
            return
        self._timer = self._loop.call_later(TICK_S, self._ticked)
        self._ticks += 1
        try:
            self._tick()
        except Exception as error:  # noqa: BLE001 - this loop owns the background
            self._has_failed(error)
        if self._ticks % LOOK_EVERY_TICKS == 0:
            self._look()

    def _look(self) -> None:
        self._is_look_asked = False
        if self._is_stopped or len(self._jobs) >= JOBS_MAX:
            return
        for work in self._due():
            job = self._loop.create_task(work)
            self._jobs.add(job)
            job.add_done_callback(self._ended)

    def _ended(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        error = None if job.cancelled() else job.exception()
        if isinstance(error, CorruptFile | DiskFull | TooManyOpenFiles):
            _log.error("background work could not be done: %s", error)
            return
        if error is not None:
            _log.error("background work failed: %s", error, exc_info=error)
            self._has_failed(error)
        self.look_soon()

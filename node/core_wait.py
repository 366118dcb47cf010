"""How long a shard waited for its core while other programs had it, as the kernel counts it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Final

__all__ = ["CoreWait", "kernel_count"]

LONG_WAIT_S: Final = 0.5
"""Between two looks; a quarter of the shortest timeout."""

TELL_EVERY_S: Final = 10.0
COUNT_FILE: Final = "/proc/thread-self/schedstat"
"""Nanoseconds that a thread ran, and that it was ready and did not run."""
COUNT_BYTES: Final = 128

_log = logging.getLogger("pythia.cores")


class CoreWait:
    """Looks at the count now and then; `tell` hears of long waits at most once in ten seconds.

    To the stall detector, which reads the wall clock, such a wait is a long turn of whatever ran.
    """

    __slots__ = ("_looked_at", "_now", "_tell", "_told_at", "_waited", "_waited_s", "longest_s")

    def __init__(
        self,
        waited_s: Callable[[], float],
        now: Callable[[], float],
        tell: Callable[[str], None] = _log.warning,
    ) -> None:
        self._waited_s = waited_s
        self._now = now
        self._tell = tell
        self._waited = waited_s()
        self._looked_at = now()
        self._told_at = -TELL_EVERY_S
        self.longest_s = 0.0

    def look(self) -> None:
        """Called a few times a second, as far as we run."""
        now, waited = self._now(), self._waited_s()
        lost, took = waited - self._waited, now - self._looked_at
        self._waited, self._looked_at = waited, now
        self.longest_s = max(self.longest_s, lost)
        if lost >= LONG_WAIT_S and now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            self._tell(
                f"other programs had this shard's core for {lost:.1f} of the last {took:.1f} s; "
                "requests may time out (--overprovisioned lets shards use any core)"
            )


def kernel_count() -> Callable[[], float] | None:
    """Reads the calling thread's seconds of waiting; None where the kernel does not count them."""
    try:
        file = os.open(COUNT_FILE, os.O_RDONLY | os.O_CLOEXEC)
        int(os.pread(file, COUNT_BYTES, 0).split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return lambda: int(os.pread(file, COUNT_BYTES, 0).split()[1]) / 1e9

"""Long work cut into slices, so that requests get their turns between them.

A pace that was given a clock and a share takes no more than that part of the loop's time while
others want it: after a slice it rests until they have had theirs. A turn in which nobody else did
anything ends the rest, so that work on an idle loop goes on at full speed.
"""

import asyncio
from collections.abc import Callable
from typing import Final

SLICE_BYTES: Final = 48 * 1024
"""About a millisecond; `bench.micro.compaction` measures the longest."""

STEP_BYTES: Final = 256
"""What a step costs beside its bytes, in bytes."""

SLICE_S_MAX: Final = 0.002
"""A slice that seems longer has waited for the disk, while others had the loop."""

IDLE_TURN_S: Final = 50e-6
"""A turn in which others had no more than this was ours to use: no request is so short."""

FLUSH_SHARES: Final = 0.2, 0.8
"""The part of the loop's time for a flush: memtables half full, and at their limit."""

COMPACTION_SHARES: Final = 0.05, 0.5
"""The part of the loop's time for a compaction: few files wait to be merged, and many."""

WAITING_FILES: Final = 4, 32
"""Files that are few, and that are many: the bounds of what size-tiered compaction merges."""


class Pace:
    """Counts work and says when it is time to let others run."""

    __slots__ = ("_left", "_now", "_resumed", "_share")

    def __init__(
        self, now: Callable[[], float] | None = None, share: Callable[[], float] | None = None
    ) -> None:
        """`share` is looked at after each slice; without it, every second turn is ours."""
        self._left = SLICE_BYTES
        self._now = now
        self._share = share
        self._resumed = 0.0 if now is None else now()

    def spend(self, amount: int, steps: int = 0) -> bool:
        """Count work; true if the slice is used up and the worker must `rest`."""
        self._left -= amount + steps * STEP_BYTES
        return self._left <= 0

    async def rest(self) -> None:
        """Let everything else that is ready run once, or until our share is due again."""
        self._left = SLICE_BYTES
        now = self._now
        if now is None or self._share is None:
            await asyncio.sleep(0)
            return
        share = self._share()
        assert 0 < share <= 1, "a share is a part of the whole, and never nothing"
        turn = now()
        worked = min(turn - self._resumed, SLICE_S_MAX)
        due = turn + worked * (1 - share) / share
        while True:
            await asyncio.sleep(0)
            began, turn = turn, now()
            if turn >= due or turn - began < IDLE_TURN_S:
                break
        self._resumed = turn


def flush_share(memory_used: int, memory_limit: int) -> float:
    """The share of a flush, by what memtables hold and what they may."""
    return _between(FLUSH_SHARES, memory_used - memory_limit / 2, memory_limit / 2)


def compaction_share(waiting_files: int) -> float:
    """The share of a compaction, by the flushed files which it merges or which came meanwhile."""
    few, many = WAITING_FILES
    return _between(COMPACTION_SHARES, waiting_files - few, many - few)


def _between(shares: tuple[float, float], backlog: float, backlog_max: float) -> float:
    """The first share without a backlog, the second with the largest, even steps between."""
    least, most = shares
    return least + (most - least) * min(max(backlog / max(backlog_max, 1), 0.0), 1.0)

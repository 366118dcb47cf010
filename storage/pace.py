"""Long work cut into slices, so that requests get their turns between them.

A pace that was given the shard's hours and a share takes no more than that part of the loop's time
while others want it: after a slice it rests until they have had theirs. A turn in which nobody did
anything but background work ends the rest, so that work on an idle loop goes on at full speed.

Between its steps a slice looks whether something has come for the loop, and then ends at once, if
it has had as much as its share gives it. So what a request waits for is one step, not a slice. A
rest ends only when what came in its last turn is on its way: replies have left, reads are at the
disk, and no task has more to do.

A slice ends when it has taken its time, and at the latest when it has done its bytes: on a clock
that stands still while we work, as that of a simulation does, the bytes alone decide.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

SLICE_S: Final = 50e-6
"""What work may have to wait for that does not come from outside, as scans that rest do."""

LOOK_S: Final = 10e-6
"""How often a slice looks whether somebody waits."""

FAIR_S: Final = 25e-6
"""What a slice has of its time although somebody waits, where others leave the loop no pause."""

PATIENCE: Final = 3
"""Short turns for which a slice that is due lets others come to an end: requests take a few."""

SLICE_LONG_S: Final = 2e-3
"""Where others have long turns of the loop, ours may be as long, so that we get our share."""

SLICE_BYTES: Final = 48 * 1024
"""About half a millisecond."""

STEP_BYTES: Final = 256
"""What a step costs beside its bytes, in bytes."""

RUN_BYTES: Final = 4 * 1024
"""What is merged in one step while nobody else does anything: more costs less."""

RUN_BYTES_SHARED: Final = 1024
"""And beside requests, each of which waits for the end of a step: 10 us and not 50."""

SLICE_S_MAX: Final = 0.004
"""A slice that seems longer was not ours alone: the processor did something else."""

IDLE_TURN_S: Final = 50e-6
"""A turn in which others had no more than this was ours to use: no request is so short."""

FLUSH_SHARES: Final = 0.2, 0.8
"""The part of the loop's time for a flush: memtables half full, and at their limit."""

COMPACTION_SHARES: Final = 0.05, 0.5
"""The part of the loop's time for a compaction: few files wait to be merged, and many."""

WAITING_FILES: Final = 4, 32
"""Files that are few, and that are many: the bounds of what size-tiered compaction merges."""

T = TypeVar("T")


def _nobody() -> bool:
    return False


class Hours:
    """What all background work of a shard has had of the loop's time."""

    __slots__ = ("_let_go", "is_wanted", "now", "steps", "worked_s")

    def __init__(
        self,
        now: Callable[[], float],
        is_wanted: Callable[[], bool] | None = None,
        let_go: Callable[[], int] | None = None,
    ) -> None:
        self.now = now
        self.is_wanted = is_wanted or _nobody
        """Whether something has come for the loop since its turn began."""
        self._let_go = let_go
        self.worked_s = 0.0
        self.steps = 0
        """Of tasks that rest between slices."""

    def others_did(self) -> int:
        """Lets go what others have gathered in this turn, and counts what they did so far.

        It rises if others did something; how much says nothing.
        """
        return 0 if self._let_go is None else self._let_go() - self.steps


class Pace:
    """Counts work and says when it is time to let others run."""

    __slots__ = (
        "_began",
        "_fair_s",
        "_given_s",
        "_hours",
        "_left",
        "_look_s",
        "_share",
        "_slice_s",
        "_worked_s",
        "run_bytes",
    )

    def __init__(
        self, hours: Hours | None = None, share: Callable[[], float] | None = None
    ) -> None:
        """`share` is looked at after each slice; without it, every second turn is ours."""
        self._left = SLICE_BYTES
        self._hours = hours
        self._share = share
        self._slice_s = SLICE_S
        self._fair_s = 0.0
        self._given_s = 0.0
        """The part of this slice that makes up for a rest which was too long."""
        self._look_s = LOOK_S
        self._began = 0.0 if hours is None else hours.now()
        self._worked_s = 0.0
        self.run_bytes = RUN_BYTES
        """How much to merge between two looks."""

    def spend(self, amount: int, steps: int = 0) -> bool:
        """Count work; true if the slice is used up and the worker must `rest`."""
        self._left -= amount + steps * STEP_BYTES
        if self._left <= 0:
            return True
        hours = self._hours
        if hours is None:
            return False
        worked_s = hours.now() - self._began
        if worked_s < self._look_s:
            return False
        if worked_s >= self._slice_s or hours.is_wanted():
            return True
        self._look_s = worked_s + LOOK_S
        return False

    def is_wanted(self) -> bool:
        """Whether somebody waits: to be asked before a step that is as long as a slice."""
        hours = self._hours
        if hours is None or hours.now() - self._began < self._fair_s:
            return False
        return hours.is_wanted()

    async def wait(self, work: Awaitable[T]) -> T:
        """Wait for what others do, the disk above all; that is no work of ours."""
        hours = self._hours
        if hours is None:
            return await work
        self._count(hours, hours.now())
        try:
            return await work
        finally:
            self._begin(hours)

    async def rest(self) -> None:
        """Let everything else that is ready run once, or until our share is due again."""
        self._left = SLICE_BYTES
        hours = self._hours
        if hours is None or self._share is None:
            await asyncio.sleep(0)
            if hours is not None:
                self._begin(hours)
            return
        rested_at = hours.now()
        self._count(hours, rested_at)
        # What was given back takes no rest again, or each slice would be longer than the last.
        owed_s = max(self._worked_s - self._given_s, 0.0)
        self._worked_s = 0.0
        ours_before = hours.worked_s
        share = await self._let_others(hours, self._share, rested_at, owed_s)
        others_s = hours.now() - rested_at - (hours.worked_s - ours_before)
        fair_s = others_s * share / (1 - share) if share < 1 else SLICE_LONG_S
        self._given_s = min(max(fair_s - owed_s, 0.0), SLICE_LONG_S - SLICE_S)
        self._slice_s = SLICE_S + self._given_s
        self._fair_s = min(fair_s, FAIR_S + self._given_s)
        self._left = int(SLICE_BYTES * self._slice_s / SLICE_S)
        self._begin(hours)

    async def _let_others(
        self, hours: Hours, share_now: Callable[[], float], rested_at: float, owed_s: float
    ) -> float:
        """Rests until nobody else does anything, or our share is due; gives the share."""
        turn, done = rested_at, hours.others_did()
        share = due = 0.0
        patience, is_idle, turns = PATIENCE, False, 0
        while not is_idle and patience:
            turns += 1
            ours = hours.worked_s
            await asyncio.sleep(0)
            hours.steps += 1
            before, done = done, hours.others_did()
            began, turn = turn, hours.now()
            is_idle = done <= before and turn - began - (hours.worked_s - ours) < IDLE_TURN_S
            if not share:
                # Only now: who waits does not wait for this, too.
                share = share_now()
                assert 0 < share <= 1, "a share is a part of the whole, and never nothing"
                due = rested_at + owed_s * (1 - share) / share
            if turn >= due:
                patience = patience - 1 if turn < due + SLICE_S else 0
        self.run_bytes = RUN_BYTES if is_idle and turns == 1 else RUN_BYTES_SHARED
        return share

    def _begin(self, hours: Hours) -> None:
        """A slice begins now."""
        self._look_s = max(self._fair_s, LOOK_S)
        self._began = hours.now()

    def _count(self, hours: Hours, now: float) -> None:
        """A stretch of work is over."""
        worked_s = min(now - self._began, SLICE_S_MAX)
        self._worked_s += worked_s
        hours.worked_s += worked_s


async def others_first() -> None:
    """Let who has asked meanwhile be answered before we go on.

    A loop reads its sockets after it has run what was ready, and their replies leave with what is
    ready next. We would be in front of those again, so we let one turn more go by.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)


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

"""Turns at the disk: a bounded number of calls in flight, divided among classes by shares.

A call that finds room and nobody waiting goes at once, for the price of a few additions. Others
wait in their class; the next turn is the class's that has had least for its shares. A class that
was idle starts from where the others are, so it cannot save up turns; and since every turn taken
moves a class back, none starves. The commit log never waits: its one sync at a time is what
acknowledgements hang on.

Shares by start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM '96), as Seastar's I/O scheduler
has them.
"""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol, TypeVar

COST_BYTES: Final = 4096
"""What a call costs besides its bytes."""

T = TypeVar("T")


class IoClass(Enum):
    """What a call is for, with its shares of a busy disk."""

    COMMIT_LOG = "commit log", 1000
    QUERY = "query", 1000
    FLUSH = "flush", 400
    COMPACTION = "compaction", 100
    STREAMING = "streaming", 100

    __hash__ = object.__hash__
    """Members are single; the hash of `Enum` is a call into Python, for each call at the disk."""

    @property
    def shares(self) -> int:
        """How much of a busy disk is the class's, beside the shares of the others."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class IoClassStatistics:
    """What the calls of one class did so far; times in seconds."""

    name: str
    shares: int
    calls: int
    bytes: int
    waiting: int
    waited_s: float
    """In the queue, all calls together."""
    busy_s: float
    """At the disk, all calls together."""
    longest_s: float
    """The longest call, with its wait."""


class Turn(Protocol):
    """A future, or what stands for one."""

    def done(self) -> bool:
        """Whether the turn is of no use any more."""

    def set_result(self, result: None, /) -> None:
        """It is here."""


@dataclass(slots=True, eq=False)
class _Lane:
    """The calls of one class."""

    io_class: IoClass
    shares: int
    had: float = 0.0
    """Cost of the turns it took, over its shares."""
    calls: int = 0
    bytes: int = 0
    waited_s: float = 0.0
    busy_s: float = 0.0
    longest_s: float = 0.0
    waiting: deque[tuple[int, Turn]] = field(default_factory=deque)

    def note(self, size: int, asked_s: float, begun_s: float, ended_s: float) -> None:
        """Count a call that is over."""
        self.calls += 1
        self.bytes += size
        self.waited_s += begun_s - asked_s
        self.busy_s += ended_s - begun_s
        if ended_s - asked_s > self.longest_s:
            self.longest_s = ended_s - asked_s


class IoQueue:
    """Who may call the disk next; used by one event loop, whose clock times the calls."""

    __slots__ = ("_bytes", "_bytes_max", "_calls", "_calls_max", "_lanes", "_start", "_waiting")

    def __init__(self, calls_max: int, bytes_max: int) -> None:
        """At most so many calls and bytes in flight; one call that is larger goes alone."""
        assert calls_max > 0 and bytes_max > 0, "there is room for a call"
        self._calls_max, self._bytes_max = calls_max, bytes_max
        self._calls = self._bytes = self._waiting = 0
        self._start = 0.0
        """Where the last turn began, on the axis of `_Lane.had`: idle classes go on from here."""
        self._lanes = {io_class: _Lane(io_class, io_class.shares) for io_class in IoClass}

    @property
    def in_flight(self) -> tuple[int, int]:
        """Calls and bytes that have their turn."""
        return self._calls, self._bytes

    async def run(self, io_class: IoClass, size: int, call: Callable[[], Awaitable[T]]) -> T:
        """Make one call that moves `size` bytes when it is the turn of its class."""
        lane = self._lanes[io_class]
        time = asyncio.get_running_loop().time
        asked = begun = time()
        if io_class is not IoClass.COMMIT_LOG and (self._waiting or not self._has_room(size)):
            await self._wait(lane, size)
            begun = time()
        else:
            self._take(lane, size)
        try:
            return await call()
        finally:
            lane.note(size, asked, begun, time())
            self._leave(size)

    def begin(self, io_class: IoClass, size: int, turn: Turn) -> bool:
        """Like `run`, for who makes the call without a coroutine, and calls `end` after it.

        True if it has its turn at once; otherwise `turn` is told when it has.
        """
        lane = self._lanes[io_class]
        if self._waiting or not self._has_room(size):
            lane.waiting.append((size, turn))
            self._waiting += 1
            return False
        self._take(lane, size)
        return True

    def end(self, io_class: IoClass, size: int, asked_s: float, begun_s: float) -> None:
        """A call that had its turn is over; it was asked for and begun then."""
        now = asyncio.get_running_loop().time()
        self._lanes[io_class].note(size, asked_s, begun_s, now)
        self._leave(size)

    def statistics(self) -> tuple[IoClassStatistics, ...]:
        """The classes in numbers."""
        return tuple(
            IoClassStatistics(
                *lane.io_class.value,
                lane.calls,
                lane.bytes,
                len(lane.waiting),
                lane.waited_s,
                lane.busy_s,
                lane.longest_s,
            )
            for lane in self._lanes.values()
        )

    async def _wait(self, lane: _Lane, size: int) -> None:
        """Queue up; on return the turn is taken."""
        turn: Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append((size, turn))
        self._waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(size)
            raise

    def _leave(self, size: int) -> None:
        """A call is done; others may have its turn."""
        self._calls -= 1
        self._bytes -= size
        if self._waiting:
            self._give_turns()

    def _has_room(self, size: int) -> bool:
        return self._calls < self._calls_max and (
            not self._calls or self._bytes + size <= self._bytes_max
        )

    def _take(self, lane: _Lane, size: int) -> None:
        if lane.had > self._start:
            self._start = lane.had
        lane.had = self._start + (COST_BYTES + size) / lane.shares
        self._calls += 1
        self._bytes += size

    def _give_turns(self) -> None:
        """The class that comes first is waited for, even if a smaller call of another would fit."""
        while self._waiting:
            busy = [lane for lane in self._lanes.values() if lane.waiting]
            lane = min(busy, key=lambda each: max(each.had, self._start))
            size, turn = lane.waiting[0]
            if not turn.done() and not self._has_room(size):
                return
            lane.waiting.popleft()
            self._waiting -= 1
            if not turn.done():
                self._take(lane, size)
                turn.set_result(None)

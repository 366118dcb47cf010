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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from storage.io_turns import IoTurns

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


class IoQueue(IoTurns):
    """Who may call the disk next; used by one event loop, whose clock times the calls."""

    __slots__ = ()

    def __init__(self, calls_max: int, bytes_max: int) -> None:
        """At most so many calls and bytes in flight; one call that is larger goes alone."""
        super().__init__(calls_max, bytes_max, {each: each.shares for each in IoClass})

    async def run(self, io_class: IoClass, size: int, call: Callable[[], Awaitable[T]]) -> T:
        """Make one call that moves `size` bytes when it is the turn of its class."""
        asked = begun = self.now()
        if io_class is IoClass.COMMIT_LOG:
            self.take(io_class, size)
        elif not self.try_begin(io_class, size):
            await self._wait(io_class, size)
            begun = self.now()
        try:
            found = await call()
        except GeneratorExit:
            # It was given up together with its loop, so there is no clock to ask.
            self.give_back(size)
            raise
        except BaseException:
            self.end(io_class, size, asked, begun)
            raise
        self.end(io_class, size, asked, begun)
        return found

    def statistics(self) -> tuple[IoClassStatistics, ...]:
        """The classes in numbers."""
        return tuple(
            IoClassStatistics(each.value[0], each.shares, *self.counts(each)) for each in IoClass
        )

    async def _wait(self, io_class: IoClass, size: int) -> None:
        """Queue up; on return the turn is taken."""
        turn: Future[None] = asyncio.get_running_loop().create_future()
        is_here = self.begin(io_class, size, turn)
        assert not is_here, "there is no turn just now"
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(size)
            raise

"""Reads that run at once: what they may hold together, and the queue of those that wait.

A read is charged before it begins with what it may come to hold: a page and what it reads ahead, or
little, if it asks for one row. One read always runs, however large. Reads that memory answers at
once hold nothing when the next one begins, and never come here.
"""

import asyncio
from collections import deque
from typing import Final

from storage.errors import Overloaded
from storage.slice import Slice

PAGE_BYTES: Final = 1024 * 1024
"""What a page may hold whose slice has no limit of its own."""

AHEAD_BYTES: Final = 256 * 1024
ROW_BYTES: Final = 48 * 1024
"""What the read of one row is charged: a few blocks."""


def bytes_of(wanted: Slice, is_one_row: bool) -> int:
    """What a read may come to hold."""
    if is_one_row:
        return ROW_BYTES
    return min(wanted.byte_limit or PAGE_BYTES, PAGE_BYTES) + AHEAD_BYTES


class ReadRoom:
    """The reads of one shard; served in the order in which they came."""

    __slots__ = ("_waiting", "bytes_max", "refusals", "running", "used", "waiting_max")

    def __init__(self, bytes_max: int, waiting_max: int) -> None:
        self.bytes_max = bytes_max
        self.waiting_max = waiting_max
        self.used = 0
        self.running = 0
        self.refusals = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait, those who gave up lately included."""
        return len(self._waiting)

    def try_enter(self, size: int) -> bool:
        """Begin a read now, if nobody waits and there is room."""
        if self._waiting or (self.running and self.used + size > self.bytes_max):
            return False
        self.used += size
        self.running += 1
        return True

    async def enter(self, size: int) -> None:
        """Begin a read when it is its turn; raises `Overloaded` if too many wait already."""
        if self.try_enter(size):
            return
        if len(self._waiting) >= self.waiting_max:
            self.refusals += 1
            raise Overloaded(f"{len(self._waiting)} reads wait for memory already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(size)
            raise

    def leave(self, size: int) -> None:
        """A read has ended; those who waited longest go on."""
        self.used -= size
        self.running -= 1
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if self.running and self.used + size > self.bytes_max:
                    return
                self.used += size
                self.running += 1
                turn.set_result(None)
            self._waiting.popleft()

    def check(self) -> None:
        """Prove the invariants."""
        assert self.running >= 0 and self.used >= 0, "who leaves has entered"
        assert self.used <= self.bytes_max or self.running == 1, "only one may be too large"
        assert (self.used == 0) == (self.running == 0), "each read is charged"

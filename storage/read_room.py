"""Reads that run at once: what they may hold together, and the queue of those that wait.

A read is charged before it begins with what it may come to hold: a page and what it reads ahead, or
little, if it asks for one row. One read always runs, however large. Reads that memory answers at
once hold nothing when the next one begins, and never come here.
"""

import asyncio
from typing import Final

from storage.read_turns import ReadTurns
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


class ReadRoom(ReadTurns):
    """The reads of one shard; served in the order in which they came."""

    __slots__ = ()

    async def enter(self, size: int) -> None:
        """Begin a read when it is its turn; raises `Overloaded` if too many wait already."""
        if self.try_enter(size):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.begin(size, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(size)
            raise

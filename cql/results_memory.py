"""What results hold that are not made in one turn: one bound for the shard.

A result that takes several turns first waits for room for a page, so that only so many are made at
the same time; one that then gathers more than a page is refused when there is no room.
"""

from __future__ import annotations

from asyncio import CancelledError, Future, get_running_loop
from collections import deque
from collections.abc import Awaitable
from typing import Final

from cql.errors import InvalidRequest, Overloaded

BYTES_MAX: Final = 64 << 20
PAGE_BYTES_MAX: Final = 1 << 20
REST_BYTES: Final = 512 * 1024
REST_PAGES: Final = 2
"""After so much of one result others get their turn."""


class Results:
    """So many bytes for all results of a shard that are not ready yet."""

    def __init__(self, bytes_max: int = BYTES_MAX, page_bytes_max: int = PAGE_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.page_bytes_max = min(page_bytes_max, PAGE_BYTES_MAX)
        """A page ends at so many bytes, however many more rows the client would take."""
        self.used = 0
        self._waiting: deque[tuple[int, Future[None]]] = deque()

    def enter(self, size: int) -> Awaitable[None] | None:
        """Take `size` bytes, at once or when all who asked before have theirs."""
        if not self._waiting and self._has_room(size):
            self.used += size
            return None
        turn = get_running_loop().create_future()
        self._waiting.append((size, turn))
        return self._taken(size, turn)

    def leave(self, size: int) -> None:
        """Give bytes back; who waits for them has them now."""
        self.used -= size
        while self._waiting and (self._waiting[0][1].done() or self._has_room(self._waiting[0][0])):
            taken, turn = self._waiting.popleft()
            if not turn.done():
                self.used += taken
                turn.set_result(None)

    def _has_room(self, size: int) -> bool:
        return self.used == 0 or self.used + size <= self.bytes_max

    async def _taken(self, size: int, turn: Future[None]) -> None:
        try:
            await turn
        except CancelledError:
            if not turn.cancelled():
                self.leave(size)  # It was ours already.
            raise


class Gathered:
    """What one result holds.

    `enter` is asked for room for a page, once and before anything is held; `grow` is told how much
    it is by now, and `release` that it is done.
    """

    __slots__ = ("_held", "_pages", "_rested_at", "_results")

    def __init__(self, results: Results) -> None:
        self._results = results
        self._held = 0
        self._rested_at = 0
        self._pages = 0

    def enter(self, page_bytes: int) -> Awaitable[None] | None:
        """Have room for a page, unless something is held; None, or what to wait for."""
        if self._held:
            return None
        self._held = page_bytes
        waits = self._results.enter(page_bytes)
        return waits if waits is None else self._entered(waits)

    async def _entered(self, waits: Awaitable[None]) -> None:
        try:
            await waits
        except BaseException:
            self._held = 0
            raise

    def grow(self, size: int) -> bool:
        """Charge what the result has grown by with one more page; refuses one that is too large.

        Gives whether others should get their turn now.
        """
        results = self._results
        if size > results.bytes_max:
            raise InvalidRequest(
                f"The result takes more than {results.bytes_max} bytes; read it in pages, or limit "
                "the number of rows"
            )
        if results.used + size - self._held > results.bytes_max:
            raise Overloaded("The memory for results is in use")
        if size > self._held:
            results.used += size - self._held
            self._held = size
        self._pages += 1
        if self._pages < REST_PAGES and size < self._rested_at + REST_BYTES:
            return False
        self._pages, self._rested_at = 0, size
        return True

    def release(self) -> None:
        """The result is given away, or given up."""
        if self._held:
            self._results.leave(self._held)
            self._held = 0

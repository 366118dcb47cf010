"""What happens once at the end of a turn: the log goes to the kernel, then replies to clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from node.stalls import Stalls

__all__ = ["Flushable", "Turn"]


def _nothing() -> None:
    """There are no clients."""


class Flushable(Protocol):
    """Something that gathers bytes during a turn."""

    def flush(self) -> object:
        """Writes them; gives something true if it is to be called first after the next turn."""
        ...


class Turn:
    """Gathers what must be flushed, and flushes it after `log`: no reply overtakes its record.

    `call_soon` runs a callback after the I/O events at hand; `log` makes the turn's writes
    replayable and raises when it cannot; then nothing is flushed, and `stop` is told why.
    """

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        log: Callable[[], None],
        stop: Callable[[BaseException], None],
        stalls: Stalls | None = None,
    ) -> None:
        self._call_soon = call_soon
        self._watched_end = self.end
        if stalls is not None:
            self._watched_end = stalls.timed("the end of a turn: log and replies", self.end)
        self._log = log
        self._stop = stop
        self.renew: Callable[[], None] = _nothing
        """Called before requests are served at the end of a turn, and after."""

        self._waiting: list[Flushable] = []

    def flush_later(self, flushable: Flushable) -> None:
        """Flushes it once at the end of this turn; it must not ask again before."""
        if not self._waiting:
            self._call_soon(self.end_now)
        self._waiting.append(flushable)

    def end_now(self) -> None:
        """Flushes what has gathered: at the end of the turn, or before something long."""
        if self._waiting:
            self._watched_end()

    def end(self) -> None:
        """The end of the turn."""
        try:
            self._log()
        except Exception as error:  # noqa: BLE001 - whatever it was, the shard must stop
            self._stop(error)
            return
        waiting, self._waiting = self._waiting, []
        self.renew()
        passed = [flushable for flushable in waiting if flushable.flush()]
        self.renew()
        if passed:
            if not self._waiting:
                self._call_soon(self.end_now)
            self._waiting[:0] = passed

"""Coroutines that run at once as far as they can, and wait only if they must.

Code which mostly finds everything in memory is written once, as a coroutine. Started here, it costs
no task and no turn of the loop unless it truly waits; then the caller awaits the rest of it.
"""

from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Rest(Generic[T]):
    """A coroutine that has run up to its first wait. Awaited exactly once."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, None, T], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, None, T]:
        coroutine, waits_for = self._coroutine, self._waits_for
        try:
            while True:
                try:
                    yield waits_for
                except BaseException as error:  # noqa: BLE001 - what is thrown in goes on inside
                    waits_for = coroutine.throw(error)
                else:
                    waits_for = coroutine.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def close(self) -> None:
        """Give the coroutine up, as nobody will await it."""
        self._coroutine.close()


def start(coroutine: Coroutine[Any, None, T]) -> T | Awaitable[T]:
    """Run the coroutine; its result if it did not wait, otherwise what the caller must await.

    Until its first wait the coroutine runs in the caller's task and must not depend on which.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    return _Rest(coroutine, waits_for)

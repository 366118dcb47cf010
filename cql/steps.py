"""Runs work written as a generator without a task when nothing has to wait."""

from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Steps = Generator[Any, Any, T]


def is_awaitable(value: object) -> bool:
    """Whether a door answered with something to wait for, not with the answer itself."""
    return hasattr(type(value), "__await__")


def drive(steps: Steps[T]) -> T | Awaitable[T]:
    """Run `steps` to its end, feeding back each yielded answer.

    A step yields what a door gave it: an answer, which comes straight back, or an awaitable. Only
    from the first awaitable on is there a coroutine.
    """
    try:
        waiting = next(steps)
        while not is_awaitable(waiting):
            waiting = steps.send(waiting)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    return _drive_waiting(steps, waiting)


async def _drive_waiting(steps: Steps[T], waiting: Any) -> T:
    """Go on with `steps` from its first awaitable."""
    try:
        while True:
            try:
                answer = await waiting if is_awaitable(waiting) else waiting
            except Exception as failure:  # noqa: BLE001 - handed to the steps themselves
                waiting = steps.throw(failure)
            else:
                waiting = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]

"""Simulated processes: what runs in one ends with it, between two callbacks, without a word.

Every callback and task belongs to the process in whose context it was made. Of a dead process the
loop runs nothing more: no handler, no `finally`, as after a kill -9. Its tasks stay as they are
until the simulation is over.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_current: ContextVar[Process | None] = ContextVar("process", default=None)


OUTSIDE: Context = copy_context()
"""Of callbacks that belong to no process."""


class Process:
    """One life of a shard. `run` calls a function as the process would."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_buried = False
        """The simulation is over: what was left may be cleaned up."""
        self.held: list[tuple[Callable[..., Any], tuple[Any, ...], Context]] = []
        """What would have run after its death: tasks cannot be cleaned up without it."""
        self._context = copy_context()
        self._context.run(_current.set, self)

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that is not already running in this process."""
        return self._context.copy().run(function, *arguments)

    @property
    def context(self) -> Context:
        """For a callback that others schedule for this process."""
        return self._context.copy()


def current_process() -> Process | None:
    """The process that is running; None is the world outside."""
    return _current.get()


def process_of(context: Context | None) -> Process | None:
    """The process to which something made in a context belongs."""
    return _current.get() if context is None else context.get(_current)

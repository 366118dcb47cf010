"""Named places where a test may stop us, delay us or make us fail.

A step which makes something durable or visible calls `points.reach("flush.renamed")`. Without
hooks that is one call of an empty method; never call it per row. Tests hand the engine a
`RecordedPoints`, production the shared `NO_POINTS`.
"""

from collections.abc import Callable
from typing import Final


class Points:
    """The points of production: reaching one does nothing."""

    __slots__ = ()

    def reach(self, name: str) -> None:
        """Called when the step called `name` is done. May raise only in tests."""


class RecordedPoints(Points):
    """The points of tests: counts what was reached and runs the hook that waits there."""

    __slots__ = ("_hooks", "reached")

    def __init__(self) -> None:
        self.reached: dict[str, int] = {}
        self._hooks: dict[str, Callable[[str, int], None]] = {}

    def on(self, name: str, hook: Callable[[str, int], None]) -> None:
        """From now on, reaching `name` calls `hook(name, times reached)`, which may raise."""
        self._hooks[name] = hook

    def reach(self, name: str) -> None:
        count = self.reached.get(name, 0) + 1
        self.reached[name] = count
        hook = self._hooks.get(name) or self._hooks.get("*")
        if hook is not None:
            hook(name, count)


NO_POINTS: Final = Points()

"""An answer that comes later, and the plain calls that are made with it then."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")
_U = TypeVar("_U")

class Later(Generic[_T]):
    """What a request waits for, handed up from floor to floor: one object, one consumer."""

    def then(
        self,
        on_result: Callable[[_T], _U | Awaitable[_U]] | None,
        on_error: Callable[[BaseException], _U | Awaitable[_U]] | None = None,
    ) -> Later[_U]:
        """Add a step: what makes another result, or an error, of a result; of an error, if given.

        A step that gives an awaitable is followed by the next when that is done. Gives this object.
        """
    def follow(self, work: Awaitable[_T]) -> None:
        """Let a task decide, unless something else does before: then the task is cancelled."""
    def done(self) -> bool:
        """Whether the outcome is decided; what steps make of it may still wait."""
    def set_result(self, result: _T, /) -> None:
        """The answer, unless it is decided already."""
    def set_exception(self, exception: BaseException, /) -> None:
        """There will be no answer, unless it is decided already."""
    def __await__(self) -> Generator[Any, None, _T]:
        """The outcome of all steps so far. Who is cancelled gives the answer up."""

def soon(work: Awaitable[_T]) -> Later[_T]:
    """What an awaitable gives, which a task begins to run in this turn of the loop."""

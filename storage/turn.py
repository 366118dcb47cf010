"""What waits for its turn: a future, or what stands for one."""

from typing import Protocol


class Turn(Protocol):
    """A future, or what stands for one."""

    def done(self) -> bool:
        """Whether the turn is of no use any more."""

    def set_result(self, result: None, /) -> None:
        """It is here."""

"""Who may call the disk next: what is in flight, what waits, and what each class has had."""

from collections.abc import Hashable
from typing import Final, final

from storage.turn import Turn

COST_BYTES: Final[int]
"""What a call costs besides its bytes."""

@final
class Lane:
    """The calls of one class."""

    def __new__(cls, shares: float) -> Lane: ...

class IoTurns:
    """Calls in flight and calls that wait; of one event loop."""

    def __init__(self, calls_max: int, bytes_max: int, shares: dict[Hashable, int]) -> None:
        """At most so many calls and bytes in flight; `shares` has each class with its shares."""

    @property
    def in_flight(self) -> tuple[int, int]:
        """Calls and bytes that have their turn."""

    def now(self) -> float:
        """What the running loop's clock says."""

    def begin(self, io_class: Hashable, size: int, turn: Turn) -> bool:
        """Ask for a turn; `end` follows the call.

        True if it is there at once; otherwise `turn` is told when it is.
        """

    def try_begin(self, io_class: Hashable, size: int) -> bool:
        """Take a turn, if there is one at once."""

    def take(self, io_class: Hashable, size: int) -> None:
        """Take a turn, although there may be none: for what cannot wait."""

    def end(self, io_class: Hashable, size: int, asked_s: float, begun_s: float) -> None:
        """A call that had its turn is over; it was asked for and begun then."""

    def give_back(self, size: int) -> None:
        """A turn was not used."""

    def counts(self, io_class: Hashable) -> tuple[int, int, int, float, float, float]:
        """Of a class: calls and their bytes; how many wait; seconds waited, busy, longest."""

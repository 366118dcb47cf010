"""Which reads run at once and which wait: what they hold together, and in which order they come."""

from storage.turn import Turn

class ReadTurns:
    """The reads of one shard; served in the order in which they came."""

    bytes_max: int
    waiting_max: int
    used: int
    running: int
    refusals: int
    def __init__(self, bytes_max: int, waiting_max: int) -> None: ...
    @property
    def waiting(self) -> int:
        """How many wait, those who gave up lately included."""

    def try_enter(self, size: int) -> bool:
        """Begin a read now, if nobody waits and there is room."""

    def begin(self, size: int, turn: Turn) -> bool:
        """Begin a read now, or tell `turn` when it is its turn; `Overloaded` if too many wait."""

    def leave(self, size: int) -> None:
        """A read has ended; those who waited longest go on."""

    def check(self) -> None:
        """Prove the invariants."""

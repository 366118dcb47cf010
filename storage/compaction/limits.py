"""What an operator says about compactions while they run: how many, how fast, of which tables."""


class Limits:
    """May be changed at any time; what runs obeys at its next step."""

    __slots__ = ("_free_at", "bytes_per_s", "compactions_max", "disabled")

    def __init__(self, compactions_max: int, bytes_per_s: int = 0) -> None:
        self.compactions_max = compactions_max
        """Compactions that run at once by themselves."""
        self.bytes_per_s = bytes_per_s
        """What all of them may read together; 0 is no limit."""
        self.disabled: set[bytes] = set()
        """Ids of tables of which none begins by itself."""
        self._free_at = 0.0

    def delay(self, size: int, now: float) -> float:
        """How many seconds to wait after so many bytes were read, for the rate to be kept."""
        if not self.bytes_per_s:
            return 0.0
        self._free_at = max(self._free_at, now) + size / self.bytes_per_s
        return self._free_at - now

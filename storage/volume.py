"""The free space of the volume: who may take how much of it, and when writes are refused.

Two marks: below the first, writes are refused, so that what was accepted can still be flushed and
compacted; above the second, a quarter higher, they are accepted again. A compaction reserves what
its files may take before it begins, and leaves what flushes need.
"""

from collections.abc import Callable

from storage.disk import Disk, Space
from storage.errors import DiskError, DiskNearlyFull, LogShut
from storage.values import value_class

Tell = Callable[[str], None]


@value_class
class Marks:
    """The bounds of a volume, which the shards of a node share."""

    free_min_bytes: int = 0
    """With less free, writes are refused; of a small volume at most a quarter is kept so."""

    used_max: float = 1.0
    """With more of the volume in use, writes are refused."""

    flush_bytes: int = 0
    """What compactions leave for flushes."""

    shards: int = 1
    """Each may reserve its part of what is free, so that no two count on the same."""

    def __post_init__(self) -> None:
        assert 0 < self.used_max <= 1, "a part of the volume is in use"
        assert self.shards > 0, "somebody uses the volume"

    def high(self, space: Space) -> int:
        """With less free than this, writes are refused."""
        floor = min(self.free_min_bytes, space.total_bytes // 4)
        return max(floor, round(space.total_bytes * (1 - self.used_max)))

    def low(self, space: Space) -> int:
        """With this much free, they are accepted again."""
        return min(self.high(space) * 5 // 4, space.total_bytes)


class Volume:
    """The free space as of the last look, and what is reserved of it."""

    __slots__ = (
        "_directory",
        "_disk",
        "_is_shut",
        "_marks",
        "is_refusing",
        "reserved_bytes",
        "space",
        "tell",
    )

    def __init__(self, disk: Disk, directory: str, marks: Marks, tell: Tell) -> None:
        self._disk = disk
        self._directory = directory
        self._marks = marks
        self.tell = tell
        self.space = Space(0, 0)
        self.reserved_bytes = 0
        self.is_refusing = False
        """Whether clients may not write now."""
        self._is_shut = False

    def look(self) -> None:
        """See how much is free, and refuse or accept writes from now on."""
        try:
            self.space = space = self._disk.space(self._directory)
        except DiskError:
            return  # A disk that does not answer is not full; others will say what it is.
        if self._is_shut:
            return
        if not self.is_refusing and space.free_bytes < self._marks.high(space):
            self.refuse()
        elif self.is_refusing and space.free_bytes >= self._marks.low(space):
            self.is_refusing = False
            self.tell(f"{space.free_bytes} bytes of the disk are free: writes are accepted again")

    def refuse(self) -> None:
        """Refuse writes: the disk is nearly full, or somebody has met its end."""
        if not self.is_refusing:
            self.is_refusing = True
            self.tell(f"{self._state()}: writes are refused, reads go on")

    def shut(self) -> None:
        """Refuse writes whatever the disk has room for: there is no log."""
        self.is_refusing = self._is_shut = True

    def refusal(self) -> DiskNearlyFull | LogShut:
        """What to answer to a write that is refused."""
        if self._is_shut:
            return LogShut("the commit log has failed; only reads are served until a new start")
        return DiskNearlyFull(f"{self._state()}; writes are refused until there is room again")

    def fits(self, size: int) -> bool:
        """Whether so much can be written now beside what others have reserved, and flushes."""
        self.look()
        return size <= self.bytes_left

    @property
    def bytes_left(self) -> int:
        """How much this shard's compactions may take, by the last look."""
        free = self.space.free_bytes - self._marks.flush_bytes
        return free // self._marks.shards - self.reserved_bytes

    def reserve(self, size: int) -> None:
        """Take room which `fits`; `free` gives it back."""
        self.reserved_bytes += size

    def free(self, size: int) -> None:
        """What was reserved is written by now, or never will be."""
        assert 0 <= size <= self.reserved_bytes, "only what is reserved becomes free"
        self.reserved_bytes -= size

    def _state(self) -> str:
        space = self.space
        return f"the disk is nearly full ({space.free_bytes} of {space.total_bytes} bytes are free)"

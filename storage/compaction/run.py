"""What a choice of files to merge is made from, and what it says: values only."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from storage.sstable.reader import SSTable
from storage.values import value_class

NO_TIMESTAMP: Final = 2**63 - 1


@value_class
class SortedRun:
    """One SSTable as compaction sees it."""

    generation: int
    file_bytes: int
    first_key: bytes
    last_key: bytes
    level: int = 0
    partitions: int = 1
    rows: int = 1
    tombstones: int = 0
    min_timestamp: int = 0
    max_timestamp: int = 0
    min_deletion_s: int = 2**32 - 1
    max_deletion_s: int = 2**32 - 1
    max_ttl_s: int = 0
    created_s: int = 0

    def overlaps(self, other: "SortedRun") -> bool:
        """Whether both may have the same key."""
        return self.first_key <= other.last_key and other.first_key <= self.last_key

    @staticmethod
    def of(file: SSTable) -> "SortedRun":
        """What is known of an open file."""
        facts = file.statistics
        return SortedRun(
            file.generation,
            file.file_bytes,
            facts.first_key,
            facts.last_key,
            file.level,
            facts.partitions,
            facts.rows,
            facts.tombstones,
            facts.min_timestamp,
            facts.max_timestamp,
            facts.min_deletion_s,
            facts.max_deletion_s,
            facts.max_ttl_s,
            file.footer.created_s,
        )


@value_class
class Situation:
    """A table at the moment of the choice."""

    idle: tuple[SortedRun, ...]
    """What may be merged."""

    busy: tuple[SortedRun, ...] = ()
    """What other compactions merge now, and what is damaged."""

    wall_s: int = 0
    gc_before_s: int = 0
    """Tombstones from before are due."""

    memory_min_timestamp: int = NO_TIMESTAMP
    """The lowest timestamp in memtables."""

    looks_for_expired: bool = True
    """Whether it is time again to look for files in which nothing is alive."""


@value_class
class Choice:
    """Files to merge, and how to write what comes out."""

    runs: tuple[SortedRun, ...]
    level: int = 0
    """Where the new files belong."""

    file_bytes_max: int = 0
    """At which size a new file is begun; 0 is never."""

    cuts: tuple[bytes, ...] = ()
    """Keys at which a new file is begun, ascending."""

    drops: bool = False
    """Nothing in the files is alive or shadows anything: they go without being read."""

    moves: bool = False
    """The file goes to another level as it is."""


class Strategy(Protocol):
    """A rule by which files are chosen."""

    def choose(self, situation: Situation) -> Choice | None:
        """What to do next; None if nothing is worth it."""

    def choose_all(self, runs: tuple[SortedRun, ...]) -> Choice:
        """How to merge all files, as somebody asked for it."""


def total_bytes(runs: Iterable[SortedRun]) -> int:
    """The bytes of all files together."""
    return sum(run.file_bytes for run in runs)


def overlapping(runs: Sequence[SortedRun], others: Iterable[SortedRun]) -> list[SortedRun]:
    """Those of the others which have keys between the lowest and the highest of the runs."""
    if not runs:
        return []
    first = min(run.first_key for run in runs)
    last = max(run.last_key for run in runs)
    return [run for run in others if run.first_key <= last and first <= run.last_key]


def groups_of(runs: Iterable[SortedRun]) -> list[list[SortedRun]]:
    """The runs in groups, by keys: what overlaps, or is linked by others that do, is together."""
    groups: list[list[SortedRun]] = []
    last = b""
    for run in sorted(runs, key=lambda run: (run.first_key, run.generation)):
        if not groups or run.first_key > last:
            groups.append([])
        groups[-1].append(run)
        last = max(last, run.last_key)
    return groups

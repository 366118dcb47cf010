"""Which SSTables to merge: levels, each `fanout_size` times the one below, without overlaps.

Flushes come to level 0, where files may overlap. On every other level a key is in at most one file,
so a read looks into one file per level. A level that is too large gives a file to the next, where
it is merged with those it overlaps: the one with the least to merge for its size, so that every
range of keys gets its turn although nothing is remembered.
The rules and defaults are Cassandra's, but level 0 waits for `min_threshold` files before it
merges them among themselves; it writes each byte once there instead of several times.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from storage.compaction import size_tiered
from storage.compaction.options import MIB, is_true
from storage.compaction.run import Choice, Situation, SortedRun, overlapping, total_bytes
from storage.compaction.tombstones import choose_for_tombstones

LEVELS_MAX = 9
LEVEL_ZERO_MAX = 32
"""With more files than these at level 0 it is behind, and they are merged by size first."""


@dataclass(frozen=True, slots=True)
class Options:
    """How large files and levels are."""

    tiered: size_tiered.Options = field(default_factory=size_tiered.Options)
    file_bytes: int = 160 * MIB
    fanout: int = 10
    moves_single: bool = False

    @staticmethod
    def parse(given: Mapping[str, str]) -> "Options":
        """The options of a table; what is not given has the default."""
        return Options(
            size_tiered.Options.parse(given),
            max(int(given.get("sstable_size_in_mb", 160)), 1) * MIB,
            max(int(given.get("fanout_size", 10)), 1),
            is_true(given.get("single_sstable_uplevel", "false")),
        )


@dataclass(frozen=True, slots=True)
class Leveled:
    """Keeps levels."""

    options: Options = field(default_factory=Options)

    def choose(self, situation: Situation) -> Choice | None:
        """See `Strategy`. One compaction at a time, so that two never write the same keys."""
        tiered = self.options.tiered
        if situation.busy:
            # A damaged file cannot be merged away, and levels cannot be kept around it.
            chosen = size_tiered.choose_similar(
                [run for run in situation.idle if run.level == 0], tiered
            )
            return Choice(tuple(chosen)) if chosen else None
        levels = levels_of(situation.idle)
        found = self._choose_upper(levels) or self._choose_zero(levels)
        return found or choose_for_tombstones(situation, tiered.common)

    def choose_all(self, runs: tuple[SortedRun, ...]) -> Choice:
        """See `Strategy`."""
        return Choice(runs, self._level_for(total_bytes(runs)), self.options.file_bytes)

    def bytes_max(self, level: int) -> int:
        """How much belongs on a level."""
        return int(self.options.fanout**level) * self.options.file_bytes

    def _level_for(self, size: int) -> int:
        level = 1
        while level < LEVELS_MAX - 1 and self.bytes_max(level) < size:
            level += 1
        return level

    def _choose_upper(self, levels: Sequence[Sequence[SortedRun]]) -> Choice | None:
        """The highest level that is too large; but first level 0 if that is far behind."""
        for level in range(LEVELS_MAX - 2, 0, -1):
            runs = levels[level]
            if total_bytes(runs) <= self.bytes_max(level) * 1.001:
                continue
            if len(levels[0]) > LEVEL_ZERO_MAX:
                chosen = size_tiered.choose_similar(levels[0], self.options.tiered)
                if chosen:
                    return Choice(tuple(chosen))
            chosen_run = _cheapest(runs, levels[level + 1])
            above = overlapping([chosen_run], levels[level + 1])
            if self.options.moves_single and not above:
                return Choice((chosen_run,), level + 1, moves=True)
            return Choice((chosen_run, *above), level + 1, self.options.file_bytes)
        return None

    def _choose_zero(self, levels: Sequence[Sequence[SortedRun]]) -> Choice | None:
        """Level 0 into level 1, or into itself while there is too little for one file."""
        common = self.options.tiered.common
        runs = sorted(levels[0], key=lambda run: run.generation)
        if len(runs) > LEVEL_ZERO_MAX:
            chosen = size_tiered.choose_similar(runs, self.options.tiered)
            if chosen:
                return Choice(tuple(chosen))
        taken = runs[: min(LEVEL_ZERO_MAX, common.max_threshold)]
        if total_bytes(taken) > self.options.file_bytes:
            return Choice((*taken, *overlapping(taken, levels[1])), 1, self.options.file_bytes)
        return Choice(tuple(taken)) if len(taken) >= common.min_threshold else None


def _cheapest(runs: Sequence[SortedRun], above: Sequence[SortedRun]) -> SortedRun:
    """The file with the fewest bytes above it for each of its own, the oldest of equal ones."""
    above = sorted(above, key=lambda run: run.first_key)
    firsts = [run.first_key for run in above]
    lasts = [run.last_key for run in above]
    sums = list(accumulate((run.file_bytes for run in above), initial=0))

    def cost(run: SortedRun) -> tuple[float, int]:
        start, stop = bisect_left(lasts, run.first_key), bisect_right(firsts, run.last_key)
        return (sums[max(stop, start)] - sums[start]) / max(run.file_bytes, 1), run.generation

    return min(runs, key=cost)


def levels_of(runs: Sequence[SortedRun]) -> list[list[SortedRun]]:
    """The files by level."""
    levels: list[list[SortedRun]] = [[] for _ in range(LEVELS_MAX)]
    for run in runs:
        levels[min(run.level, LEVELS_MAX - 1)].append(run)
    return levels

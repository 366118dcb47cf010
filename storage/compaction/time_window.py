"""Which SSTables to merge: those whose youngest data are of the same window of time.

The current window is merged by size, each older one into a single file, and a file in which
nothing is alive any more is dropped whole. The rules and defaults are those of Cassandra's
time-window strategy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.compaction import size_tiered
from storage.compaction.options import is_true
from storage.compaction.run import Choice, Situation, SortedRun
from storage.compaction.tombstones import choose_expired, choose_for_tombstones

UNIT_S = {"MINUTES": 60, "HOURS": 3_600, "DAYS": 86_400}
TICKS_PER_S = {
    "SECONDS": 1,
    "MILLISECONDS": 1_000,
    "MICROSECONDS": 1_000_000,
    "NANOSECONDS": 1_000_000_000,
}
EXPIRED_CHECK_S = 600


@dataclass(frozen=True, slots=True)
class Options:
    """What a window is."""

    tiered: size_tiered.Options = field(default_factory=size_tiered.Options)
    window_s: int = UNIT_S["DAYS"]
    ticks_per_s: int = TICKS_PER_S["MICROSECONDS"]
    ignores_overlaps: bool = False
    rewrites_for_tombstones: bool = False
    """Only if an option about it was given: whole windows expire by themselves."""

    @staticmethod
    def parse(given: Mapping[str, str]) -> "Options":
        """The options of a table; what is not given has the default."""
        unit = UNIT_S[given.get("compaction_window_unit", "DAYS").upper()]
        return Options(
            size_tiered.Options.parse(given),
            unit * max(int(given.get("compaction_window_size", 1)), 1),
            TICKS_PER_S[given.get("timestamp_resolution", "MICROSECONDS").upper()],
            is_true(given.get("unsafe_aggressive_sstable_expiration", "false")),
            "tombstone_threshold" in given or "tombstone_compaction_interval" in given,
        )


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Keeps one file for each window that is over."""

    options: Options = field(default_factory=Options)

    def choose(self, situation: Situation) -> Choice | None:
        """See `Strategy`."""
        expired = choose_expired(situation, self.options.ignores_overlaps)
        if expired is not None:
            return expired
        chosen = self._choose_window(situation)
        if chosen:
            return Choice(tuple(chosen))
        if self.options.rewrites_for_tombstones:
            return choose_for_tombstones(situation, self.options.tiered.common)
        return None

    def choose_all(self, runs: tuple[SortedRun, ...]) -> Choice:
        """See `Strategy`."""
        return Choice(runs)

    def window_of(self, run: SortedRun) -> int:
        """The window of a file's youngest data."""
        return run.max_timestamp // (self.options.ticks_per_s * self.options.window_s)

    def _choose_window(self, situation: Situation) -> list[SortedRun]:
        """The youngest window that has something to merge."""
        tiered = self.options.tiered
        windows: dict[int, list[SortedRun]] = {}
        for run in situation.idle:
            windows.setdefault(self.window_of(run), []).append(run)
        newest = max(map(self.window_of, (*situation.idle, *situation.busy)), default=0)
        for window in sorted(windows, reverse=True):
            runs = windows[window]
            if window == newest:
                chosen = size_tiered.choose_similar(runs, tiered)
                if chosen:
                    return chosen
            elif len(runs) >= 2:
                runs.sort(key=lambda run: (run.file_bytes, run.generation))
                return runs[: tiered.common.max_threshold]
        return []

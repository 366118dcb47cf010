"""Which SSTables to merge: levels of similar density, each as tiered or as leveled as one wants.

The density of a file is its size over the part of the token range which it spans, so files that
were cut to smaller ranges stay comparable. A scaling parameter W says how a level works: with W
above 0 (`T4` is 2) it waits for W + 2 overlapping files; below 0 (`L10` is -8) two are enough
and the next level is 2 - W times as dense. New files are cut at fixed tokens, in the more parts the
denser they are. The rules and defaults are those of Cassandra's unified strategy.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from storage.compaction.options import MIB, CommonOptions, fraction_of, is_true, size_of
from storage.compaction.run import Choice, Situation, SortedRun, total_bytes
from storage.compaction.tombstones import choose_expired, choose_for_tombstones

SPLITS_MAX = 1 << 20
RING = 1 << 64
SPAN_MIN = 2.0**-48
"""A file that spans less has next to no partitions; its size says more than its density."""
FLUSH_BYTES = 64 * MIB

_PARAMETER = re.compile(r"(N)|L(\d+)|T(\d+)|([+-]?\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Options:
    """How levels work and how files are cut."""

    common: CommonOptions = field(default_factory=CommonOptions)
    scaling: tuple[int, ...] = (2,)
    """W by level; further levels have the last one."""

    target_bytes: int = 1024 * MIB
    min_bytes: int = 100 * MIB
    flush_bytes: int = FLUSH_BYTES
    base_shards: int = 4
    growth: float = 0.333
    runs_max: int = 32
    overlap_inclusion: str = "TRANSITIVE"
    ignores_overlaps: bool = False

    @staticmethod
    def parse(given: Mapping[str, str]) -> "Options":
        """The options of a table; what is not given has the default."""
        default = Options()
        flush = size_of(given.get("flush_size_override", "0"))
        return Options(
            CommonOptions.parse(given),
            parse_scaling(given.get("scaling_parameters", "T4")),
            max(size_of(given.get("target_sstable_size", str(default.target_bytes))), MIB),
            size_of(given.get("min_sstable_size", str(default.min_bytes))),
            flush or default.flush_bytes,
            max(int(given.get("base_shard_count", default.base_shards)), 1),
            fraction_of(given.get("sstable_growth", str(default.growth))),
            max(int(given.get("max_sstables_to_compact", 0)), 0) or default.runs_max,
            given.get("overlap_inclusion_method", default.overlap_inclusion).upper(),
            is_true(given.get("unsafe_aggressive_sstable_expiration", "false")),
        )


def parse_scaling(text: str) -> tuple[int, ...]:
    """W for each level from a text like `T4, L10, N`."""
    return tuple(map(_parse_parameter, text.split(",")))


def _parse_parameter(text: str) -> int:
    found = _PARAMETER.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text.strip()} is no scaling parameter")
    none, leveled, tiered, number = found.groups()
    if none:
        return 0
    if leveled:
        return 2 - int(leveled)
    return int(tiered) - 2 if tiered else int(number)


@dataclass(frozen=True, slots=True)
class Unified:
    """Keeps few overlapping files in each level of density."""

    options: Options = field(default_factory=Options)

    def choose(self, situation: Situation) -> Choice | None:
        """See `Strategy`."""
        expired = choose_expired(situation, self.options.ignores_overlaps)
        if expired is not None:
            return expired
        levels = self._levels(situation.idle)
        best: list[SortedRun] = []
        most = 0
        for index, runs in sorted(levels.items()):
            overlap, chosen = self._choose_level(index, runs)
            if overlap > most:
                most, best = overlap, chosen
        if best:
            return self._choice(tuple(best))
        return choose_for_tombstones(situation, self.options.common)

    def choose_all(self, runs: tuple[SortedRun, ...]) -> Choice:
        """See `Strategy`."""
        return self._choice(runs)

    def level_of(self, run: SortedRun) -> int:
        """The level for a file's density."""
        index = 0
        limit = self._limit(0, max(self.options.flush_bytes, 1) * (1 - 0.9 / self.fanout(0)))
        while density_of(run) >= limit and index < 64:
            index += 1
            limit = self._limit(index, limit)
        return index

    def fanout(self, index: int) -> int:
        """How many times as dense the next level is."""
        w = self._scaling(index)
        return 2 - w if w < 0 else 2 + w

    def threshold(self, index: int) -> int:
        """How many overlapping files of a level are merged."""
        return 2 + max(self._scaling(index), 0)

    def shards(self, density: float) -> int:
        """Into how many parts of the token range files of a density are cut."""
        options = self.options
        base = options.base_shards
        if options.min_bytes > 0 and density / options.min_bytes < base:
            return _power_below(density / options.min_bytes)
        if options.growth == 1:
            return base
        count = density / (options.target_bytes * base)
        if count <= 0:
            return base
        power = math.log2(count) * (1 - options.growth) + 0.5
        return base * (1 << max(min(int(power), SPLITS_MAX.bit_length() - 1), 0))

    def _scaling(self, index: int) -> int:
        scaling = self.options.scaling
        return scaling[min(index, len(scaling) - 1)]

    def _limit(self, index: int, least: float) -> float:
        return math.floor(least * self.fanout(index))

    def _levels(self, runs: Sequence[SortedRun]) -> dict[int, list[SortedRun]]:
        levels: dict[int, list[SortedRun]] = {}
        for run in runs:
            levels.setdefault(self.level_of(run), []).append(run)
        return levels

    def _choose_level(self, index: int, runs: list[SortedRun]) -> tuple[int, list[SortedRun]]:
        """The group of files with the most overlap, and how many overlap; (0, []) if too few."""
        best: tuple[int, list[SortedRun]] = (0, [])
        for group, depth in _groups(runs, self.options.overlap_inclusion):
            if depth >= self.threshold(index) and depth > best[0]:
                best = (depth, group)
        depth, group = best
        most = max(self.options.runs_max, self.fanout(index))
        # The oldest come first, as what is left keeps its order.
        return depth, sorted(group, key=lambda run: run.generation)[:most]

    def _choice(self, runs: tuple[SortedRun, ...]) -> Choice:
        first = min((position_of(run.first_key) for run in runs), default=0)
        last = max((position_of(run.last_key) for run in runs), default=0)
        shards = self.shards(total_bytes(runs) / _span(first, last))
        cuts = (-(-RING * part // shards) for part in range(1, shards))
        return Choice(
            runs, cuts=tuple(cut.to_bytes(8, "big") for cut in cuts if first < cut <= last)
        )


def density_of(run: SortedRun) -> float:
    """The size which the file would have if it spanned the whole token range."""
    return run.file_bytes / _span(position_of(run.first_key), position_of(run.last_key))


def position_of(key: bytes) -> int:
    """The token of a decorated key, from 0."""
    return int.from_bytes(key[:8].ljust(8, b"\0"), "big")


def _span(first: int, last: int) -> float:
    span = (last - first) / RING
    return span if span >= SPAN_MIN else 1.0


def _power_below(count: float) -> int:
    """The highest power of two that is not above `count`, at least 1."""
    return 1 << (max(int(count), 1).bit_length() - 1)


def _groups(runs: Sequence[SortedRun], inclusion: str) -> list[tuple[list[SortedRun], int]]:
    """Files which overlap, and how many of a group overlap at one key at most.

    TRANSITIVE takes all files that hang together. Otherwise a group is those at its fullest key
    (NONE), with those that overlap one of these (SINGLE).
    """
    groups = []
    for connected in _connected(runs):
        fullest = _fullest(connected)
        if inclusion == "NONE":
            group = fullest
        elif inclusion == "SINGLE":
            group = [run for run in connected if any(run.overlaps(one) for one in fullest)]
        else:
            group = connected
        groups.append((group, len(fullest)))
    return groups


def _connected(runs: Sequence[SortedRun]) -> list[list[SortedRun]]:
    """The files in groups of which none overlaps another."""
    groups: list[list[SortedRun]] = []
    end = b""
    for run in sorted(runs, key=lambda run: (run.first_key, run.generation)):
        if groups and run.first_key <= end:
            groups[-1].append(run)
            end = max(end, run.last_key)
        else:
            groups.append([run])
            end = run.last_key
    return groups


def _fullest(runs: Sequence[SortedRun]) -> list[SortedRun]:
    """The largest set of the files, sorted by first key, that have a key in common."""
    best: list[SortedRun] = []
    at_key: list[SortedRun] = []
    for run in runs:
        at_key = [other for other in at_key if other.last_key >= run.first_key]
        at_key.append(run)
        if len(at_key) > len(best):
            best = list(at_key)
    return best

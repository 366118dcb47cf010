"""Each strategy over a long stream of flushes: invariants, few files, bounded writing.

Figures of this stream are printed with `-s`; write amplification is bytes written, flushes
included, over bytes flushed.
"""

import itertools
from dataclasses import dataclass, field
from random import Random

import pytest

from storage.compaction.leveled import LEVEL_ZERO_MAX, Leveled
from storage.compaction.options import MIB, PACKAGE, CommonOptions, fraction_of, size_of
from storage.compaction.run import Choice, Situation, SortedRun, total_bytes
from storage.compaction.size_tiered import Options, SizeTiered, buckets_of
from storage.compaction.strategies import strategy_of
from storage.compaction.time_window import TimeWindow
from storage.compaction.tombstones import choose_for_tombstones, droppable_fraction, find_expired
from storage.compaction.unified import Unified, density_of, parse_scaling
from storage.values import replace

FLUSH = 4 * MIB
KEYS = 1 << 20
NEVER = 2**32 - 1


def key(number: int) -> bytes:
    return (number * (1 << 44)).to_bytes(8, "big") + b"k"


@dataclass
class Simulation:
    """A table whose files are only numbers: keys are drawn evenly, a share of writes overwrites."""

    strategy: object
    capacity: int
    """The bytes of the data when every key is written once; overwrites keep it there."""
    files: list[SortedRun] = field(default_factory=list)
    generation: int = 0
    flushed: int = 0
    written: int = 0
    files_max: int = 0
    now: int = 1_000_000

    def flush(self, seconds: int = 0) -> None:
        self.now += seconds
        self.flushed += FLUSH
        self.written += FLUSH
        self.add(FLUSH, key(0), key(KEYS - 1), 0, self.now)
        self.settle()
        self.files_max = max(self.files_max, len(self.files))

    def add(self, size: int, first: bytes, last: bytes, level: int, at: int) -> None:
        self.generation += 1
        self.files.append(
            SortedRun(
                self.generation,
                size,
                first,
                last,
                level,
                min_timestamp=at * 10**6,
                max_timestamp=at * 10**6,
                created_s=self.now,
            )
        )

    def settle(self) -> None:
        for _ in range(1000):
            situation = Situation(tuple(self.files), wall_s=self.now, gc_before_s=self.now)
            choice = self.strategy.choose(situation)  # type: ignore[attr-defined]
            if choice is None:
                return
            self.apply(choice)
        raise AssertionError("compaction comes to an end")

    def apply(self, choice: Choice) -> None:
        assert len(set(choice.runs)) == len(choice.runs) > 0, "files are chosen once"
        assert set(choice.runs) <= set(self.files), "only files of the table are chosen"
        self.files = [run for run in self.files if run not in set(choice.runs)]
        if choice.drops:
            return
        first = min(run.first_key for run in choice.runs)
        last = max(run.last_key for run in choice.runs)
        start, end = (int.from_bytes(k[:8], "big") for k in (first, last))
        span = (end - start) / 2**64
        size = min(total_bytes(choice.runs), max(int(self.capacity * span), 1))
        if not choice.moves:
            self.written += size
        at = max(run.max_timestamp for run in choice.runs) // 10**6
        edges = [start, *(int.from_bytes(cut, "big") for cut in choice.cuts), end]
        if choice.file_bytes_max:
            parts = -(-size // choice.file_bytes_max)
            edges = [start + (end - start) * i // parts for i in range(parts + 1)]
        for low, high in itertools.pairwise(edges):
            share = int(size * (high - low) / max(end - start, 1)) if end > start else size
            above = high if high == end else high - 1
            self.add(
                share, low.to_bytes(8, "big"), above.to_bytes(8, "big") + b"", choice.level, at
            )
        if choice.level:
            self.check_level(choice.level)

    def check_level(self, level: int) -> None:
        runs = sorted((r for r in self.files if r.level == level), key=lambda r: r.first_key)
        for a, b in itertools.pairwise(runs):
            assert a.last_key < b.first_key, "a key is once on a level"

    @property
    def amplification(self) -> float:
        return self.written / self.flushed


def simulate(*options: tuple[str, str], flushes: int = 400, seconds: int = 0) -> Simulation:
    simulation = Simulation(strategy_of(options), 200 * FLUSH)
    for _ in range(flushes):
        simulation.flush(seconds)
    print(
        dict(options)["class"],
        f"files {len(simulation.files)} (at most {simulation.files_max})",
        f"write amplification {simulation.amplification:.1f}",
        f"space {total_bytes(simulation.files) / simulation.capacity:.2f}",
    )
    return simulation


def test_size_tiered_keeps_few_files_and_writes_little() -> None:
    simulation = simulate(("class", "SizeTieredCompactionStrategy"), ("min_sstable_size", "0"))
    assert simulation.files_max <= 20
    assert simulation.amplification < 7


def test_leveled_keeps_levels() -> None:
    simulation = simulate(
        ("class", PACKAGE + "LeveledCompactionStrategy"), ("sstable_size_in_mb", "8")
    )
    zero = [run for run in simulation.files if run.level == 0]
    assert len(zero) <= LEVEL_ZERO_MAX
    strategy = simulation.strategy
    assert isinstance(strategy, Leveled)
    for level in range(1, 5):
        runs = [run for run in simulation.files if run.level == level]
        assert total_bytes(runs) <= strategy.bytes_max(level) * 1.001
        assert all(run.file_bytes <= 8 * MIB * 1.01 for run in runs)
    assert simulation.amplification < 25
    assert total_bytes(simulation.files) < 1.3 * simulation.capacity


def test_a_single_file_may_go_up_as_it_is() -> None:
    options = (("sstable_size_in_mb", "8"), ("single_sstable_uplevel", "true"))
    strategy = strategy_of((("class", "LeveledCompactionStrategy"), *options))
    runs = tuple(
        SortedRun(n, 8 * MIB, key(n * 100), key(n * 100 + 99), level=1) for n in range(1, 12)
    )
    choice = strategy.choose(Situation(runs))
    assert choice is not None and choice.moves and choice.level == 2
    assert choice.runs == runs[:1], "the oldest goes first"


def test_levels_wait_while_another_compaction_runs() -> None:
    strategy = strategy_of((("class", "LeveledCompactionStrategy"), ("sstable_size_in_mb", "1")))
    runs = tuple(SortedRun(n, MIB, key(n), key(n), level=1) for n in range(1, 30))
    assert strategy.choose(Situation(runs)) is not None
    assert strategy.choose(Situation(runs[1:], runs[:1])) is None


def test_time_windows_become_one_file_each() -> None:
    simulation = simulate(
        ("class", "TimeWindowCompactionStrategy"),
        *(("compaction_window_unit", "HOURS"), ("min_sstable_size", "0")),
        flushes=240,
        seconds=360,
    )
    strategy = simulation.strategy
    assert isinstance(strategy, TimeWindow)
    windows = [strategy.window_of(run) for run in simulation.files]
    newest = max(windows)
    older = [window for window in windows if window != newest]
    assert len(set(older)) == len(older), "each window that is over has one file"
    assert len(windows) - len(older) <= 8
    assert simulation.amplification < 4


@pytest.mark.parametrize(
    ("scaling", "files", "amplification"), [("T4", 60, 7), ("N", 40, 14), ("L10", 40, 30)]
)
def test_unified_trades_files_for_writing(scaling: str, files: int, amplification: float) -> None:
    simulation = simulate(
        ("class", "UnifiedCompactionStrategy"),
        ("scaling_parameters", scaling),
        *(("flush_size_override", "4MiB"), ("min_sstable_size", "2MiB")),
        ("target_sstable_size", "64MiB"),
    )
    assert simulation.files_max <= files
    assert simulation.amplification < amplification


def test_unified_cuts_at_the_same_tokens_whatever_is_merged() -> None:
    strategy = strategy_of((("class", "UnifiedCompactionStrategy"), ("min_sstable_size", "0B")))
    small = strategy.choose_all((SortedRun(1, 5 * MIB, key(0), key(KEYS - 1)),))
    large = strategy.choose_all((SortedRun(1, 99_000 * MIB, key(0), key(KEYS - 1)),))
    assert len(small.cuts) == 3 and set(small.cuts) < set(large.cuts)
    half = strategy.choose_all((SortedRun(1, 5 * MIB, key(0), key(KEYS // 2 - 1)),))
    assert half.cuts == small.cuts[:1]


def test_unified_reads_its_parameters() -> None:
    assert parse_scaling("T4, L10,N, -3,2") == (2, -8, 0, -3, 2)
    unified = strategy_of((("class", "UnifiedCompactionStrategy"), ("scaling_parameters", "T4,L8")))
    assert isinstance(unified, Unified)
    assert [unified.fanout(i) for i in range(3)] == [4, 8, 8]
    assert [unified.threshold(i) for i in range(3)] == [4, 2, 2]
    options = unified.options
    assert (options.target_bytes, options.min_bytes) == (1024 * MIB, 100 * MIB)
    assert (options.base_shards, options.growth) == (4, 0.333)
    assert density_of(SortedRun(1, 100, key(0), key(KEYS // 2))) == pytest.approx(200)
    assert density_of(SortedRun(1, 100, key(5), key(5))) == 100


@pytest.mark.parametrize(
    "options",
    [
        *({"class": "UnifiedCompactionStrategy", "scaling_parameters": t} for t in ("", "X", "T")),
        {"class": "UnifiedCompactionStrategy", "target_sstable_size": "much"},
        {"class": "TimeWindowCompactionStrategy", "compaction_window_unit": "YEARS"},
        {"class": "SizeTieredCompactionStrategy", "min_sstable_size": "50MiB"},
    ],
)
def test_options_that_make_no_sense_leave_the_default(options: dict[str, str]) -> None:
    assert strategy_of(tuple(options.items())) == SizeTiered()


def test_sizes_and_fractions_are_read() -> None:
    assert [size_of(t) for t in ("100MiB", "1 GB", "7", "2KiB", "0B")] == [
        *(100 * MIB, 1024 * MIB, 7, 2048, 0)
    ]
    assert (fraction_of("33.3%"), fraction_of("0.5")) == (pytest.approx(0.333), 0.5)
    with pytest.raises(ValueError, match="no size"):
        size_of("much")


def test_every_file_is_in_one_group_of_similar_ones() -> None:
    chance = Random(7)
    runs = [SortedRun(n, int(10 ** chance.uniform(3, 10)), b"a", b"z") for n in range(200)]
    buckets = buckets_of(runs, Options())
    assert sorted(run.generation for bucket in buckets for run in bucket) == list(range(200))
    assert SizeTiered().choose(Situation(tuple(runs[:3]))) is None


def old(generation: int, **facts: int) -> SortedRun:
    """A file in which half of everything is a tombstone that is due."""
    run = SortedRun(generation, MIB, key(0), key(99), rows=100, tombstones=100)
    return replace(run, **({"min_deletion_s": 10, "max_timestamp": 20 * 10**6} | facts))


def test_a_file_of_old_tombstones_is_worth_rewriting_once_a_day() -> None:
    options = CommonOptions()
    day = Situation((old(1),), wall_s=90_000, gc_before_s=1000)
    choice = choose_for_tombstones(day, options)
    assert choice is not None and choice.runs == day.idle
    assert choose_for_tombstones(replace(day, idle=(old(1, created_s=9_000),)), options) is None
    assert choose_for_tombstones(replace(day, gc_before_s=10), options) is None
    assert choose_for_tombstones(replace(day, idle=(old(1, tombstones=20),)), options) is None


def test_a_file_that_others_overlap_is_rewritten_only_unchecked() -> None:
    other = SortedRun(2, MIB, key(0), key(99))
    both = Situation((old(1), other), wall_s=90_000, gc_before_s=1000)
    assert choose_for_tombstones(both, CommonOptions()) is None
    choice = choose_for_tombstones(both, CommonOptions(is_unchecked=True))
    assert choice is not None and [run.generation for run in choice.runs] == [1]
    aside = replace(other, first_key=key(90))
    assert choose_for_tombstones(replace(both, idle=(old(1), aside)), CommonOptions()) is not None


def test_tombstones_that_are_not_due_do_not_count() -> None:
    run = old(1, min_deletion_s=0, max_timestamp=99 * 10**6)
    assert droppable_fraction(run, 0) == 0
    assert droppable_fraction(run, 50) == pytest.approx(0.25)
    assert droppable_fraction(run, 1000) == pytest.approx(0.5)


def test_an_expired_file_stays_while_something_older_is_alive() -> None:
    expired = SortedRun(1, 1, key(0), key(9), max_timestamp=100, max_deletion_s=5)
    alive = SortedRun(2, 1, key(5), key(20), min_timestamp=101, max_deletion_s=NEVER)
    older = replace(alive, min_timestamp=100)
    apart = replace(older, first_key=key(10))
    for others, memory, found in (
        *(((), 101, True), ((), 100, False), ((alive,), 200, True)),
        *(((older,), 200, False), ((apart,), 200, True)),
    ):
        situation = Situation((expired, *others), gc_before_s=6, memory_min_timestamp=memory)
        assert (find_expired(situation) == [expired]) is found
    assert find_expired(Situation((expired, older), gc_before_s=6), True) == [expired]
    assert find_expired(Situation((expired,), gc_before_s=5)) == []

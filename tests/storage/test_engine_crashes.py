"""The engine when the machine stops at any call to its disk: what was promised is there again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Set
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

import pytest

from storage.commitlog import CommitLogConfig, SyncMode
from storage.compaction import leveled
from storage.compaction.strategies import Pairs, strategy_of
from storage.engine import Engine, EngineConfig
from storage.layout import Layout
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice
from tests.sim.crash import run_until_crash
from tests.sim.disk import Faults, SimulatedDisk
from tests.sim.states import end_tasks, states_of

KEPT, TRUNCATED, DROPPED = b"k" * 16, b"t" * 16, b"d" * 16
TABLES = (KEPT, TRUNCATED, DROPPED)
CONFIG = EngineConfig(
    memtable_bytes=16 * 1024,
    block_cache_bytes=1 << 12,
    commitlog=CommitLogConfig(SyncMode.PERIODIC, segment_bytes=4096, total_space_bytes=24 * 1024),
)
TURNS = 24


@dataclass
class History:
    """What the writer knows it was promised, by the numbers of the writes."""

    begun: int = 0
    written: int = 0
    """Writes below this one were in the kernel when their turn ended."""

    synced: int = 0
    """Writes below this one are durable."""

    may_be_gone: dict[bytes, int] = field(default_factory=dict)
    """Writes of a table below this one may have been removed, as somebody began to do so."""

    must_be_gone: dict[bytes, int] = field(default_factory=dict)
    """Writes of a table below this one were removed for good."""

    files_max: int = 0
    """The most files that one compaction has written."""

    def check(self, found: Set[int], *, power_cut: bool) -> None:
        """A prefix of what was written that holds everything promised, and nothing removed."""
        assert all(number < self.begun for number in found), "nothing from nowhere"
        promised = self.synced if power_cut else self.written
        end = max([promised, *(number + 1 for number in found)])
        for number in set(range(end)) - found:
            table = table_of(number)
            gone = max(self.may_be_gone.get(table, 0), self.must_be_gone.get(table, 0))
            assert number < gone, f"{number} of {end} is lost"
        if self.must_be_gone:
            for number in found:
                gone = self.must_be_gone.get(table_of(number), 0)
                assert number >= gone, f"{number} came back"


@dataclass(frozen=True)
class Schedule:
    """What happens in which turn."""

    writes: tuple[int, ...] = (6,) * TURNS
    flush_after: int = 2
    """Of six turns the one in which a table is flushed."""

    compact_after: int = 7
    """Of eight turns the one in which it is compacted."""

    truncate_at: tuple[int, ...] = (9, 17)
    drop_at: int = 13

    @classmethod
    def drawn(cls, random: Random) -> Schedule:
        """Another one than usual."""
        return cls(
            tuple(random.randint(3, 9) for _ in range(TURNS)),
            random.randrange(6),
            random.randrange(8),
            tuple(sorted(random.sample(range(4, TURNS), 2))),
            random.randrange(4, TURNS),
        )


def table_of(number: int) -> bytes:
    """The table of a write."""
    return TABLES[(0, 1, 0, 2, 0)[number % 5]]


def layout_of(table_id: bytes, compaction: Pairs = ()) -> Layout:
    return Layout(
        table_id,
        table_id[:1].decode(),
        frozenset({1}),
        True,
        False,
        chunk_bytes=200,
        gc_grace_s=0,
        compaction=compaction,
    )


def mutation_of(number: int) -> Mutation:
    # Keys all over the ring, so that every strategy finds places to cut files.
    builder = MutationBuilder(table_of(number), b"%c%07d" % (number % 7 * 36, number % 7))
    builder.row(b"c%06d" % number, row_of(number))
    return builder.finish()


@cache
def row_of(number: int) -> bytes:
    row = RowBuilder()
    row.begin(number + 1, True)
    row.cell(1, number + 1, b"%d" % number + b"x" * (number * 37 % 120))
    return row.finish()


async def opened(disk: SimulatedDisk, compaction: Pairs = ()) -> Engine:
    engine = Engine(disk, "/shard-0", 0, CONFIG)
    report = await engine.open([layout_of(table_id, compaction) for table_id in TABLES])
    assert not report.damaged
    return engine


async def numbers_in(engine: Engine) -> set[int]:
    found: list[int] = []
    for table_id in TABLES:
        answer = engine.read(Slice(table_id), 0)
        page = answer if isinstance(answer, Page) else await answer
        assert not page.more
        numbers = [int(c[1:]) for p in page.partitions for c in p.clusterings]
        assert all(table_of(number) == table_id for number in numbers)
        for partition in page.partitions:
            for clustering, row in zip(partition.clusterings, partition.rows, strict=True):
                assert row == row_of(int(clustering[1:]))
        found += numbers
    assert len(found) == len(set(found))
    return set(found)


async def write(engine: Engine, history: History, count: int) -> None:
    for _ in range(count):
        mutation = mutation_of(history.begun)
        history.begun += 1
        try:
            waited = engine.apply(mutation)
        except Exception:
            history.begun -= 1
            raise
        if waited is not None:
            await waited
    engine.end_of_turn()
    history.written = history.begun


async def work(
    disk: SimulatedDisk, history: History, compaction: Pairs = (), schedule: Schedule | None = None
) -> None:
    """Write, flush, compact, truncate and drop; several log segments come and go."""
    schedule = schedule or Schedule()
    engine = await opened(disk, compaction)
    for turn in range(TURNS):
        await write(engine, history, schedule.writes[turn])
        if turn % 6 == schedule.flush_after:
            begun = history.begun
            await engine.flush(KEPT)
            history.synced = max(history.synced, begun)
        if turn % 8 == schedule.compact_after:
            await engine.compact(KEPT, turn)
        if turn in schedule.truncate_at:
            await engine.flush(TRUNCATED)
            await write(engine, history, 6)
            history.may_be_gone[TRUNCATED] = history.begun
            await engine.truncate(TRUNCATED)
            history.must_be_gone[TRUNCATED] = history.may_be_gone[TRUNCATED]
        if turn == schedule.drop_at:
            await engine.flush(DROPPED)
            history.may_be_gone[DROPPED] = 1 << 30
            await engine.drop_table(DROPPED)
            engine.set_layout(layout_of(DROPPED, compaction))
        engine.tick(float(turn))
        await one_after_the_other(engine.background(turn))
        engine.check()
        history.files_max = max(history.files_max, files_of_newest_compaction(engine))
    await engine.stop()
    history.synced = history.written


async def one_after_the_other(jobs: list[Coroutine[Any, Any, None]]) -> None:
    """Run jobs; those that a crash keeps from beginning are forgotten."""
    try:
        while jobs:
            await jobs.pop(0)
    finally:
        for job in jobs:
            job.close()


def files_of_newest_compaction(engine: Engine) -> int:
    history = engine.statistics().compaction_history
    return history[-1].files_out if history else 0


QUICK_STEP = 41
"""Each quick run stops at every so manieth call, the seed says with which it begins."""

STRATEGIES: dict[str, tuple[Pairs, int]] = {
    "SizeTieredCompactionStrategy": ((("min_threshold", "2"),), 1),
    "LeveledCompactionStrategy": ((("sstable_size_in_mb", "1"), ("fanout_size", "2")), 2),
    "TimeWindowCompactionStrategy": (
        (
            ("compaction_window_unit", "MINUTES"),
            ("timestamp_resolution", "SECONDS"),
            ("min_threshold", "2"),
        ),
        1,
    ),
    "UnifiedCompactionStrategy": (
        (
            ("scaling_parameters", "L4"),
            ("min_sstable_size", "0B"),
            ("flush_size_override", "4KiB"),
        ),
        3,
    ),
}
"""Options by class, and how many files a compaction must have written at once."""


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a leveled table calls a megabyte is a kilobyte."""
    strategy_of.cache_clear()
    monkeypatch.setattr(leveled, "MIB", 1024)
    yield
    strategy_of.cache_clear()


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.usefixtures("small_files")
def test_a_crash_at_any_call_loses_nothing_promised(
    seed: int,
    strategy: str,
    power_cut: bool,
    request: pytest.FixtureRequest,
    proven: Callable[[str, int], None],
) -> None:
    step = 1 if request.config.getoption("--long") else QUICK_STEP
    options, files_min = STRATEGIES[strategy]
    compaction = (("class", strategy), *options)

    async def test() -> int:
        random = Random(seed)
        promises = History()
        states = await states_of(
            random, lambda disk, history: work(disk, history, compaction), promises
        )
        assert promises.files_max >= files_min, "the run went to its end"
        await end_tasks()
        crashes = states[seed % step :: step]
        for dead, history in crashes:
            # The next process dies too, somewhere in its recovery or not at all.
            faults = Faults(crash_at=random.randint(1, 60))
            second = dead.restart(power_cut=power_cut, faults=faults)
            await run_until_crash(second, _open_and_stop(second, compaction))
            disk = second.restart(power_cut=power_cut)
            engine = await opened(disk, compaction)
            history.check(await numbers_in(engine), power_cut=power_cut)
            await engine.stop()
        return len(crashes)

    crashes = asyncio.run(test())
    proven("crash states", crashes)
    assert crashes > 200 // step


async def _open_and_stop(disk: SimulatedDisk, compaction: Pairs) -> None:
    engine = await opened(disk, compaction)
    await engine.stop()

"""The engine against the obvious model, with flushes, compactions and restarts in between."""

import asyncio
import dataclasses
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from storage.commitlog import CommitLogConfig
from storage.engine import Engine, EngineConfig
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.slice import Page, Slice
from tests.model.changes import KEYS, changes
from tests.model.encoding import TABLE_ID, mutation_of
from tests.model.table import CellWrite, Deletion, MarkerWrite, TableModel
from tests.storage.test_merge import expected, range_sets, shown

Change = CellWrite | MarkerWrite | Deletion
CONFIG = EngineConfig(
    memtable_bytes=1 << 20,
    block_cache_bytes=1 << 14,
    commitlog=CommitLogConfig(segment_bytes=4096, total_space_bytes=1 << 16),
)


class EngineMachine(RuleBasedStateMachine):
    """Writes come with any timestamps, so nothing may be purged: the grace time is long."""

    gc_grace_s = 1000
    bloom_fp_chance = 0.01

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.disk: MemoryDisk = MemoryDisk()
        self.model = TableModel(has_static=True)
        self.now = 0

    @initialize(chunk_bytes=st.sampled_from([1, 60, 4096]))
    def begin(self, chunk_bytes: int) -> None:
        self.layout = Layout(
            table_id=TABLE_ID,
            name="ks.t",
            live_columns=frozenset({1, 2, 3, 4}),
            has_clustering=True,
            has_static=True,
            gc_grace_s=self.gc_grace_s,
            bloom_fp_chance=self.bloom_fp_chance,
            chunk_bytes=chunk_bytes,
        )
        self.open()

    def open(self) -> None:
        self.engine = Engine(self.disk, "shard-0", 0, CONFIG)
        self.runner.run(self.engine.open([self.layout]))

    def adapted(self, change: Change) -> Change:
        return change

    @rule(written=st.lists(changes(), min_size=3, max_size=10), then_flush=st.booleans())
    def write(self, written: list[Change], then_flush: bool) -> None:
        for change in map(self.adapted, written):
            self.model.write(change)
            assert self.engine.apply(mutation_of(change)) is None
        self.engine.end_of_turn()
        if then_flush:
            self.runner.run(self.engine.flush())

    @rule(written=st.lists(changes(), min_size=1, max_size=3))
    def write_group(self, written: list[Change]) -> None:
        adapted = [self.adapted(change) for change in written]
        self.model.write_all(adapted)
        assert self.engine.apply_all([mutation_of(change) for change in adapted]) is None
        self.engine.end_of_turn()

    @rule()
    def compact(self) -> None:
        self.runner.run(self.engine.compact(TABLE_ID, self.now))

    @rule(first=st.integers(0, 2), count=st.integers(1, 2))
    def compact_some(self, first: int, count: int) -> None:
        table = self.engine._tables[TABLE_ID]
        files = table.sstables[first : first + count]
        self.runner.run(self.engine._compactor.compact_some(table, files, self.now))

    @rule()
    def work_in_the_background(self) -> None:
        async def work() -> None:
            for job in self.engine.background(self.now):
                await job

        self.runner.run(work())

    @rule(flush=st.booleans())
    def restart(self, flush: bool) -> None:
        self.runner.run(self.engine.stop(flush))
        self.open()

    @rule(one_of_ten=st.integers(0, 9))
    def truncate(self, one_of_ten: int) -> None:
        if one_of_ten:
            return
        self.runner.run(self.engine.truncate(TABLE_ID))
        self.model = TableModel(has_static=True)

    @rule()
    def let_time_pass(self) -> None:
        self.now += 1

    @rule(
        key=st.none() | st.sampled_from(KEYS),
        ranges=range_sets(),
        reverse=st.booleans(),
        static=st.booleans(),
        row_limit=st.integers(0, 4),
        partition_limit=st.sampled_from([0, 0, 1, 2]),
    )
    def read(self, key: bytes | None, ranges: Any, **options: Any) -> None:
        wanted = Slice(TABLE_ID, key=key, ranges=ranges, **options)
        whole = Slice(TABLE_ID, key=key, ranges=ranges, reverse=options["reverse"])
        truth = [p for p in expected(self.model, whole, self.now) if key in (None, p.key)]
        for partition in truth:
            if options["partition_limit"]:
                partition.rows = partition.rows[: options["partition_limit"]]
            if not options["static"]:
                partition.static_row = None
        found = shown(self.runner.run(self.pages(wanted)))
        assert found == [p for p in truth if p.rows or p.static_row is not None]

    async def pages(self, wanted: Slice) -> list[Page]:
        pages: list[Page] = []
        while True:
            answer = self.engine.read(wanted, self.now)
            page = answer if isinstance(answer, Page) else await answer
            pages.append(page)
            if not page.more:
                return pages
            wanted = wanted.after(page)

    @invariant()
    def everything_is_there(self) -> None:
        if hasattr(self, "engine"):
            self.engine.check()
            wanted = Slice(TABLE_ID)
            found = shown(self.runner.run(self.pages(wanted)))
            assert found == expected(self.model, wanted, self.now)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.runner.run(self.engine.stop())
        self.runner.close()


class PurgingMachine(EngineMachine):
    """Timestamps grow and the grace time is over at once: everything due may be purged."""

    gc_grace_s = 0
    last_ts = 0

    def adapted(self, change: Change) -> Change:
        self.last_ts += 1
        return dataclasses.replace(change, ts=self.last_ts)

    @initialize()
    def start_late(self) -> None:
        self.now = 1


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestPurgingEngine = PurgingMachine.TestCase
TestPurgingEngine.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)

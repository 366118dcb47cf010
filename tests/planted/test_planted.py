"""Known mistakes, planted one by one: the test that is responsible for each must fail.

Each plant is a small change of the code as it runs. Its test passes without it, and a run with
it that passes too means that nobody watches that promise. Runs with `--long` only.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from cluster.batch import Batchlog
from cluster.coordinator import Coordinator
from node.ceiling import Ceiling
from node.clock import Clock
from node.high_mark import HighMark
from storage.commitlog import CommitLog
from storage.engine import Engine
from storage.log_segments import Segment
from storage.mutation import Mutation
from storage.sstable import compressors, frame
from storage.sstable.reader import SSTable
from storage.table import Table
from tests.node import test_ceiling
from tests.sim import machine, test_promises
from tests.sim.disk import SimulatedDisk, SimulatedFile
from tests.storage import (
    test_commitlog,
    test_commitlog_crashes,
    test_engine,
    test_manifest,
)
from tests.storage.sstable import test_compressors

Plant = Callable[[pytest.MonkeyPatch], None]
PLANTS: list[Planted] = []


@dataclass(frozen=True)
class Planted:
    """A mistake, and the test that must find it."""

    name: str
    plant: Plant
    suite: Callable[[], None]


def nobody_counts(row: str, number: int) -> None:
    """What a test that finds a plant has proven is for no ledger."""


def found_by(suite: Callable[..., None], *arguments: Any) -> Callable[[Plant], Plant]:
    """Add a plant to the list; a quick run too sees whether its test can be called so."""
    inspect.signature(suite).bind(*arguments)

    def add(plant: Plant) -> Plant:
        name = plant.__name__.replace("_", " ")
        PLANTS.append(Planted(name, plant, lambda: suite(*arguments)))
        return plant

    return add


@found_by(test_promises.test_no_answer_leaves_before_its_record_is_where_the_mode_says, "batch", 0)
def acknowledged_before_the_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CommitLog, "acknowledgement", lambda self, position: None)


@found_by(
    test_promises.test_no_answer_leaves_before_its_record_is_where_the_mode_says, "periodic", 0
)
def acknowledged_before_the_log_has_left_the_process(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Engine, "end_of_turn", lambda self: None)


@found_by(
    test_commitlog_crashes.test_a_crash_at_any_call_loses_nothing_promised, 0, True, nobody_counts
)
def directory_not_synced(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: SimulatedDisk, path: str) -> None:
        return

    patch.setattr(SimulatedDisk, "sync_directory", nothing)


@found_by(
    test_commitlog.test_after_one_failure_everything_refuses_and_nothing_is_tried_again, "sync"
)
def failed_sync_retried(patch: pytest.MonkeyPatch) -> None:
    fail = CommitLog._fail

    def forget(self: CommitLog, cause: Any) -> Any:
        failure = fail(self, cause)
        self.failure = None
        return failure

    patch.setattr(CommitLog, "_fail", forget)


@found_by(
    test_compressors.test_another_length_than_the_frame_says_is_damage,
    "lz4",
    len(test_compressors.TEXT) + 1,
)
def decompressed_length_trusted(patch: pytest.MonkeyPatch) -> None:
    def decompress(compression: int, stored: Any, raw_bytes: int) -> bytes:
        payload: bytes = compressors._DECOMPRESS[compression](stored, raw_bytes)
        return payload

    patch.setattr(test_compressors, "decompress", decompress)


@found_by(test_engine.test_a_damaged_file_fails_the_reads_that_need_it_and_no_others)
def compaction_without_checksum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(frame, "_checksum", lambda *place: 0)


@found_by(test_engine.test_a_tombstone_stays_while_another_file_has_what_it_covers)
def tombstone_purged_over_older_files(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Table, "purgeable_before", lambda self, merged: lambda key: (1 << 63) - 1)


@found_by(test_engine.test_a_tombstone_stays_while_memory_has_what_it_covers)
def tombstone_purged_over_memory(patch: pytest.MonkeyPatch) -> None:
    purgeable_before = Table.purgeable_before

    def careless(self: Table, merged: Sequence[SSTable]) -> Callable[[bytes], int]:
        lowest = purgeable_before(self, merged)

        def lowest_of_files(key: bytes) -> int:
            with pytest.MonkeyPatch.context() as meanwhile:
                meanwhile.setattr(Table, "memtables", lambda self: [])
                return lowest(key)

        return lowest_of_files

    patch.setattr(Table, "purgeable_before", careless)


@found_by(
    test_commitlog_crashes.test_a_crash_at_any_call_loses_nothing_promised, 0, False, nobody_counts
)
def log_segment_freed_before_its_tables_are_flushed(patch: pytest.MonkeyPatch) -> None:
    def is_free(self: CommitLog, segment: Segment) -> bool:
        return segment.end_position <= self.durable

    patch.setattr(CommitLog, "_is_free", is_free)


@found_by(
    test_commitlog_crashes.test_a_crash_at_any_call_loses_nothing_promised, 1, True, nobody_counts
)
def log_segment_freed_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CommitLog, "_is_free", lambda self, segment: True)


@found_by(test_manifest.test_a_crash_at_any_call_leaves_the_old_or_the_new, 0, True)
def file_not_synced(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Any) -> None:
        return

    patch.setattr(SimulatedFile, "sync", nothing)


@found_by(test_ceiling.test_a_killed_shard_makes_no_timestamp_again_when_the_clock_went_back)
def timestamps_going_back_after_a_restart(patch: pytest.MonkeyPatch) -> None:
    start = Ceiling.open.__func__  # type: ignore[attr-defined]

    async def forgetful(cls: type[Ceiling], *arguments: Any) -> Ceiling:
        ceiling: Ceiling = await start(cls, *arguments)
        ceiling.found_us = 0
        return ceiling

    patch.setattr(Ceiling, "open", classmethod(forgetful))


@found_by(test_promises.test_the_last_acknowledged_write_wins_when_the_clock_is_set, -3600.0)
def timestamps_of_each_shard_for_itself(patch: pytest.MonkeyPatch) -> None:
    def alone(high_mark: HighMark, **clocks: Any) -> Clock:
        return Clock(HighMark(), **clocks)

    patch.setattr(machine, "Clock", alone)


@found_by(
    test_promises.test_a_power_cut_leaves_all_of_an_acknowledged_logged_batch, "periodic", 4.0
)
def batch_forgotten_before_its_parts_are_synced(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Coordinator, shards: list[int], deadline: float) -> None:
        return

    # The batch log binds the method when it is made.
    patch.setattr(Coordinator, "_sync", nothing)


@found_by(
    test_promises.test_a_power_cut_leaves_all_of_an_acknowledged_logged_batch, "periodic", 0.0
)
def batch_entry_not_synced(patch: pytest.MonkeyPatch) -> None:
    async def apply_only(self: Engine, mutation: Mutation) -> None:
        waited = self.apply(mutation)
        if waited is not None:
            await waited

    patch.setattr(Engine, "apply_synced", apply_only)


@found_by(test_promises.test_a_logged_batch_that_timed_out_is_finished_without_a_restart)
def batch_left_behind_until_the_next_start(patch: pytest.MonkeyPatch) -> None:
    def leave(self: Batchlog, key: bytes) -> None:
        self._running.discard(key)

    patch.setattr(Batchlog, "leave", leave)


@pytest.mark.parametrize("planted", PLANTS, ids=lambda planted: planted.name)
def test_a_planted_bug_is_found(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("planted bugs are looked for with --long")
    planted.suite()
    planted.plant(monkeypatch)
    assert fails(planted.suite), "a test passed with a bug in what it is responsible for"


def fails(suite: Callable[[], None]) -> bool:
    """Whether a test fails, in whatever way."""
    try:
        suite()
    except (Exception, pytest.fail.Exception):
        return True
    finally:
        asyncio.set_event_loop(None)
    return False

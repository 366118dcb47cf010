"""What reads and writes get of a shard whose files or log are damaged, by policy."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from random import Random

import pytest

from storage.commitlog import CommitLogConfig, SyncMode
from storage.engine import Engine, EngineConfig
from storage.errors import (
    CommitLogFailed,
    CorruptCommitLog,
    CorruptData,
    CorruptFile,
    DiskError,
    LogShut,
)
from storage.listener import SilentListener
from storage.sstable.compressors import Compression
from storage.sstable.format import FRAME_HEADER_BYTES
from storage.sstable.frame import Kind, Packed, seal
from storage.sstable.reader import SSTable
from storage.values import replace
from tests.sim.disk import SimulatedDisk
from tests.storage.sstable.support import TABLE_ID, layout
from tests.storage.test_engine import clusterings, put, run

CONFIG = EngineConfig(
    memtable_bytes=256 * 1024,
    block_cache_bytes=1 << 12,
    commitlog=CommitLogConfig(SyncMode.PERIODIC, segment_bytes=8192, total_space_bytes=1 << 20),
)
BEST_EFFORT = replace(CONFIG, answers_without_damaged=True)
SHUT = replace(CONFIG, is_log_shut=True)


class Listener(SilentListener):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.damage: list[CorruptFile | DiskError] = []
        self.failures: list[BaseException] = []

    def has_found_damage(self, damage: CorruptFile | DiskError) -> None:
        self.damage.append(damage)

    def has_failed(self, error: BaseException) -> None:
        self.failures.append(error)


async def life(disk: SimulatedDisk, config: EngineConfig) -> tuple[Engine, Listener]:
    listener = Listener()
    engine = Engine(disk, "/shard-0", 0, config, listener=listener)
    await engine.open([layout()])
    return engine, listener


async def with_two_files(config: EngineConfig) -> tuple[SimulatedDisk, Engine, Listener, str]:
    """Key 1 has an old row in the first file and a new one in the second, key 2 only the old."""
    disk = SimulatedDisk(Random(0))
    engine, listener = await life(disk, config)
    engine.apply(put(1, b"old", 1))
    engine.apply(put(2, b"old", 1))
    await engine.flush()
    engine.apply(put(1, b"new", 2))
    await engine.flush()
    path = max(path for path in disk.paths() if path.endswith(".sst"))
    return disk, engine, listener, path


async def log_rows(engine: Engine, keys: Iterable[int]) -> None:
    """Rows that are in the log and nowhere else; the log has time to begin segments."""
    for key in keys:
        engine.apply(put(key, b"logged", 1, b"v" * 400))
        await engine.sync()


@pytest.mark.parametrize("harm", ["bits", "errno"])
def test_best_effort_answers_from_the_rest_and_ignore_fails_the_read(harm: str) -> None:
    async def test(config: EngineConfig, afterwards: list[bytes] | None) -> None:
        disk, engine, listener, path = await with_two_files(config)
        if harm == "bits":
            disk.flip_bit(path, 8 * 40)
        else:
            disk.faults.choose = lambda _, call, of: errno.EIO * (call == "read" and of == path)
        with pytest.raises(CorruptFile if harm == "bits" else DiskError):
            await clusterings(engine, 1)
        (damage,) = listener.damage
        assert damage.path == path
        assert isinstance(damage, CorruptFile if harm == "bits" else DiskError)
        if afterwards is None:
            with pytest.raises((CorruptFile, DiskError)):
                await clusterings(engine, 1)
        else:
            assert await clusterings(engine, 1) == afterwards
        assert await clusterings(engine, 2) == [b"old"]
        if afterwards is not None:
            # A snapshot would miss the file, and nobody would know.
            with pytest.raises((CorruptFile, DiskError)):
                await engine.link_files(TABLE_ID, "/snapshot")
        await engine.stop()
        disk.faults.choose = None
        assert path in disk.paths(), "what a repair could still save is not removed"

    run(test(BEST_EFFORT, [b"old"]))
    run(test(CONFIG, None))


def test_a_file_that_best_effort_put_aside_is_tried_again_by_the_next_start() -> None:
    async def test() -> None:
        disk, engine, listener, path = await with_two_files(BEST_EFFORT)
        disk.faults.choose = lambda _, call, of: errno.EIO * (call == "read" and of == path)
        with pytest.raises(DiskError):
            await clusterings(engine, 1)
        # It holds its tombstones and rows still: what it hides elsewhere is not merged away.
        await engine.compact(TABLE_ID, 10)
        await engine.stop()
        disk.faults.choose = None
        engine, listener = await life(disk, BEST_EFFORT)
        assert sorted(await clusterings(engine, 1)) == [b"new", b"old"]
        assert not listener.damage
        await engine.stop()

    run(test())


def test_best_effort_starts_beside_a_file_that_the_disk_does_not_give() -> None:
    async def test() -> None:
        disk, engine, _, path = await with_two_files(CONFIG)
        await engine.stop()
        disk.faults.choose = lambda _, call, of: errno.EIO * (call == "read" and of == path)
        with pytest.raises(DiskError):
            await life(disk, CONFIG)
        disk = disk.restart(power_cut=False)
        disk.faults.choose = lambda _, call, of: errno.EIO * (call == "read" and of == path)
        engine, _ = await life(disk, BEST_EFFORT)
        assert await clusterings(engine, 1) == [b"old"]
        await engine.stop()

    run(test())


def test_a_compaction_of_a_file_that_the_disk_does_not_give_is_not_tried_again() -> None:
    async def test() -> None:
        disk, engine, listener, path = await with_two_files(CONFIG)
        disk.faults.choose = lambda _, call, of: errno.EIO * (call == "read" and of == path)
        with pytest.raises(DiskError):
            await engine.compact(TABLE_ID)
        assert [damage.path for damage in listener.damage] == [path]
        assert [table.quarantined for table in engine.statistics().tables] == [1]
        await engine.stop()

    run(test())


def _malform_first_block(disk: SimulatedDisk, file: SSTable) -> None:
    """Rows that end wrongly, in a frame that is right in everything else."""
    head = disk.content(file.path)[:FRAME_HEADER_BYTES]
    stored = int.from_bytes(head[4:8], "big")
    assert head[0] == Kind.DATA and head[1] == Compression.NONE, "so little is not compressed"
    payload = disk.content(file.path)[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + stored]
    packed = Packed(payload[:-3] + b"\xff\xff\xff", Compression.NONE, stored)
    frame = seal(file.footer.identity, 0, Kind.DATA, packed) + packed.stored
    disk.overwrite(file.path, 0, frame)


def test_malformed_rows_under_a_right_checksum_are_told_with_file_and_offset() -> None:
    """As a mistake of the program that wrote them would leave: no flipped bit can."""

    async def test() -> None:
        disk, engine, listener, path = await with_two_files(CONFIG)
        file = next(f for f in engine._tables[TABLE_ID].sstables if f.path == path)
        _malform_first_block(disk, file)
        for _ in range(2):  # From the disk, then from the cache.
            with pytest.raises(CorruptFile) as read:
                await clusterings(engine, 1)
            assert (read.value.path, read.value.offset) == (path, 0)
        with pytest.raises(CorruptData) as merged:
            await engine.compact(TABLE_ID)
        assert isinstance(merged.value, CorruptFile) and merged.value.path == path
        assert [damage.path for damage in listener.damage] == [path]
        await engine.stop()

    run(test())


def test_a_shard_without_a_log_reads_all_that_was_acknowledged_and_refuses_writes() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine, listener = await life(disk, CONFIG)
        engine.apply(put(1, b"flushed", 1))
        await engine.flush()
        await log_rows(engine, range(2, 60))
        disk.faults.choose = lambda _, call, of: (
            errno.EIO
            * ("commitlog" in of and call not in ("open", "read", "list", "size", "close"))
        )
        engine.apply(put(1, b"lost", 2))
        with pytest.raises(CommitLogFailed):
            engine.end_of_turn()
        assert isinstance(listener.failures[0], CommitLogFailed)
        # The process has ended; the next one finds a disk that takes nothing at all.
        disk = disk.restart(power_cut=False)
        disk.faults.choose = lambda _, call, of: (
            errno.EROFS
            * (call not in ("open", "read", "list", "size", "close", "make_directory", "lock"))
        )
        before = {path: disk.content(path) for path in disk.paths()}
        engine, listener = await life(disk, SHUT)
        assert await clusterings(engine, 1) == [b"flushed"]
        for key in range(2, 60):
            assert await clusterings(engine, key) == [b"logged"]
        for attempt in (
            lambda: engine.apply(put(1, b"no", 3)),
            lambda: engine.apply_all([put(1, b"no", 3), put(2, b"no", 3)]),
        ):
            with pytest.raises(LogShut, match="only reads"):
                attempt()
        for work in (
            engine.apply_synced(put(1, b"no", 3)),
            engine.truncate(TABLE_ID),
            engine.flush(),
            engine.sync(),
        ):
            with pytest.raises(LogShut):
                await work
        for second in range(3):
            engine.tick(float(second))
            engine.end_of_turn()
            assert engine.background(second) == []
        engine.check()
        await engine.stop()
        assert {path: disk.content(path) for path in disk.paths()} == before
        engine, _ = await life(disk.restart(power_cut=False), CONFIG)
        engine.apply(put(1, b"again", 4))
        assert sorted(await clusterings(engine, 1)) == [b"again", b"flushed"]
        assert await clusterings(engine, 59) == [b"logged"]
        await engine.stop()

    run(test())


def test_a_shard_without_a_log_reads_a_log_larger_than_its_memory() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine, _ = await life(disk, CONFIG)
        await log_rows(engine, range(90))
        disk = disk.restart(power_cut=False)
        for _ in range(2):
            engine, _ = await life(disk, replace(SHUT, memtable_bytes=32 * 1024))
            for key in range(90):
                assert await clusterings(engine, key) == [b"logged"]
            await engine.stop()
        engine, _ = await life(disk, CONFIG)
        assert engine.statistics().memtable_bytes == 0
        for key in range(90):
            assert await clusterings(engine, key) == [b"logged"]
        await engine.stop()

    run(test())


@pytest.mark.parametrize("skips", [False, True])
def test_damage_before_the_end_of_the_log_ends_the_start_unless_it_is_to_be_ignored(
    skips: bool,
) -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(0))
        engine, _ = await life(disk, CONFIG)
        await log_rows(engine, range(60))
        disk = disk.restart(power_cut=False)
        path, *later = sorted(path for path in disk.paths() if "/commitlog/" in path)
        assert later, "there is more than one segment"
        disk.flip_bit(path, 8 * 3000)
        engine = Engine(disk, "/shard-0", 0, replace(CONFIG, skips_log_damage=skips))
        if not skips:
            with pytest.raises(CorruptCommitLog) as damage:
                await engine.open([layout()])
            assert damage.value.path == path
            return
        report = await engine.open([layout()])
        assert [place.path for place in report.log_damage] == [path]
        found = [key for key in range(60) if await clusterings(engine, key)]
        assert found[0] == 0 and found[-1] == 59 and 0 < 60 - len(found) < 20
        await engine.stop()

    run(test())

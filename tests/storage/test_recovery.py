"""What a start makes of the log: everything is in files, however much it is."""

import asyncio
from random import Random

from storage.commitlog import CommitLogConfig
from storage.engine import Engine, EngineConfig
from storage.memory_disk import MemoryDisk
from storage.mutation import Mutation, MutationBuilder
from storage.recovery import RecoveryReport
from storage.row import RowBuilder
from storage.slice import Page, Slice
from tests.storage.sstable.support import TABLE_ID, key_of, layout

OTHER_ID = b"o" * 16
LAYOUTS = [
    layout(has_clustering=False, has_static=False),
    layout(table_id=OTHER_ID, name="ks.other"),
]
LOG = CommitLogConfig(segment_bytes=64 * 1024, total_space_bytes=4 << 20)
ROOMY = EngineConfig(memtable_bytes=8 << 20, block_cache_bytes=1 << 14, commitlog=LOG)
NARROW = EngineConfig(memtable_bytes=64 * 1024, block_cache_bytes=1 << 14, commitlog=LOG)
ROWS = 2_000


def put(number: int, ts: int, value: bytes, table_id: bytes = TABLE_ID) -> Mutation:
    row = RowBuilder()
    row.begin(ts, True)
    row.cell(1, ts, value)
    builder = MutationBuilder(table_id, key_of(number))
    builder.row(b"" if table_id == TABLE_ID else b"\x10c", row.finish())
    return builder.finish()


async def written(disk: MemoryDisk, mutations: list[Mutation]) -> None:
    """Log mutations and end as a crash does: nothing is flushed."""
    engine = Engine(disk, "/shard-0", 0, ROOMY)
    await engine.open(LAYOUTS)
    for mutation in mutations:
        assert engine.apply(mutation) is None
        engine.end_of_turn()
        await asyncio.sleep(0)
    engine._log.end_of_turn()
    for job in engine._log._jobs:
        job.cancel()
    engine._lock.release()


async def rows(engine: Engine, table_id: bytes) -> dict[bytes, bytes]:
    """All rows of a table by their keys."""
    found = {}
    wanted = Slice(table_id, row_limit=500)
    while True:
        answer = engine.read(wanted, 0)
        page = answer if isinstance(answer, Page) else await answer
        for partition in page.partitions:
            found[partition.key] = partition.rows[0]
        if not page.more:
            return found
        wanted = wanted.after(page)


async def recovered(
    disk: MemoryDisk, config: EngineConfig
) -> tuple[RecoveryReport, list[dict[bytes, bytes]], int]:
    """What the start tells, the rows of both tables, and the number of files of the first."""
    engine = Engine(disk, "/shard-0", 0, config)
    report = await engine.open(LAYOUTS)
    assert engine._memory.used == 0, "nothing of the log is in memory"
    found = [await rows(engine, TABLE_ID), await rows(engine, OTHER_ID)]
    files = len(engine._tables[TABLE_ID].sstables)
    await engine.stop()
    return report, found, files


def test_a_log_larger_than_memory_becomes_several_files_and_nothing_is_lost() -> None:
    async def test() -> None:
        chance = Random(1)
        writes = [
            put(chance.randrange(ROWS // 2), ts + 1, b"%d" % ts * 10, chance.choice(ids))
            for ts in range(ROWS)
        ]
        expected: list[dict[bytes, bytes]] = [{}, {}]
        for mutation in writes:
            (row,) = (item[1] for item in mutation.items())
            expected[ids.index(mutation.table_id)][mutation.key] = row
        for config, has_several in ((ROOMY, False), (NARROW, True)):
            disk = MemoryDisk()
            await written(disk, writes)
            report, found, files = await recovered(disk, config)
            assert (report.replayed, report.skipped) == (ROWS, 0)
            assert found == expected
            assert (files > 2) == has_several
            again, found, _ = await recovered(disk, config)
            assert (again.replayed, found) == (0, expected)

    ids = [TABLE_ID, OTHER_ID]
    asyncio.run(test())

"""A replay gives what applying the log's mutations one by one gives, and tells what it left out."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.disk import OpenMode
from storage.errors import CorruptData
from storage.flush import write_splice
from storage.group import GROUP, encode_group
from storage.io_queue import IoClass, IoQueue
from storage.layout import Layout
from storage.log_run import LogRun, LogSplice
from storage.memory_disk import MemoryDisk
from storage.memtable import Memtable
from storage.mutation import Mutation
from storage.pace import Pace
from storage.points import NO_POINTS
from storage.record import MUTATION, RecordBatch, RecordBuffer, RecordScanner
from storage.replay import Replay, Target
from storage.sstable.output import SSTableOutput, Turns, file_name
from storage.sstable.splice import MemorySplice
from storage.sstable.writer import SSTableWriter
from tests.model.changes import changes
from tests.model.encoding import mutation_of
from tests.storage.sstable.support import IDENTITY, layout

WIDE, ROWS, GONE = b"wide" * 4, b"rows" * 4, b"gone" * 4
CHUNK_BYTES = 200
"""A block is soon full, and some partitions are larger than one."""

SHAPES = {
    WIDE: layout(table_id=WIDE, chunk_bytes=CHUNK_BYTES),
    ROWS: layout(table_id=ROWS, has_clustering=False, has_static=False, chunk_bytes=CHUNK_BYTES),
}
SEGMENT = 7


def of_table(table_id: bytes, mutation: Mutation) -> bytes:
    """The bytes of the same mutation of another table."""
    return mutation.data[:1] + table_id + mutation.data[17:]


WIDE_CHANGES = changes().map(lambda change: of_table(WIDE, mutation_of(change)))
ROW_CHANGES = changes(has_static=False, has_clustering=False).map(
    lambda change: of_table(ROWS, mutation_of(change))
)
GONE_CHANGES = changes().map(lambda change: of_table(GONE, mutation_of(change)))
ANY_CHANGE = st.one_of(WIDE_CHANGES, ROW_CHANGES, GONE_CHANGES)
LOGS = st.lists(st.lists(ANY_CHANGE, min_size=1, max_size=4), max_size=30)
"""Records; what has several mutations is a group."""


@dataclass
class Log:
    """A segment's bytes and what is in it."""

    data: bytes
    positions: list[int] = field(default_factory=list)


def logged(records: list[bytes]) -> Log:
    buffer = RecordBuffer()
    buffer.begin(SEGMENT, 0)
    positions = [buffer.append(MUTATION, record) for record in records]
    return Log(buffer.take(), positions)


def record_of(mutations: list[bytes]) -> bytes:
    return mutations[0] if len(mutations) == 1 else encode_group(mutations)


def batches(log: Log, piece: int) -> list[RecordBatch]:
    """What a scanner finds when it gets pieces of the log."""
    scanner = RecordScanner(SEGMENT)
    found = []
    for at in range(0, len(log.data), piece):
        scanner.feed(log.data[at : at + piece])
        found.append(scanner.mutations()[0])
    return found


async def file_of(table: Layout, quick: MemorySplice | LogSplice, partitions: int) -> bytes:
    """The bytes of the SSTable that is made of a splice."""
    disk = MemoryDisk()
    await disk.make_directory("/t")
    path = f"/t/{file_name(1)}"
    output = SSTableOutput(
        disk,
        Turns(IoQueue(8, 1 << 20), IoClass.FLUSH),
        "/t",
        await disk.open(path, OpenMode.CREATE),
        SSTableWriter(table, IDENTITY, 1, partitions),
        table.table_id,
        1,
        NO_POINTS,
    )
    await write_splice(quick, output, Pace())
    await output.finish()
    file = await disk.open(path, OpenMode.READ)
    return await file.read(0, await disk.size(path))


def file_of_memtable(table: Layout, memtable: Memtable) -> bytes:
    return asyncio.run(file_of(table, MemorySplice(memtable), len(memtable)))


def file_of_run(table: Layout, run: LogRun) -> bytes:
    run.sort()
    return asyncio.run(file_of(table, LogSplice(run), run.partitions))


def empty(table: Layout) -> Memtable:
    return Memtable(table.has_clustering, table.has_static)


@settings(max_examples=100, deadline=None)
@given(LOGS, st.integers(40, 2000), st.data())
def test_a_replay_gives_what_applying_one_by_one_gives(
    records: list[list[bytes]], piece: int, choice: st.DataObject
) -> None:
    log = logged([record_of(mutations) for mutations in records])
    flushed = {
        table_id: choice.draw(st.sampled_from([0, *log.positions]), label="flushed")
        for table_id in SHAPES
    }
    plain = {table_id: empty(table) for table_id, table in SHAPES.items()}
    taken = 0
    for position, mutations in zip(log.positions, records, strict=True):
        for mutation in map(Mutation, mutations):
            table_id = mutation.table_id
            if table_id in plain and position > flushed[table_id]:
                plain[table_id].apply(mutation)
                taken += 1
    memtables = {table_id: empty(table) for table_id, table in SHAPES.items()}
    runs = {i: LogRun(table.has_clustering, table.has_static) for i, table in SHAPES.items()}
    for into in (memtables, runs):
        replay = Replay()
        replay.aim({i: Target(taker, flushed[i]) for i, taker in into.items()})
        grown = sum(replay.apply(batch) for batch in batches(log, piece))
        assert (replay.replayed, replay.skipped) == (taken, sum(map(len, records)) - taken)
        assert grown == sum(taker.memory_bytes for taker in into.values())
    for table_id, table in SHAPES.items():
        memtables[table_id].check()
        assert bool(len(runs[table_id])) == bool(len(plain[table_id]))
        if len(plain[table_id]):
            expected = file_of_memtable(table, plain[table_id])
            assert file_of_memtable(table, memtables[table_id]) == expected
            assert file_of_run(table, runs[table_id]) == expected


@settings(max_examples=300, deadline=None)
@given(st.one_of(WIDE_CHANGES, ROW_CHANGES), st.data())
def test_damage_is_found_where_applying_finds_it(data: bytes, choice: st.DataObject) -> None:
    at = choice.draw(st.integers(17, len(data) - 1))
    damaged = bytearray(data)
    damaged[at] = choice.draw(st.integers(0, 255))
    if choice.draw(st.booleans()):
        del damaged[choice.draw(st.integers(17, len(damaged))) :]
    table_id = bytes(damaged[1:17])
    table = SHAPES[table_id]
    memtable, run = empty(table), LogRun(table.has_clustering, table.has_static)
    try:
        memtable.apply(Mutation(bytes(damaged)))
        is_damaged = False
    except CorruptData:
        is_damaged = True
    (batch,) = batches(logged([bytes(damaged)]), 1 << 20)
    replay = Replay()
    replay.aim({table_id: Target(run, 0)})
    if is_damaged:
        with pytest.raises(CorruptData):
            replay.apply(batch)
        assert len(run) == 0
    else:
        replay.apply(batch)
        assert bool(len(run)) == bool(len(memtable))


ROW_MUTATION = bytes([1]) + ROWS + b"\x0atokentoken" + b"\x00\x00"
"""A mutation of a key without anything in it."""


@pytest.mark.parametrize(
    "record",
    [
        bytes([GROUP, 200, 1]) + ROW_MUTATION,
        bytes([GROUP, len(ROW_MUTATION) + 1]) + ROW_MUTATION,
        bytes([GROUP, len(ROW_MUTATION) - 1]) + ROW_MUTATION,
        bytes([GROUP, 0x80]),
        bytes([GROUP, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        bytes([3]) + ROW_MUTATION[1:],
        b"",
    ],
    ids=["long", "one-more", "one-less", "cut-off", "endless", "version", "empty"],
)
def test_a_record_that_is_no_mutation_is_refused(record: bytes) -> None:
    (batch,) = batches(logged([record]), 1 << 20)
    replay = Replay()
    replay.aim({ROWS: Target(LogRun(False, False), 0)})
    with pytest.raises(CorruptData):
        replay.apply(batch)


def test_a_mutation_without_content_is_replayed_and_leaves_nothing() -> None:
    (batch,) = batches(logged([ROW_MUTATION, encode_group([ROW_MUTATION] * 2)]), 1 << 20)
    run = LogRun(False, False)
    replay = Replay()
    replay.aim({ROWS: Target(run, 0)})
    assert replay.apply(batch) == 0
    assert (replay.replayed, replay.skipped, len(run)) == (3, 0, 0)


def test_after_a_new_aim_nothing_goes_to_the_old_targets() -> None:
    (batch,) = batches(logged([ROW_MUTATION]), 1 << 20)
    replay = Replay()
    replay.aim({ROWS: Target(LogRun(False, False), 0)})
    replay.apply(batch)
    replay.aim({})
    replay.apply(batch)
    assert (replay.replayed, replay.skipped) == (1, 1)

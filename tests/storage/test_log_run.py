"""What a replay gathers of one table comes out in the order of its keys, whatever they are."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.log_run import LogRun, LogSplice
from storage.memtable import Memtable
from storage.mutation import Mutation, MutationBuilder
from storage.replay import Replay, Target
from storage.row import RowBuilder
from storage.sstable import splice
from storage.sstable.writer import SSTableWriter
from tests.storage.sstable.support import IDENTITY, TABLE_ID, key_of, layout
from tests.storage.test_replay import batches, file_of_memtable, file_of_run, logged

MERE_ROWS = layout(has_clustering=False, has_static=False)
CLUSTERED = layout(has_static=False)


def put(key: bytes, ts: int, value: bytes, clustering: bytes = b"") -> Mutation:
    row = RowBuilder()
    row.begin(ts, True)
    row.cell(1, ts, value)
    builder = MutationBuilder(TABLE_ID, key)
    builder.row(clustering, row.finish())
    return builder.finish()


def delete(key: bytes, ts: int) -> Mutation:
    builder = MutationBuilder(TABLE_ID, key)
    builder.delete_partition(ts, 0)
    return builder.finish()


def run_of(mutations: list[Mutation], has_clustering: bool = False) -> LogRun:
    run = LogRun(has_clustering, False)
    replay = Replay()
    replay.aim({TABLE_ID: Target(run, 0)})
    grown = 0
    for batch in batches(logged([mutation.data for mutation in mutations]), 1 << 20):
        grown += replay.apply(batch)
    assert grown == run.memory_bytes
    return run


def memtable_of(mutations: list[Mutation], has_clustering: bool = False) -> Memtable:
    memtable = Memtable(has_clustering, False)
    for mutation in mutations:
        memtable.apply(mutation)
    return memtable


BEGINNINGS = st.sampled_from(
    [b"", b"\x00", b"\xff", b"a", b"12345678", b"1234567\x00", b"\x00" * 8]
)
KEYS = st.builds(bytes.__add__, BEGINNINGS, st.binary(max_size=3)).filter(bool)


@settings(max_examples=100)
@given(st.lists(st.tuples(KEYS, st.integers(1, 3), st.binary(max_size=2)), min_size=1))
def test_keys_come_out_in_order_and_the_newest_value_of_each_wins(
    writes: list[tuple[bytes, int, bytes]],
) -> None:
    mutations = [put(*write) for write in writes]
    run = run_of(mutations)
    assert file_of_run(MERE_ROWS, run) == file_of_memtable(MERE_ROWS, memtable_of(mutations))
    assert (len(run), run.partitions) == (len(writes), len({key for key, _, _ in writes}))


@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_keys_and_mutations_larger_than_a_chunk_come_out_in_order(seed: int) -> None:
    chance = Random(seed)
    numbers = chance.choices(range(5_000), k=7_000)
    mutations = [
        put(key_of(number), ts + 1, chance.randbytes(chance.choice((3, 300, 1_500))))
        for ts, number in enumerate(numbers)
    ]
    mutations[1_000] = put(key_of(70), 1, chance.randbytes(3 << 20))
    mutations[1_001] = put(key_of(60), 1, chance.randbytes((2 << 20) - 200))
    run = run_of(mutations)
    assert run.memory_bytes > sum(len(mutation.data) for mutation in mutations)
    assert file_of_run(MERE_ROWS, run) == file_of_memtable(MERE_ROWS, memtable_of(mutations))
    assert run.partitions == len({mutation.key for mutation in mutations})


def test_a_wide_partition_is_put_together_of_many_mutations() -> None:
    chance = Random(5)
    mutations = [
        put(key_of(chance.randrange(4)), ts, chance.randbytes(90), b"\x10%04d" % ts)
        for ts in chance.sample(range(1, 3_000), 2_999)
    ]
    run = run_of(mutations, has_clustering=True)
    expected = file_of_memtable(CLUSTERED, memtable_of(mutations, has_clustering=True))
    assert file_of_run(CLUSTERED, run) == expected
    assert run.partitions == 4


def test_a_splice_stops_at_what_it_cannot_put_and_goes_on_behind_it() -> None:
    mutations = [put(key_of(1), 1, b"v"), delete(key_of(2), 5), put(key_of(3), 1, b"v")]
    run = run_of(mutations)
    run.sort()
    quick, sink = LogSplice(run), SSTableWriter(MERE_ROWS, IDENTITY, 1, 3).sink
    assert quick.run(sink, 1_000) == splice.OTHER
    stopped_at = quick.key
    assert stopped_at == key_of(2) and quick.other().head == (5, 0, b"")
    assert quick.run(sink, 1_000) == splice.END
    assert sink.statistics.partitions == 2


def test_a_splice_ends_its_turn_when_its_bytes_are_done() -> None:
    run = run_of([put(key_of(number), 1, b"v" * 100) for number in range(20)])
    run.sort()
    quick, sink = LogSplice(run), SSTableWriter(MERE_ROWS, IDENTITY, 1, 20).sink
    assert quick.run(sink, 1_000) == splice.PAUSED
    assert 1_000 <= quick.spent < 1_500 and 0 < sink.statistics.partitions < 10


def test_memory_is_what_chunks_and_entries_take() -> None:
    run = LogRun(False, False)
    assert run.memory_bytes == 0
    small = run_of([put(key_of(1), 1, b"v")])
    assert 4_096 < small.memory_bytes < 5_000
    large = run_of([put(key_of(number), 1, b"v" * 200) for number in range(20_000)])
    held = 20_000 * (len(put(key_of(1), 1, b"v" * 200).data) + 24)
    assert held < large.memory_bytes < 2 * held

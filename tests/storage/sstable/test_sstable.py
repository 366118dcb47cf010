"""Whole SSTables: what was written is found, by key, by slice, forward and in reverse."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import CorruptData
from storage.row import RowBuilder, purge
from storage.sstable.block import Block
from storage.sstable.bloom import key_hash
from storage.sstable.format import PAGE_BYTES
from storage.sstable.frame import Kind
from storage.sstable.reader import NO_KEY
from storage.values import replace
from tests.storage.sstable.support import (
    Partition,
    blocks_between,
    file_of,
    key_of,
    layout,
    open_bytes,
    row_of,
    run,
)


def wide(number: int, rows: int, size: int = 40) -> Partition:
    clusterings = [b"c%06d" % i for i in range(rows)]
    return (
        key_of(number),
        (5, 100),
        row_of(9, b"static"),
        [],
        clusterings,
        [row_of(i, b"v" * size) for i in range(rows)],
    )


def narrow(count: int) -> list[Partition]:
    return [(key_of(i), None, b"", [], [b"c"], [row_of(i, b"v%d" % i)]) for i in range(count)]


async def read_back(data: bytes) -> list[Partition]:
    """All partitions of a file, sections joined."""
    table = await open_bytes(data)
    blocks, _ = await blocks_between(table, (b"", b""), (NO_KEY, b""))
    partitions: list[Partition] = []
    for block in blocks:
        for section in block.sections():
            clusterings, rows = section.rows(b"", b"")
            if section.continued:
                assert partitions[-1][0] == section.key
                assert partitions[-1][1] == section.deletion
                partitions[-1][3].extend(section.tombstones())
                partitions[-1][4].extend(clusterings)
                partitions[-1][5].extend(rows)
            else:
                partitions.append(
                    (
                        section.key,
                        section.deletion,
                        section.static_row,
                        section.tombstones(),
                        clusterings,
                        rows,
                    )
                )
    return partitions


@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_narrow_partitions_come_back_in_order(compression: str) -> None:
    partitions = narrow(5000)
    data = file_of(partitions, layout(compression=compression))
    assert len(data) % PAGE_BYTES == 0
    assert run(read_back(data)) == partitions


def test_a_wide_partition_comes_back_over_many_blocks() -> None:
    partitions = [*narrow(3), wide(10, 20_000), (key_of(11), (1, 2), b"", [], [], [])]
    assert run(read_back(file_of(partitions, layout()))) == partitions


def test_a_point_read_needs_one_index_read_and_one_data_read() -> None:
    async def check() -> None:
        partitions = [wide(1, 20_000), *narrow(20_000)[2:]]
        table = await open_bytes(file_of(partitions, layout(chunk_bytes=4096)))
        assert table.summary.count > 1
        for key, clustering in [(key_of(1), b"c010000"), (key_of(777), b"c")]:
            end = (key, clustering + b"\0")
            blocks, fetches = await blocks_between(table, (key, clustering), end)
            assert [fetch.kind for fetch in fetches] == [Kind.INDEX, Kind.DATA]
            assert [len(fetch.places) for fetch in fetches] == [1, 1]
            section = blocks[0].find(key)
            assert section.rows(*(clustering, clustering + b"\0"))[0] == [clustering]

    run(check())


@pytest.mark.parametrize("reverse", [False, True])
def test_a_slice_reads_only_the_blocks_it_needs(reverse: bool) -> None:
    async def check() -> None:
        table = await open_bytes(file_of([wide(1, 20_000)], layout()))
        start, end = b"c005000", b"c006000"
        blocks, _ = await blocks_between(table, (key_of(1), start), (key_of(1), end), reverse)
        found = []
        for block in blocks:
            section = block.find(key_of(1))
            assert section.deletion == (5, 100)
            rows = section.rows(start, end)[0]
            found += rows[::-1] if reverse else rows
        expected = [b"c%06d" % i for i in range(5000, 6000)]
        assert found == (expected[::-1] if reverse else expected)
        assert sum(block.memory_bytes for block in blocks) < 1000 * 100 + 3 * 16 * 1024

    run(check())


def test_a_tombstone_over_many_blocks_is_cut_so_that_each_block_says_all() -> None:
    key, deletion, static_row, _, clusterings, rows = wide(1, 3000)
    tombstones = [(b"c000100", b"c002000", 7, 70), (b"c002500", b"", 8, 80)]
    data = file_of([(key, deletion, static_row, tombstones, clusterings, rows)], layout())

    async def check() -> None:
        table = await open_bytes(data)
        blocks, _ = await blocks_between(table, (key, b"c001500"), (key, b"c001501"))
        section = blocks[0].find(key)
        assert section.tombstones() == [(section.low, section.high, 7, 70)]
        assert section.low <= b"c001500" < section.high
        blocks, _ = await blocks_between(table, (key, b"d"), (key, b"e"))
        section = blocks[0].find(key)
        assert section.tombstones() == [(section.low, b"", 8, 80)]
        assert table.statistics.min_clustering == b""
        assert table.statistics.max_clustering == b"\xff"

    run(check())


def test_pieces_of_one_tombstone_grow_together_again() -> None:
    key = key_of(1)
    pieces = [(b"a", b"b", 3, 3), (b"b", b"c", 3, 3), (b"c", b"d", 4, 3)]
    (partition,) = run(read_back(file_of([(key, None, b"", pieces, [], [])], layout())))
    assert partition[3] == [(b"a", b"c", 3, 3), (b"c", b"d", 4, 3)]


def test_a_row_larger_than_a_block_has_a_block_of_its_own() -> None:
    rows = [row_of(1, b"x" * 10), row_of(2, bytes(range(256)) * 4000), row_of(3, b"y")]
    partition: Partition = (key_of(1), None, b"", [], [b"a", b"b", b"c"], rows)
    assert run(read_back(file_of([partition], layout()))) == [partition]


def test_a_partition_without_anything_leaves_no_trace() -> None:
    partitions = [(key_of(1), None, b"", [], [], []), *narrow(5)[2:]]
    assert run(read_back(file_of(partitions, layout()))) == partitions[1:]


def test_the_statistics_tell_what_is_inside() -> None:
    async def check() -> None:
        table = await open_bytes(file_of([wide(1, 10), wide(2, 5)], layout()))
        statistics = table.statistics
        assert (statistics.partitions, statistics.rows, statistics.tombstones) == (2, 17, 2)
        assert (statistics.min_timestamp, statistics.max_timestamp) == (0, 9)
        assert (statistics.min_deletion_s, statistics.max_deletion_s) == (100, 2**32 - 1)
        assert (statistics.first_key, statistics.last_key) == (key_of(1), key_of(2))

    run(check())


def test_an_expired_cell_without_its_value_counts_as_deleted_when_it_was_written() -> None:
    builder = RowBuilder()
    builder.begin(0, False)
    builder.expiring_cell(1, 7, 60, 1060, b"v")
    row = purge(builder.finish(), 1060, 0, False)

    async def check() -> None:
        partition: Partition = (key_of(1), None, b"", [], [b"c"], [row])
        statistics = (await open_bytes(file_of([partition], layout()))).statistics
        assert (statistics.min_deletion_s, statistics.max_deletion_s) == (1000, 1000)
        assert (statistics.tombstones, statistics.max_ttl_s) == (1, 0)

    run(check())


def test_the_filter_knows_every_key_and_few_others() -> None:
    async def check() -> None:
        table = await open_bytes(file_of(narrow(10_000), layout(bloom_fp_chance=0.01)))
        hashes = [key_hash(key_of(i)) for i in range(20_000)]
        assert all(table.filter.may_contain(h) for h in hashes[:10_000])
        assert sum(table.filter.may_contain(h) for h in hashes[10_000:]) < 200
        assert not table.may_contain(key_of(10_001), hashes[10_001])

    run(check())


def test_a_filter_that_is_switched_off_says_maybe_of_everything() -> None:
    async def check() -> None:
        table = await open_bytes(file_of(narrow(10), layout(bloom_fp_chance=1.0)))
        assert table.filter.may_contain(12345)
        assert table.filter.memory_bytes == 0

    run(check())


@pytest.mark.parametrize("size", [PAGE_BYTES - 1, 0, 5000])
def test_a_file_that_is_cut_off_is_refused(size: int) -> None:
    data = file_of(narrow(5000), layout())
    with pytest.raises(CorruptData):
        run(open_bytes(data[:size]))


def test_a_file_in_the_place_of_another_is_refused() -> None:
    other = replace(layout(), table_id=b"another-table-id")
    with pytest.raises(CorruptData, match="another"):
        run(open_bytes(file_of(narrow(5), other)))


def test_a_frame_in_the_place_of_another_is_found() -> None:
    data = bytearray(file_of(narrow(20_000), layout(compression="none")))

    async def places() -> list[int]:
        _, fetches = await blocks_between(await open_bytes(data), (b"", b""), (NO_KEY, b""))
        data_fetches = [f for f in fetches if f.kind is Kind.DATA]
        return [p.offset for f in data_fetches for p in f.places]

    first, second = run(places())[1:3]
    data[second : second + 4000] = data[first : first + 4000]
    with pytest.raises(CorruptData, match=f"offset {second}"):
        run(read_back(bytes(data)))


def _damage(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << (bit % 8)
    return bytes(damaged)


FUZZED = [*narrow(300), wide(1000, 300)]
FUZZED_FILE = file_of(FUZZED, layout(chunk_bytes=2048))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(FUZZED_FILE) * 8 - 1))
def test_a_flipped_bit_is_found_or_harmless(bit: int) -> None:
    try:
        found = run(read_back(_damage(FUZZED_FILE, bit)))
    except CorruptData as error:
        assert "t/0000000000000007.sst" in str(error)
    else:
        assert found == FUZZED


def test_damage_in_one_block_leaves_the_others_readable() -> None:
    async def check() -> None:
        table = await open_bytes(_damage(FUZZED_FILE, 8 * 100))
        with pytest.raises(CorruptData):
            await blocks_between(table, (key_of(0), b""), (key_of(0), b"z"))
        blocks, _ = await blocks_between(table, (key_of(299), b""), (key_of(299), b"z"))
        assert blocks[0].find(key_of(299)) is not None

    run(check())


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=400))
def test_arbitrary_bytes_are_no_block(data: bytes) -> None:
    try:
        for section in Block(data).sections():
            section.tombstones()
            section.rows(b"", b"")
    except CorruptData:
        pass


def _names() -> st.SearchStrategy[bytes]:
    return st.binary(min_size=1, max_size=3).map(lambda b: b"c" + b)


@st.composite
def _partitions(draw: st.DrawFn) -> list[Partition]:
    result: list[Partition] = []
    for number in sorted(draw(st.sets(st.integers(0, 60), min_size=1, max_size=6))):
        clusterings = sorted(draw(st.sets(_names(), max_size=12)))
        rows = [row_of(i, draw(st.binary(max_size=60))) for i in range(len(clusterings))]
        ends = sorted(draw(st.sets(_names(), max_size=6)))
        tombstones = [
            (ends[i], ends[i + 1], i, i) for i in range(0, len(ends) - 1, draw(st.integers(1, 2)))
        ]
        deletion = draw(st.none() | st.tuples(st.integers(-9, 9), st.integers(0, 9)))
        static_row = row_of(3, b"s" * draw(st.integers(0, 90))) if draw(st.booleans()) else b""
        result.append((key_of(number), deletion, static_row, tombstones, clusterings, rows))
    return result


def _joined(tombstones: list[tuple[bytes, bytes, int, int]]) -> list[tuple[bytes, bytes, int, int]]:
    result: list[tuple[bytes, bytes, int, int]] = []
    for start, end, timestamp, at in tombstones:
        if result and result[-1][1:] == (start, timestamp, at):
            result[-1] = (result[-1][0], end, timestamp, at)
        else:
            result.append((start, end, timestamp, at))
    return result


@settings(max_examples=60, deadline=None)
@given(_partitions(), st.integers(1, 300))
def test_any_partitions_come_back(partitions: list[Partition], chunk_bytes: int) -> None:
    partitions = [p for p in partitions if p[1] or p[2] or p[3] or p[4]]
    if not partitions:
        return
    found = run(read_back(file_of(partitions, layout(chunk_bytes=chunk_bytes))))
    assert [(*p[:3], _joined(p[3]), *p[4:]) for p in found] == partitions


def test_the_golden_file_does_not_change() -> None:
    """One small file, byte for byte: the format on disk is a promise."""
    partition: Partition = (
        key_of(1),
        (1, 2),
        row_of(2, b"s"),
        [(b"a", b"b", 5, 6)],
        [b"c"],
        [row_of(3, b"v")],
    )
    data = file_of([partition], layout(compression="none"))
    assert data[:16].hex() == "010000000000004e0000004e9c7ece3f"
    assert len(data) == 12288
    assert (
        hashlib.sha256(data).hexdigest()
        == "ebd3b03168b6853140676e1467d26e4869f256d7ee391acc20de6279cb8341bb"
    )

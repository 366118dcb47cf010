"""What open files say without waiting: which of them may matter, and what is in their frames."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import CorruptData, CorruptFile
from storage.slice import Slice
from storage.sstable.bloom import key_hash
from storage.sstable.fetch import Extent, Fetch
from storage.sstable.frame import Kind
from storage.sstable.frames import files_for, files_with
from storage.sstable.index import IndexBlock
from storage.sstable.lookup import Lookup
from storage.sstable.reader import SSTable
from tests.storage.sstable.support import (
    TABLE_ID,
    file_of,
    key_of,
    layout,
    open_bytes,
    row_of,
    run,
)

PAGE = 4096
NO_TABLE = cast(SSTable, None)


async def _file(keys: range, clustering: bytes) -> SSTable:
    partitions: list[Any] = [
        (key_of(key), None, b"", [], [clustering], [row_of(1, b"value")]) for key in keys
    ]
    return await open_bytes(file_of(partitions, layout()))


_near_pages = st.builds(
    lambda page, by: max(page * PAGE + by, 1), st.integers(0, 1 << 30), st.integers(-1, 1)
)


@given(st.lists(st.tuples(_near_pages, _near_pages), min_size=1))
def test_a_fetch_reads_the_whole_pages_from_its_first_place_to_its_last(
    runs: list[tuple[int, int]],
) -> None:
    places = [Extent(*place) for place in sorted(runs)]
    fetch = Fetch(NO_TABLE, Kind.DATA, places)
    start, end = places[0].offset, places[-1].offset + places[-1].size
    assert fetch.bytes == end - start
    assert fetch.pages == (start // PAGE * PAGE, (end + PAGE - 1) // PAGE * PAGE)


@pytest.mark.parametrize("place", [(1 << 63, 1), (0, 1 << 63), ((1 << 64) - 1, (1 << 64) - 1)])
def test_no_place_outside_of_every_file_is_fetched(place: tuple[int, int]) -> None:
    assert Extent(*place).end == sum(place)
    with pytest.raises(CorruptData):
        Fetch(NO_TABLE, Kind.INDEX, [Extent(*place)])


def test_places_are_equal_by_what_they_say() -> None:
    assert Extent(1, 2) == Extent(1, 2) != Extent(2, 1)
    assert Extent(1, 2) != Extent(1, 3)
    assert len({Extent(1, 2), Extent(1, 2), Extent(1, 3)}) == 2
    assert Extent(1, 2) != (1, 2)


def test_the_files_of_a_read_are_those_whose_keys_filter_and_clusterings_allow_it() -> None:
    async def test() -> None:
        files = tuple(
            [
                await _file(range(start, 200, 3), clustering)
                for start, clustering in ((0, b"c"), (1, b"c"), (0, b"m"), (60, b"m"), (2, b"z"))
            ]
        )
        slices = [
            Slice(TABLE_ID, key=b"", ranges=ranges)
            for ranges in ((), ((b"", b""),), ((b"a", b"d"),), ((b"a", b"b"), (b"m", b"n")))
        ]
        for number in range(0, 260, 7):
            key = key_of(number)
            near = [file for file in files if file.may_contain(key, key_hash(key))]
            assert files_with(files, key) == near
            for wanted in slices:
                assert files_for(near, wanted, True) == near
                assert files_for(near, wanted, False) == [
                    file
                    for file in near
                    if not wanted.ranges
                    or file.statistics.may_cover(wanted.ranges[0][0], wanted.ranges[-1][1])
                ]
        assert files_for(files_with(files, key_of(66)), slices[2], False) == [files[0]]

    run(test())


def test_a_key_below_or_above_all_of_a_file_is_not_in_it() -> None:
    async def test() -> None:
        file = await _file(range(10, 20), b"c")
        assert all(file.may_contain(key_of(key), key_hash(key_of(key))) for key in range(10, 20))
        within = key_hash(key_of(15))
        assert not file.may_contain(key_of(9), within)
        assert not file.may_contain(key_of(20), within)

    run(test())


def test_frames_that_are_cut_or_damaged_are_told_with_file_and_offset() -> None:
    async def test() -> None:
        file = await _file(range(100), b"c")
        fetch = Lookup(file, file.summary, key_of(1), b"").step()
        assert fetch is not None and len(fetch.places) == 1
        data = await file.read(fetch)
        assert isinstance(file.parse_one(fetch, data), IndexBlock)
        assert isinstance(file.parse_at(fetch, 0, data), IndexBlock)
        within = fetch.places[0].offset - fetch.pages[0]
        damaged = bytearray(data)
        damaged[within + 20] ^= 1
        for bad, reason in (
            (b"", "cut off"),
            (data[:within], "cut off"),
            (data[: within + 15], "cut off"),
            (data[: within + 17], "another length"),
            (bytes(damaged), "checksum"),
        ):
            with pytest.raises(CorruptFile, match=reason) as failure:
                file.parse_one(fetch, bad)
            assert failure.value.path == file.path
            assert failure.value.offset == fetch.places[0].offset
        as_data = Fetch(file, Kind.DATA, fetch.places)
        with pytest.raises(CorruptFile, match="kind"):
            file.parse_one(as_data, data)

    run(test())

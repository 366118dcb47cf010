"""Which blocks stay when there is no room for all of them."""

import gc
import time
from collections import OrderedDict
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from storage.block_cache import ENTRY_OVERHEAD_BYTES, INDEX_PART, BlockCache
from storage.sstable.block import Block
from storage.sstable.fetch import Extent, Fetch
from storage.sstable.frame import Kind
from storage.sstable.reader import Parsed, SSTable

BLOCK_BYTES = 1_000
ROOM_BYTES = 16 * BLOCK_BYTES
PLACE_BYTES = 3 << 20


class _IndexBlock:
    def __init__(self, size: int = BLOCK_BYTES - 200) -> None:
        self.memory_bytes = size


def _fetch(table: object, kind: Kind, offset: int) -> Fetch:
    return Fetch(cast(SSTable, table), kind, [Extent(offset, 1)])


def _put(cache: BlockCache, table: object, kind: Kind, offset: int) -> None:
    block: Any = Block(bytes(BLOCK_BYTES - 200)) if kind is Kind.DATA else _IndexBlock()
    cache.put(_fetch(table, kind, offset), [cast(Parsed, block)])
    cache.check()


def test_data_blocks_do_not_push_index_blocks_out() -> None:
    cache, table = BlockCache(ROOM_BYTES), object()
    _put(cache, table, Kind.INDEX, 0)
    for offset in range(1, 100):
        _put(cache, table, Kind.DATA, offset)
    assert cache.find_one(cast(SSTable, table), 0) is not None
    assert cache.find_one(cast(SSTable, table), 1) is None
    assert cache.find_one(cast(SSTable, table), 99) is not None


def test_index_blocks_leave_data_a_part_of_the_room() -> None:
    cache, table = BlockCache(ROOM_BYTES), object()
    for offset in range(100):
        _put(cache, table, Kind.INDEX, offset)
    for offset in range(100, 200):
        _put(cache, table, Kind.DATA, offset)
    kept = [offset for offset in range(200) if cache.find_one(cast(SSTable, table), offset)]
    indexes = int(ROOM_BYTES * INDEX_PART) // BLOCK_BYTES
    assert kept == [*range(100 - indexes, 100), *range(200 - (16 - indexes), 200)]


def test_the_blocks_of_an_obsolete_file_are_forgotten() -> None:
    cache, old, young = BlockCache(ROOM_BYTES), object(), object()
    for table in (old, young):
        _put(cache, table, Kind.INDEX, 0)
        _put(cache, table, Kind.DATA, 1)
    cache.forget(cast(SSTable, old))
    cache.check()
    assert len(cache) == 2 and cache.used_bytes == 2 * BLOCK_BYTES
    assert cache.find_one(cast(SSTable, young), 1) is not None


class _Twin:
    """The slow, obvious twin: keys from the least to the most recently used, and their blocks."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.blocks: OrderedDict[tuple[object, int], Parsed] = OrderedDict()

    def bytes_of(self, kinds: tuple[type, ...]) -> int:
        kept = [block for block in self.blocks.values() if isinstance(block, kinds)]
        return sum(block.memory_bytes + ENTRY_OVERHEAD_BYTES for block in kept)

    def find(self, table: object, offset: int) -> Parsed | None:
        if (table, offset) in self.blocks:
            self.blocks.move_to_end((table, offset))
        return self.blocks.get((table, offset))

    def put(self, table: object, offset: int, block: Parsed) -> None:
        if block.memory_bytes + ENTRY_OVERHEAD_BYTES <= self.bytes_max // 8:
            self.blocks.pop((table, offset), None)
            self.blocks[table, offset] = block
            self.shrink()

    def shrink(self) -> None:
        while self.bytes_of((Block, _IndexBlock)) > self.bytes_max:
            has_many_indexes = self.bytes_of((_IndexBlock,)) > self.bytes_max * INDEX_PART
            kinds: tuple[type, ...] = (_IndexBlock,) if has_many_indexes else (Block,)
            oldest = [key for key, block in self.blocks.items() if isinstance(block, kinds)]
            del self.blocks[oldest[0] if oldest else next(iter(self.blocks))]

    def forget(self, table: object) -> None:
        for key in [key for key in self.blocks if key[0] is table]:
            del self.blocks[key]


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["put data", "put index", "put both"] * 3 + ["find"] * 6 + ["forget", "resize"]
        ),
        st.integers(0, 1),
        st.integers(0, 9).map(lambda n: n * PLACE_BYTES),
        st.integers(1_200, 1_900),
    ),
    min_size=20,
    max_size=50,
)
"""Nine to twelve blocks fill the room, and the largest are too large for it."""


@given(_STEPS)
def test_the_cache_keeps_what_an_ordered_dict_would(
    steps: list[tuple[str, int, int, int]],
) -> None:
    cache, twin = BlockCache(ROOM_BYTES), _Twin(ROOM_BYTES)
    tables = [cast(SSTable, object()) for _ in range(2)]
    hits = misses = index_hits = index_misses = 0
    for step, which, offset, size in steps:
        table = tables[which]
        data, index = Block(bytes(size)), cast(Parsed, _IndexBlock(size))
        if step == "find":
            found = twin.find(table, offset)
            assert cache.find_one(table, offset) is found
            hits, misses = hits + (found is not None), misses + (found is None)
            index_hits += isinstance(found, _IndexBlock)
        elif step == "forget":
            while cache.forget(table, 3):
                cache.check()
            twin.forget(table)
        elif step == "resize":
            cache.resize(size * 8)
            twin.bytes_max = size * 8
            twin.shrink()
        elif step == "put both":
            fetch = Fetch(table, Kind.DATA, [Extent(offset, 1), Extent(offset + PLACE_BYTES, 1)])
            cache.put(fetch, [data, index])
            twin.put(table, offset, data)
            twin.put(table, offset + PLACE_BYTES, index)
            index_misses += 1
        else:
            index_misses += step == "put index"
            block = data if step == "put data" else index
            cache.put_one(table, offset, block)
            twin.put(table, offset, block)
        cache.check()
        assert cache.used_bytes == twin.bytes_of((Block, _IndexBlock))
        assert (len(cache), cache.hits, cache.misses) == (len(twin.blocks), hits, misses)
        assert (cache.index_hits, cache.index_misses) == (index_hits, index_misses)
        assert cache.index_bytes == twin.bytes_of((_IndexBlock,))
    for (owner, offset), block in list(twin.blocks.items()):
        assert cache.find_one(cast(SSTable, owner), offset) is block


def test_frames_read_together_are_found_together_or_not_at_all() -> None:
    cache, table = BlockCache(ROOM_BYTES), cast(SSTable, object())
    blocks: list[Parsed] = [Block(b"a"), Block(b"b"), Block(b"c")]
    fetch = Fetch(table, Kind.DATA, [Extent(offset, 1) for offset in range(3)])
    cache.put(fetch, blocks)
    found = cache.find(fetch)
    assert found is not None and all(a is b for a, b in zip(found, blocks, strict=True))
    assert cache.find(Fetch(table, Kind.DATA, [Extent(2, 1), Extent(3, 1)])) is None
    assert (cache.hits, cache.misses) == (1, 1)


def test_a_file_with_many_blocks_is_forgotten_in_parts() -> None:
    cache, table = BlockCache(1 << 20), cast(SSTable, object())
    for n in range(10):
        cache.put_one(table, n // 3 * PLACE_BYTES + n, Block(b"a"))
    assert cache.forget(table, 4)
    assert len(cache) == 6
    assert not cache.forget(table, 6)
    assert (len(cache), cache.used_bytes) == (0, 0)
    assert not cache.forget(table)
    cache.check()


def _longest_put(blocks: int) -> float:
    """The longest of many insertions into one file, in seconds of the processor."""
    cache, table, block = BlockCache(1 << 40), cast(SSTable, object()), Block(b"a")
    longest = 0.0
    began = time.thread_time()
    for n in range(blocks):
        cache.put_one(table, n * 5_000, block)
        now = time.thread_time()
        longest = max(longest, now - began)
        began = now
    return longest


def test_no_insertion_takes_long_however_many_blocks_of_a_file_there_are() -> None:
    gc.disable()
    try:
        assert min(_longest_put(400_000) for _ in range(3)) < 0.003
    finally:
        gc.enable()

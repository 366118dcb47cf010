"""Which blocks stay when there is no room for all of them."""

from typing import Any, cast

from storage.block_cache import INDEX_PART, BlockCache
from storage.sstable.block import Block
from storage.sstable.fetch import Extent, Fetch
from storage.sstable.frame import Kind
from storage.sstable.reader import Parsed, SSTable

BLOCK_BYTES = 1_000
ROOM_BYTES = 16 * BLOCK_BYTES


class _IndexBlock:
    memory_bytes = BLOCK_BYTES - 200


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

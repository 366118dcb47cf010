"""Tables made in memory for the tests of the SSTable's modules."""

import asyncio
import struct
from collections.abc import Coroutine
from typing import Any, TypeVar

from storage.disk import OpenMode
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.sstable.fetch import Fetch
from storage.sstable.reader import Cursor, SSTable, open_sstable
from storage.sstable.writer import SSTableWriter

T = TypeVar("T")
IDENTITY = bytes(range(16))
TABLE_ID = b"table-id-16bytes"
PATH = "t/0000000000000007.sst"

Partition = tuple[
    bytes,
    tuple[int, int] | None,
    bytes,
    list[tuple[bytes, bytes, int, int]],
    list[bytes],
    list[bytes],
]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def key_of(number: int) -> bytes:
    return struct.pack(">Q", number * 0x0000100000000001) + b"key%d" % number


def row_of(timestamp: int, value: bytes, flags: int = 1) -> bytes:
    """A row with a marker and one live cell in column 1."""
    length = bytearray()
    size = len(value)
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return struct.pack(">Bq", flags, timestamp) + b"\x10\x01" + bytes(length) + value


def layout(**options: Any) -> Layout:
    defaults: dict[str, Any] = {
        "table_id": TABLE_ID,
        "name": "ks.t",
        "live_columns": frozenset({1, 2}),
        "has_clustering": True,
        "has_static": True,
    }
    return Layout(**(defaults | options))


def file_of(partitions: list[Partition], table: Layout, expected: int | None = None) -> bytes:
    writer = SSTableWriter(table, IDENTITY, 7, len(partitions) if expected is None else expected)
    for key, deletion, static_row, tombstones, clusterings, rows in partitions:
        writer.begin(key, deletion, static_row)
        writer.add(tombstones, clusterings, rows)
        writer.end()
    writer.finish()
    offset, data = writer.take()
    assert offset == 0 and writer.pending_bytes == 0
    return bytes(data)


async def open_bytes(data: bytes) -> SSTable:
    disk = MemoryDisk()
    await disk.make_directory("t")
    file = await disk.open(PATH, OpenMode.CREATE)
    await file.write(0, data)
    await file.close()
    return await open_sstable(disk, PATH, TABLE_ID, 7)


async def blocks_between(
    table: SSTable, start: tuple[bytes, bytes], end: tuple[bytes, bytes], reverse: bool = False
) -> tuple[list[Any], list[Fetch]]:
    """The blocks of a cursor, and what it had to fetch."""
    cursor = Cursor(table, start, end, reverse)
    blocks, fetches = [], []
    while (step := cursor.step()) is not None:
        if isinstance(step, Fetch):
            fetches.append(step)
            cursor.supply(await table.fetch(step))
        else:
            blocks.append(step)
    return blocks, fetches

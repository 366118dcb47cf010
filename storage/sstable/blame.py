"""Which file has it: the place of malformed data under a right checksum.

Compiled readers find such data without knowing whose bytes they walk through. Nobody but a program
that wrote nonsense makes them, so the place is looked for only then, with all the time it takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from storage.errors import CorruptData, CorruptFile
from storage.row import check_row
from storage.sstable.block import Block
from storage.sstable.fetch import Fetch
from storage.sstable.reader import Cursor, Parsed, SSTable

Load = Callable[[Fetch], Awaitable[list[Parsed]]]


async def place_of(
    error: CorruptData, tables: Iterable[SSTable], start: bytes, end: bytes, load: Load
) -> CorruptFile:
    """The first malformed block with keys in [start, end), as the reason for `error`."""
    if isinstance(error, CorruptFile):
        return error
    path = ""
    for table in tables:
        path = path or table.path
        try:
            found = await _malformed(table, start, end, load)
        except CorruptFile as damage:
            found = damage
        if found is not None:
            return found
    # Each block is well formed by itself; what they say together is not.
    return CorruptFile(path, 0, f"{error}, in this file or another of its table")


async def _malformed(table: SSTable, start: bytes, end: bytes, load: Load) -> CorruptFile | None:
    cursor = Cursor(table, (start, b""), (end, b""), ahead_bytes=1)  # One block at a time.
    offset = 0
    while (step := cursor.step()) is not None:
        if isinstance(step, Fetch):
            offset = step.places[0].offset
            cursor.supply(await load(step))
            continue
        try:
            _check(step)
        except CorruptData as error:
            return CorruptFile(table.path, offset, str(error))
    return None


def _check(block: Block) -> None:
    """Walk through all that is in a block; raises CorruptData."""
    for section in block.sections():
        if section.static_row:
            check_row(section.static_row)
        section.tombstones()
        _, rows = section.rows(b"", b"")
        for row in rows:
            check_row(row)

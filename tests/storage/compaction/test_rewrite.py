"""Tests of storage/compaction/rewrite: what others may do while a block is written."""

from __future__ import annotations

import asyncio
import struct

from storage.compaction.rewrite import close_block
from storage.layout import Layout
from storage.pace import Hours, Pace
from storage.sstable.writer import SSTableWriter

ROW = struct.pack(">Bq", 1, 5)
"""A row with nothing but a marker."""


def _writer() -> SSTableWriter:
    """A block of three partitions is open."""
    layout = Layout(bytes(16), "ks.t", frozenset({1}), False, False)
    writer = SSTableWriter(layout, bytes(16), 7, 3)
    for number in range(3):
        writer.begin(b"%08d" % number, None, b"")
        writer.add([], [b""], [ROW])
        writer.end()
    return writer


def _closed(is_anybody_there: bool) -> tuple[bytes, list[int]]:
    """What is written, and how much of it there was at each rest."""
    writer, rests = _writer(), []

    class Watched(Pace):
        async def rest(self) -> None:
            rests.append(writer.pending_bytes)
            await super().rest()

    pace = Watched(Hours(lambda: 0.0, lambda: is_anybody_there), lambda: 0.5)
    asyncio.run(close_block(writer, pace))
    assert writer.pending_bytes > 0
    writer.finish()
    return bytes(writer.take()[1]), rests


def test_who_waits_has_a_turn_before_a_block_is_compressed_and_before_it_is_put() -> None:
    undisturbed, no_rests = _closed(is_anybody_there=False)
    disturbed, rests = _closed(is_anybody_there=True)
    assert (no_rests, rests) == ([], [0, 0])
    assert disturbed == undisturbed


def test_pages_are_taken_whole_and_the_rest_stays() -> None:
    whole, parts = _writer(), _writer()
    whole.finish()
    expected = bytes(whole.take()[1])
    parts.put_block(parts.take_block())
    offset, pages = parts.take()
    assert (offset, bytes(pages)) == (0, b""), "a small block is no page yet"
    assert parts.pending_bytes > 0
    parts.finish()
    assert parts.take() == (0, bytearray(expected))
    assert parts.pending_bytes == 0 and parts.file_bytes == len(expected)

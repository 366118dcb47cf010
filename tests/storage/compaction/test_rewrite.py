"""What is written of a partition between two looks at the pace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage.compaction.rewrite import PIECE_BYTES, pieces
from storage.merge import Chunk

SIZES = st.lists(st.sampled_from([1, 100, 8_000, PIECE_BYTES, 40_000]), max_size=40)


def chunk_of(sizes: list[int], tombstones: list[tuple[bytes, bytes, int, int]]) -> Chunk:
    clusterings = [b"\x01" + at.to_bytes(2, "big") for at in range(len(sizes))]
    return Chunk(b"", b"", clusterings, [bytes(size) for size in sizes], tombstones)


@given(SIZES)
def test_pieces_are_the_chunk_and_end_with_the_row_that_fills_them(sizes: list[int]) -> None:
    chunk = chunk_of(sizes, [])
    found = list(pieces(chunk))
    assert [place for _, places, _ in found for place in places] == chunk.clusterings
    assert [row for _, _, rows in found for row in rows] == chunk.rows
    for _, places, rows in found:
        assert len(places) == len(rows) > 0
        assert sum(map(len, rows[:-1])) < PIECE_BYTES


def test_a_chunk_with_tombstones_stays_whole() -> None:
    tombstones = [(b"\x01\x00\x00", b"\x01\x00\x02", 1, 1)]
    chunk = chunk_of([PIECE_BYTES] * 4, tombstones)
    assert list(pieces(chunk)) == [(tombstones, chunk.clusterings, chunk.rows)]
    alone = chunk_of([], tombstones)
    assert list(pieces(alone)) == [(tombstones, [], [])]

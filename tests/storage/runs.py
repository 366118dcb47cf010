"""Helpers of tests: runs made of lists, and the loops that drive merges without waiting."""

import itertools
from collections.abc import Sequence
from typing import Protocol

from storage.memtable import MemoryRun, Memtable
from storage.merge import DONE, FULL, PAUSED, Chunk, CompactionMerge, Head, PageMerge
from storage.slice import Page, Slice


class ReadyRun(Protocol):
    """A run that never waits."""

    @property
    def head(self) -> Head: ...
    def chunk_at(self, position: bytes, reverse: bool) -> Chunk: ...


class ListRun:
    """A run that holds its chunks, as an SSTable holds blocks."""

    def __init__(self, head: Head, chunks: Sequence[Chunk]) -> None:
        self.head = head
        self.chunks = list(chunks)
        for chunk in self.chunks:
            chunk.check()

    def chunk_at(self, position: bytes, reverse: bool) -> Chunk:
        if reverse:
            for chunk in reversed(self.chunks):
                if not position or chunk.start < position:
                    return chunk
        for chunk in self.chunks:
            if not chunk.end or position < chunk.end:
                return chunk
        raise AssertionError("the chunks of a run cover everything")


def compact(
    key: bytes,
    runs: Sequence[ReadyRun],
    merge: CompactionMerge,
    purgeable_before_us: int = (1 << 63) - 1,
) -> ListRun:
    """The runs of one partition as one run."""
    merge.begin(key, [run.head for run in runs], purgeable_before_us)
    chunks = []
    while (state := merge.advance()) != DONE:
        if state == PAUSED:
            chunks.append(merge.take())
        else:
            merge.feed(state, runs[state].chunk_at(merge.position(state), False))
    assert chunks[0].start == b"" and chunks[-1].end == b""
    assert all(a.end == b.start for a, b in itertools.pairwise(chunks))
    return ListRun(merge.head, chunks)


def memory_runs(memtables: Sequence[Memtable], key: bytes) -> list[MemoryRun]:
    """The runs of a partition in several memtables."""
    found = [memtable.find(key) for memtable in memtables]
    return [run for run in found if run is not None]


def read_page(
    wanted: Slice, partitions: Sequence[tuple[bytes, Sequence[ReadyRun]]], now: int, steps: int = 0
) -> Page:
    """One page of a slice over partitions in key order; PAUSED ends the page."""
    merge = PageMerge(wanted, now)
    for key, runs in partitions:
        if isinstance(wanted.key, bytes) and key != wanted.key:
            continue
        if key < wanted.resume_key or (
            key == wanted.resume_key and wanted.resume_key and not wanted.resume_clustering
        ):
            continue
        merge.begin(key, [run.head for run in runs])
        while (state := merge.advance(steps)) >= 0:
            merge.feed(state, runs[state].chunk_at(merge.position(state), wanted.reverse))
        if state in (FULL, PAUSED):
            return merge.page(more=True)
    return merge.page()


def read_all(
    wanted: Slice, partitions: Sequence[tuple[bytes, Sequence[ReadyRun]]], now: int, steps: int = 0
) -> list[Page]:
    """All pages of a slice."""
    pages = [read_page(wanted, partitions, now, steps)]
    while pages[-1].more:
        assert len(pages) < 1000, "paging comes to an end"
        pages.append(read_page(wanted.after(pages[-1]), partitions, now, steps))
    return pages

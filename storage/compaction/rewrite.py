"""Merging runs into new SSTables: what flushes and compactions have in common.

Plain partitions go from block to block in `storage.sstable.splice`; the others through the whole
merge, which knows tombstones, static rows, and partitions larger than a block.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from storage.compaction.outputs import Outputs
from storage.merge import DONE, PAUSED, Chunk, CompactionMerge, Run
from storage.pace import Pace
from storage.row import NO_DELETION, ColumnSet
from storage.sstable import splice
from storage.sstable.output import SSTableOutput
from storage.sstable.reader import NO_KEY
from storage.sstable.runs import Scan
from storage.sstable.splice import Splice
from storage.sstable.writer import SSTableWriter, Tombstone
from storage.values import value_class

PIECE_BYTES: Final = 16 * 1024
"""Of rows of one partition that are written in one step: about a block, which is compressed."""

PARTITION_STEPS: Final = 8
"""What a partition costs that goes through the whole merge, beside its rows."""


@value_class
class Purge:
    """What a compaction may leave out."""

    wall_s: int
    gc_before_s: int
    """Tombstones from before are due."""

    existing: ColumnSet
    """Cells of other columns go."""

    before: Callable[[bytes], int]
    """By key: the lowest timestamp which data outside of the merge may have for it."""

    forced: tuple[bytes, ...] = ()
    """Keys, ascending, of which all tombstones are due."""


async def rewrite_scans(
    scans: Sequence[Scan],
    purge: Purge,
    outputs: Outputs,
    is_stopping: Callable[[], bool],
    merged: Counter[int],
    pace: Pace | None = None,
) -> bool:
    """Merge all partitions of the scans, which have begun, into the outputs; false if stopped.

    Counts in `merged` how many partitions were in how many of the scans.
    """
    lanes = [scan.lane for scan in scans]
    quick = Splice(lanes, purge.wall_s, purge.gc_before_s, purge.existing, purge.before)
    merge = CompactionMerge(purge.wall_s, purge.gc_before_s, purge.existing)
    forced = purge.forced
    forced_merge = CompactionMerge(purge.wall_s, purge.wall_s + 1, purge.existing)
    pace = pace or Pace()
    while not is_stopping():
        key = min((scan.key for scan in scans if scan.key is not None), default=None)
        if key is None:
            merged.update({files: n for files, n in enumerate(quick.counts) if n})
            return True
        output = await outputs.output_for(key)
        following = forced[at] if (at := bisect_left(forced, key)) < len(forced) else NO_KEY
        sink, limit = output.writer.sink, min(outputs.limit, following)
        reason = quick.run(sink, limit, pace.run_bytes)
        while reason == splice.PAUSED and not pace.spend(quick.spent):
            reason = quick.run(sink, limit, pace.run_bytes)
        if reason == splice.FULL:
            await close_block(output.writer, pace)
        elif reason == splice.EMPTY:
            for scan in scans:
                if scan.lane.is_used_up:
                    await scan.skip()
        elif reason == splice.OTHER or key == following:
            key = quick.key
            assert key is not None, "there is another partition"
            at_hand = [scan for scan in scans if scan.key == key]
            chosen = forced_merge if key == following else merge
            chosen.begin(key, [scan.head for scan in at_hand], purge.before(key))
            merged[len(at_hand)] += 1
            await write_partition(key, at_hand, chosen, output, pace)
            for scan in at_hand:
                if not scan.skip_now():
                    await scan.skip()
        if reason == splice.PAUSED or pace.spend(quick.spent):
            await drain_and_rest(output, pace)
    return False


async def close_block(writer: SSTableWriter, pace: Pace) -> None:
    """End a block; compressing it takes as long as a slice."""
    if pace.is_wanted():
        await pace.rest()
    block = writer.take_block()
    if pace.is_wanted():
        await pace.rest()
    writer.put_block(block)


async def drain_and_rest(output: SSTableOutput, pace: Pace) -> None:
    """The end of a slice."""
    await pace.rest()
    if output.is_drain_due:
        await pace.wait(output.drain())
        await pace.rest()


async def write_partition(
    key: bytes, runs: Sequence[Run], merge: CompactionMerge, output: SSTableOutput, pace: Pace
) -> None:
    """Write the partition which `merge` has begun with; nothing if nothing of it is left."""
    writer = output.writer
    deletion_ts, deleted_at, static_row = merge.head
    deletion = None if deletion_ts == NO_DELETION else (deletion_ts, deleted_at)
    writer.begin(key, deletion, static_row)
    spent = len(key) + len(static_row)
    while (run := merge.advance()) != DONE:
        if run == PAUSED:
            for tombstones, clusterings, rows in pieces(merge.take()):
                writer.add(tombstones, clusterings, rows)
                spent += sum(map(len, rows))
                if pace.spend(spent, len(rows) + len(tombstones)):
                    await drain_and_rest(output, pace)
                spent = 0
        else:
            found = runs[run].chunk_at(merge.position(run), False)
            merge.feed(run, found if isinstance(found, Chunk) else await found)
    writer.end()
    if pace.spend(spent, PARTITION_STEPS):
        await drain_and_rest(output, pace)


def pieces(chunk: Chunk) -> Iterator[tuple[list[Tombstone], list[bytes], list[bytes]]]:
    """A chunk in parts of some `PIECE_BYTES` of rows, in order; one with tombstones in one part."""
    clusterings, rows = chunk.clusterings, chunk.rows
    first = size = 0
    if not chunk.tombstones:
        for at, row in enumerate(rows):
            size += len(row)
            if size >= PIECE_BYTES:
                yield [], clusterings[first : at + 1], rows[first : at + 1]
                first, size = at + 1, 0
    if first < len(rows) or chunk.tombstones:
        yield chunk.tombstones, clusterings[first:], rows[first:]

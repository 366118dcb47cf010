"""Merging runs into one new SSTable: what flushes and compactions have in common."""

from collections import Counter
from collections.abc import Callable, Sequence

from storage.compaction.outputs import Outputs
from storage.merge import DONE, PAUSED, Chunk, CompactionMerge, Run
from storage.pace import Pace
from storage.row import NO_DELETION
from storage.sstable.output import SSTableOutput
from storage.sstable.runs import Scan

PurgeableBefore = Callable[[bytes], int]
"""By key: the lowest timestamp which data outside of the merge may have for it."""


async def rewrite_scans(
    scans: Sequence[Scan],
    merge: CompactionMerge,
    outputs: Outputs,
    purgeable_before: PurgeableBefore,
    is_stopping: Callable[[], bool],
    merged: Counter[int],
) -> bool:
    """Merge all partitions of the scans, which have begun, into the outputs; false if stopped.

    Counts in `merged` how many partitions were in how many of the scans.
    """
    pace = Pace()
    while not is_stopping():
        keys = [scan.key for scan in scans if scan.key is not None]
        if not keys:
            return True
        key = min(keys)
        at_hand = [scan for scan in scans if scan.key == key]
        merge.begin(key, [scan.head for scan in at_hand], purgeable_before(key))
        merged[len(at_hand)] += 1
        await write_partition(key, at_hand, merge, await outputs.output_for(key), pace)
        for scan in at_hand:
            if not scan.skip_now():
                await scan.skip()
    return False


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
            chunk = merge.take()
            writer.add(chunk.tombstones, chunk.clusterings, chunk.rows)
            spent += sum(map(len, chunk.rows))
            if pace.spend(spent, len(chunk.rows) + len(chunk.tombstones)):
                await output.drain()
                await pace.rest()
            spent = 0
        else:
            found = runs[run].chunk_at(merge.position(run), False)
            merge.feed(run, found if isinstance(found, Chunk) else await found)
    writer.end()
    if pace.spend(spent):
        await output.drain()
        await pace.rest()

"""One memtable, or what a replay found of a table, written to a new SSTable."""

from storage.compaction.rewrite import close_block, drain_and_rest, write_partition
from storage.io_queue import IoClass
from storage.log_run import LogRun, LogSplice
from storage.memtable import Memtable
from storage.merge import CompactionMerge
from storage.pace import Pace, flush_share
from storage.sstable import splice
from storage.sstable.output import SSTableOutput
from storage.sstable.reader import SSTable
from storage.sstable.splice import MemorySplice
from storage.store import Store
from storage.table import Table


async def write_memtable(store: Store, table: Table, memtable: Memtable, pace: Pace) -> SSTable:
    """Write a memtable that takes no more writes; the file is durable and open on return."""
    return await _write(store, table, MemorySplice(memtable), len(memtable), pace)


async def write_log_run(store: Store, table: Table, run: LogRun, pace: Pace) -> SSTable:
    """Write what a replay has gathered; the file is durable and open on return."""
    run.sort()
    return await _write(store, table, LogSplice(run), run.partitions, pace)


async def _write(
    store: Store, table: Table, quick: MemorySplice | LogSplice, partitions: int, pace: Pace
) -> SSTable:
    output = await store.new_sstable(table, partitions, IoClass.FLUSH)
    try:
        await write_splice(quick, output, pace)
        return await output.finish()
    except Exception:
        await output.abandon()
        raise


def flush_pace(store: Store) -> Pace:
    """The pace of a flush, which is faster the less memory is left."""
    memory = store.memory
    return Pace(store.hours, lambda: flush_share(memory.used, memory.limit))


async def write_splice(quick: MemorySplice | LogSplice, output: SSTableOutput, pace: Pace) -> None:
    """Write all partitions of a splice, those that are not plain through the whole merge."""
    writer = output.writer
    merge = CompactionMerge(0, 0, None, False)
    while (reason := quick.run(writer.sink, pace.run_bytes)) != splice.END:
        if reason == splice.FULL:
            await close_block(writer, pace)
        elif reason == splice.OTHER:
            key, run = quick.key, quick.other()
            assert key is not None, "it stopped at a partition"
            merge.begin(key, [run.head])
            await write_partition(key, [run], merge, output, pace)
        if pace.spend(quick.spent):
            await drain_and_rest(output, pace)

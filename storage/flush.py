"""One memtable written to a new SSTable."""

from storage.compaction.rewrite import RUN_BYTES, drain_and_rest, write_partition
from storage.io_queue import IoClass
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
    output = await store.new_sstable(table, len(memtable), IoClass.FLUSH)
    try:
        await _write_partitions(memtable, output, pace)
        return await output.finish()
    except Exception:
        await output.abandon()
        raise


def flush_pace(store: Store) -> Pace:
    """The pace of a flush, which is faster the less memory is left."""
    memory = store.memory
    return Pace(store.hours, lambda: flush_share(memory.used, memory.limit))


async def _write_partitions(memtable: Memtable, output: SSTableOutput, pace: Pace) -> None:
    writer = output.writer
    quick = MemorySplice(memtable)
    merge = CompactionMerge(0, 0, None, False)
    while (reason := quick.run(writer.sink, RUN_BYTES)) != splice.END:
        if reason == splice.FULL:
            writer.close_block()
        elif reason == splice.OTHER:
            key = quick.key
            run = None if key is None else memtable.find(key)
            assert key is not None and run is not None, "a key of the memtable is in it"
            merge.begin(key, [run.head])
            await write_partition(key, [run], merge, output, pace)
        if pace.spend(quick.spent):
            await drain_and_rest(output, pace)

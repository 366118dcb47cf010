"""One memtable written to a new SSTable."""

from typing import Final

from storage.compaction.rewrite import write_partition
from storage.io_queue import IoClass
from storage.memtable import Memtable
from storage.merge import CompactionMerge
from storage.pace import Pace
from storage.sstable.output import SSTableOutput
from storage.sstable.reader import SSTable
from storage.store import Store
from storage.table import Table

KEYS_AT_ONCE: Final = 1_024


async def write_memtable(store: Store, table: Table, memtable: Memtable) -> SSTable:
    """Write a memtable that takes no more writes; the file is durable and open on return."""
    output = await store.new_sstable(table, len(memtable), IoClass.FLUSH)
    try:
        await _write_partitions(memtable, output)
        return await output.finish()
    except Exception:
        await output.abandon()
        raise


async def _write_partitions(memtable: Memtable, output: SSTableOutput) -> None:
    merge = CompactionMerge(0, 0, None, False)
    pace = Pace()
    start = b""
    while keys := memtable.keys(start, b"", KEYS_AT_ONCE):
        for key in keys:
            run = memtable.find(key)
            assert run is not None, "a key of the memtable is in it"
            merge.begin(key, [run.head])
            await write_partition(key, [run], merge, output, pace)
        start = keys[-1] + b"\0"

"""One slice of one partition, answered from memtables alone.

Compiled because it is most of a cached read: what a table without clustering columns has in one
memtable needs no merge, and the rest is merged without a Python frame in between.
"""

from libc.stdint cimport int64_t

from storage.memtable cimport MemoryRun, Memtable
from storage.merge cimport PageMerge, as_set
from storage.row cimport live_row
from storage.slice cimport Page, Slice, make_page, make_partition

from storage.merge import PAUSED as _PAUSED

cdef Py_ssize_t PAUSED = _PAUSED


cpdef Page read_memory(
    list memtables, Slice wanted, bytes key, int64_t wall_s, ColumnSet existing,
    Py_ssize_t steps_max
):
    """The page; None if more than `steps_max` rows had to be merged, and nothing is done."""
    cdef Memtable memtable
    cdef MemoryRun run
    cdef PageMerge merge
    cdef list runs = []
    cdef list heads
    cdef Py_ssize_t outcome
    for memtable in memtables:
        run = memtable.find(key)
        if run is not None:
            runs.append(run)
    if not runs:
        return make_page([])
    if len(runs) == 1 and wants_all(wanted):
        run = <MemoryRun>runs[0]
        if type(run.partition) is bytes:
            return only_row(wanted, key, <bytes>run.partition, wall_s, existing)
    merge = PageMerge(wanted, wall_s, existing)
    heads = [(<MemoryRun>run).head for run in runs]
    merge.begin(key, heads)
    while True:
        outcome = merge.advance(steps_max)
        if outcome < 0:
            return None if outcome == PAUSED else merge.page(False)
        run = <MemoryRun>runs[outcome]
        merge.feed(outcome, run.chunk_at(merge.position(outcome), wanted.reverse))


cdef inline bint wants_all(Slice wanted) except -1:
    """Whether a partition that is one mere row is wanted as it is."""
    return (
        wanted.is_whole_partition() and not wanted.distinct and not len(wanted.resume_key)
        and not len(wanted.ranges[0][0])
    )


cdef Page only_row(Slice wanted, bytes key, bytes row, int64_t wall_s, ColumnSet existing):
    """The page of a partition that is one row without clustering."""
    row = live_row(row, wall_s, as_set(wanted.columns), existing)
    if not row:
        return make_page([])
    return make_page([make_partition(key, b"", [b""], [row])])

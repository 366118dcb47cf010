"""One slice of one partition, answered from memory alone: from memtables and cached rows.

Compiled because it is most of a cached read: a partition that is one row without clustering needs
no merge of runs, and the rest is merged without a Python frame in between.
"""

from libc.stdint cimport int64_t

from storage.cache cimport CachedRun, TableCache
from storage.memtable cimport MemoryRun, Memtable
from storage.merge cimport Chunk, PageMerge, as_set
from storage.row cimport live_row, merge_pair
from storage.slice cimport Page, Slice, make_page, make_partition

from storage.merge import PAUSED as _PAUSED

cdef Py_ssize_t PAUSED = _PAUSED


cpdef Page read_memory(
    list memtables, TableCache cache, Slice wanted, bytes key, int64_t wall_s, ColumnSet existing,
    Py_ssize_t steps_max
):
    """The page; None if it needs files or more than `steps_max` merged rows, and nothing is done.

    `cache` stands for the files; None says that they have nothing.
    """
    cdef Memtable memtable
    cdef MemoryRun run
    cdef CachedRun cached = None
    cdef list runs = []
    cdef Page page = None
    if cache is not None:
        cached = cache.find(key)
        if cached is None:
            return None
    for memtable in memtables:
        run = memtable.find(key)
        if run is not None:
            runs.append(run)
    if not runs and cached is None:
        return make_page([])
    if wants_all(wanted):
        page = read_only_row(runs, cached, wanted, key, wall_s, existing)
    if page is None:
        page = merge_runs(runs, cached, wanted, key, wall_s, existing, steps_max)
    if cached is not None and page is not None:
        cache.hits += 1
    return page


cdef bint wants_all(Slice wanted) except -1:
    """Whether a partition that is one mere row is wanted as it is."""
    return (
        wanted.is_whole_partition() and not wanted.distinct and not len(wanted.resume_key)
        and not len(wanted.ranges[0][0])
    )


cdef Page read_only_row(
    list runs, CachedRun cached, Slice wanted, bytes key, int64_t wall_s, ColumnSet existing
):
    """The page of a partition that is one row without clustering; None if it is not."""
    cdef MemoryRun run
    cdef bytes row = b""
    if cached is not None:
        row = cached.mere_row()
        if row is None:
            return None
    for run in runs:
        if type(run.partition) is not bytes:
            return None
        row = merge_pair(row, <bytes>run.partition)
    if not row:
        return make_page([])
    row = live_row(row, wall_s, as_set(wanted.columns), existing)
    if not row:
        return make_page([])
    return make_page([make_partition(key, b"", [b""], [row])])


cdef Page merge_runs(
    list runs, CachedRun cached, Slice wanted, bytes key, int64_t wall_s, ColumnSet existing,
    Py_ssize_t steps_max
):
    """The page of a merge; None if something is not cached, or it takes more than `steps_max`."""
    cdef PageMerge merge = PageMerge(wanted, wall_s, existing)
    cdef Py_ssize_t outcome, count = len(runs)
    cdef Chunk chunk
    cdef list heads = [(<MemoryRun>run).head for run in runs]
    if cached is not None:
        heads.append(cached.head)
    merge.begin(key, heads)
    while True:
        # A chunk has fewer rows than that, so what counts is the sum of all of them.
        if merge.steps >= steps_max:
            return None
        outcome = merge.advance(steps_max - merge.steps)
        if outcome < 0:
            return None if outcome == PAUSED else merge.page(False)
        if outcome < count:
            chunk = (<MemoryRun>runs[outcome]).chunk_at(merge.position(outcome), wanted.reverse)
        else:
            chunk = cached.chunk_at(merge.position(outcome), wanted.reverse)
            if chunk is None:
                return None
        merge.feed(outcome, chunk)

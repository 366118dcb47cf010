"""What is known of an interval of clusterings: joined, cut, weighed, and merged with a flush.

Chunks, which the row cache is made of, and nothing of where it keeps them.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint32_t

from storage.memtable cimport MemoryRun
from storage.merge cimport Chunk, CompactionMerge, clip, insert_tombstone
from storage.order cimport compare, ends_before, find_end, find_place

from storage.merge import DONE as _DONE

cdef enum:
    STRETCH_BYTES = 112
    LISTS_BYTES = 2 * (56 + 16)
    ENTRY_BYTES = 16            # two pointers in lists of exact size
    TOMBSTONE_BYTES = 72 + 32 + 32 + 9


cdef Py_ssize_t cost_of(bytes data) noexcept:
    """What the allocator takes for a bytes object; there is only one without bytes."""
    return (33 + len(data) + 15) & ~15 if len(data) else 0


cdef Py_ssize_t cost_of_chunk(Chunk chunk) except -1:
    """What a stretch with this content is charged."""
    cdef Py_ssize_t total = STRETCH_BYTES + cost_of(chunk.start) + cost_of(chunk.end)
    cdef bytes data
    for data in chunk.clusterings:
        total += cost_of(data)
    for data in chunk.rows:
        total += cost_of(data)
    if len(chunk.rows) != 1:
        total += LISTS_BYTES + ENTRY_BYTES * len(chunk.rows)
    for tombstone in chunk.tombstones:
        total += TOMBSTONE_BYTES + cost_of(<bytes>tombstone[0]) + cost_of(<bytes>tombstone[1])
    return total


cdef Py_ssize_t weight_of(Chunk chunk) noexcept:
    """Rows and tombstones: what it takes to merge or to copy the chunk."""
    return len(chunk.rows) + len(chunk.tombstones)


cdef bint is_mere(Chunk chunk) except -1:
    """Whether a chunk knows everything, and that is one row or none."""
    return (
        not len(chunk.start) and not len(chunk.end) and len(chunk.rows) <= 1
        and not len(chunk.tombstones)
    )


cdef Py_ssize_t data_bytes(Chunk chunk) except -1:
    """Of the clusterings and rows."""
    cdef Py_ssize_t total = 0
    cdef bytes data
    for data in chunk.clusterings + chunk.rows:
        total += len(data)
    return total


cdef Chunk mere_chunk(bytes clustering, bytes row):
    """All that there is: one row, or none if `row` is b""."""
    cdef Chunk chunk = Chunk.__new__(Chunk)
    chunk.start = chunk.end = b""
    chunk.clusterings = [clustering] if len(row) else []
    chunk.rows = [row] if len(row) else []
    chunk.tombstones = []
    return chunk


cdef Chunk joined(Chunk left, Chunk right):
    """Two chunks of which the one ends where the other starts."""
    return Chunk(
        left.start, right.end, left.clusterings + right.clusterings, left.rows + right.rows,
        left.tombstones + right.tombstones,
    )


cdef Chunk cut(Chunk chunk, bytes start, bytes end):
    """What a chunk has in [start, end), which lies within its bounds."""
    cdef Py_ssize_t first = find_place(chunk.clusterings, start, 0, len(chunk.clusterings))
    cdef Py_ssize_t last = find_end(chunk.clusterings, end, first, len(chunk.clusterings))
    return Chunk(
        start, end, chunk.clusterings[first:last], chunk.rows[first:last],
        clip(chunk.tombstones, start, end),
    )


cdef Chunk merged(
    bytes key, int64_t deletion_ts, uint32_t deleted_at, Chunk chunk, MemoryRun run,
    Py_ssize_t rows_max
):
    """A chunk and what a memtable has in its interval, with what deletions leave of the rows.

    The interval ends early after `rows_max` rows.
    """
    cdef CompactionMerge merge = CompactionMerge(0, 0, None, False)
    cdef Chunk part
    cdef list clusterings = [], rows = [], tombstones = []
    cdef bytes end = chunk.end
    merge.begin(key, [(deletion_ts, deleted_at, b""), (INT64_MIN, 0, b"")])
    merge.narrow(chunk.start, chunk.end)
    while (state := merge.advance()) != _DONE:
        if state == 0:
            merge.feed(0, chunk)
        elif state == 1:
            merge.feed(1, run.chunk_at(merge.position(1), False))
        else:
            part = merge.take()
            clusterings += part.clusterings
            rows += part.rows
            for tombstone in part.tombstones:
                insert_tombstone(tombstones, tombstone)
            if len(rows) + len(tombstones) >= rows_max:
                end = part.end
                break
    return Chunk(chunk.start, end, clusterings, rows, tombstones)


cdef bytes next_change(MemoryRun run, bytes position):
    """The lowest place from `position` on of which a memtable says something; None if none."""
    cdef Chunk chunk
    cdef Py_ssize_t at
    cdef bytes found = None
    while True:
        chunk = run.chunk_at(position, False)
        at = find_place(chunk.clusterings, position, 0, len(chunk.clusterings))
        if at < len(chunk.clusterings):
            found = <bytes>chunk.clusterings[at]
        for low, high, _, _ in chunk.tombstones:
            if not ends_before(<bytes>high, position):
                low = max(<bytes>low, position)
                return low if found is None or compare(<bytes>low, found) < 0 else found
        if found is not None or not len(chunk.end):
            return found
        position = chunk.end

"""Partitions of a range in the order of their keys, the plain ones put on a page at once."""

from libc.stdint cimport INT64_MIN, uint8_t

from storage.buffer cimport Writer
from storage.memtable cimport MemoryPartition, Memtable
from storage.merge cimport PageMerge
from storage.row cimport merge_pair
from storage.slice cimport PACKED_ROWS_MAX, Slice
from storage.sstable.block cimport is_plain_head
from storage.sstable.format cimport compare_spans
from storage.sstable.splice cimport Feed, Lane, next_row

END = 0
PAUSED = 1
FULL = 2
EMPTY = 3
OTHER = 4

cdef enum:
    IS_END = 0
    IS_PAUSED = 1
    IS_FULL = 2
    IS_EMPTY = 3
    IS_OTHER = 4
    KEYS_AT_ONCE = 128          # which are taken from a memtable together


cdef class MemoryKeys:
    """The keys of a memtable that follow, as they are during one run."""

    def __init__(self, Memtable memtable not None):
        self.memtable = memtable
        self.keys = []

    cdef int seek(self, bytes position) except -1:
        """Goes to the first key at or above `position`."""
        self.keys = self.memtable.keys(position, b"", KEYS_AT_ONCE)
        self.at = 0
        return 0

    cdef int step(self) except -1:
        """Goes to the next key."""
        self.at += 1
        if self.at == len(self.keys):
            self.seek(<bytes>self.keys[self.at - 1] + b"\0")
        return 0


cdef class RangeRead:
    """One page's way through a range of keys."""

    def __init__(
        self, PageMerge merge not None, Slice wanted not None, tuple keys not None, memtables, lanes
    ):
        self.merge = merge
        self.lanes = list(lanes)
        self.memories = [MemoryKeys(memtable) for memtable in memtables]
        self.end = keys[1]
        self.key = keys[0]
        self.low = wanted.ranges[0][0] if wanted.ranges else b""
        self.resumed = wanted.resume_key if wanted.resume_clustering else b""
        self.takes_plain = wanted.is_whole_partition() and not wanted.distinct
        self.rows_max = 1 if wanted.reverse else PACKED_ROWS_MAX
        self.passed = Writer()
        self.passed.put_raw(<const char*>self.key, len(self.key))

    cpdef int run(self, Py_ssize_t steps_max) except -1:
        cdef Least least
        cdef MemoryKeys memory
        cdef Py_ssize_t before = self.merge.steps, partitions = 0
        cdef bytes position = self.passed.copy(0)
        cdef int reason = IS_PAUSED
        for memory in self.memories:
            memory.seek(position)
        while self.merge.steps - before + partitions < steps_max:
            self.find_least(&least)
            if least.key == NULL:
                reason = IS_END
                break
            if not self.take(&least):
                self.key = (<const char*>least.key)[:least.size]
                reason = IS_OTHER
                break
            partitions += 1
            self.note(&least)
            if self.merge.is_full:
                reason = IS_FULL
                break
            if not self.step(&least):
                reason = IS_EMPTY
                break
        self.steps = self.merge.steps - before + partitions
        if partitions:
            self.stop()
        return reason

    def skip(self) -> None:
        self.passed.clear()
        self.passed.put_raw(<const char*>self.key, len(self.key))
        self.passed.put_u8(0)

    cdef int note(self, const Least* least) except -1:
        """Keeps the key that was taken; the block that it lies in may go with the next step."""
        self.passed.clear()
        self.passed.put_raw(least.key, least.size)
        return self.passed.put_u8(0)

    cdef int stop(self) except -1:
        """Tells the page how far it has come."""
        self.merge.key = (<const char*>self.passed.data)[:self.passed.size - 1]
        return 0

    cdef int find_least(self, Least* least) except -1:
        """Finds the least key, and which source has it first."""
        cdef Lane lane
        cdef MemoryKeys memory
        cdef Py_ssize_t at
        cdef bytes key
        cdef const uint8_t* data
        least.key = NULL
        least.sources = 0
        for at in range(len(self.lanes)):
            lane = <Lane>self.lanes[at]
            if lane.has_section:
                see(least, lane.head.key, lane.head.key_size, at)
        for at in range(len(self.memories)):
            memory = <MemoryKeys>self.memories[at]
            if memory.at < len(memory.keys):
                key = <bytes>memory.keys[memory.at]
                data = <const uint8_t*><const char*>key
                if compare_spans(
                    data, len(key), <const uint8_t*><const char*>self.end, len(self.end)
                ) < 0:
                    see(least, data, len(key), len(self.lanes) + at)
        return 0

    cdef bint take(self, const Least* least) except -1:
        """Puts the partition on the page; False, and nothing is done, if it is not plain."""
        if not self.takes_plain:
            return False
        if len(self.resumed) and least.size == len(self.resumed):
            if compare_spans(
                least.key, least.size, <const uint8_t*><const char*>self.resumed, least.size
            ) == 0:
                return False
        if least.sources == 1 and least.source < len(self.lanes):
            return self.take_section(<Lane>self.lanes[least.source])
        return self.take_only_row(least)

    cdef bint take_section(self, Lane lane) except -1:
        """Takes a partition that lies in one block of one file."""
        cdef Feed feed
        if not is_plain_head(&lane.head) or lane.head.row_count > self.rows_max:
            return False
        self.merge.open_plain(lane.head.key, lane.head.key_size)
        lane.open_feed(&feed)
        while feed.has_row:
            if not len(self.low) or compare_spans(
                feed.clustering, feed.clustering_size,
                <const uint8_t*><const char*>self.low, len(self.low),
            ) >= 0:
                if self.merge.take_plain(
                    feed.clustering, feed.clustering_size, feed.row, feed.row_size
                ):
                    break
            next_row(&feed)
        self.merge.close_plain(lane.head.key_size)
        return True

    cdef bint take_only_row(self, const Least* least) except -1:
        """Takes a partition that is the same single row in each source that has it."""
        cdef PlainRow found, merged
        cdef Py_ssize_t source
        cdef bytes key = (<const char*>least.key)[:least.size], row = None
        merged.row = NULL
        for source in range(least.source, len(self.lanes) + len(self.memories)):
            if not self.is_at(source, least):
                continue
            if not self.only_row_of(source, key, &found):
                return False
            if merged.row == NULL:
                merged = found
                continue
            if compare_spans(
                found.clustering, found.clustering_size, merged.clustering, merged.clustering_size
            ) != 0:
                return False
            row = merge_pair(
                (<const char*>merged.row)[:merged.row_size] if row is None else row,
                (<const char*>found.row)[:found.row_size],
            )
            merged.row = <const uint8_t*><const char*>row
            merged.row_size = len(row)
        self.put_row(least, &merged)
        return True

    cdef int put_row(self, const Least* least, const PlainRow* row) except -1:
        """A partition of one row."""
        self.merge.open_plain(least.key, least.size)
        if compare_spans(
            row.clustering, row.clustering_size,
            <const uint8_t*><const char*>self.low, len(self.low),
        ) >= 0:
            self.merge.take_plain(
                row.clustering, row.clustering_size, row.row, row.row_size
            )
        return self.merge.close_plain(least.size)

    cdef bint only_row_of(self, Py_ssize_t source, bytes key, PlainRow* row) except -1:
        """The only row of a partition in one source; False if it is not just that.

        The source keeps the bytes until it goes on.
        """
        cdef Lane lane
        cdef Feed feed
        cdef MemoryPartition partition
        cdef object found
        if source < len(self.lanes):
            lane = <Lane>self.lanes[source]
            if not is_plain_head(&lane.head) or lane.head.row_count != 1:
                return False
            lane.open_feed(&feed)
            row.clustering, row.clustering_size = feed.clustering, feed.clustering_size
            row.row, row.row_size = feed.row, feed.row_size
            return True
        found = (<MemoryKeys>self.memories[source - len(self.lanes)]).memtable.partitions.find(key)
        if isinstance(found, bytes):
            row.clustering, row.clustering_size = <const uint8_t*>b"", 0
            row.row, row.row_size = <const uint8_t*><const char*><bytes>found, len(<bytes>found)
            return True
        partition = <MemoryPartition>found
        if (
            partition.row is None or partition.deletion_ts != INT64_MIN
            or len(partition.static_row) or partition.tombstones is not None
        ):
            return False
        row.clustering = <const uint8_t*><const char*>partition.clustering
        row.clustering_size = len(partition.clustering)
        row.row = <const uint8_t*><const char*>partition.row
        row.row_size = len(partition.row)
        return True

    cdef bint is_at(self, Py_ssize_t source, const Least* least) except -1:
        """Whether the least key is in a source."""
        cdef Lane lane
        cdef MemoryKeys memory
        cdef bytes key
        if source < len(self.lanes):
            lane = <Lane>self.lanes[source]
            return lane.has_section and compare_spans(
                lane.head.key, lane.head.key_size, least.key, least.size
            ) == 0
        memory = <MemoryKeys>self.memories[source - len(self.lanes)]
        if memory.at == len(memory.keys):
            return False
        key = <bytes>memory.keys[memory.at]
        return compare_spans(
            <const uint8_t*><const char*>key, len(key), least.key, least.size
        ) == 0

    cdef bint step(self, const Least* least) except -1:
        """Goes on behind the least key; False if a lane needs its next block for that."""
        cdef Lane lane
        cdef Py_ssize_t source, last = least.source + 1
        cdef bint all_have = True
        cdef Least passed = least[0]
        if least.sources > 1:
            last = len(self.lanes) + len(self.memories)
            passed.key = self.passed.data
        for source in range(least.source, last):
            if least.sources > 1 and not self.is_at(source, &passed):
                continue
            if source >= len(self.lanes):
                (<MemoryKeys>self.memories[source - len(self.lanes)]).step()
                continue
            lane = <Lane>self.lanes[source]
            if not lane.step():
                lane.is_used_up = True
                all_have = False
        return all_have


cdef inline void see(
    Least* least, const uint8_t* key, Py_ssize_t size, Py_ssize_t source
) noexcept:
    """One more source's next key."""
    cdef int order = -1
    if least.key != NULL:
        order = compare_spans(key, size, least.key, least.size)
    if order < 0:
        least.key = key
        least.size = size
        least.source = source
        least.sources = 1
    elif order == 0:
        least.sources += 1

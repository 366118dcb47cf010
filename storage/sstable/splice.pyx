"""Partitions that have nothing but rows, carried into a block without an object for each row."""

from libc.stdint cimport INT64_MIN, int64_t, uint8_t
from libc.stdlib cimport calloc, free

from storage.memtable cimport Memtable, MemoryPartition, MemoryRun
from storage.order cimport compare
from storage.row cimport ColumnSet, may_purge, merge_pair, purge_row
from storage.sorted_map cimport MapBlock
from storage.sstable.block cimport Block, BlockBuilder, Section, SectionHead, is_plain_head
from storage.sstable.bloom cimport BloomFilter, key_hash
from storage.sstable.format cimport (
    SECTION_CONTINUED, SECTION_CONTINUES, compare_spans, get_span,
)
from storage.sstable.statistics cimport Statistics

from storage.errors import CorruptData

END = IS_END
PAUSED = IS_PAUSED
FULL = IS_FULL
EMPTY = IS_EMPTY
OTHER = IS_OTHER
LIMIT = IS_LIMIT

cdef enum:
    KEYS_AT_ONCE = 1024         # keys which are taken from a memtable together
    STEP_BYTES = 128            # what a partition costs beside its bytes, in bytes


cdef class Lane:
    """The partitions of one source, of which one block is at hand."""

    def __init__(self, bytes end not None) -> None:
        self._end = end

    @property
    def section(self) -> Section | None:
        """The section at hand; None before the first and after the last."""
        return self.at_hand()

    @property
    def key(self) -> bytes | None:
        """Its key."""
        return (<const char*>self.head.key)[:self.head.key_size] if self.has_section else None

    cpdef int fill(self, Block block) except -1:
        """Goes on with another block; None is the end."""
        self._block = block
        self._next = 0
        self.is_used_up = False
        self.has_section = False
        self._section = None
        self.step()
        return 0

    cpdef bint step(self) except -1:
        """Goes to the next section of the block; False, and nothing changes, if there is none."""
        cdef SectionHead following
        if self._block is None or self._next >= len(self._block._payload):
            return False
        self._block.read_head(self._next, &following)
        if self._next and (following.flags & SECTION_CONTINUED or compare_spans(
            following.key, following.key_size, self.head.key, self.head.key_size
        ) <= 0):
            raise CorruptData("sections that do not ascend")
        if following.flags & SECTION_CONTINUES and following.end < len(self._block._payload):
            raise CorruptData("a section that goes on before its block ends")
        self.head = following
        self._next = following.end
        self._section = None
        self.has_section = compare_spans(
            following.key, following.key_size,
            <const uint8_t*><const char*>self._end, len(self._end),
        ) < 0
        return True

    cpdef bint seek(self, bytes key) except -1:
        """Goes on to the first section at or above `key`; False if the block has none."""
        while self.has_section and compare_spans(
            self.head.key, self.head.key_size, <const uint8_t*><const char*>key, len(key)
        ) < 0:
            if not self.step():
                return False
        return True

    cdef Section at_hand(self):
        """The section as an object, or None."""
        if not self.has_section:
            return None
        if self._section is None:
            self._section = self._block._section(&self.head)
        return self._section

    cdef int open_feed(self, Feed* feed) except -1:
        """Goes to the first row of the section at hand, which is plain."""
        cdef const uint8_t* payload = <const uint8_t*><const char*>self._block._payload
        feed.input.at = payload + self.head.body
        feed.input.end = payload + self.head.end
        feed.input.bad = False
        feed.left = self.head.row_count
        feed.has_row = False
        return next_row(feed)


cdef class Sink:
    """Where partitions go: the block being built and what is known of the whole file."""

    def __init__(
        self, BlockBuilder blocks not None, Statistics statistics not None,
        BloomFilter bloom not None,
    ) -> None:
        self.blocks = blocks
        self.statistics = statistics
        self.filter = bloom

    cdef int open(self, bytes key) except -1:
        assert self.statistics.partitions == 0 or compare(key, self.statistics.last_key) > 0, (
            "keys ascend"
        )
        return self.blocks.open_plain(key)

    cdef int put(
        self, const uint8_t* clustering, Py_ssize_t size, const uint8_t* row, Py_ssize_t row_size
    ) except -1:
        """Puts one row of the open partition; rows ascend."""
        self.statistics.add_span(row, row_size)
        self.statistics.cover_span(clustering, size)
        return self.blocks.put_row(clustering, size, row, row_size)

    cdef int close(self, bytes key) except -1:
        """Ends the partition; one without rows leaves no trace."""
        if self.blocks._row_count:
            self.filter.add(key_hash(key))
            self.statistics.add_plain(key)
        return self.blocks.close_plain()


# ---- compactions -------------------------------------------------------------------------------

cdef class Splice:
    """Merges plain partitions of several lanes for a compaction."""

    def __init__(
        self, lanes, int64_t wall_s, int64_t gc_before_s, ColumnSet existing, purgeable_before
    ) -> None:
        self._lanes = list(lanes)
        self._wall_s = wall_s
        self._gc_before_s = gc_before_s
        self._existing = existing
        self._purgeable_before = purgeable_before
        self.counts = [0] * (len(self._lanes) + 1)
        self._feeds = <Feed*>calloc(max(len(self._lanes), 1), sizeof(Feed))
        if self._feeds == NULL:
            raise MemoryError()

    def __dealloc__(self) -> None:
        free(self._feeds)

    def run(self, Sink sink not None, bytes limit not None, Py_ssize_t bytes_max) -> int:
        """Goes on until a reason to stop; partitions from `limit` on belong into another file."""
        cdef Py_ssize_t count, total = 0
        cdef Py_ssize_t room = sink.blocks.bytes_max
        self.spent = 0
        while self.spent < bytes_max:
            count = self._find_least(&total)
            if count == 0:
                return IS_END
            if compare(self.key, limit) >= 0:
                return IS_LIMIT
            if total > 2 * room or not self._is_plain(sink):
                return IS_OTHER
            if not sink.blocks.is_empty and sink.blocks._size() + total // 2 >= room:
                return IS_FULL
            self._take(sink, count)
            self.counts[count] += 1
            self.spent += total + STEP_BYTES
            if not self._step_lanes():
                return IS_EMPTY
        return IS_PAUSED

    cdef Py_ssize_t _find_least(self, Py_ssize_t* total) except -1:
        """Finds the least key, in how many lanes it is, and the bytes of its sections."""
        cdef Lane lane, least = None
        cdef Py_ssize_t count = 0
        cdef int order
        total[0] = 0
        for lane in self._lanes:
            if not lane.has_section:
                continue
            order = -1 if least is None else compare_spans(
                lane.head.key, lane.head.key_size, least.head.key, least.head.key_size
            )
            if order < 0:
                least = lane
                count = 0
                total[0] = 0
            if order <= 0:
                count += 1
                total[0] += lane.head.end - lane.head.start
        self.key = None if least is None else least.key
        return count

    cdef bint _is_plain(self, Sink sink) except -1:
        """Whether nothing but rows is there for the key."""
        cdef Lane lane
        for lane in self._lanes:
            if is_at(lane, self.key) and not is_plain_head(&lane.head):
                return False
        return True

    cdef int _take(self, Sink sink, Py_ssize_t count) except -1:
        """Puts the partition at hand into the block."""
        cdef Lane lane
        cdef Py_ssize_t at = 0
        for lane in self._lanes:
            if is_at(lane, self.key):
                if count == 1 and self._copy(sink, lane):
                    return 0
                lane.open_feed(&self._feeds[at])
                at += 1
        return self._merge(sink, count)

    cdef bint _copy(self, Sink sink, Lane lane) except -1:
        """Puts a section as it is, if nothing in it may be due for purging."""
        cdef Feed feed
        lane.open_feed(&feed)
        while feed.has_row:
            if may_purge(
                feed.row, feed.row_size, self._wall_s, self._gc_before_s, self._existing
            ):
                return False
            next_row(&feed)
        assert sink.statistics.partitions == 0 or (
            compare(self.key, sink.statistics.last_key) > 0
        ), "keys ascend"
        lane.open_feed(&feed)
        if not feed.has_row:
            return True
        while feed.has_row:
            sink.statistics.add_span(feed.row, feed.row_size)
            sink.statistics.cover_span(feed.clustering, feed.clustering_size)
            next_row(&feed)
        sink.filter.add(key_hash(self.key))
        sink.statistics.add_plain(self.key)
        sink.blocks.put_copy(
            self.key,
            <const uint8_t*><const char*>lane._block._payload + lane.head.start,
            lane.head.end - lane.head.start,
        )
        return True

    cdef int _merge(self, Sink sink, Py_ssize_t count) except -1:
        """Merges the rows of the feeds, and purges what is due."""
        cdef Feed* least
        cdef Py_ssize_t i, first, same
        cdef int order
        cdef int64_t purgeable_before = INT64_MIN
        cdef bint knows_purgeable = False
        cdef bytes row
        cdef const uint8_t* data
        cdef Py_ssize_t size
        sink.open(self.key)
        while True:
            least = NULL
            first = same = 0
            for i in range(count):
                if not self._feeds[i].has_row:
                    continue
                order = -1 if least == NULL else compare_rows(&self._feeds[i], least)
                if order < 0:
                    least = &self._feeds[i]
                    first = i
                    same = 1
                elif order == 0:
                    same += 1
            if least == NULL:
                break
            row = None
            data = least.row
            size = least.row_size
            if same > 1:
                row = self._merge_rows(first, count)
                data = <const uint8_t*><const char*>row
                size = len(row)
            if size and may_purge(data, size, self._wall_s, self._gc_before_s, self._existing):
                if not knows_purgeable:
                    purgeable_before = self._purgeable_before(self.key)
                    knows_purgeable = True
                if row is None:
                    row = (<const char*>data)[:size]
                row = purge_row(
                    row, self._wall_s, self._gc_before_s, purgeable_before, self._existing
                )
                data = <const uint8_t*><const char*>row
                size = len(row)
            if size:
                sink.put(least.clustering, least.clustering_size, data, size)
            step_feeds(self._feeds, first, count)
        sink.close(self.key)
        return 0

    cdef bytes _merge_rows(self, Py_ssize_t first, Py_ssize_t count):
        """The rows which several feeds have at the place of the first of them, as one."""
        cdef Feed* feed = &self._feeds[first]
        cdef bytes row = (<const char*>feed.row)[:feed.row_size]
        cdef Py_ssize_t i
        for i in range(first + 1, count):
            feed = &self._feeds[i]
            if feed.has_row and compare_rows(feed, &self._feeds[first]) == 0:
                row = merge_pair(row, (<const char*>feed.row)[:feed.row_size])
        return row

    cdef bint _step_lanes(self) except -1:
        """Goes on behind the partition; False if a lane needs its next block for that."""
        cdef Lane lane
        cdef bint all_have = True
        for lane in self._lanes:
            if is_at(lane, self.key):
                if not lane.step():
                    lane.is_used_up = True
                    all_have = False
        return all_have


cdef inline bint is_at(Lane lane, bytes key) noexcept:
    """Whether the lane has a section of the key at hand."""
    return lane.has_section and compare_spans(
        lane.head.key, lane.head.key_size, <const uint8_t*><const char*>key, len(key)
    ) == 0


cdef int next_row(Feed* feed) except -1:
    """Goes to the next row; CorruptData unless rows ascend and lie within their section."""
    cdef const uint8_t* last = feed.clustering
    cdef Py_ssize_t last_size = feed.clustering_size
    cdef bint had_row = feed.has_row
    feed.has_row = feed.left > 0
    if not feed.has_row:
        return 0
    feed.left -= 1
    feed.clustering = get_span(&feed.input, &feed.clustering_size)
    feed.row = get_span(&feed.input, &feed.row_size)
    if feed.input.bad or had_row and (
        compare_spans(feed.clustering, feed.clustering_size, last, last_size) <= 0
    ):
        raise CorruptData("rows that do not ascend, or end after their block")
    return 0


cdef inline int compare_rows(const Feed* a, const Feed* b) noexcept:
    return compare_spans(a.clustering, a.clustering_size, b.clustering, b.clustering_size)


cdef int step_feeds(Feed* feeds, Py_ssize_t first, Py_ssize_t count) except -1:
    """Goes on behind the place of the first feed, wherever there is a row at it."""
    cdef Py_ssize_t i
    for i in range(first + 1, count):
        if feeds[i].has_row and compare_rows(&feeds[i], &feeds[first]) == 0:
            next_row(&feeds[i])
    return next_row(&feeds[first])


# ---- flushes -----------------------------------------------------------------------------------

cdef class MemorySplice:
    """Writes plain partitions of a memtable for a flush."""

    def __init__(self, Memtable memtable not None) -> None:
        self._memtable = memtable
        self._keys = []
        self._last = b""

    @property
    def key(self) -> bytes | None:
        """The partition at which `run` has stopped."""
        return self._last

    def run(self, Sink sink not None, Py_ssize_t bytes_max) -> int:
        """Goes on until a reason to stop; after OTHER it goes on behind that partition."""
        cdef Py_ssize_t before
        cdef bytes key
        self.spent = 0
        while self.spent < bytes_max:
            before = sink.blocks._size()
            if before >= sink.blocks.bytes_max:
                return IS_FULL
            if self._at == len(self._keys):
                start = self._last + b"\0" if self._last else b""
                self._keys = self._memtable.keys(start, b"", KEYS_AT_ONCE)
                self._at = 0
                if not self._keys:
                    return IS_END
            key = <bytes>self._keys[self._at]
            self._at += 1
            self._last = key
            if not put_found(sink, key, self._memtable.partitions.find(key)):
                return IS_OTHER
            self.spent += sink.blocks._size() - before + STEP_BYTES
        return IS_PAUSED

    def other(self) -> MemoryRun:
        """The partition at which `run` has stopped, which needs the whole merge."""
        return self._memtable.find(self._last)


cdef bint put_found(Sink sink, bytes key, object found) except -1:
    """Writes a partition of a memtable; False if it is not plain or too large for a block."""
    cdef MemoryPartition partition
    cdef MapBlock block
    cdef Py_ssize_t i
    if isinstance(found, bytes):
        sink.open(key)
        put_bytes(sink, b"", <bytes>found)
        sink.close(key)
        return True
    partition = <MemoryPartition>found
    if partition.deletion_ts != INT64_MIN or len(partition.static_row):
        return False
    if partition.tombstones is not None or partition.rows is None and partition.row is None:
        return False
    if partition.rows is None:
        sink.open(key)
        put_bytes(sink, partition.clustering, partition.row)
        sink.close(key)
        return True
    if not fits(partition, sink.blocks.bytes_max):
        return False
    sink.open(key)
    for block in partition.rows.blocks:
        for i in range(len(block.keys)):
            put_bytes(sink, <bytes>block.keys[i], <bytes>block.values[i])
    sink.close(key)
    return True


cdef bint fits(MemoryPartition partition, Py_ssize_t bytes_max) except -1:
    """Whether the rows of a partition are not more than a block."""
    cdef MapBlock block
    cdef Py_ssize_t i, size = 0
    for block in partition.rows.blocks:
        for i in range(len(block.keys)):
            size += len(<bytes>block.keys[i]) + len(<bytes>block.values[i])
        if size > bytes_max:
            return False
    return True


cdef inline int put_bytes(Sink sink, bytes clustering, bytes row) except -1:
    return sink.put(
        <const uint8_t*><const char*>clustering, len(clustering),
        <const uint8_t*><const char*>row, len(row),
    )

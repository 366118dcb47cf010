"""Sorted runs of one partition merged into one, for reads, flushes and compactions.

How runs are fed is told in the `.pyi`. The work goes window by window: a window is the interval of
clusterings of which every run's current chunk knows everything. Within it rows are merged one
after the other and covered by the runs' tombstones, so memory is bounded by one chunk per run.
"""

from typing import Protocol

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t

from storage.debug cimport PYTHIA_DEBUG
from storage.order cimport compare, compare_ends, ends_before, find_end, find_place
from storage.row cimport (
    IS_DEAD, IS_PART, ColumnSet, life_of, live_row, merge_pair, pick_live, purge_row, shadow_row,
)
from storage.slice cimport PACK_BYTES, Pack, Page, PartitionRows, Slice, make_page

RangeTombstone = tuple[bytes, bytes, int, int]
Head = tuple[int, int, bytes]

DONE = -1
FULL = -2
PAUSED = -3

cdef enum:
    SETS_MAX = 1024             # remembered column sets
    NEEDS_NOTHING = -1
    IS_DONE = -1
    IS_FULL = -2
    IS_PAUSED = -3


cdef class Chunk:
    """What one run has in the interval [start, end) of clusterings."""

    def __init__(
        self, bytes start not None, bytes end not None, list clusterings not None,
        list rows not None, list tombstones=None,
    ):
        self.start = start
        self.end = end
        self.clusterings = clusterings
        self.rows = rows
        self.tombstones = [] if tombstones is None else tombstones
        if PYTHIA_DEBUG:
            self.check()

    def check(self) -> None:
        """Asserts everything that the merge relies on."""
        assert len(self.clusterings) == len(self.rows), "each row has its clustering"
        assert not self.end or self.start < self.end, "a chunk covers an interval"
        last = None
        for clustering in self.clusterings:
            assert last is None or last < clustering, "rows ascend"
            last = clustering
        if self.clusterings:
            assert self.start <= self.clusterings[0], "rows lie within the interval"
            assert not self.end or last < self.end, "rows lie within the interval"
        low = self.start
        for start, end, _, _ in self.tombstones:
            assert low is not None and low <= start, "tombstones are disjoint and ascend"
            assert not end or start < end, "a tombstone covers an interval"
            assert not self.end or (end and end <= self.end), "tombstones are cut at the bounds"
            low = end or None

    def __repr__(self) -> str:
        return (f"Chunk({self.start!r}, {self.end!r}, {self.clusterings!r},"
                f" {len(self.rows)} rows, {self.tombstones!r})")


class Run(Protocol):
    """One partition in one source."""

    def chunk_at(self, position: bytes, reverse: bool):
        """The chunk around `position`, or an awaitable of it."""


cdef class Source:
    """One run as the merge sees it."""


cdef class RangeMerge:
    """Merges the rows of one range of one partition, in either direction."""

    def __cinit__(self):
        self.sources = []
        self.is_finished = True

    cdef int begin(self, Py_ssize_t runs, int64_t floor) except -1:
        """Starts a partition, of which nothing was fed yet."""
        cdef Source source
        while len(self.sources) < runs:
            self.sources.append(Source())
        for source in self.sources:
            source.chunk = None
        self.count = runs
        self.floor = floor
        self.is_finished = True
        self.window_is_open = False
        return 0

    cdef int open_range(self, bytes low, bytes high, bint reverse) except -1:
        """Starts with a range; chunks that were fed for the last one serve on."""
        self.low = low
        self.high = high
        self.reverse = reverse
        self.reached = high if reverse else low
        self.is_finished = self.count == 0 or ends_before(high, low)
        self.window_is_open = False
        return 0

    cdef Py_ssize_t open_window(self) except -2:
        """Opens the next window: NEEDS_NOTHING, or the run which must be fed before."""
        cdef Source source
        cdef Py_ssize_t i
        cdef bytes bound = self.low if self.reverse else self.high
        for i in range(self.count):
            source = <Source>self.sources[i]
            if source.chunk is None or not reaches(source.chunk, self.reached, self.reverse):
                return i
            if self.reverse:
                if compare(source.chunk.start, bound) > 0:
                    bound = source.chunk.start
            elif compare_ends(source.chunk.end, bound) < 0:
                bound = source.chunk.end
        self.window_start = bound if self.reverse else self.reached
        self.window_end = self.reached if self.reverse else bound
        for i in range(self.count):
            aim(<Source>self.sources[i], self.window_start, self.window_end, self.reverse)
        self.cover = gather_cover(self)
        self.cover_at = len(self.cover) - 1 if self.reverse else 0
        self.window_is_open = True
        return NEEDS_NOTHING

    cdef int close_window(self) except -1:
        """Goes on behind the window, of which all rows were taken."""
        self.window_is_open = False
        if self.reverse:
            self.is_finished = self.window_start == self.low
            self.reached = self.window_start
        else:
            self.is_finished = self.window_end == self.high
            self.reached = self.window_end
        return 0

    cdef bint next_row(self) except -1:
        """Merges the next row of the window; False after the last."""
        cdef Source source, best = None
        cdef bytes clustering
        cdef int order
        cdef Py_ssize_t i
        cdef bint shared = False
        for i in range(self.count):
            source = <Source>self.sources[i]
            if source.at == source.stop:
                continue
            clustering = <bytes>source.chunk.clusterings[source.at]
            if best is not None:
                order = compare(clustering, self.clustering)
                if order == 0:
                    shared = True
                    continue
                if (order > 0) != self.reverse:
                    continue
            best = source
            shared = False
            self.clustering = clustering
        if best is None:
            return False
        if shared:
            self.row = merge_sources(self)
        else:
            self.row = <bytes>best.chunk.rows[best.at]
            best.at += -1 if self.reverse else 1
        self.row = shadow_row(self.row, deletion_at(self))
        return True


cdef inline bint reaches(Chunk chunk, bytes reached, bint reverse) noexcept:
    """Whether a chunk knows what comes next at `reached`."""
    if not reverse:
        return compare(chunk.start, reached) <= 0 and not ends_before(chunk.end, reached)
    if len(chunk.end) and (not len(reached) or compare(reached, chunk.end) > 0):
        return False
    return not len(reached) or compare(chunk.start, reached) < 0


cdef int aim(Source source, bytes start, bytes end, bint reverse) except -1:
    """Points a source at its rows in the window [start, end)."""
    cdef list keys = source.chunk.clusterings
    cdef Py_ssize_t first, last
    assert len(keys) == len(source.chunk.rows), "each row has its clustering"
    first = find_place(keys, start, 0, len(keys))
    last = find_end(keys, end, first, len(keys))
    source.at = last - 1 if reverse else first
    source.stop = first - 1 if reverse else last
    return 0


cdef bytes merge_sources(RangeMerge merge):
    """Merges the rows which several sources have at the current clustering."""
    cdef Source source
    cdef bytes row = b""
    cdef Py_ssize_t i, step = -1 if merge.reverse else 1
    for i in range(merge.count):
        source = <Source>merge.sources[i]
        if source.at != source.stop:
            if compare(<bytes>source.chunk.clusterings[source.at], merge.clustering) == 0:
                row = merge_pair(row, <bytes>source.chunk.rows[source.at])
                source.at += step
    return row


cdef int64_t deletion_at(RangeMerge merge) except? 0:
    """The newest deletion that covers the current clustering."""
    cdef tuple tombstone
    cdef Py_ssize_t step = -1 if merge.reverse else 1
    cdef int64_t ts
    while 0 <= merge.cover_at < len(merge.cover):
        tombstone = <tuple>merge.cover[merge.cover_at]
        if merge.reverse:
            if compare(<bytes>tombstone[0], merge.clustering) > 0:
                merge.cover_at += step
                continue
            if ends_before(<bytes>tombstone[1], merge.clustering):
                break
        else:
            if ends_before(<bytes>tombstone[1], merge.clustering):
                merge.cover_at += step
                continue
            if compare(<bytes>tombstone[0], merge.clustering) > 0:
                break
        ts = tombstone[2]
        return max(merge.floor, ts)
    return merge.floor


# ---- range tombstones --------------------------------------------------------------------------

cdef list gather_cover(RangeMerge merge):
    """The tombstones of all sources in the window, as one disjoint list."""
    cdef Source source
    cdef list cover = [], clipped
    cdef Py_ssize_t i
    for i in range(merge.count):
        source = <Source>merge.sources[i]
        if source.chunk.tombstones:
            clipped = clip(source.chunk.tombstones, merge.window_start, merge.window_end)
            cover = overlay_pair(cover, clipped)
    return cover


cdef list clip(list tombstones, bytes start, bytes end):
    """The parts of disjoint, ascending tombstones that lie in [start, end)."""
    cdef tuple tombstone
    cdef bytes low, high
    cdef list clipped = []
    cdef Py_ssize_t i
    for i in range(first_ending_after(tombstones, start), len(tombstones)):
        tombstone = <tuple>tombstones[i]
        low = tombstone[0]
        high = tombstone[1]
        if ends_before(end, low):
            break
        if compare(low, start) < 0:
            low = start
        if compare_ends(high, end) > 0:
            high = end
        clipped.append((low, high, tombstone[2], tombstone[3]))
    return clipped


cdef Py_ssize_t first_ending_after(list tombstones, bytes position) except -1:
    """The index of the first of disjoint, ascending tombstones that ends above `position`."""
    cdef Py_ssize_t low = 0, high = len(tombstones), middle
    while low < high:
        middle = (low + high) >> 1
        if ends_before(<bytes>(<tuple>tombstones[middle])[1], position):
            low = middle + 1
        else:
            high = middle
    return low


cdef Py_ssize_t first_starting_from(list tombstones, bytes position) except -1:
    """The index of the first of disjoint, ascending tombstones that starts at or above it."""
    cdef Py_ssize_t low = 0, high = len(tombstones), middle
    while low < high:
        middle = (low + high) >> 1
        if compare(<bytes>(<tuple>tombstones[middle])[0], position) < 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef int insert_tombstone(list tombstones, tuple new) except -1:
    """Lays one more tombstone over a disjoint, ascending list, in place."""
    cdef bytes start = new[0], end = new[1]
    cdef Py_ssize_t first = first_ending_after(tombstones, start)
    cdef Py_ssize_t last = len(tombstones)
    if len(end):
        last = first_starting_from(tombstones, end)
    # Neighbours that merely touch take part too, because they may join with the new one.
    if first > 0 and (<tuple>tombstones[first - 1])[1] == start:
        first -= 1
    if last < len(tombstones) and (<tuple>tombstones[last])[0] == end:
        last += 1
    if first >= last:
        tombstones.insert(first, new)
    else:
        tombstones[first:last] = overlay_pair(tombstones[first:last], [new])
    return 0


cdef list overlay_pair(list a, list b):
    """Two disjoint, ascending lists as one; where both cover, the newer deletion holds."""
    cdef list out = []
    cdef Py_ssize_t i = 0, j = 0
    cdef tuple x = None, y = None
    cdef bytes cut
    cdef int order
    while True:
        if x is None and i < len(a):
            x = a[i]
            i += 1
        if y is None and j < len(b):
            y = b[j]
            j += 1
        if x is None and y is None:
            return out
        if x is None or y is None:
            append_joined(out, x if y is None else y)
            x = y = None
            continue
        order = compare(<bytes>x[0], <bytes>y[0])
        if order < 0:
            cut = <bytes>y[0] if compare_ends(<bytes>x[1], <bytes>y[0]) > 0 else <bytes>x[1]
            append_joined(out, (x[0], cut, x[2], x[3]))
            x = rest_after(x, cut)
        elif order > 0:
            cut = <bytes>x[0] if compare_ends(<bytes>y[1], <bytes>x[0]) > 0 else <bytes>y[1]
            append_joined(out, (y[0], cut, y[2], y[3]))
            y = rest_after(y, cut)
        else:
            cut = <bytes>x[1] if compare_ends(<bytes>x[1], <bytes>y[1]) <= 0 else <bytes>y[1]
            if x[2:] >= y[2:]:
                append_joined(out, (x[0], cut, x[2], x[3]))
            else:
                append_joined(out, (y[0], cut, y[2], y[3]))
            x = rest_after(x, cut)
            y = rest_after(y, cut)


cdef inline tuple rest_after(tuple tombstone, bytes cut):
    """What is left of a tombstone behind `cut`, or None."""
    if compare_ends(<bytes>tombstone[1], cut) <= 0:
        return None
    return (cut, tombstone[1], tombstone[2], tombstone[3])


cdef inline int append_joined(list out, tuple tombstone) except -1:
    """Appends a tombstone, joined with the last one if they touch and say the same."""
    cdef tuple last
    if out:
        last = <tuple>out[len(out) - 1]
        if last[1] == tombstone[0] and last[2] == tombstone[2] and last[3] == tombstone[3]:
            out[len(out) - 1] = (last[0], tombstone[1], last[2], last[3])
            return 0
    out.append(tombstone)
    return 0


def overlay(tombstones) -> list[tuple]:
    """The disjoint, sorted, shortest list in which at each place the newest deletion holds."""
    cdef list cover = []
    for part in tombstones:
        cover = overlay_pair(cover, list(part))
    return cover


# ---- heads -------------------------------------------------------------------------------------

cdef tuple merge_heads(object heads):
    """The newest deletion of a partition, and what it leaves of the static row."""
    cdef int64_t ts, deletion_ts = INT64_MIN
    cdef int64_t at, deleted_at = 0
    cdef bytes row, static_row = b""
    for ts, at, row in heads:
        if ts > deletion_ts or (ts == deletion_ts and at > deleted_at):
            deletion_ts = ts
            deleted_at = at
        static_row = merge_pair(static_row, row)
    return deletion_ts, deleted_at, shadow_row(static_row, deletion_ts)


# ---- reads -------------------------------------------------------------------------------------

cdef class PageMerge:
    """Answers a slice, partition after partition, until a limit of the page is reached."""

    def __init__(self, Slice wanted not None, int64_t wall_s, existing=None):
        self.slice = wanted
        self.wall_s = wall_s
        self.wanted = as_set(wanted.columns)
        self.existing = as_set(existing)
        self.merge = RangeMerge()
        self.parts = []
        self.rows = []
        self.key = b""
        self.last_clustering = b""

    cpdef int begin(self, bytes key, object heads) except -1:
        """Starts with the partition `key`, of which `heads` are in as many runs."""
        cdef tuple head = merge_heads(heads)
        cdef int64_t floor = head[0]
        assert not self.is_open and not self.is_full, "partitions come one after the other"
        self.is_open = True
        self.key = key
        self.deletion = None if floor == INT64_MIN else head[:2]
        self.static_row = b""
        if self.slice.static:
            self.static_row = live_row(<bytes>head[2], self.wall_s, self.wanted, self.existing)
        self.clusterings = []
        self.rows = []
        self.last_clustering = b""
        self.is_resumed = False
        self.rows_before = 0
        self.merge.begin(len(heads), floor)
        self.ranges = list(self.slice.ranges)
        if not self.slice.reverse:
            self.ranges.reverse()
        if len(self.slice.resume_clustering) and key == self.slice.resume_key:
            self.resume()
        if self.slice.distinct and len(self.static_row):
            self.ranges.clear()
        self.next_range()
        return 0

    cdef int resume(self) except -1:
        """Leaves out of the ranges what earlier pages gave of this partition."""
        cdef bytes after = self.slice.resume_clustering
        cdef list left = []
        self.is_resumed = True
        self.rows_before = max(self.slice.resume_rows, 0)
        self.last_clustering = after
        for start, end in self.ranges:
            if self.slice.reverse:
                end = after if compare_ends(after, <bytes>end) < 0 else end
            else:
                start = max(start, after + b"\0")
            if not ends_before(<bytes>end, <bytes>start):
                left.append((start, end))
        self.ranges = left
        return 0

    cdef int next_range(self) except -1:
        """Opens the next range; leaves the merge finished if there is none."""
        while self.merge.is_finished and self.ranges:
            start, end = self.ranges.pop()
            self.merge.open_range(start, end, self.slice.reverse)
        return 0

    cpdef Py_ssize_t advance(self, Py_ssize_t steps_max=0) except -4:
        """Goes on until a run is needed (its number), or DONE, FULL, PAUSED after `steps_max`."""
        cdef RangeMerge merge = self.merge
        cdef Py_ssize_t steps = 0, run
        assert self.is_open, "a partition was begun"
        while not merge.is_finished:
            if not merge.window_is_open:
                run = merge.open_window()
                if run != NEEDS_NOTHING:
                    return run
            while merge.next_row():
                steps += 1
                self.steps += 1
                if self.take_row():
                    if self.is_full:
                        return IS_FULL
                    self.finish_partition()
                    return IS_FULL if self.is_full else IS_DONE
                if steps == steps_max:
                    return IS_PAUSED
            steps += len(merge.cover)
            self.steps += len(merge.cover)
            merge.close_window()
            if steps_max and steps >= steps_max:
                if self.can_rest():
                    return IS_PAUSED
                steps = 0
            self.next_range()
        self.finish_partition()
        return IS_FULL if self.is_full else IS_DONE

    cdef bint can_rest(self) except -1:
        """Whether a page may end behind the window that was closed, which sets its position.

        A position says: all up to here, this included, was looked at. What lies between the start
        of a window and the next row is looked at again by the next page, so in forward direction
        the first window of a page must lie behind us, or paging would not go on.
        """
        cdef RangeMerge merge = self.merge
        if merge.is_finished:
            return False
        if merge.reverse:
            self.last_clustering = merge.window_start
            return True
        if compare(merge.window_start, merge.low) == 0:
            return False
        if compare(self.last_clustering, merge.window_start) < 0:
            self.last_clustering = merge.window_start
        return True

    cdef int take_row(self) except -1:
        """Adds the merged row if it is live; 1 if the partition or the page ends with it."""
        cdef bytes clustering = self.merge.clustering
        cdef bytes row
        self.last_clustering = clustering
        row = live_row(self.merge.row, self.wall_s, self.wanted, self.existing)
        if not row:
            return 0
        if self.slice.distinct:
            self.clusterings.append(b"")    # stands for the partition until it is put
            self.rows.append(b"")
            return 1
        self.clusterings.append(clustering)
        self.rows.append(row)
        self.row_count += 1
        self.byte_count += len(clustering) + len(row)
        if self.slice.partition_limit:
            if self.rows_before + len(self.rows) >= self.slice.partition_limit:
                return 1
        if self.page_is_full():
            self.put_partition()
            self.is_open = False
            self.is_full = True
            return 1
        return 0

    cdef bint page_is_full(self) noexcept:
        """Whether a limit of the page is reached."""
        if self.slice.row_limit and self.row_count >= self.slice.row_limit:
            return True
        return self.slice.byte_limit != 0 and self.byte_count >= self.slice.byte_limit

    cdef int finish_partition(self) except -1:
        """Puts the partition on the page if it has rows, or a static row that stands for it."""
        cdef bint has_rows = len(self.rows) != 0
        if self.slice.distinct:
            if has_rows or len(self.static_row):
                self.clusterings = []
                self.rows = []
                self.row_count += 1
                self.put_partition()
        elif has_rows:
            self.put_partition()
        elif self.stands_for_itself():
            self.row_count += 1
            self.put_partition()
        self.is_open = False
        self.last_clustering = b""
        self.is_full = self.page_is_full()
        return 0

    cdef bint stands_for_itself(self) except -1:
        """Whether a partition without rows is on the page because of its static row."""
        if not len(self.static_row):
            return False
        if not self.slice.is_whole_partition() and not self.slice.names_static():
            return False
        return not self.is_resumed or self.slice.resume_rows == 0

    cdef int put_partition(self) except -1:
        """Puts what was gathered of the partition on the page."""
        self.byte_count += len(self.key) + len(self.static_row)
        self.pack = None
        self.parts.append(
            PartitionRows(self.key, self.deletion, self.static_row, self.clusterings, self.rows)
        )
        return 0

    # Plain partitions, of which every row may be on the page, go there without an object for any.

    cdef int open_plain(self, const uint8_t* key, Py_ssize_t size) except -1:
        """Starts with a partition that has nothing but a few rows, which now come in order."""
        assert not self.is_open and not self.is_full, "partitions come one after the other"
        if self.pack is None or self.pack.out.size >= PACK_BYTES:
            self.pack = Pack.__new__(Pack)
        self.last_clustering = b""
        self.rows_before = 0
        if len(self.rows):
            self.rows = []
        return self.pack.open(key, size)

    cdef bint take_plain(
        self, const uint8_t* clustering, Py_ssize_t size, const uint8_t* row, Py_ssize_t row_size
    ) except -1:
        """Adds a row if it is live; 1 if the partition or the page ends with it."""
        cdef bytes picked
        cdef int life = IS_DEAD
        self.steps += 1
        if row_size:
            life = life_of(row, row_size, self.wall_s, self.wanted, self.existing)
        if life == IS_DEAD:
            return False
        if life == IS_PART:
            picked = pick_live((<const char*>row)[:row_size], self.wall_s, self.wanted,
                               self.existing)
            row = <const uint8_t*><const char*>picked
            row_size = len(picked)
        self.pack.put(clustering, size, row, row_size)
        self.rows_before += 1
        self.row_count += 1
        self.byte_count += size + row_size
        if self.slice.partition_limit and self.rows_before >= self.slice.partition_limit:
            return True
        self.is_full = self.page_is_full()
        if self.is_full:
            self.last_clustering = (<const char*>clustering)[:size] if size else b""
        return self.is_full

    cdef int close_plain(self, Py_ssize_t key_size) except -1:
        """Ends the partition; the caller sees to it that `key` is right when the page ends."""
        if self.pack.close():
            if self.pack.partitions == 1:
                self.parts.append(self.pack)
            self.byte_count += key_size
        if not self.is_full:
            self.is_full = self.page_is_full()
        if not len(self.last_clustering):
            self.rows_before = 0
        return 0

    cpdef bytes position(self, Py_ssize_t run):
        """From where on (in reverse: below which) the run is needed."""
        return self.merge.reached

    cpdef int feed(self, Py_ssize_t run, Chunk chunk) except -1:
        """Gives a run's chunk, in answer to `advance()`."""
        return feed_chunk(self.merge, run, chunk)

    cpdef Page page(self, bint more=False):
        """Ends the page. `more` says that the caller stops although slice or runs go on."""
        cdef Py_ssize_t rows = self.rows_before
        if len(self.last_clustering) and not self.slice.distinct:
            rows += len(self.rows)
        if self.is_open:
            assert more, "a partition at work is only left if more is to come"
            if self.rows and not self.slice.distinct:
                self.put_partition()
            self.is_open = False
        if self.is_full:
            more = len(self.last_clustering) != 0 or not isinstance(self.slice.key, bytes)
        if not more:
            return make_page(self.parts)
        return Page(self.parts, True, self.key, self.last_clustering, rows)


# Plans ask for the same few sets again and again; when the limit is reached it starts anew.
cdef dict _sets = {}


cdef ColumnSet as_set(object columns):
    """The column set of a frozenset of ids; None stands for all columns."""
    cdef object found
    if columns is None or isinstance(columns, ColumnSet):
        return columns
    if not isinstance(columns, frozenset):
        columns = frozenset(columns)
    found = _sets.get(columns)
    if found is None:
        if len(_sets) >= SETS_MAX:
            _sets.clear()
        found = _sets[columns] = ColumnSet(columns)
    return <ColumnSet>found


cdef int feed_chunk(RangeMerge merge, Py_ssize_t run, Chunk chunk) except -1:
    """Takes a chunk, which must reach beyond the position that was asked for."""
    assert 0 <= run < merge.count, "a run has the number of its head"
    assert chunk is not None, "a run gives a chunk"
    assert reaches(chunk, merge.reached, merge.reverse), "a chunk reaches beyond its position"
    (<Source>merge.sources[run]).chunk = chunk
    return 0


# ---- flushes and compactions -------------------------------------------------------------------

cdef class CompactionMerge:
    """Merges runs into one, chunk by chunk, and purges what is due."""

    def __init__(self, int64_t wall_s, int64_t gc_before_s, existing=None, bint purge=True):
        self.wall_s = wall_s
        self.gc_before_s = gc_before_s
        self.existing = as_set(existing)
        self.purge = purge
        self.merge = RangeMerge()
        self.head = (INT64_MIN, 0, b"")

    def begin(
        self, bytes key not None, heads, int64_t purgeable_before_us=INT64_MAX
    ) -> None:
        """Starts with a partition; `head` is known at once."""
        cdef int64_t deletion_ts, deleted_at
        cdef bytes static_row
        assert self.ready is None, "every chunk of the partition before was taken"
        self.purgeable_before_us = purgeable_before_us
        deletion_ts, deleted_at, static_row = merge_heads(heads)
        self.merge.begin(len(heads), deletion_ts)
        self.merge.open_range(b"", b"", False)
        static_row = self.keep_row(static_row)
        if self.is_due(deletion_ts, deleted_at):
            self.head = (INT64_MIN, 0, static_row)
        else:
            self.head = (deletion_ts, deleted_at, static_row)

    def narrow(self, bytes low not None, bytes high not None, bint reverse=False) -> None:
        """Merges only [low, high) from now on, in reverse from its end; chunks fed before serve."""
        assert self.ready is None, "every chunk before was taken"
        self.merge.open_range(low, high, reverse)

    def advance(self) -> int:
        """A run's number if it must be fed, PAUSED if a chunk is ready, DONE at the end."""
        cdef Py_ssize_t run
        assert self.ready is None, "the chunk before was taken"
        if self.merge.is_finished:
            return IS_DONE
        run = self.merge.open_window()
        if run != NEEDS_NOTHING:
            return run
        self.ready = self.merge_window()
        return IS_PAUSED

    cdef Chunk merge_window(self):
        """Everything that is kept in the window, which is then closed."""
        cdef RangeMerge merge = self.merge
        cdef list clusterings = [], rows = [], tombstones = []
        cdef bytes row
        while merge.next_row():
            row = self.keep_row(merge.row)
            if row:
                clusterings.append(merge.clustering)
                rows.append(row)
        for tombstone in merge.cover:
            if tombstone[2] > merge.floor and not self.is_due(tombstone[2], tombstone[3]):
                tombstones.append(tombstone)
        merge.close_window()
        if merge.reverse:
            clusterings.reverse()
            rows.reverse()
        return Chunk(merge.window_start, merge.window_end, clusterings, rows, tombstones)

    cdef bytes keep_row(self, bytes row):
        """What is kept of a row."""
        if not self.purge or not row:
            return row
        return purge_row(
            row, self.wall_s, self.gc_before_s, self.purgeable_before_us, self.existing
        )

    cdef bint is_due(self, int64_t ts, int64_t deleted_at) noexcept:
        """Whether a deletion has done its work everywhere."""
        return (self.purge and deleted_at < self.gc_before_s
                and ts < self.purgeable_before_us)

    def position(self, Py_ssize_t run) -> bytes:
        """From where on the run is needed."""
        return self.merge.reached

    def feed(self, Py_ssize_t run, Chunk chunk not None) -> None:
        """Gives a run's chunk, in answer to `advance()`."""
        feed_chunk(self.merge, run, chunk)

    def take(self) -> Chunk:
        """The chunk that is ready."""
        cdef Chunk chunk = self.ready
        assert chunk is not None, "advance() said that a chunk is ready"
        self.ready = None
        return chunk

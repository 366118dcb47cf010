"""Merged rows of SSTables in memory, and the gaps between them that are known to be empty.

What is cached of a table stands for all of its SSTables: merged with the memtables it gives what
the SSTables merged with the memtables would. A partition has its head (deletion, static row) and
**stretches**: disjoint intervals of clusterings of which everything is known, with the rows and
range tombstones inside. What is in no stretch is not known; a stretch without rows is a gap that
is known to be empty. Rows and the knowledge about the gaps beside them come and go together,
because a stretch does.

Coherence rests on two rules, which do not depend on timing:
- `advance_phase` when the SSTables get other content, in the step in which reads begin to see it.
  What was read from an earlier phase's files is never inserted.
- After that, `absorb` each partition of the flushed memtable, slice by slice. Until the last one
  was absorbed the memtable must stay among those which every read merges: merging it twice changes
  nothing.

Eviction is a clock over all stretches of the shard: who was read since the hand came by last gets a
second chance. A wide partition loses its cold stretches and keeps the others.
"""

cimport cython
from libc.stdint cimport INT64_MIN, int64_t

from storage.key_map cimport KeyMap
from storage.memtable cimport MemoryRun
from storage.merge cimport Chunk, CompactionMerge, clip, insert_tombstone
from storage.order cimport compare, compare_ends, ends_before, find_end, find_place
from storage.row cimport merge_pair, shadow_row
from storage.sorted_map cimport untracked

from storage.merge import DONE as _DONE

cdef enum:
    JOIN_ROWS_MAX = 64          # neighbours are joined while they have no more rows and tombstones
    STRETCH_ROWS_MAX = 256      # one that grows beyond is split
    CHUNK_BYTES_MAX = 1 << 18   # more than this at once is not kept
    ROOM_PART = 8               # nor more than this part of the cache
    SECOND_CHANCES_MAX = 16     # per eviction; the next one goes whether it was read or not
    EVICTIONS_MAX = 2_048       # per insertion
    HOT_STEPS = 4               # stretches that are looked at for each that is called hot
    ABSORB_STEP_ROWS = 4        # what a step of it costs beside its rows, in rows
    PARTITION_BYTES = 96 + 60   # a CachedPartition, its entry in the dict at its mean fill
    STRETCH_BYTES = 112
    LISTS_BYTES = 2 * (56 + 16)
    ENTRY_BYTES = 16            # two pointers in lists of exact size
    TOMBSTONE_BYTES = 72 + 32 + 32 + 9


cdef inline Py_ssize_t cost_of(bytes data) noexcept:
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


cdef inline Py_ssize_t weight_of(Chunk chunk) noexcept:
    """Rows and tombstones: what it takes to merge or to copy the chunk."""
    return len(chunk.rows) + len(chunk.tombstones)


@cython.no_gc
cdef class Stretch:
    """An interval of one partition's clusterings of which everything is known."""

    cdef int fill(self, Chunk chunk) except -1:
        """Takes the content of a chunk, whose lists belong to the stretch from now on."""
        self.start = chunk.start
        self.end = chunk.end
        if len(chunk.rows) == 1:
            self.clusterings = chunk.clusterings[0]
            self.rows = chunk.rows[0]
        else:
            self.clusterings = untracked(chunk.clusterings)
            self.rows = untracked(chunk.rows)
        self.tombstones = untracked(chunk.tombstones) if chunk.tombstones else None
        self.cost = cost_of_chunk(chunk)
        return 0

    cdef Py_ssize_t count(self):
        """The number of rows."""
        return 1 if isinstance(self.rows, bytes) else len(<list>self.rows)

    cdef Py_ssize_t weight(self):
        """The number of rows and tombstones."""
        return self.count() + (0 if self.tombstones is None else len(self.tombstones))

    cdef Chunk chunk(self):
        """The content. Lists are never changed, so readers may keep them."""
        cdef Chunk chunk = Chunk.__new__(Chunk)
        chunk.start = self.start
        chunk.end = self.end
        if isinstance(self.rows, bytes):
            chunk.clusterings = [self.clusterings]
            chunk.rows = [self.rows]
        else:
            chunk.clusterings = <list>self.clusterings
            chunk.rows = <list>self.rows
        chunk.tombstones = [] if self.tombstones is None else self.tombstones
        return chunk


@cython.no_gc
cdef class CachedPartition:
    """What the cache knows of one partition."""

    cdef Py_ssize_t count(self) noexcept:
        """The number of stretches."""
        if self.stretches is None:
            return self.only is not None
        return len(self.stretches)

    cdef Stretch at(self, Py_ssize_t index):
        return self.only if self.stretches is None else <Stretch>self.stretches[index]

    cdef Py_ssize_t last_from(self, bytes position) noexcept:
        """The index of the last stretch that starts at or below `position`; -1 if none does."""
        cdef Py_ssize_t low = 0, high, middle
        if self.stretches is None:
            return 0 if self.only is not None and compare(self.only.start, position) <= 0 else -1
        high = len(self.stretches)
        while low < high:
            middle = (low + high) >> 1
            if compare((<Stretch>self.stretches[middle]).start, position) <= 0:
                low = middle + 1
            else:
                high = middle
        return low - 1

    cdef Py_ssize_t last_below(self, bytes position) noexcept:
        """The index of the last stretch that starts below the exclusive bound; -1 if none does."""
        cdef Py_ssize_t index
        if not len(position):
            return self.count() - 1
        index = self.last_from(position)
        if index >= 0 and compare(self.at(index).start, position) == 0:
            index -= 1
        return index

    cdef bytes only_row(self):
        """The row, if the partition is known to be one row without clustering; None if not."""
        cdef Stretch only = self.only
        if only is None or self.deletion_ts != INT64_MIN or len(self.static_row):
            return None
        if type(only.rows) is not bytes or len(<bytes>only.clusterings):
            return None
        if len(only.start) or len(only.end) or only.tombstones is not None:
            return None
        only.is_touched = True
        return <bytes>only.rows

    cdef Stretch at_or_above(self, bytes position):
        """The stretch that knows what comes next at `position`, or the next one, or None."""
        cdef Py_ssize_t index = self.last_from(position)
        if index < 0 or ends_before(self.at(index).end, position):
            index += 1
        return self.at(index) if index < self.count() else None

    cdef Stretch covering(self, bytes position, bint reverse):
        """The stretch that knows what comes next at `position`, or None."""
        cdef Py_ssize_t index
        cdef Stretch stretch
        if reverse:
            index = self.last_below(position)
            if index < 0:
                return None
            stretch = self.at(index)
            return None if compare_ends(stretch.end, position) < 0 else stretch
        index = self.last_from(position)
        if index < 0:
            return None
        stretch = self.at(index)
        return None if ends_before(stretch.end, position) else stretch

    cdef bint is_free(self, bytes start, bytes end) except -1:
        """Whether no stretch overlaps [start, end)."""
        cdef Py_ssize_t index = self.last_below(end)
        return index < 0 or ends_before(self.at(index).end, start)

    cdef int add(self, Stretch stretch) except -1:
        """Takes a stretch, which overlaps no other."""
        cdef Py_ssize_t index
        stretch.owner = self
        if self.stretches is None and self.only is None:
            self.only = stretch
            return 0
        index = self.last_from(stretch.start) + 1
        if self.stretches is None:
            self.stretches = untracked([self.only])
            self.only = None
        self.stretches.insert(index, stretch)
        return 0

    cdef int remove(self, Stretch stretch) except -1:
        """Gives a stretch away."""
        cdef Py_ssize_t index
        stretch.owner = None
        if self.stretches is None:
            assert self.only is stretch, "a stretch is where its owner has it"
            self.only = None
            return 0
        index = self.last_from(stretch.start)
        assert self.stretches[index] is stretch, "a stretch is where its owner has it"
        del self.stretches[index]
        if len(self.stretches) == 1:
            self.only = self.stretches[0]
            self.stretches = None
        return 0


cdef class CachedRun:
    """One partition of the cache as a run for `storage.merge`, as far as it is known."""

    @property
    def head(self) -> tuple[int, int, bytes]:
        """(deletion_ts, deleted_at, static_row)."""
        cdef CachedPartition partition = self.partition
        return (partition.deletion_ts, partition.deleted_at, partition.static_row)

    cpdef Chunk chunk_at(self, bytes position, bint reverse):
        """What is known around `position`; None if nothing is. See `storage.merge`."""
        cdef Stretch stretch = self.partition.covering(position, reverse)
        if stretch is None:
            return None
        stretch.is_touched = True
        return stretch.chunk()

    cpdef bytes known_from(self, bytes position, bint reverse):
        """Where the gap of knowledge at `position` ends; b"" if there is no end to it."""
        cdef Py_ssize_t index
        if reverse:
            index = self.partition.last_below(position)
            return b"" if index < 0 else self.partition.at(index).end
        index = self.partition.last_from(position) + 1
        return b"" if index == self.partition.count() else self.partition.at(index).start


cdef class TableCache:
    """What is cached of one table."""

    def __init__(self, RowCache cache not None):
        self.cache = cache
        self.partitions = KeyMap()

    def __len__(self) -> int:
        return self.partitions.size

    def knows(self, bytes key not None) -> bool:
        """Whether anything of a partition is known."""
        return key in self.partitions

    cpdef CachedRun find(self, bytes key):
        """What is known of a partition; None if nothing is."""
        cdef CachedRun run
        cdef object partition = self.partitions.find(key)
        if partition is None:
            return None
        run = CachedRun.__new__(CachedRun)
        run.partition = <CachedPartition>partition
        return run

    def insert(
        self, bytes key not None, tuple head, Chunk chunk not None, int64_t phase
    ) -> bool:
        """Keeps what the SSTables of `phase` have in an interval; whether that was possible.

        `head` must come from the same files; without it only partitions that are here can grow.
        """
        cdef RowCache cache = self.cache
        cdef CachedPartition partition
        cdef Py_ssize_t size = cost_of_chunk(chunk) + PARTITION_BYTES + cost_of(key)
        if head is not None:
            size += cost_of(<bytes>head[2])
        if phase != self.phase or not cache.make_room(size):
            cache.refusals += 1
            return False
        partition = self.partitions.find(key)
        if partition is None:
            if head is None:
                return False
            partition = CachedPartition()
            partition.key = key
            partition.home = self.partitions
            partition.deletion_ts, partition.deleted_at, partition.static_row = head
            partition.cost = PARTITION_BYTES + cost_of(key) + cost_of(partition.static_row)
            self.partitions.put(key, partition)
            cache.charge(partition.cost)
        elif not partition.is_free(chunk.start, chunk.end):
            return False
        cache.insertions += 1
        cache.join(partition, chunk, False)
        # The bytes of a joined stretch are not the sum of its parts.
        while cache.used_bytes > cache.bytes_max:
            cache.evict()
        return True

    def advance_phase(self) -> None:
        """The SSTables have other content from now on; what was read before is not inserted."""
        self.phase += 1

    def absorb(
        self, bytes key not None, MemoryRun run not None, bytes start not None, Py_ssize_t rows_max
    ) -> bytes | None:
        """Merges what a flushed memtable has of a partition into what is cached of it, in slices.

        Starts with b""; gives where the next slice of the partition starts, None after the last.
        A slice ends when about `rows_max` rows were merged. What a deletion of the partition hides
        goes, and leaves gaps that are known to be empty.
        """
        cdef RowCache cache = self.cache
        cdef CachedPartition partition = self.partitions.find(key)
        cdef Stretch stretch
        cdef Chunk part
        cdef bytes position = start
        cdef tuple head
        cdef Py_ssize_t left = rows_max, weight
        cdef bint hides
        if partition is None:
            return None
        head = run.head
        if not len(start):
            cache.absorb_head(partition, head)
        # A deletion that is new hides rows anywhere, of which the memtable says nothing more.
        hides = head[0] != INT64_MIN and head[0] == partition.deletion_ts
        while position is not None and left > 0:
            stretch = partition.at_or_above(position)
            if stretch is None:
                position = None
            elif not hides:
                position = next_change(run, max(position, stretch.start))
            left -= ABSORB_STEP_ROWS
            if position is None or ends_before(stretch.end, position):
                continue
            weight = stretch.weight()
            part = cache.absorb_into(partition, stretch, run, rows_max)
            left -= max(weight, weight_of(part))
            position = part.end if len(part.end) else None
        while cache.used_bytes > cache.bytes_max:
            cache.evict()
        return position

    def clear(self) -> None:
        """Forgets everything at once; the cache's `sweep` gives the memory back."""
        self.phase += 1
        if self.partitions.size:
            self.cache.dead.append(self.partitions)
            self.partitions = KeyMap()

    def stretches_of(self, bytes key not None) -> list[Chunk]:
        """Everything that is known of a partition; for tests."""
        cdef CachedPartition partition = self.partitions.find(key)
        if partition is None:
            return []
        return [partition.at(i).chunk() for i in range(partition.count())]

    def check(self) -> None:
        """Asserts the invariants; slow."""
        cdef CachedPartition partition
        cdef Stretch stretch
        cdef Chunk chunk
        for key, partition in self.partitions.items():
            assert partition.key == key, "a partition is found by its key"
            assert partition.home is self.partitions, "a partition has a home"
            assert partition.count(), "a partition without stretches is not kept"
            last = b""
            for i in range(partition.count()):
                stretch = partition.at(i)
                chunk = stretch.chunk()
                chunk.check()
                assert stretch.owner is partition, "a stretch has its owner"
                assert stretch.cost == cost_of_chunk(chunk), "the account is exact"
                assert last is not None and last <= stretch.start, "stretches are disjoint"
                last = stretch.end or None


cdef class RowCache:
    """All that the tables of a shard have cached, bounded in bytes."""

    def __init__(self, Py_ssize_t bytes_max):
        self.bytes_max = bytes_max
        self.dead = []

    @property
    def has_dead(self) -> bool:
        """Whether `sweep` has something to do."""
        return self.dying is not None or len(self.dead) != 0

    def sweep(self, Py_ssize_t steps) -> bool:
        """Frees some of what was cleared, in so many steps at most; whether there is more."""
        cdef KeyMap partitions
        while steps > 0 and self.has_dead:
            steps -= 1
            if self.dying is not None:
                # Eviction may have taken its last stretch.
                if self.dying.count():
                    self.drop(self.dying.at(self.dying.count() - 1))
                if self.dying.count() == 0:
                    self.dying = None
                continue
            partitions = <KeyMap>self.dead[len(self.dead) - 1]
            if partitions.size:
                _, self.dying = partitions.take_any()
            else:
                self.dead.pop()
        return self.has_dead

    cdef int charge(self, Py_ssize_t size) except -1:
        self.used_bytes += size
        return 0

    cdef int link(self, Stretch stretch) except -1:
        """Puts a stretch on the ring where the hand comes by last."""
        cdef Stretch at, before
        if self.hand is NULL:
            stretch.before = stretch.after = <PyObject*>stretch
            self.hand = <PyObject*>stretch
        else:
            at = <Stretch>self.hand
            before = <Stretch>at.before
            stretch.before = at.before
            stretch.after = self.hand
            before.after = <PyObject*>stretch
            at.before = <PyObject*>stretch
        self.stretches += 1
        self.used_bytes += stretch.cost
        return 0

    cdef int unlink(self, Stretch stretch) except -1:
        """Takes a stretch off the ring."""
        cdef Stretch before = <Stretch>stretch.before, after = <Stretch>stretch.after
        if after is stretch:
            self.hand = NULL
        else:
            before.after = stretch.after
            after.before = stretch.before
            if self.hand is <PyObject*>stretch:
                self.hand = stretch.after
        stretch.before = stretch.after = NULL
        self.stretches -= 1
        self.used_bytes -= stretch.cost
        return 0

    cdef int drop(self, Stretch stretch) except -1:
        """Forgets a stretch, and its partition if it was the last one."""
        cdef CachedPartition partition = stretch.owner
        self.unlink(stretch)
        partition.remove(stretch)
        if partition.count() == 0:
            if partition.home.find(partition.key) is partition:
                partition.home.remove(partition.key)
            self.charge(-partition.cost)
        return 0

    cdef int evict(self) except -1:
        """Drops the first stretch under the hand that was not read since it came by."""
        cdef Stretch stretch
        cdef int _i
        if self.has_dead:
            self.sweep(1)
            return 0
        assert self.hand is not NULL, "something that is charged for can be evicted"
        for _i in range(SECOND_CHANCES_MAX):
            stretch = <Stretch>self.hand
            if not stretch.is_touched:
                break
            stretch.is_touched = False
            self.hand = stretch.after
        self.drop(<Stretch>self.hand)
        self.evictions += 1
        return 0

    def resize(self, Py_ssize_t bytes_max) -> None:
        """Another bound, as others need more or less of the memory."""
        self.bytes_max = bytes_max
        self.shrink(bytes_max)

    def shrink(self, Py_ssize_t bytes_max) -> None:
        """Evicts until at most so many bytes are used, as memory is needed elsewhere."""
        while self.used_bytes > bytes_max:
            self.evict()

    def hottest(
        self, list tables not None, Py_ssize_t stretches_max
    ) -> list[tuple[int, bytes, bytes, bytes]]:
        """The stretches that would be evicted last: (index in `tables`, key, start, end).

        Those that were read since the hand came by are first, then the others, each the youngest
        first.
        """
        cdef Py_ssize_t steps = min(self.stretches, HOT_STEPS * stretches_max)
        cdef Stretch stretch
        cdef CachedPartition partition
        cdef PyObject* at = NULL if self.hand is NULL else (<Stretch>self.hand).before
        cdef list touched = [], others = [], found
        # What was cleared belongs to none of them.
        places = {id((<TableCache>table).partitions): i for i, table in enumerate(tables)}
        while steps > 0 and len(touched) < stretches_max:
            steps -= 1
            stretch = <Stretch>at
            at = stretch.before
            partition = stretch.owner
            found = touched if stretch.is_touched else others
            place = places.get(id(partition.home))
            if place is not None and len(found) < stretches_max:
                found.append((place, partition.key, stretch.start, stretch.end))
        return (touched + others)[:stretches_max]

    cdef bint make_room(self, Py_ssize_t size) except -1:
        """Evicts until `size` bytes fit; whether that is allowed and was enough."""
        cdef int _i
        if size > CHUNK_BYTES_MAX or size > self.bytes_max // ROOM_PART:
            return False
        for _i in range(EVICTIONS_MAX):
            if self.used_bytes + size <= self.bytes_max:
                return True
            self.evict()
        return self.used_bytes + size <= self.bytes_max

    cdef int take(self, CachedPartition partition, Stretch stretch) except -1:
        """Takes a stretch out of its place, where its content comes back in another form."""
        self.unlink(stretch)
        return partition.remove(stretch)

    cdef int put(self, CachedPartition partition, Chunk chunk, bint is_touched) except -1:
        """Adds a chunk as a stretch."""
        cdef Stretch stretch = Stretch()
        stretch.fill(chunk)
        stretch.is_touched = is_touched
        partition.add(stretch)
        return self.link(stretch)

    cdef int join(self, CachedPartition partition, Chunk chunk, bint is_touched) except -1:
        """Adds a chunk that overlaps nothing, as one stretch with a small neighbour it touches."""
        cdef Py_ssize_t index = partition.last_from(chunk.start)
        cdef Stretch left, right
        if index >= 0:
            left = partition.at(index)
            if left.end == chunk.start and left.weight() + weight_of(chunk) <= JOIN_ROWS_MAX:
                chunk = joined(left.chunk(), chunk)
                is_touched = is_touched or left.is_touched
                self.take(partition, left)
                index -= 1
        if index + 1 < partition.count():
            right = partition.at(index + 1)
            if right.start == chunk.end and right.weight() + weight_of(chunk) <= JOIN_ROWS_MAX:
                chunk = joined(chunk, right.chunk())
                is_touched = is_touched or right.is_touched
                self.take(partition, right)
        return self.put(partition, chunk, is_touched)

    cdef int absorb_head(self, CachedPartition partition, tuple head) except -1:
        """Merges a memtable's deletion and static row into those of a partition."""
        cdef bytes merged
        cdef Py_ssize_t growth
        if head[:2] > (partition.deletion_ts, partition.deleted_at):
            partition.deletion_ts, partition.deleted_at = head[0], head[1]
        merged = merge_pair(partition.static_row, <bytes>head[2])
        merged = shadow_row(merged, partition.deletion_ts)
        growth = cost_of(merged) - cost_of(partition.static_row)
        partition.static_row = merged
        partition.cost += growth
        return self.charge(growth)

    cdef Chunk absorb_into(
        self, CachedPartition partition, Stretch stretch, MemoryRun run, Py_ssize_t rows_max
    ):
        """Puts a stretch, merged with the run, in its place; if that is much, only its first part.

        Gives the part that was merged. What is left of the stretch stays as it was.
        """
        cdef Chunk whole = stretch.chunk()
        cdef Chunk part = merged(partition, whole, run, rows_max)
        cdef bint is_touched = stretch.is_touched
        self.take(partition, stretch)
        if len(part.rows):
            self.put_split(partition, part, is_touched)
        else:
            self.join(partition, part, is_touched)
        if compare_ends(part.end, whole.end) < 0:
            self.put(partition, cut(whole, part.end, whole.end), is_touched)
        return part

    cdef int put_split(self, CachedPartition partition, Chunk chunk, bint is_touched) except -1:
        """Adds a chunk as one stretch, or as several if it has many rows."""
        cdef bytes end
        while len(chunk.rows) > STRETCH_ROWS_MAX:
            end = <bytes>chunk.clusterings[STRETCH_ROWS_MAX]
            self.put(partition, cut(chunk, chunk.start, end), is_touched)
            chunk = cut(chunk, end, chunk.end)
        return self.put(partition, chunk, is_touched)

    def check(self) -> None:
        """Asserts the invariants; slow."""
        cdef Stretch stretch
        cdef CachedPartition partition = None
        cdef Py_ssize_t count = 0, used = 0
        partitions = {}
        if self.hand is not NULL:
            stretch = <Stretch>self.hand
            while True:
                count += 1
                used += stretch.cost
                partition = stretch.owner
                partitions[id(partition)] = partition.cost
                assert (<Stretch>stretch.after).before is <PyObject*>stretch, "the ring is whole"
                stretch = <Stretch>stretch.after
                if <PyObject*>stretch is self.hand:
                    break
        assert count == self.stretches, "every stretch is on the ring"
        assert used + sum(partitions.values()) == self.used_bytes, "memory is charged exactly"
        assert self.used_bytes <= self.bytes_max, "the cache keeps its bound"


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
    CachedPartition partition, Chunk chunk, MemoryRun run, Py_ssize_t rows_max
):
    """A chunk and what a memtable has in its interval, with what deletions leave of the rows.

    The interval ends early after `rows_max` rows.
    """
    cdef CompactionMerge merge = CompactionMerge(0, 0, None, False)
    cdef Chunk part
    cdef list clusterings = [], rows = [], tombstones = []
    cdef bytes end = chunk.end
    merge.begin(
        partition.key,
        [(partition.deletion_ts, partition.deleted_at, b""), (INT64_MIN, 0, b"")],
    )
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

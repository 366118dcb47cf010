"""Merged rows of SSTables in memory, and the gaps between them that are known to be empty.

What is cached of a table stands for all of its SSTables: merged with the memtables it gives what
the SSTables merged with the memtables would. A partition has its head (deletion, static row) and
**stretches**: disjoint intervals of clusterings of which everything is known, with the rows and
range tombstones inside. What is in no stretch is not known; a stretch without rows is a gap that
is known to be empty. Rows and the knowledge about the gaps beside them come and go together,
because a stretch does. A partition of which all is known, and which is one row or none, is an entry
of a row table instead (`storage.row_table`) and has no objects at all.

Coherence rests on two rules, which do not depend on timing:
- `advance_phase` when the SSTables get other content, in the step in which reads begin to see it.
  What was read from an earlier phase's files is never inserted.
- After that, `absorb` each partition of the flushed memtable, slice by slice. Until the last one
  was absorbed the memtable must stay among those which every read merges: merging it twice changes
  nothing.

Eviction is a clock over all stretches of the shard, and then over the row tables one after the
other: who was read since the hand came by last gets a second chance. A wide partition loses its
cold stretches and keeps the others.
"""

cimport cython
from libc.stdint cimport INT64_MIN, int64_t

from storage.key_map cimport KeyMap
from storage.known cimport (
    cost_of, cost_of_chunk, cut, data_bytes, is_mere, joined, mere_chunk, merged, next_change,
    weight_of,
)
from storage.memtable cimport MemoryRun, Memtable
from storage.merge cimport Chunk
from storage.order cimport compare, compare_ends, ends_before
from storage.row cimport merge_pair, shadow_row
from storage.row_table cimport (
    NEW, READ, Entry, RowTable, clustering_of, cost_of_entry, row_of,
)
from storage.sorted_map cimport untracked

NO_HEAD = (INT64_MIN, 0, b"")

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
    """One partition of the cache as a run for `storage.merge`, as far as it is known.

    One that is a mere row is as it was when it was looked up, others as they are.
    """

    cdef bytes mere_row(self):
        """All that there is, if that is one row without clustering or nothing, b""; None if not."""
        if self.partition is not None or len(self.clustering):
            return None
        return self.row

    @property
    def head(self) -> tuple[int, int, bytes]:
        """(deletion_ts, deleted_at, static_row)."""
        cdef CachedPartition partition = self.partition
        if partition is None:
            return (INT64_MIN, 0, b"")
        return (partition.deletion_ts, partition.deleted_at, partition.static_row)

    cpdef Chunk chunk_at(self, bytes position, bint reverse):
        """What is known around `position`; None if nothing is. See `storage.merge`."""
        cdef Stretch stretch
        if self.partition is None:
            return mere_chunk(self.clustering, self.row)
        stretch = self.partition.covering(position, reverse)
        if stretch is None:
            return None
        stretch.is_touched = True
        return stretch.chunk()

    cpdef bytes known_from(self, bytes position, bint reverse):
        """Where the gap of knowledge at `position` ends; b"" if there is no end to it."""
        cdef Py_ssize_t index
        assert self.partition is not None, "of a mere row all is known"
        if reverse:
            index = self.partition.last_below(position)
            return b"" if index < 0 else self.partition.at(index).end
        index = self.partition.last_from(position) + 1
        return b"" if index == self.partition.count() else self.partition.at(index).start


cdef class TableCache:
    """What is cached of one table."""

    def __init__(self, RowCache cache not None):
        self.cache = cache
        self.rows = RowTable()
        self.partitions = KeyMap()

    def __len__(self) -> int:
        return self.rows.size + self.partitions.size

    def knows(self, bytes key not None) -> bool:
        """Whether anything of a partition is known."""
        return self.rows.find(key, False) is not NULL or key in self.partitions

    cpdef CachedRun find(self, bytes key):
        """What is known of a partition; None if nothing is."""
        cdef CachedRun run
        cdef Entry* entry = self.rows.find(key, True)
        cdef object partition = None
        if entry is NULL:
            partition = self.partitions.find(key)
            if partition is None:
                return None
        run = CachedRun.__new__(CachedRun)
        run.partition = <CachedPartition>partition
        if entry is not NULL:
            run.clustering = clustering_of(entry)
            run.row = row_of(entry)
        return run

    cdef CachedPartition partition_of(self, bytes key):
        """What is known of a partition, with a stretch if it was an entry; None if nothing is."""
        cdef Entry* entry = self.rows.find(key, False)
        cdef CachedPartition partition
        cdef Chunk chunk
        if entry is NULL:
            return self.partitions.find(key)
        chunk = mere_chunk(clustering_of(entry), row_of(entry))
        self.cache.forget_row(self.rows, self.rows.remove(key))
        partition = self.new_partition(key, INT64_MIN, 0, b"")
        self.cache.put(partition, chunk, True)
        return partition

    cdef CachedPartition new_partition(
        self, bytes key, int64_t deletion_ts, uint32_t deleted_at, bytes static_row
    ):
        """A partition of which nothing but its head is known yet."""
        cdef CachedPartition partition = CachedPartition()
        partition.key = key
        partition.home = self.partitions
        partition.deletion_ts = deletion_ts
        partition.deleted_at = deleted_at
        partition.static_row = static_row
        partition.cost = PARTITION_BYTES + cost_of(key) + cost_of(static_row)
        self.partitions.put(key, partition)
        self.cache.charge(partition.cost)
        return partition

    cdef int fold(self, CachedPartition partition) except -1:
        """Makes an entry of a partition, if it has become a mere row."""
        cdef Stretch only = partition.only
        cdef Chunk chunk
        if only is None or partition.deletion_ts != INT64_MIN or len(partition.static_row):
            return 0
        chunk = only.chunk()
        if is_mere(chunk) and self.keep_row(
            partition.key, chunk, READ if only.is_touched else NEW
        ):
            self.cache.drop(only)
        return 0

    cdef bint keep_row(self, bytes key, Chunk chunk, int chances) except -1:
        """Makes an entry of a chunk that is a mere row; whether that was possible."""
        cdef bytes clustering = <bytes>chunk.clusterings[0] if len(chunk.rows) else b""
        cdef bytes row = <bytes>chunk.rows[0] if len(chunk.rows) else b""
        return self.cache.keep_row(self.rows, key, clustering, row, chances)

    def insert(
        self, bytes key not None, tuple head, Chunk chunk not None, int64_t phase
    ) -> bool:
        """Keeps what the SSTables of `phase` have in an interval; whether that was possible.

        `head` must come from the same files; without it only partitions that are here can grow.
        """
        cdef RowCache cache = self.cache
        cdef CachedPartition partition
        cdef bint is_entry = head == NO_HEAD and is_mere(chunk)
        cdef Py_ssize_t size
        if is_entry:
            size = cost_of_entry(len(key) + data_bytes(chunk))
        else:
            size = cost_of_chunk(chunk) + PARTITION_BYTES + cost_of(key)
            if head is not None:
                size += cost_of(<bytes>head[2])
        if phase != self.phase or not cache.make_room(size):
            cache.refusals += 1
            return False
        if self.rows.find(key, False) is not NULL:
            return False
        partition = self.partitions.find(key)
        if partition is None:
            if head is None:
                return False
            if is_entry and self.keep_row(key, chunk, NEW):
                cache.insertions += 1
                return True
            partition = self.new_partition(key, head[0], head[1], head[2])
        elif not partition.is_free(chunk.start, chunk.end):
            return False
        cache.insertions += 1
        cache.join(partition, chunk, False)
        self.fold(partition)
        # The bytes of a joined stretch are not the sum of its parts.
        cache.keep_bound()
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
        cdef CachedPartition partition
        cdef Stretch stretch
        cdef Chunk part
        cdef bytes position = start
        cdef tuple head
        cdef Py_ssize_t left = rows_max, weight
        cdef bint hides
        if rows_max > 0 and not len(start) and self.absorb_row(key, run.partition):
            cache.keep_bound()
            return None
        partition = self.partition_of(key)
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
        if position is None:
            self.fold(partition)
        cache.keep_bound()
        return position

    def absorb_rows(self, Memtable memtable not None, list keys not None) -> int:
        """Absorbs the first of a flushed memtable's keys; gives how many.

        These are all before the first one that takes `absorb`, as it is or was more than one row.
        """
        cdef bytes key
        cdef Py_ssize_t count = 0
        for key in keys:
            if self.rows.find(key, False) is not NULL:
                if not self.absorb_row(key, memtable.partitions.find(key)):
                    break
            elif self.partitions.find(key) is not None:
                break
            count += 1
        self.cache.keep_bound()
        return count

    cdef bint absorb_row(self, bytes key, object found) except -1:
        """Merges what a memtable has into an entry, if both are one row without clustering, or the
        entry none; whether they are.
        """
        cdef Entry* entry = self.rows.find(key, False)
        if entry is NULL or entry.clustering_bytes or type(found) is not bytes:
            return False
        self.cache.used_bytes += self.rows.replace(key, merge_pair(row_of(entry), <bytes>found))
        return True

    def clear(self) -> None:
        """Forgets everything at once; the cache's `sweep` gives the memory back."""
        self.phase += 1
        if self.partitions.size:
            self.cache.dead.append(self.partitions)
            self.partitions = KeyMap()
        if self.rows.size:
            self.cache.bury(self.rows)
            self.rows = RowTable()

    def stretches_of(self, bytes key not None) -> list[Chunk]:
        """Everything that is known of a partition; for tests."""
        cdef CachedPartition partition = self.partitions.find(key)
        cdef Entry* entry = self.rows.find(key, False)
        if entry is not NULL:
            return [mere_chunk(clustering_of(entry), row_of(entry))]
        if partition is None:
            return []
        return [partition.at(i).chunk() for i in range(partition.count())]

    def check(self) -> None:
        """Asserts the invariants; slow."""
        cdef CachedPartition partition
        cdef Stretch stretch
        cdef Chunk chunk
        self.rows.check()
        for key, partition in self.partitions.items():
            assert self.rows.find(key, False) is NULL, "a partition is kept once"
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
        self.tables = []
        self.dead = []

    @property
    def has_dead(self) -> bool:
        """Whether `sweep` has something to do."""
        return self.dying is not None or len(self.dead) != 0

    def sweep(self, Py_ssize_t steps) -> bool:
        """Frees some of what was cleared, in so many steps at most; whether there is more."""
        cdef KeyMap partitions
        cdef RowTable rows
        while steps > 0 and self.has_dead:
            steps -= 1
            if self.dying is not None:
                # Eviction may have taken its last stretch.
                if self.dying.count():
                    self.drop(self.dying.at(self.dying.count() - 1))
                if self.dying.count() == 0:
                    self.dying = None
                continue
            if isinstance(self.dead[len(self.dead) - 1], RowTable):
                rows = self.dead[len(self.dead) - 1]
                if rows.size:
                    self.forget_row(rows, max(rows.step(False), 0))
                else:
                    self.dead.pop()
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
        self.ring += 1
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
        self.ring -= 1
        self.stretches -= 1
        self.used_bytes -= stretch.cost
        return 0

    cdef bint keep_row(
        self, RowTable table, bytes key, bytes clustering, bytes row, int chances
    ) except -1:
        """Adds an entry to a row table; whether that took it."""
        cdef Py_ssize_t cost = table.put(key, clustering, row, chances)
        if cost == 0:
            return False
        if table.size == 1:
            self.tables.append(table)
        self.stretches += 1
        self.used_bytes += cost
        return True

    cdef int forget_row(self, RowTable table, Py_ssize_t cost) except -1:
        """An entry has gone which was charged `cost`; if that is 0, none has."""
        if cost == 0:
            return 0
        self.stretches -= 1
        self.used_bytes -= cost
        if table.size == 0:
            self.leave(table)
        return 0

    cdef int bury(self, RowTable table) except -1:
        """Takes over a table which was cleared; the hand comes there no more."""
        self.leave(table)
        self.dead.append(table)
        return 0

    cdef int leave(self, RowTable table) except -1:
        """Takes a table out of those to which the hand comes, if it is among them."""
        if table not in self.tables:
            return 0
        if self.tables.index(table) < self.turn:
            self.turn -= 1
        self.tables.remove(table)
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
        """Drops the first piece under the hand that was not read since it came by."""
        cdef int chances = SECOND_CHANCES_MAX
        if self.has_dead:
            self.sweep(1)
            return 0
        assert self.stretches > 0, "something that is charged for can be evicted"
        while not self.step(chances > 0):
            chances -= 1
        self.evictions += 1
        return 0

    cdef bint step(self, bint spares) except -1:
        """The hand comes by the next piece; whether that was dropped, or else had a chance left."""
        cdef Stretch stretch
        cdef Py_ssize_t cost
        while True:
            if self.ring_left > 0 and self.hand is not NULL:
                self.ring_left -= 1
                stretch = <Stretch>self.hand
                if not spares or not stretch.is_touched:
                    self.drop(stretch)
                    return True
                stretch.is_touched = False
                self.hand = stretch.after
                return False
            self.ring_left = 0
            if self.turn == len(self.tables):
                self.turn = 0
                self.ring_left = self.ring
                continue
            cost = (<RowTable>self.tables[self.turn]).step(spares)
            if cost >= 0:
                self.forget_row(<RowTable>self.tables[self.turn], cost)
                return cost > 0
            self.turn += 1

    cdef int keep_bound(self) except -1:
        """Evicts what is too much."""
        while self.used_bytes > self.bytes_max:
            self.evict()
        return 0

    def resize(self, Py_ssize_t bytes_max) -> None:
        """Another bound, as others need more or less of the memory."""
        self.bytes_max = bytes_max
        self.keep_bound()

    def shrink(self, Py_ssize_t bytes_max) -> None:
        """Evicts until at most so many bytes are used, as memory is needed elsewhere."""
        while self.used_bytes > bytes_max:
            self.evict()

    def hottest(
        self, list tables not None, Py_ssize_t stretches_max
    ) -> list[tuple[int, bytes, bytes, bytes]]:
        """The stretches that would be evicted last: (index in `tables`, key, start, end).

        Those that were read since the hand came by are first, then the others; row tables and the
        ring are asked for their part each, and give those first by which the hand came last.
        """
        cdef TableCache table
        cdef Py_ssize_t part
        # What was cleared belongs to none of them.
        places = {id((<TableCache>table).partitions): i for i, table in enumerate(tables)}
        part = stretches_max * self.ring // max(self.stretches, 1) + 1
        touched, others = self.hot_stretches(places, part)
        for place, table in enumerate(tables):
            part = stretches_max * table.rows.size // max(self.stretches, 1) + 1
            for key, is_read in table.rows.hot(part, HOT_STEPS * part):
                (touched if is_read else others).append((place, key, b"", b""))
        return (touched + others)[:stretches_max]

    cdef tuple hot_stretches(self, dict places, Py_ssize_t count_max):
        """Stretches of tables which are numbered by their maps' ids: those read, the others."""
        cdef Py_ssize_t steps = min(self.ring, HOT_STEPS * count_max)
        cdef Stretch stretch
        cdef CachedPartition partition
        cdef PyObject* at = NULL if self.hand is NULL else (<Stretch>self.hand).before
        cdef list touched = [], others = [], found
        while steps > 0 and len(touched) < count_max:
            steps -= 1
            stretch = <Stretch>at
            at = stretch.before
            partition = stretch.owner
            found = touched if stretch.is_touched else others
            place = places.get(id(partition.home))
            if place is not None and len(found) < count_max:
                found.append((place, partition.key, stretch.start, stretch.end))
        return touched, others

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
        cdef bytes static_row
        cdef Py_ssize_t growth
        if head[:2] > (partition.deletion_ts, partition.deleted_at):
            partition.deletion_ts, partition.deleted_at = head[0], head[1]
        static_row = merge_pair(partition.static_row, <bytes>head[2])
        static_row = shadow_row(static_row, partition.deletion_ts)
        growth = cost_of(static_row) - cost_of(partition.static_row)
        partition.static_row = static_row
        partition.cost += growth
        return self.charge(growth)

    cdef Chunk absorb_into(
        self, CachedPartition partition, Stretch stretch, MemoryRun run, Py_ssize_t rows_max
    ):
        """Puts a stretch, merged with the run, in its place; if that is much, only its first part.

        Gives the part that was merged. What is left of the stretch stays as it was.
        """
        cdef Chunk whole = stretch.chunk()
        cdef Chunk part = merged(
            partition.key, partition.deletion_ts, partition.deleted_at, whole, run, rows_max
        )
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
        assert count == self.ring, "every stretch is on the ring"
        tables = self.tables + [table for table in self.dead if isinstance(table, RowTable)]
        assert count + sum(map(len, tables)) == self.stretches, "every piece is counted"
        assert all(map(len, self.tables)) and self.turn <= len(self.tables), "the hand finds them"
        used += sum(partitions.values()) + sum(table.count_bytes() for table in tables)
        assert used == self.used_bytes, "memory is charged exactly"
        assert self.used_bytes <= self.bytes_max, "the cache keeps its bound"

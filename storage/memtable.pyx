"""The writes that are not in SSTables yet: partitions by key, rows by clustering.

A partition whose only row has no clustering is nothing but that row's bytes; one with a single
clustering row holds it without a map. Deletions are kept beside the rows and not applied to them:
a range tombstone costs the same whatever it covers, and whoever reads or flushes goes through
`storage.merge`, which applies them.

`memory_bytes` estimates what the content adds to the process: every object's size with its header
as the allocator rounds it, plus entries of dicts and lists at their mean fill. A test compares it
with the truth.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t

from storage.key_map cimport KeyMap
from storage.merge cimport (
    Chunk, clip, first_ending_after, first_starting_from, insert_tombstone,
)
from storage.mutation cimport (
    ITEM_ROW, Item, ItemScan, Mutation, MutationHead, next_item, walk,
)
from storage.order cimport compare, find_end, find_place
from storage.row cimport merge_pair
from storage.sorted_map cimport ENTRY_BYTES, MapBlock, SortedMap

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* o) noexcept

cdef enum:
    CHUNK_TOMBSTONES = 256      # at most so many are in one chunk
    HELD_HERE = 2               # references to a partition: of the dict, and of who takes it out
    PARTITION_BYTES = 96        # a MemoryPartition
    KEY_BYTES = 72 + ENTRY_BYTES    # entries in the dict (mean of its fill) and in the order
    MAP_BYTES = 448             # a SortedMap with its first block
    TOMBSTONE_BYTES = 72 + 32 + 32 + 9  # a tuple of two byte strings and two integers, its entry


cdef inline Py_ssize_t cost(bytes data) noexcept:
    """What the allocator takes for a bytes object; there is only one without bytes."""
    return (33 + len(data) + 15) & ~15 if len(data) else 0


cdef inline bytes copy_of(const uint8_t* data, Py_ssize_t size):
    return (<const char*>data)[:size] if size else b""


@cython.no_gc
cdef class MemoryPartition:
    """What the memtable knows of one partition."""

    def __cinit__(self):
        self.deletion_ts = INT64_MIN
        self.static_row = b""


cdef class Memtable:
    """The writes of one table since it was switched to; one that was switched away is frozen."""

    def __init__(self, bint has_clustering, bint has_static):
        assert has_clustering or not has_static, "static columns need clustering columns"
        self.partitions = KeyMap()
        self.order = SortedMap()
        self.has_clustering = has_clustering
        self.has_static = has_static
        self.low = INT64_MAX
        self.high = INT64_MIN

    def __len__(self) -> int:
        return self.partitions.size

    @property
    def timestamps(self) -> tuple[int, int] | None:
        """The lowest and highest timestamp that was applied; None before the first."""
        return None if self.low > self.high else (self.low, self.high)

    cpdef int64_t apply(self, Mutation mutation) except? -1:
        """Makes the mutation visible, all of it or, with CorruptData, nothing; gives by how many
        bytes that has grown the memory.
        """
        cdef MutationHead head
        mutation.point(&head)
        return self.apply_head(mutation.key, &head)

    cdef int64_t apply_head(self, bytes key, const MutationHead* head) except? -1:
        """The same for a mutation that is no object; `key` is its own."""
        cdef int64_t low, high
        cdef int64_t before = self.memory_bytes
        cdef MemoryPartition partition
        cdef ItemScan scan = head.items
        cdef Item item
        walk(head, &low, &high)
        if low > high:
            return 0
        self.low = min(self.low, low)
        self.high = max(self.high, high)
        self.mutation_count += 1
        if self.apply_only_row(key, head):
            return self.memory_bytes - before
        partition = self.open_partition(key)
        if head.deletion_ts > partition.deletion_ts or (
            head.deletion_ts == partition.deletion_ts
            and head.deleted_at > partition.deleted_at
        ):
            partition.deletion_ts = head.deletion_ts
            partition.deleted_at = head.deleted_at
        while next_item(&scan, &item):
            self.apply_item(partition, &item)
        return self.memory_bytes - before

    cdef int apply_only_row(self, bytes key, const MutationHead* head) except -1:
        """The cheap way for a partition that is one row without clustering; 0 if it is not."""
        cdef ItemScan scan = head.items
        cdef Item item
        cdef bytes row, merged
        cdef object found
        if self.has_clustering or head.deletion_ts != INT64_MIN or scan.left != 1:
            return 0
        next_item(&scan, &item)
        if item.kind != ITEM_ROW or item.start_size:
            return 0
        row = copy_of(item.end, item.end_size)
        found = self.partitions.put_new(key, row)
        if found is None:
            self.order.locate(key)
            self.order.insert(key, None)
            self.memory_bytes += KEY_BYTES + cost(key) + cost(row)
            return 1
        if not isinstance(found, bytes):
            return 0
        merged = merge_pair(<bytes>found, row)
        self.partitions.put(key, merged)
        self.memory_bytes += cost(merged) - cost(<bytes>found)
        return 1

    cdef MemoryPartition open_partition(self, bytes key):
        """The partition of `key`, new if there is none, unfolded if it is a mere row."""
        cdef MemoryPartition partition
        cdef object found = self.partitions.find(key)
        if isinstance(found, MemoryPartition):
            return found
        partition = MemoryPartition()
        if found is None:
            self.order.locate(key)
            self.order.insert(key, None)
            self.memory_bytes += KEY_BYTES + cost(key)
        else:
            partition.clustering = b""
            partition.row = found
        self.partitions.put(key, partition)
        self.memory_bytes += PARTITION_BYTES
        return partition

    cdef int apply_item(self, MemoryPartition partition, Item* item) except -1:
        cdef bytes start = copy_of(item.start, item.start_size)
        cdef bytes end = copy_of(item.end, item.end_size)
        cdef bytes merged
        if item.kind != ITEM_ROW:
            return self.put_tombstone(partition, (start, end, item.deletion_ts, item.deleted_at))
        if self.has_static and item.start_size == 0:
            merged = merge_pair(partition.static_row, end)
            self.memory_bytes += cost(merged) - cost(partition.static_row)
            partition.static_row = merged
            return 0
        return self.put_row(partition, start, end)

    cdef int put_row(self, MemoryPartition partition, bytes clustering, bytes row) except -1:
        """Adds a row or merges it with the one that is there."""
        cdef bytes old, merged
        cdef SortedMap rows = partition.rows
        if rows is None:
            if partition.row is None:
                partition.clustering = clustering
                partition.row = row
                self.memory_bytes += cost(clustering) + cost(row)
                return 0
            if compare(partition.clustering, clustering) == 0:
                merged = merge_pair(partition.row, row)
                self.memory_bytes += cost(merged) - cost(partition.row)
                partition.row = merged
                return 0
            rows = partition.rows = SortedMap()
            rows.locate(partition.clustering)
            rows.insert(partition.clustering, partition.row)
            partition.clustering = partition.row = None
            self.memory_bytes += MAP_BYTES
        if rows.locate(clustering):
            old = <bytes>rows.located()
            merged = merge_pair(old, row)
            rows.replace(merged)
            self.memory_bytes += cost(merged) - cost(old)
        else:
            rows.insert(clustering, row)
            self.memory_bytes += ENTRY_BYTES + cost(clustering) + cost(row)
        return 0

    cdef int put_tombstone(self, MemoryPartition partition, tuple tombstone) except -1:
        """Lays a range tombstone over those that are there."""
        cdef Py_ssize_t before
        if partition.tombstones is None:
            partition.tombstones = []
        before = len(partition.tombstones)
        insert_tombstone(partition.tombstones, tombstone)
        self.memory_bytes += (len(partition.tombstones) - before) * (
            TOMBSTONE_BYTES + cost(<bytes>tombstone[0]) + cost(<bytes>tombstone[1])
        )
        return 0

    cpdef MemoryRun find(self, bytes key):
        """The run of a partition, for a merge; None if nothing of it is here."""
        cdef MemoryRun run
        cdef object found = self.partitions.find(key)
        if found is None:
            return None
        run = MemoryRun.__new__(MemoryRun)
        run.partition = found
        return run

    def keys(self, bytes start not None=b"", bytes end not None=b"", Py_ssize_t limit=0) -> list:
        """At most `limit` keys (0: all) in [start, end), ascending; end b"" is unbounded."""
        cdef Py_ssize_t at, first, last
        cdef MapBlock block
        cdef list found = []
        if limit <= 0:
            limit = self.partitions.size
        for at in range(self.order.find_block(start), len(self.order.blocks)):
            block = <MapBlock>self.order.blocks[at]
            first = find_place(block.keys, start, 0, len(block.keys))
            last = min(find_end(block.keys, end, first, len(block.keys)),
                       first + limit - len(found))
            found.extend(block.keys[first:last])
            if len(found) >= limit or last < len(block.keys):
                break
        return found

    def acquire(self) -> Memtable:
        """One more user, who goes on looking for keys after a wait; calls `release` in the end."""
        self.users += 1
        return self

    def release(self) -> None:
        """One user fewer."""
        assert self.users > 0, "a memtable is released once by each user"
        self.users -= 1

    def dissolve(self, Py_ssize_t count) -> bool:
        """Frees about so many entries of a memtable that nobody is going to look into any more;
        False once nothing is left. Freed in one piece, a large one takes milliseconds.
        """
        cdef list blocks = self.order.blocks
        cdef MapBlock block = <MapBlock>blocks[len(blocks) - 1]
        cdef bytes key
        assert self.users == 0, "nobody reads what is dissolved"
        while count > 0 and self.partitions.size:
            if not len(block.keys):
                blocks.pop()
                self.order.firsts.pop()
                block = <MapBlock>blocks[len(blocks) - 1]
            key = <bytes>block.keys[len(block.keys) - 1]
            count -= self.dissolve_rows(self.partitions.find(key), count)
            if count > 0:
                self.partitions.remove(key)
                block.keys.pop()
                count -= 1
        return self.partitions.size > 0

    cdef Py_ssize_t dissolve_rows(self, object found, Py_ssize_t count) except -1:
        """Frees rows and tombstones of a partition, unless a read has it; gives how many."""
        cdef MemoryPartition partition
        cdef SortedMap rows
        cdef Py_ssize_t freed = 0, some
        if not isinstance(found, MemoryPartition) or Py_REFCNT(<PyObject*>found) > HELD_HERE:
            return 0
        partition = <MemoryPartition>found
        rows = partition.rows
        while rows is not None and len(rows.blocks) > 1 and freed < count:
            freed += len((<MapBlock>rows.blocks.pop()).keys)
        if partition.tombstones is not None and freed < count:
            some = min(len(partition.tombstones), count - freed)
            del partition.tombstones[len(partition.tombstones) - some:]
            freed += some
        return freed

    def check(self) -> None:
        """Asserts the invariants; slow."""
        self.order.check()
        self.partitions.check()
        assert self.keys() == sorted(dict(self.partitions.items())), "the order has every key once"
        for _, found in self.partitions.items():
            if isinstance(found, bytes):
                assert not self.has_clustering, "a mere row has no clustering"
            else:
                check_partition(found)
        assert self.memory_bytes == self.count_bytes(), "the account is exact"

    def count_bytes(self) -> int:
        """`memory_bytes` counted anew, but for the tombstones' bounds, which are estimated."""
        cdef MemoryPartition partition
        total = 0
        for key, found in self.partitions.items():
            total += KEY_BYTES + cost(key)
            if isinstance(found, bytes):
                total += cost(found)
                continue
            partition = found
            if partition.tombstones is not None:
                return self.memory_bytes
            total += PARTITION_BYTES + cost(partition.static_row)
            if partition.rows is None and partition.row is not None:
                total += cost(partition.clustering) + cost(partition.row)
            elif partition.rows is not None:
                total += MAP_BYTES - ENTRY_BYTES
                for clustering, row in partition.rows.items():
                    total += ENTRY_BYTES + cost(clustering) + cost(row)
        return total


cdef int check_partition(MemoryPartition partition) except -1:
    assert partition.row is None or partition.rows is None, "rows are in one place"
    if partition.rows is not None:
        partition.rows.check()
        assert len(partition.rows) > 1, "a map holds several rows"
    if partition.tombstones is not None:
        Chunk(b"", b"", [], [], partition.tombstones).check()
    return 0


cdef class MemoryRun:
    """One partition of a memtable as a run for `storage.merge`."""

    @property
    def head(self) -> tuple[int, int, bytes]:
        """(deletion_ts, deleted_at, static_row)."""
        cdef MemoryPartition partition
        if isinstance(self.partition, bytes):
            return (INT64_MIN, 0, b"")
        partition = <MemoryPartition>self.partition
        return (partition.deletion_ts, partition.deleted_at, partition.static_row)

    cpdef Chunk chunk_at(self, bytes position, bint reverse):
        """The rows around `position`; never waits. See `storage.merge`."""
        cdef MemoryPartition partition
        if isinstance(self.partition, bytes):
            return Chunk(b"", b"", [b""], [self.partition])
        partition = <MemoryPartition>self.partition
        if partition.rows is not None:
            return self.block_chunk(partition, position, reverse)
        return chunk_around(
            position, reverse, b"", b"",
            [] if partition.row is None else [partition.clustering],
            [] if partition.row is None else [partition.row],
            partition.tombstones,
        )

    cdef Chunk block_chunk(self, MemoryPartition partition, bytes position, bint reverse):
        """One block of the map, which covers up to where the next one begins."""
        cdef SortedMap rows = partition.rows
        cdef Py_ssize_t at = rows.find_block(position)
        cdef bytes start = b"", end = b""
        cdef MapBlock block
        if reverse:
            if not len(position):
                at = len(rows.blocks) - 1
            elif at > 0 and compare(<bytes>rows.firsts[at], position) == 0:
                at -= 1
        block = <MapBlock>rows.blocks[at]
        if at > 0:
            start = <bytes>rows.firsts[at]
        if at + 1 < len(rows.blocks):
            end = <bytes>rows.firsts[at + 1]
        return chunk_around(
            position, reverse, start, end, block.keys, block.values, partition.tombstones
        )


cdef Chunk chunk_around(
    bytes position, bint reverse, bytes start, bytes end, list keys, list rows, list tombstones
):
    """The chunk [start, end); if that has too many tombstones, a part of it around `position`."""
    cdef Py_ssize_t first, last
    if tombstones is None:
        return Chunk(start, end, keys, rows, [])
    first = first_ending_after(tombstones, start)
    last = first_starting_from(tombstones, end) if len(end) else len(tombstones)
    if last - first <= CHUNK_TOMBSTONES:
        return Chunk(start, end, keys, rows, clip(tombstones, start, end))
    if reverse:
        if len(position):
            end = position
            last = first_starting_from(tombstones, end)
        if last - first > CHUNK_TOMBSTONES:
            start = <bytes>(<tuple>tombstones[last - CHUNK_TOMBSTONES])[0]
    else:
        start = position
        first = first_ending_after(tombstones, start)
        if last - first > CHUNK_TOMBSTONES:
            end = <bytes>(<tuple>tombstones[first + CHUNK_TOMBSTONES])[0]
    first = find_place(keys, start, 0, len(keys))
    last = find_end(keys, end, first, len(keys))
    return Chunk(start, end, keys[first:last], rows[first:last], clip(tombstones, start, end))

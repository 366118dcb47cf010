"""One table's mutations as the log has them, sorted by key and put into a file.

A replay needs no memtable where nobody reads before everything is in files: mutations are copied
one behind the other, sorted once, and most of them are rows that go from there into a block.
Those of one partition meet in a memtable of their own, in the order of the log.

Invariant: entries are in the order of the log until they are sorted, then in that of their keys,
and of the log where the keys are the same.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from storage.memtable cimport MemoryRun, Memtable
from storage.mutation cimport ITEM_ROW, Item, ItemScan, MutationHead, next_item, read_head, walk
from storage.sstable.format cimport compare_spans
from storage.sstable.splice cimport IS_END, IS_FULL, IS_OTHER, IS_PAUSED, Sink, put_found

cdef extern from *:
    """
    #include <stdlib.h>
    #include <sys/mman.h>

    #define pythia_prefetch(address) __builtin_prefetch(address)

    /* Memory in large pages where the system has them: entries are read in another order than they
       were written, and most of such a read is the search for the page. */
    static void* pythia_allocate_huge(size_t alignment, size_t size) {
        void* room = NULL;
        if (posix_memalign(&room, alignment, size) != 0) return NULL;
    #ifdef MADV_HUGEPAGE
        madvise(room, size, MADV_HUGEPAGE);
    #endif
        return room;
    }
    """
    void pythia_prefetch(const void* address) noexcept nogil
    void* pythia_allocate_huge(size_t alignment, size_t size) noexcept nogil

cdef enum:
    HEAD_BYTES = 8              # of a key that are compared as a number
    ENTRIES_FIRST = 16          # room for entries at first; it doubles
    CHUNK_FIRST = 4_096         # bytes of the first chunk; each is twice as large as the last
    CHUNK_MAX = 2 << 20         # and at most a large page of the processor, if one is enough
    CHUNK_DOUBLINGS = 9
    STEP_BYTES = 128            # what a partition costs beside its bytes, in bytes
    AHEAD = 6                   # entries whose bytes are on their way to the processor's cache
    AHEAD_BYTES = 512           # of each at most
    CACHE_LINE = 64


cdef class LogRun:
    """Mutations of one table, in memory."""

    def __init__(self, bint has_clustering, bint has_static) -> None:
        self.has_clustering = has_clustering
        self.has_static = has_static

    def __dealloc__(self) -> None:
        cdef Py_ssize_t i
        for i in range(self.chunk_count):
            free(self.chunks[i])
        free(self.chunks)
        free(self.entries)

    def __len__(self) -> int:
        return self.count

    cdef int64_t add(
        self, const uint8_t* data, Py_ssize_t size, const MutationHead* head
    ) except? -1:
        """Takes a copy of a mutation; gives by how many bytes memory has grown.

        CorruptData, and nothing is taken, if not everything in it can be read.
        """
        cdef int64_t low, high, before = self.memory_bytes
        cdef Entry* entry
        walk(head, &low, &high)
        if low > high:
            return 0
        if self.count == self.room:
            self.make_entry_room()
        if size > self.free_size:
            self.make_chunk(size)
        memcpy(self.free_at, data, size)
        entry = &self.entries[self.count]
        entry.head = head_of(head.key, head.key_size)
        entry.data = self.free_at
        entry.size = <uint32_t>size
        self.count += 1
        self.free_at += size
        self.free_size -= size
        return self.memory_bytes - before

    cdef int make_entry_room(self) except -1:
        cdef Py_ssize_t room = max(2 * self.room, ENTRIES_FIRST)
        cdef Entry* entries = <Entry*>realloc(self.entries, room * sizeof(Entry))
        if entries == NULL:
            raise MemoryError()
        self.memory_bytes += (room - self.room) * sizeof(Entry)
        self.entries = entries
        self.room = room
        return 0

    cdef int make_chunk(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t wanted = CHUNK_FIRST << min(self.chunk_count, CHUNK_DOUBLINGS)
        cdef void** chunks = <void**>realloc(
            self.chunks, (self.chunk_count + 1) * sizeof(self.chunks[0])
        )
        if chunks == NULL:
            raise MemoryError()
        self.chunks = chunks
        wanted = max(wanted, size)
        chunks[self.chunk_count] = (
            malloc(wanted) if wanted < CHUNK_MAX else pythia_allocate_huge(CHUNK_MAX, wanted)
        )
        if chunks[self.chunk_count] == NULL:
            raise MemoryError()
        self.memory_bytes += wanted
        self.free_at = <uint8_t*>chunks[self.chunk_count]
        self.free_size = wanted
        self.chunk_count += 1
        return 0

    def sort(self) -> None:
        """Brings the mutations in the order of their keys, and counts these."""
        cdef Entry* entries = <Entry*>malloc(max(self.count, 1) * sizeof(Entry))
        cdef Py_ssize_t first = 0, stop
        if entries == NULL:
            raise MemoryError()
        if sort_heads(self.entries, entries, self.count):
            self.entries, entries = entries, self.entries
            self.room = max(self.count, 1)
        free(entries)
        self.partitions = 0
        while first < self.count:
            stop = self.end_of_head(first)
            if self.end_of_key(first) < stop:
                self.sort_keys(first, stop)
            while first < stop:
                first = self.end_of_key(first)
                self.partitions += 1

    cdef Py_ssize_t end_of_head(self, Py_ssize_t first) noexcept:
        """Behind the entries whose keys begin as that of the first one."""
        cdef Py_ssize_t at = first + 1
        while at < self.count and self.entries[at].head == self.entries[first].head:
            at += 1
        return at

    cdef Py_ssize_t end_of_key(self, Py_ssize_t first) except -1:
        """Behind the entries that follow one with the same key."""
        cdef Py_ssize_t at = first + 1
        cdef MutationHead head, other
        if at == self.count or self.entries[at].head != self.entries[first].head:
            return at
        read_head(self.entries[first].data, self.entries[first].size, &head)
        while at < self.count and self.entries[at].head == self.entries[first].head:
            read_head(self.entries[at].data, self.entries[at].size, &other)
            if compare_spans(head.key, head.key_size, other.key, other.key_size) != 0:
                return at
            at += 1
        return at

    cdef int sort_keys(self, Py_ssize_t first, Py_ssize_t stop) except -1:
        """Sorts by the whole keys what begins the same; this is rare: tokens hardly ever meet."""
        cdef Py_ssize_t i, count = stop - first
        cdef MutationHead head
        cdef Entry* entries
        cdef list order = []
        for i in range(first, stop):
            read_head(self.entries[i].data, self.entries[i].size, &head)
            order.append((PyBytes_FromStringAndSize(<const char*>head.key, head.key_size), i))
        order.sort()
        entries = <Entry*>malloc(count * sizeof(Entry))
        if entries == NULL:
            raise MemoryError()
        for i in range(count):
            entries[i] = self.entries[<Py_ssize_t>order[i][1]]
        memcpy(self.entries + first, entries, count * sizeof(Entry))
        free(entries)
        return 0


cdef inline uint64_t head_of(const uint8_t* key, Py_ssize_t key_size) noexcept nogil:
    """The first bytes of a key; where there are fewer, zeros are behind them."""
    cdef uint64_t head = 0
    cdef Py_ssize_t i
    for i in range(min(key_size, HEAD_BYTES)):
        head |= <uint64_t>key[i] << 8 * (HEAD_BYTES - 1 - i)
    return head


cdef bint sort_heads(Entry* entries, Entry* others, Py_ssize_t count) noexcept nogil:
    """Sorts by one byte of the heads after the other, the last one first, and stays stable.

    Gives whether the sorted entries are in `others`.
    """
    cdef Py_ssize_t[HEAD_BYTES][256] places
    cdef Py_ssize_t i, place, size
    cdef int digit, byte
    cdef bint is_other = False
    memset(places, 0, sizeof(places))
    for i in range(count):
        for digit in range(HEAD_BYTES):
            places[digit][(entries[i].head >> 8 * digit) & 0xFF] += 1
    for digit in range(HEAD_BYTES):
        if count == 0 or places[digit][(entries[0].head >> 8 * digit) & 0xFF] == count:
            continue
        place = 0
        for byte in range(256):
            size = places[digit][byte]
            places[digit][byte] = place
            place += size
        for i in range(count):
            byte = (entries[i].head >> 8 * digit) & 0xFF
            others[places[digit][byte]] = entries[i]
            places[digit][byte] += 1
        entries, others = others, entries
        is_other = not is_other
    return is_other


cdef class LogSplice:
    """Writes the partitions of a sorted run, as `MemorySplice` does those of a memtable."""

    def __init__(self, LogRun run not None) -> None:
        self._run = run
        self.key = b""

    def run(self, Sink sink not None, Py_ssize_t bytes_max) -> int:
        """Goes on until a reason to stop; after OTHER it goes on behind that partition."""
        cdef Py_ssize_t before
        self.spent = 0
        while self.spent < bytes_max:
            before = sink.blocks._size()
            if before >= sink.blocks.bytes_max:
                return IS_FULL
            if self._at == self._run.count:
                return IS_END
            if not self._put_next(sink):
                return IS_OTHER
            self.spent += sink.blocks._size() - before + STEP_BYTES
        return IS_PAUSED

    def other(self) -> MemoryRun:
        """The partition at which `run` has stopped, which needs the whole merge."""
        assert self._partition is not None, "there is such a partition"
        return self._partition.find(self.key)

    cdef bint _put_next(self, Sink sink) except -1:
        """Writes a partition; False if it is not plain or too large for a block."""
        cdef Py_ssize_t first = self._at, ahead = first + AHEAD
        cdef MutationHead head
        cdef Entry* entry = &self._run.entries[first]
        if ahead < self._run.count:
            prefetch(&self._run.entries[ahead])
        read_head(entry.data, entry.size, &head)
        self.key = PyBytes_FromStringAndSize(<const char*>head.key, head.key_size)
        self._at = self._run.end_of_key(first)
        self._partition = None
        if self._at == first + 1 and self._put_row(sink, &head):
            return True
        return self._put_merged(sink, first, self._at)

    cdef bint _put_row(self, Sink sink, const MutationHead* head) except -1:
        """Writes the partition if it is nothing but one row."""
        cdef ItemScan scan = head.items
        cdef Item item
        if head.deletion_ts != INT64_MIN or scan.left != 1:
            return False
        next_item(&scan, &item)
        if item.kind != ITEM_ROW or self._run.has_static and item.start_size == 0:
            return False
        sink.open(self.key)
        sink.put(item.start, item.start_size, item.end, item.end_size)
        sink.close(self.key)
        return True

    cdef bint _put_merged(self, Sink sink, Py_ssize_t first, Py_ssize_t stop) except -1:
        """Applies the mutations of a partition one after the other, and writes what that gives."""
        cdef Memtable partition = Memtable(self._run.has_clustering, self._run.has_static)
        cdef MutationHead head
        cdef Py_ssize_t i
        for i in range(first, stop):
            read_head(self._run.entries[i].data, self._run.entries[i].size, &head)
            partition.apply_head(self.key, &head)
        if put_found(sink, self.key, partition.partitions.find(self.key)):
            return True
        self._partition = partition
        return False


cdef inline void prefetch(const Entry* entry) noexcept nogil:
    """Asks for the bytes of a mutation, which lie anywhere, before they are needed."""
    cdef Py_ssize_t at = 0
    while at < entry.size and at < AHEAD_BYTES:
        pythia_prefetch(entry.data + at)
        at += CACHE_LINE

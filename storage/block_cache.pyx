"""Blocks of SSTables which were read lately, parsed and checked, bounded in bytes.

It saves reads that would otherwise go to the disk for every lookup of an index block. It is no row
cache: it knows nothing of rows, and what is written never passes through it.

Data blocks go before index blocks, unless those have most of the room already: one index block
leads to hundreds of data blocks, so if data pushed it out, reads of rows anywhere would go to the
disk twice.

Each table has dicts of its blocks, which own them; the order of their use is a ring of links
within the blocks, one for either kind. So a table is forgotten in the time that its blocks take.
A dict that grows moves all its entries at once, 9 ms when it has 100,000: so there is one for each
part of a file, and none of them becomes large.
"""

import sys

from storage.sstable.block cimport Block
from storage.sstable.fetch cimport Extent

cdef enum:
    OVERHEAD_BYTES = 200
    PARTS_MAX = 8               # a block that takes more than this part of the room is not kept
    PART_BITS = 22              # parts of a file have 4 MiB: some hundred blocks, or some thousand

ENTRY_OVERHEAD_BYTES = OVERHEAD_BYTES
cdef Py_ssize_t ALL = sys.maxsize
cdef double PART = 0.75
INDEX_PART = PART


cdef inline void insert_youngest(Link* ring, Link* link) noexcept:
    link.older = ring.older
    link.younger = ring
    ring.older.younger = link
    ring.older = link


cdef inline void take_out(Link* link) noexcept:
    link.older.younger = link.younger
    link.younger.older = link.older


cdef class Kept:
    """One block in the cache."""


cdef class BlockCache:
    """Least recently used blocks go first, of data before those of indexes."""

    def __cinit__(self):
        # A ring's own link stands between the youngest, its `older`, and the oldest.
        self.data.older = self.data.younger = &self.data
        self.index.older = self.index.younger = &self.index
        self.data.kept = self.index.kept = NULL
        self.tables = {}

    def __init__(self, Py_ssize_t bytes_max):
        self.bytes_max = bytes_max

    def __len__(self) -> int:
        return self.count

    def find(self, Fetch fetch not None):
        """All that is asked for, or None if some of it is not here."""
        cdef list found = []
        cdef Extent place
        for place in fetch.places:
            block = self.look_up(fetch.table, place.offset)
            if block is None:
                self.misses += 1
                return None
            found.append(block)
        self.hits += 1
        return found

    cpdef object find_one(self, object table, uint64_t offset):
        """The block that a file has at an offset."""
        block = self.look_up(table, offset)
        if block is None:
            self.misses += 1
        else:
            self.hits += 1
            self.index_hits += not isinstance(block, Block)
        return block

    def put(self, Fetch fetch not None, list parsed not None) -> None:
        """Keep what was read; blocks that would take more than a part of the room are not kept."""
        cdef Py_ssize_t i
        assert len(parsed) == len(fetch.places), "each place has its block"
        for i in range(len(parsed)):
            self.put_one(fetch.table, (<Extent?>fetch.places[i]).offset, parsed[i])

    cpdef int put_one(self, object table, uint64_t offset, object block) except -1:
        """Keep one block, unless it would take more than a part of the room."""
        cdef Py_ssize_t size = block.memory_bytes + OVERHEAD_BYTES
        cdef dict parts, blocks
        cdef Kept kept, before
        cdef bint is_index = not isinstance(block, Block)
        # Who puts a block has missed it: only now is known of which kind it was.
        self.index_misses += is_index
        if size > self.bytes_max // PARTS_MAX:
            return 0
        kept = Kept.__new__(Kept)
        kept.block = block
        kept.table = table
        kept.offset = offset
        kept.size = size
        kept.is_index = is_index
        kept.link.kept = <PyObject*>kept
        parts = <dict>self.tables.get(table)
        if parts is None:
            parts = self.tables[table] = {}
        blocks = <dict>parts.get(offset >> PART_BITS)
        if blocks is None:
            blocks = parts[offset >> PART_BITS] = {}
        before = <Kept>blocks.get(kept.offset)
        blocks[kept.offset] = kept
        if before is not None:
            self.let_go(before)
        insert_youngest(&self.index if kept.is_index else &self.data, &kept.link)
        self.count += 1
        self.used_bytes += size
        if is_index:
            self.index_bytes += size
            self.index_count += 1
        return self.shrink()

    def resize(self, Py_ssize_t bytes_max) -> None:
        """Another bound, as others need more or less of the memory."""
        self.bytes_max = bytes_max
        self.shrink()

    def forget(self, table, Py_ssize_t blocks_max=ALL) -> bool:
        """Drop blocks of a file which is obsolete, at most so many; true if it has more of them."""
        cdef dict parts = <dict>self.tables.get(table)
        cdef dict blocks
        cdef Kept kept
        if parts is None:
            return False
        while blocks_max > 0 and len(parts) > 0:
            part, blocks = parts.popitem()
            while blocks_max > 0 and len(blocks) > 0:
                kept = <Kept>blocks.popitem()[1]
                self.let_go(kept)
                blocks_max -= 1
            if len(blocks) > 0:
                parts[part] = blocks
        if len(parts) > 0:
            return True
        del self.tables[table]
        return False

    def check(self) -> None:
        """Prove that the bytes are counted right and within their bound."""
        cdef list of_data = self.ring_of(&self.data, False)
        cdef list of_index = self.ring_of(&self.index, True)
        assert self.used_bytes == sum(of_data) + sum(of_index), "the bytes are counted"
        assert self.index_bytes == sum(of_index), "those of index blocks too"
        assert self.used_bytes <= self.bytes_max, "the bytes are bounded"
        assert self.count == len(of_data) + len(of_index), "each block is in a ring"
        dicts = [blocks for parts in self.tables.values() for blocks in parts.values()]
        assert self.index_count == len(of_index), "index blocks are counted"
        assert self.count == sum(map(len, dicts)), "each table's block is in a ring"
        assert all(self.tables.values()) and all(dicts), "what has no blocks is not held"

    cdef list ring_of(self, Link* ring, bint is_index):
        """The sizes of all blocks in a ring, the oldest first; asserts that they belong there."""
        cdef list sizes = []
        cdef Link* link = ring.younger
        cdef Kept kept
        while link != ring:
            kept = <Kept>link.kept
            assert link.younger.older == link and link.older.younger == link, "links are mutual"
            assert kept.is_index == is_index, "a block is in the ring of its kind"
            blocks = self.tables[kept.table][kept.offset >> PART_BITS]
            assert blocks[kept.offset] is kept, "its table has each block"
            sizes.append(kept.size)
            link = link.younger
        return sizes

    cdef object look_up(self, object table, uint64_t offset):
        """The block, which is now the youngest of its kind."""
        cdef dict parts = <dict>self.tables.get(table)
        cdef dict blocks
        cdef Kept kept
        if parts is None:
            return None
        blocks = <dict>parts.get(offset >> PART_BITS)
        if blocks is None:
            return None
        kept = <Kept>blocks.get(offset)
        if kept is None:
            return None
        take_out(&kept.link)
        insert_youngest(&self.index if kept.is_index else &self.data, &kept.link)
        return kept.block

    cdef int shrink(self) except -1:
        """Drops the oldest until the rest is within the bound."""
        cdef Link* oldest_data
        cdef Link* oldest_index
        while self.used_bytes > self.bytes_max:
            oldest_data, oldest_index = self.data.younger, self.index.younger
            if oldest_data.kept != NULL and self.index_bytes <= self.bytes_max * PART:
                self.drop(<Kept>oldest_data.kept)
            elif oldest_index.kept != NULL:
                self.drop(<Kept>oldest_index.kept)
            else:
                self.drop(<Kept>oldest_data.kept)
        return 0

    cdef int drop(self, Kept kept) except -1:
        """Takes a block out of its ring and from its table."""
        cdef dict parts = <dict>self.tables[kept.table]
        cdef uint64_t part = <uint64_t>kept.offset >> PART_BITS
        cdef dict blocks = <dict>parts[part]
        self.let_go(kept)
        del blocks[kept.offset]
        if len(blocks) == 0:
            del parts[part]
            if len(parts) == 0:
                del self.tables[kept.table]
        return 0

    cdef int let_go(self, Kept kept) except -1:
        """Takes a block out of its ring; its table's dict has it no longer, or not for long."""
        take_out(&kept.link)
        self.count -= 1
        self.used_bytes -= kept.size
        if kept.is_index:
            self.index_bytes -= kept.size
            self.index_count -= 1
        return 0

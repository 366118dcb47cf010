"""One partition's section at a clustering, in one SSTable: which frames it takes to find it.

It does no I/O: `step` says which frame is missing, whoever drives it brings it (`supply`). Of a
file whose index and data are cached, a lookup is a call without a wait.
"""

from libc.stdint cimport uint32_t, uint64_t

from storage.block_cache cimport BlockCache
from storage.sstable.block cimport Block
from storage.sstable.fetch cimport fetch_one
from storage.sstable.index cimport IndexBlock

from storage.sstable.frame import Kind

cdef object INDEX = Kind.INDEX
cdef object DATA = Kind.DATA


cdef class Lookup:
    """What the file's summary, an index block and a data block say, in turn."""

    def __init__(self, table, IndexBlock summary not None, bytes key not None,
                 bytes position not None, BlockCache cache=None):
        self.table = table
        self.key = key
        self.position = position
        self.cache = cache
        self.index = summary
        self.is_summary = True
        self.needed = None

    cpdef object step(self):
        """The frame that is missing, or None if `section` is final: None if there is nothing."""
        while self.needed is None and self.index is not None:
            self.needed = self.look_for(self.is_summary)
        return self.needed

    cpdef int supply(self, list parsed) except -1:
        """What `step` asked for; CorruptData if it is a malformed block."""
        assert self.needed is not None and len(parsed) == 1, "what was asked for is supplied"
        self.needed = None
        return self.take(parsed[0])

    cdef object look_for(self, bint in_summary):
        """Goes on with the next frame if it is cached; otherwise gives what has to be read."""
        cdef uint64_t offset
        cdef uint32_t size
        self.index.read_place(max(self.index.last_at(self.key, self.position), 0), &offset, &size)
        if self.cache is not None:
            found = self.cache.find_one(self.table, offset)
            if found is not None:
                self.take(found)
                return None
        return fetch_one(self.table, INDEX if in_summary else DATA, offset, size)

    cdef int take(self, object parsed) except -1:
        """The frame that the current index names: the next index, or the data."""
        if self.is_summary:
            self.index = <IndexBlock?>parsed
            self.is_summary = False
            return 0
        self.index = None
        self.section = (<Block?>parsed).section_of(self.key)
        return 0

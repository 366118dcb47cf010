"""One slice of one partition, answered from memtables and one section of each file.

Most partitions lie within a block of each file that has them, so one lookup in each finds all there
is; nothing but those lookups ever waits. What goes beyond that is left to `storage.read`.
"""

from libc.stdint cimport int64_t

from storage.memory_read cimport wants_all
from storage.memtable cimport MemoryRun, Memtable
from storage.merge cimport Chunk, PageMerge, as_set
from storage.order cimport compare
from storage.row cimport ColumnSet, live_row, merge_pair
from storage.slice cimport Page, Slice, make_page, make_partition
from storage.sstable.block cimport Section
from storage.sstable.lookup cimport Lookup

from storage.merge import PAUSED as _PAUSED
from storage.sstable.runs import chunk_of, head_of

cdef Py_ssize_t PAUSED = _PAUSED
cdef tuple NO_BOUNDS = (b"", b"")


cdef class SectionRead:
    """The lookups of one read, and the page when they are done. It goes forward only."""

    def __init__(
        self, list memtables not None, list lookups not None, Slice wanted not None,
        bytes key not None, int64_t wall_s, ColumnSet existing not None, bint wants_static,
        tuple bounds not None,
    ):
        cdef Memtable memtable
        cdef MemoryRun run
        assert not wanted.reverse, "sections are read from their beginning"
        self.lookups = lookups
        self.wanted = wanted
        self.key = key
        self.wall_s = wall_s
        self.existing = existing
        self.wants_static = wants_static
        self.bounds = bounds
        self.runs = []
        for memtable in memtables:
            run = memtable.find(key)
            if run is not None:
                self.runs.append(run)

    def step(self):
        """The frame that is missing, to be given to its lookup; None when all lookups are done."""
        cdef Lookup lookup
        while self.at < len(self.lookups):
            lookup = <Lookup>self.lookups[self.at]
            needed = lookup.step()
            if needed is not None:
                return needed
            self.at += 1
        return None

    def whole(self):
        """All that the files have, as a chunk, if that is one partition of mere rows or nothing.

        None if it is anything else, which has to be merged first.
        """
        cdef list sections = self.sections()
        if not sections:
            return Chunk(b"", b"", [], [])
        if len(sections) == 1 and (<Section>sections[0]).is_plain():
            return chunk_of(sections[0], NO_BOUNDS)
        return None

    def page(self, Py_ssize_t steps_max):
        """The page; None if it takes more of the files, or more than `steps_max` merged rows."""
        cdef list sections = self.sections()
        cdef Section section
        cdef Page page
        if not sections and not self.runs:
            return make_page([])
        if self.wants_static:
            for section in sections:
                if section.continued:
                    return None
        if wants_all(self.wanted):
            page = self.only_row(sections)
            if page is not None:
                return page
        return self.merged(sections, steps_max)

    cdef list sections(self):
        """The sections that were found, those of younger files first."""
        cdef Lookup lookup
        cdef list found = []
        assert self.at == len(self.lookups), "all lookups are done"
        for lookup in self.lookups:
            if lookup.section is not None:
                found.append(lookup.section)
        return found

    cdef Page only_row(self, list sections):
        """The page of a partition that is one row without clustering; None if it is not."""
        cdef MemoryRun run
        cdef Section section
        cdef bytes row = b""
        for run in self.runs:
            if type(run.partition) is not bytes:
                return None
            row = merge_pair(row, <bytes>run.partition)
        for section in sections:
            if not section.is_plain() or section.row_count != 1:
                return None
            clusterings, rows = section.rows(b"", b"")
            if clusterings[0] != b"":
                return None
            row = merge_pair(row, <bytes>rows[0])
        row = live_row(row, self.wall_s, as_set(self.wanted.columns), self.existing)
        if not row:
            return make_page([])
        return make_page([make_partition(self.key, b"", [b""], [row])])

    cdef Page merged(self, list sections, Py_ssize_t steps_max):
        """The page of a merge; None as soon as it asks for what no section covers."""
        cdef PageMerge merge = PageMerge(self.wanted, self.wall_s, self.existing)
        cdef Py_ssize_t outcome, in_memory = len(self.runs)
        cdef list heads = [(<MemoryRun>run).head for run in self.runs]
        cdef bytes position
        cdef Section section
        cdef Chunk chunk
        for section in sections:
            head = head_of(section)
            heads.append(head if self.wants_static else (head[0], head[1], b""))
        merge.begin(self.key, heads)
        while True:
            if merge.steps >= steps_max:
                return None
            outcome = merge.advance(steps_max - merge.steps)
            if outcome < 0:
                return None if outcome == PAUSED else merge.page(False)
            position = merge.position(outcome)
            if outcome < in_memory:
                chunk = (<MemoryRun>self.runs[outcome]).chunk_at(position, False)
            else:
                section = <Section>sections[outcome - in_memory]
                if not covers(section, position):
                    return None
                chunk = chunk_of(section, self.bounds)
            merge.feed(outcome, chunk)


cdef bint covers(Section section, bytes position) except -1:
    """Whether the section has what comes next at `position`."""
    return compare(section.low, position) <= 0 and (
        not len(section.high) or compare(position, section.high) < 0
    )

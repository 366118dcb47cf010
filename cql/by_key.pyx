"""A SELECT of one partition whose columns only have to be copied: the hot path of a read.

Its assembler serves one execution after the other, because nothing waits in between.
"""

from cql.assemble cimport Assembler
from cql.bind cimport Binding, KeyTemplate
from cql.rows cimport Rows, make_rows
from storage.slice cimport Page, PartitionRows, Slice

cdef Py_ssize_t QUICK_ROWS = 200


cdef class RowsByKey:
    """Values to a slice, and the page that answers it to rows."""

    def __init__(
        self, Slice question not None, KeyTemplate key not None, object ranges_of,
        Assembler assembler not None, tuple columns not None, bytes metadata_id not None,
    ):
        self.question = question
        self.key = key
        self.ranges_of = ranges_of
        self.assembler = assembler
        self.columns = columns
        self.metadata_id = metadata_id

    cpdef Slice slice(self, Binding binding, Py_ssize_t page_size):
        """What to read; None when nothing can match."""
        cdef tuple ranges = self.question.ranges
        if self.ranges_of is not None:
            ranges = self.ranges_of(binding)
            if not ranges:
                return None
        return self.question.of_key(self.key.bind(binding), ranges, max(page_size, 0))

    cpdef bint is_quick(self, Page page) except -1:
        """Whether one turn of the loop is enough for the rows of a page."""
        cdef PartitionRows partition
        for partition in page.unpacked():
            if len(partition.rows) > QUICK_ROWS:
                return False
        return True

    cpdef Rows rows(self, Page page):
        """The answer when one page is all of it; no page is no rows."""
        cdef PartitionRows partition
        cdef Py_ssize_t count
        cdef bytes data
        try:
            if page is not None:
                for partition in page.unpacked():
                    self.assembler.add_partition(partition)
        finally:
            # Also when a row is damaged: the next execution starts with nothing.
            count = self.assembler.rows
            data = self.assembler.take_data()
        return make_rows(self.columns, count, data, self.metadata_id)

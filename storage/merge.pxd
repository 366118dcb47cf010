"""Sorted runs of one partition merged into one, for reads, flushes and compactions."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

from storage.row cimport ColumnSet
from storage.slice cimport Pack, Page, Slice


@cython.final
cdef class Chunk:
    cdef readonly bytes start           # of the interval of clusterings
    cdef readonly bytes end             # exclusive; b"" is unbounded
    cdef readonly list clusterings      # ascending
    cdef readonly list rows
    cdef readonly list tombstones       # disjoint and ascending


@cython.final
cdef class Source:
    cdef Chunk chunk            # what was fed last, or None
    cdef Py_ssize_t at          # the next row of the window
    cdef Py_ssize_t stop        # one after (in reverse: one before) the window's last row


@cython.final
cdef class RangeMerge:
    cdef list sources
    cdef Py_ssize_t count               # of sources
    cdef bint reverse
    cdef int64_t floor                  # timestamp of the partition's deletion
    cdef bytes low                      # the range is [low, high)
    cdef bytes high
    cdef bytes reached                  # all before it (in reverse: from it on) was merged
    cdef bint window_is_open
    cdef bytes window_start
    cdef bytes window_end
    cdef list cover                     # tombstones in the window, disjoint and ascending
    cdef Py_ssize_t cover_at            # the one that may cover the next row
    cdef bint is_finished
    cdef bytes clustering               # of the row that next_row() found
    cdef bytes row                      # b"" if deletions left nothing of it

    cdef int begin(self, Py_ssize_t runs, int64_t floor) except -1
    cdef int open_range(self, bytes low, bytes high, bint reverse) except -1
    cdef Py_ssize_t open_window(self) except -2
    cdef int close_window(self) except -1
    cdef bint next_row(self) except -1


@cython.final
cdef class PageMerge:
    cdef Slice slice
    cdef int64_t wall_s
    cdef ColumnSet wanted
    cdef ColumnSet existing
    cdef RangeMerge merge
    cdef list parts                     # finished partitions, as a page has them
    cdef Pack pack                      # the last of the parts if more fits into it, or None
    cdef bytes key                      # of the partition at work, or of the last one
    cdef object deletion
    cdef bytes static_row
    cdef list clusterings               # live rows of the partition at work
    cdef list rows
    cdef list ranges                    # still to do, the next one last
    cdef bint is_open                   # whether a partition is at work
    cdef bint is_resumed                # whether the page before ended inside of it
    cdef Py_ssize_t rows_before         # rows of the partition on earlier pages
    cdef Py_ssize_t row_count           # rows on this page
    cdef Py_ssize_t byte_count
    cdef readonly Py_ssize_t steps      # rows looked at so far, live or not, and range tombstones
    cdef bint is_full
    cdef bytes last_clustering          # the last row, or window, that was looked at

    cdef int resume(self) except -1
    cdef int next_range(self) except -1
    cdef int take_row(self) except -1
    cdef bint can_rest(self) except -1
    cdef int finish_partition(self) except -1
    cdef int put_partition(self) except -1
    cdef bint stands_for_itself(self) except -1
    cdef bint page_is_full(self) noexcept
    cdef int open_plain(self, const uint8_t* key, Py_ssize_t size) except -1
    cdef bint take_plain(
        self, const uint8_t* clustering, Py_ssize_t size, const uint8_t* row, Py_ssize_t row_size
    ) except -1
    cdef int close_plain(self, Py_ssize_t key_size) except -1
    cpdef int begin(self, bytes key, object heads) except -1
    cpdef Py_ssize_t advance(self, Py_ssize_t steps_max=*) except -4
    cpdef bytes position(self, Py_ssize_t run)
    cpdef int feed(self, Py_ssize_t run, Chunk chunk) except -1
    cpdef Page page(self, bint more=*)


@cython.final
cdef class CompactionMerge:
    cdef int64_t wall_s
    cdef int64_t gc_before_s
    cdef int64_t purgeable_before_us    # of the partition at work
    cdef ColumnSet existing
    cdef bint purge
    cdef RangeMerge merge
    cdef readonly tuple head            # (deletion_ts, deleted_at, static_row), merged and purged
    cdef Chunk ready                    # a merged chunk that was not taken

    cdef bytes keep_row(self, bytes row)
    cdef bint is_due(self, int64_t ts, int64_t deleted_at) noexcept
    cdef Chunk merge_window(self)


cdef int insert_tombstone(list tombstones, tuple new) except -1
cdef list clip(list tombstones, bytes start, bytes end)
cdef Py_ssize_t first_ending_after(list tombstones, bytes position) except -1
cdef Py_ssize_t first_starting_from(list tombstones, bytes position) except -1
cdef ColumnSet as_set(object columns)

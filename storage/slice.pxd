"""Which rows are wanted, and the pages of rows that answer."""

cimport cython


@cython.final
cdef class Slice:
    cdef readonly bytes table_id
    cdef readonly object key            # bytes, (start, end) of decorated keys, or None for all
    cdef readonly tuple ranges          # of clusterings: ascending, disjoint, half-open
    cdef readonly bint static           # whether the static row is wanted
    cdef readonly bint reverse
    cdef readonly object columns        # frozenset of wanted column ids, or None for all
    cdef readonly Py_ssize_t row_limit          # of the page; 0 is none
    cdef readonly Py_ssize_t partition_limit    # per partition; 0 is none
    cdef readonly Py_ssize_t byte_limit         # of the page; 0 is none
    cdef readonly bint distinct         # one row per live partition
    cdef readonly bytes resume_key      # continue after this position; b"" from the start
    cdef readonly bytes resume_clustering
    cdef readonly Py_ssize_t resume_rows    # rows already given of that partition; -1 unknown
    cdef readonly bint bypass_cache

    cdef bint is_whole_partition(self) except -1
    cdef Slice of_key(self, bytes key, tuple ranges, Py_ssize_t row_limit)


@cython.final
cdef class PartitionRows:
    cdef readonly bytes key
    cdef readonly object deletion       # (timestamp, second) or None
    cdef readonly bytes static_row      # b"" if there is none
    cdef readonly list clusterings
    cdef readonly list rows


@cython.final
cdef class Page:
    cdef readonly list partitions
    cdef readonly bint more             # whether rows may follow after the position
    cdef readonly bytes last_key
    cdef readonly bytes last_clustering
    cdef readonly Py_ssize_t last_rows  # rows given so far of the partition at the position


cdef inline PartitionRows make_partition(
    bytes key, bytes static_row, list clusterings, list rows
):
    """A partition that was not deleted, without the cost of a call from Python."""
    cdef PartitionRows made = PartitionRows.__new__(PartitionRows)
    made.key = key
    made.static_row = static_row
    made.clusterings = clusterings
    made.rows = rows
    return made


cdef inline Page make_page(list partitions):
    """A page after which nothing follows."""
    cdef Page made = Page.__new__(Page)
    made.partitions = partitions
    made.last_key = b""
    made.last_clustering = b""
    return made

"""Which rows are wanted, and the pages of rows that answer."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t

from storage.buffer cimport Writer

cdef enum:
    PACKED_ROWS_MAX = 127       # of one partition in a pack: their number has one byte
    PACK_BYTES = 1 << 18        # a pack takes no other partition at so many bytes


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
    cdef bint names_static(self) except -1
    cdef Slice of_key(self, bytes key, tuple ranges, Py_ssize_t row_limit)


@cython.final
cdef class PartitionRows:
    cdef readonly bytes key
    cdef readonly object deletion       # (timestamp, second) or None
    cdef readonly bytes static_row      # b"" if there is none
    cdef readonly list clusterings
    cdef readonly list rows


cdef struct PackedRow:
    uint32_t key                # where in the pack the length of its partition's key stands
    uint32_t clustering         # and that of its clustering, which the row follows


@cython.final
cdef class Pack:
    cdef Writer out             # the partitions, as an encoded page has them
    cdef PackedRow* places      # of the rows, `count` of them
    cdef Py_ssize_t room        # for places
    cdef Py_ssize_t count
    cdef readonly Py_ssize_t partitions
    cdef Py_ssize_t opened_at   # offset of the partition at work
    cdef Py_ssize_t first       # its first row

    cdef int open(self, const uint8_t* key, Py_ssize_t size) except -1
    cdef int put(
        self, const uint8_t* clustering, Py_ssize_t size, const uint8_t* row, Py_ssize_t row_size
    ) except -1
    cdef Py_ssize_t close(self) except -1
    cdef int add(self, const uint8_t* partition, Py_ssize_t size) except -1
    cdef int note(self, Py_ssize_t clustering) except -1
    cdef bytes key_of(self, Py_ssize_t row)
    cdef bytes clustering_of(self, Py_ssize_t row)
    cdef list unpack(self, Py_ssize_t first, Py_ssize_t end)


cdef inline const uint8_t* get_packed(const uint8_t* at, Py_ssize_t* size) noexcept:
    """What stands at a place of a pack: the bytes behind their length, which goes to `size`."""
    cdef Py_ssize_t shift = 0
    size[0] = 0
    while at[0] >= 0x80:
        size[0] |= <Py_ssize_t>(at[0] & 0x7F) << shift
        shift += 7
        at += 1
    size[0] |= <Py_ssize_t>at[0] << shift
    return at + 1


@cython.final
cdef class Page:
    cdef readonly list parts            # of PartitionRows and Packs, in the order of keys
    cdef bint is_unpacked               # whether the parts are known to be no packs
    cdef readonly bint more             # whether rows may follow after the position
    cdef readonly bytes last_key
    cdef readonly bytes last_clustering
    cdef readonly Py_ssize_t last_rows  # rows given so far of the partition at the position

    cdef list unpacked(self)


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


cdef inline Page make_page(list parts):
    """A page after which nothing follows."""
    cdef Page made = Page.__new__(Page)
    made.parts = parts
    made.last_key = b""
    made.last_clustering = b""
    return made

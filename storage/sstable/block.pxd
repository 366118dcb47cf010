from libc.stdint cimport int64_t, uint8_t, uint32_t

from storage.sstable.format cimport Input, Output


cdef struct SectionHead:         # what stands before the tombstones and rows of a section
    uint8_t flags
    const uint8_t* key
    Py_ssize_t key_size
    int64_t deletion_ts             # if SECTION_DELETED
    uint32_t deleted_at
    const uint8_t* static_row       # if SECTION_STATIC
    Py_ssize_t static_size
    const uint8_t* low              # if SECTION_CONTINUED
    Py_ssize_t low_size
    const uint8_t* high             # if SECTION_CONTINUES
    Py_ssize_t high_size
    uint32_t tombstone_count
    uint32_t row_count
    Py_ssize_t start                # offset of the section in the payload
    Py_ssize_t body                 # offset of the first tombstone in the payload
    Py_ssize_t end                  # offset one past the section


cdef class BlockBuilder:
    cdef Output _done               # the finished sections
    cdef Output _tombstones         # encoded tombstones of the open section
    cdef Output _rows               # encoded rows of the open section
    cdef bytes _key                 # key of the open section; None when none is open
    cdef bytes _last_key            # key of the last finished section of this block
    cdef bytes _static_row          # of the open section; b"" is none
    cdef bytes _low                 # where the open section begins; None is the partition's start
    cdef bytes _last_clustering     # of the open section's last row; None before the first
    cdef object _deletion           # (timestamp, seconds) or None
    cdef object _pending            # last tombstone, not yet encoded since it may have to be cut
    cdef uint32_t _tombstone_count
    cdef uint32_t _row_count
    cdef readonly Py_ssize_t bytes_max  # a block with so many bytes or more takes nothing more

    cdef readonly bytes first_key       # where the block begins; None while it is empty
    cdef readonly bytes first_clustering    # b"" if the first section's partition begins there

    cdef Py_ssize_t _size(self) noexcept
    cdef int _note_first(self, bytes key, bytes low) except -1
    cdef int open_plain(self, bytes key) except -1
    cdef int put_row(
        self, const uint8_t* clustering, Py_ssize_t size, const uint8_t* row, Py_ssize_t row_size
    ) except -1
    cdef int close_plain(self) except -1
    cdef int put_copy(self, bytes key, const uint8_t* section, Py_ssize_t size) except -1
    cdef int _put_section(self, bytes high) except -1
    cdef int _put_pending(self, bytes end) except -1


cdef class Section:
    cdef bytes _payload                 # the block; keeps what is below alive
    cdef readonly bytes key             # the decorated partition key
    cdef readonly object deletion       # (timestamp, seconds) or None
    cdef readonly bytes static_row      # b"" when there is none, or it lies in an earlier block
    cdef readonly bytes low             # clusterings covered begin here
    cdef readonly bytes high            # and end before this; b"" is no end
    cdef readonly bint continued        # the partition began in an earlier block
    cdef readonly bint continues        # the partition goes on in the next block
    cdef readonly uint32_t tombstone_count
    cdef readonly uint32_t row_count
    cdef Py_ssize_t _start              # offset of the section in the payload
    cdef Py_ssize_t _body               # offset of the first tombstone in the payload
    cdef Py_ssize_t _end                # offset one past the section

    cdef Input _input(self) noexcept
    cdef bint is_plain(self) noexcept
    cdef int _skip_tombstones(self, Input* source) except -1


cdef class Block:
    cdef bytes _payload
    cdef readonly Py_ssize_t memory_bytes

    cdef Section section_of(self, bytes key)
    cdef Section _parse(self, Py_ssize_t offset)
    cdef Section _section(self, const SectionHead* head)
    cdef int read_head(self, Py_ssize_t offset, SectionHead* head) except -1


cdef inline bint is_plain_head(const SectionHead* head) noexcept:
    """Whether the section is a whole partition that has nothing but rows."""
    return head.flags == 0 and head.tombstone_count == 0

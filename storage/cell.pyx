"""The parts of a row's bytes: its head and its cells, how they are ordered, read and written.

The layout is in docs/formats/row.md; what the parts mean together is `storage.row`'s business.
"""

from libc.stdint cimport INT64_MIN, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from storage.buffer cimport Writer
from storage.coding cimport (
    UVARINT_MAX, get_i64, get_u32, get_uvarint, put_i64, put_u32, put_uvarint,
)

from storage.errors import CorruptData

cdef enum:
    ROW_FLAGS = ROW_MARKER | ROW_EXPIRING_MARKER | ROW_DELETED
    CELL_FLAGS = 127


# ---- reading -----------------------------------------------------------------------------------

cdef int corrupt(str what) except -1:
    """Raises CorruptData, always."""
    raise CorruptData(f"a row is damaged: {what}")


cdef int open_row(RowScan* scan, RowHead* head, const uint8_t* data, Py_ssize_t size) except -1:
    """Reads the head of a row and points `scan` at its first cell; CorruptData if cut off."""
    cdef Py_ssize_t used = 9
    if size < used:
        corrupt("its head is cut off")
    head.flags = data[0]
    head.base_ts = get_i64(data + 1)
    head.marker_ttl = head.marker_expiry = head.deleted_at = 0
    head.deletion_ts = INT64_MIN
    if head.flags & ~ROW_FLAGS or head.flags & 3 == ROW_EXPIRING_MARKER:
        corrupt("it has unknown flags")
    if head.flags & ROW_EXPIRING_MARKER:
        used += 8
        if size < used:
            corrupt("its marker is cut off")
        head.marker_ttl = get_u32(data + used - 8)
        head.marker_expiry = get_u32(data + used - 4)
    if head.flags & ROW_DELETED:
        used += 12
        if size < used:
            corrupt("its deletion is cut off")
        head.deletion_ts = get_i64(data + used - 12)
        head.deleted_at = get_u32(data + used - 4)
    scan.at = data + used
    scan.end = data + size
    scan.base_ts = head.base_ts
    return 0


cdef int next_cell(RowScan* scan, Cell* cell) except -1:
    """Reads one cell: 1, or 0 at the end of the row; CorruptData if the bytes are not a cell."""
    cdef const uint8_t* at = scan.at
    cdef const uint8_t* end = scan.end
    cdef uint64_t number = 0
    cdef int used
    if at == end:
        return 0
    cell.flags = at[0]
    if cell.flags & ~CELL_FLAGS:
        corrupt("a cell has unknown flags")
    at += 1
    used = get_uvarint(at, end, &number)
    if used == 0 or number > COLUMN_MAX:
        corrupt("a cell's column is malformed")
    cell.column = <uint32_t>number
    at += used
    cell.timestamp = scan.base_ts
    if not cell.flags & CELL_SAME_TS:
        if end - at < 8:
            corrupt("a cell's timestamp is cut off")
        cell.timestamp = get_i64(at)
        at += 8
    cell.body = at
    at = read_lifetime(cell, at, end)
    at = read_path(cell, at, end)
    at = read_value(cell, at, end)
    cell.body_size = at - cell.body
    scan.at = at
    return 1


cdef const uint8_t* read_lifetime(Cell* cell, const uint8_t* at, const uint8_t* end) except NULL:
    """The seconds of an expiring cell or of a tombstone; returns where the path begins."""
    cell.ttl = cell.expiry = 0
    if cell.flags & CELL_TOMBSTONE:
        if cell.flags & CELL_COUNTER:
            corrupt("a tombstone is malformed")
        if not cell.flags & CELL_EXPIRING:
            if end - at < 4:
                corrupt("a tombstone is malformed")
            cell.expiry = get_u32(at)
            return at + 4
    elif cell.flags & CELL_COMPLEX_DELETION:
        corrupt("a complex deletion is no tombstone")
    if cell.flags & CELL_EXPIRING:
        if end - at < 8 or cell.flags & CELL_COMPLEX_DELETION:
            corrupt("a cell's expiry is cut off")
        cell.ttl = get_u32(at)
        cell.expiry = get_u32(at + 4)
        return at + 8
    return at


cdef const uint8_t* read_path(Cell* cell, const uint8_t* at, const uint8_t* end) except NULL:
    """The path, if the cell has one; returns where the value begins."""
    cdef uint64_t size = 0
    cdef int used
    cell.path = NULL
    cell.path_size = 0
    if cell.flags & CELL_HAS_PATH:
        if cell.flags & CELL_COMPLEX_DELETION:
            corrupt("a complex deletion has a path")
        used = get_uvarint(at, end, &size)
        if used == 0 or size > <uint64_t>(end - at - used):
            corrupt("a path is cut off")
        cell.path = at + used
        cell.path_size = <Py_ssize_t>size
        at = cell.path + cell.path_size
    return at


cdef const uint8_t* read_value(Cell* cell, const uint8_t* at, const uint8_t* end) except NULL:
    """The value, if the cell has one; returns where the next cell begins."""
    cdef uint64_t size = 0
    cdef int used
    cell.value = NULL
    cell.value_size = 0
    if not cell.flags & (CELL_TOMBSTONE | CELL_EMPTY):
        used = get_uvarint(at, end, &size)
        if used == 0 or size > <uint64_t>(end - at - used):
            corrupt("a value is cut off")
        cell.value = at + used
        cell.value_size = <Py_ssize_t>size
        at = cell.value + cell.value_size
    if cell.flags & CELL_COUNTER:
        # Checked here, so that merging what was read once cannot fail.
        if cell.value_size == 0 or cell.value_size % COUNTER_SHARD_BYTES:
            corrupt("a counter's context is malformed")
    return at


cdef int compare_strength(const Cell* a, const Cell* b) noexcept nogil:
    """Positive if `a` wins over `b` in the same place, negative if `b` does."""
    cdef int a_kind, b_kind, order
    cdef bint counters = ((a.flags | b.flags) & CELL_COUNTER) != 0
    # One that has expired stays among the expiring cells after its burial: whether and where a
    # compaction has met it decides nothing.
    a_kind = 1 if a.flags & CELL_EXPIRING else 2 if a.flags & CELL_TOMBSTONE else 0
    b_kind = 1 if b.flags & CELL_EXPIRING else 2 if b.flags & CELL_TOMBSTONE else 0
    if counters and (a_kind == 2) != (b_kind == 2):
        return a_kind - b_kind      # a deleted counter stays deleted, whatever the timestamps
    if a.timestamp != b.timestamp:
        return 1 if a.timestamp > b.timestamp else -1
    if a_kind != b_kind:
        return a_kind - b_kind
    order = compare_unsigned(a.expiry, b.expiry)
    if order == 0:
        order = compare_unsigned(b.ttl, a.ttl)
    if order == 0:
        order = (a.flags & CELL_TOMBSTONE) - (b.flags & CELL_TOMBSTONE)
    if order == 0:
        order = compare_raw(a.value, a.value_size, b.value, b.value_size)
    return order


# ---- writing -----------------------------------------------------------------------------------

cdef int encode_body(Writer out, const Cell* cell) except -1:
    """What follows a cell's timestamp: lifetime, path, value."""
    out.clear()
    out.reserve(8 + 2 * UVARINT_MAX + cell.path_size + cell.value_size)
    if cell.flags & CELL_EXPIRING:
        out.put_u32(cell.ttl)
    if cell.flags & (CELL_EXPIRING | CELL_TOMBSTONE):
        out.put_u32(cell.expiry)
    if cell.flags & CELL_HAS_PATH:
        out.put_sized(cell.path, cell.path_size)
    if not cell.flags & (CELL_TOMBSTONE | CELL_EMPTY):
        out.put_sized(cell.value, cell.value_size)
    return 0


cdef class RowWriter:
    """Writes cells that come in order, in the one form; the head is put before them at the end."""

    def __cinit__(self):
        self.out = Writer()

    cdef int begin(self, const RowHead* head) except -1:
        self.out.clear()
        self.out.reserve(HEAD_MAX)
        self.out.size = HEAD_MAX
        self.has_base = head.flags & ROW_MARKER
        self.base_ts = head.base_ts if self.has_base else 0
        return 0

    cdef int put_cell(self, const Cell* cell) except -1:
        """Adds a cell whose body is encoded already."""
        cdef Writer out = self.out
        cdef uint8_t flags = cell.flags & ~CELL_SAME_TS
        cdef uint8_t* at
        if not flags & CELL_COMPLEX_DELETION:
            if not self.has_base:
                self.has_base = True
                self.base_ts = cell.timestamp
            if cell.timestamp == self.base_ts:
                flags |= CELL_SAME_TS
        out.reserve(1 + UVARINT_MAX + 8 + cell.body_size)
        at = out.data + out.size
        at[0] = flags
        at += 1
        at += put_uvarint(at, cell.column)
        if not flags & CELL_SAME_TS:
            put_i64(at, cell.timestamp)
            at += 8
        memcpy(at, cell.body, cell.body_size)
        out.size = (at + cell.body_size) - out.data
        return 0

    cdef bytes finish(self, const RowHead* head, bint keep_empty):
        """The row; b"" for one without marker, deletion and cells, unless that means nulls."""
        cdef Writer out = self.out
        cdef Py_ssize_t size = 9
        cdef uint8_t* at
        if not keep_empty and out.size == HEAD_MAX and not head.flags:
            return b""
        size += 8 if head.flags & ROW_EXPIRING_MARKER else 0
        size += 12 if head.flags & ROW_DELETED else 0
        at = out.data + HEAD_MAX - size
        at[0] = head.flags
        put_i64(at + 1, self.base_ts)
        at += 9
        if head.flags & ROW_EXPIRING_MARKER:
            put_u32(at, head.marker_ttl)
            put_u32(at + 4, head.marker_expiry)
            at += 8
        if head.flags & ROW_DELETED:
            put_i64(at, head.deletion_ts)
            put_u32(at + 8, head.deleted_at)
        return out.copy(HEAD_MAX - size)

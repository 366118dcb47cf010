"""Cells and tombstones of one row as bytes, and which of two writes wins.

The layout is in docs/formats/row.md. Invariants of every row that is written here:

- one form for one content: `base_ts` is the marker's timestamp, else the first element's or plain
  cell's, else 0; SAME_TS and EMPTY are set wherever they apply, never on a complex deletion;
- cells are ordered by (column, complex deletion first, no path, path) and each is there once;
- nothing in it is covered by its own row deletion or complex deletions.

Therefore equal content is equal bytes, and merging is commutative, associative and idempotent.
Timestamps lie above -2^63, which stands for "never deleted".
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp, memcpy

from storage.buffer cimport Writer
from storage.coding cimport (
    UVARINT_MAX, get_i64, get_u32, get_uvarint, put_i64, put_u32, put_uvarint, uvarint_size,
)

from storage.errors import CorruptData

NO_DELETION = INT64_MIN

cdef enum:
    HEAD_MAX = 29               # flags, base_ts, ttl, expiry, deletion_ts, deleted_at
    COLUMN_MAX = 0xFFFF
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
        if cell.flags & CELL_EXPIRING or end - at < 4:
            corrupt("a tombstone is malformed")
        cell.expiry = get_u32(at)
        return at + 4
    if cell.flags & CELL_COMPLEX_DELETION:
        corrupt("a complex deletion is no tombstone")
    if cell.flags & CELL_EXPIRING:
        if end - at < 8:
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
    return at


# ---- order and victory -------------------------------------------------------------------------

cdef inline int compare_raw(
    const uint8_t* a, Py_ssize_t a_size, const uint8_t* b, Py_ssize_t b_size
) noexcept nogil:
    """Byte order: negative, zero or positive."""
    cdef Py_ssize_t common = a_size if a_size < b_size else b_size
    cdef int order = memcmp(a, b, common) if common else 0
    if order:
        return order
    return (a_size > b_size) - (a_size < b_size)


cdef inline int rank_of(const Cell* cell) noexcept nogil:
    """A column's complex deletion comes before its plain cell, that before its elements."""
    if cell.flags & CELL_COMPLEX_DELETION:
        return 0
    return 2 if cell.flags & CELL_HAS_PATH else 1


cdef inline int compare_places(const Cell* a, const Cell* b) noexcept nogil:
    """The order of cells within a row; zero if both are about the same place."""
    if a.column != b.column:
        return -1 if a.column < b.column else 1
    cdef int a_rank = rank_of(a), b_rank = rank_of(b)
    if a_rank != b_rank:
        return a_rank - b_rank
    return compare_raw(a.path, a.path_size, b.path, b.path_size) if a_rank == 2 else 0


cdef inline int compare_unsigned(uint32_t a, uint32_t b) noexcept nogil:
    return (a > b) - (a < b)


cdef int compare_strength(const Cell* a, const Cell* b) noexcept nogil:
    """Positive if `a` wins over `b` in the same place, negative if `b` does."""
    cdef int a_kind, b_kind, order
    cdef bint counters = ((a.flags | b.flags) & CELL_COUNTER) != 0
    a_kind = 2 if a.flags & CELL_TOMBSTONE else 1 if a.flags & CELL_EXPIRING else 0
    b_kind = 2 if b.flags & CELL_TOMBSTONE else 1 if b.flags & CELL_EXPIRING else 0
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
        order = compare_raw(a.value, a.value_size, b.value, b.value_size)
    return order


cdef int compare_markers(const RowHead* a, const RowHead* b) noexcept nogil:
    """Positive if the marker of `a` wins over that of `b`, negative if that of `b` does."""
    cdef int order = (a.flags & ROW_MARKER) - (b.flags & ROW_MARKER)
    if order or not a.flags & ROW_MARKER:
        return order
    if a.base_ts != b.base_ts:
        return 1 if a.base_ts > b.base_ts else -1
    order = (a.flags & ROW_EXPIRING_MARKER) - (b.flags & ROW_EXPIRING_MARKER)
    if order == 0:
        order = compare_unsigned(a.marker_expiry, b.marker_expiry)
    if order == 0:
        order = compare_unsigned(b.marker_ttl, a.marker_ttl)
    return order


cdef inline void drop_marker(RowHead* head) noexcept nogil:
    head.flags &= ROW_DELETED
    head.base_ts = 0
    head.marker_ttl = head.marker_expiry = 0


cdef inline void drop_deletion(RowHead* head) noexcept nogil:
    head.flags &= ~ROW_DELETED
    head.deletion_ts = INT64_MIN
    head.deleted_at = 0


cdef void merge_heads(RowHead* into, const RowHead* a, const RowHead* b) noexcept nogil:
    """The newer deletion, and the winning marker if the deletion leaves it."""
    into[0] = a[0] if compare_markers(a, b) >= 0 else b[0]
    into.flags &= ~ROW_DELETED
    into.flags |= (a.flags | b.flags) & ROW_DELETED
    if a.deletion_ts != b.deletion_ts:
        into.deletion_ts = max(a.deletion_ts, b.deletion_ts)
        into.deleted_at = a.deleted_at if a.deletion_ts > b.deletion_ts else b.deleted_at
    else:
        into.deletion_ts = a.deletion_ts
        into.deleted_at = max(a.deleted_at, b.deleted_at)
    if not into.flags & ROW_MARKER or into.base_ts <= into.deletion_ts:
        drop_marker(into)


# ---- writing -----------------------------------------------------------------------------------

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


# One writer serves all calls: none of them runs Python code between begin() and finish().
cdef RowWriter _writer = RowWriter()


cdef class RowBuilder:
    """Builds a row cell by cell; cells should come in order and are sorted if they do not."""

    def __cinit__(self):
        self.writer = RowWriter()
        self.start(0, False, 0, 0)

    cdef int start(self, int64_t base_ts, bint marker, uint32_t ttl, uint32_t expiry) except -1:
        """Forgets everything and starts a row; `ttl` 0 means that its marker never expires."""
        self.head.flags = 0
        self.head.base_ts = 0
        self.head.marker_ttl = self.head.marker_expiry = self.head.deleted_at = 0
        self.head.deletion_ts = INT64_MIN
        if marker:
            assert base_ts != INT64_MIN, "timestamps lie above -2^63"
            self.head.flags = ROW_MARKER
            self.head.base_ts = base_ts
            if ttl:
                self.head.flags |= ROW_EXPIRING_MARKER
                self.head.marker_ttl = ttl
                self.head.marker_expiry = expiry
        self.untidy = self.has_cells = False
        self.last_path = None
        return self.writer.begin(&self.head)

    def begin(
        self, int64_t base_ts, bint marker, uint32_t ttl=0, uint32_t expiry=0
    ) -> None:
        self.start(base_ts, marker, ttl, expiry)

    def delete_row(self, int64_t ts, uint32_t deleted_at) -> None:
        """Deletes everything in the row up to `ts`."""
        assert ts != INT64_MIN, "timestamps lie above -2^63"
        self.head.flags |= ROW_DELETED
        self.head.deletion_ts = ts
        self.head.deleted_at = deleted_at
        if self.has_cells or self.head.flags & ROW_MARKER:
            self.untidy = True

    cdef int put_value(
        self, uint32_t column, int64_t ts, uint32_t ttl, uint32_t expiry,
        const uint8_t* value, Py_ssize_t size,
    ) except -1:
        """A plain cell, expiring if `ttl` is not 0."""
        return self.put_element(column, ts, None, ttl, expiry, value, size)

    cdef int put_tombstone(self, uint32_t column, int64_t ts, uint32_t deleted_at) except -1:
        """A deleted plain cell."""
        return put_deletion(self, CELL_TOMBSTONE, column, ts, deleted_at, None)

    cdef int put_element(
        self, uint32_t column, int64_t ts, bytes path, uint32_t ttl, uint32_t expiry,
        const uint8_t* value, Py_ssize_t size,
    ) except -1:
        """An element of a collection, or a plain cell if `path` is None."""
        cdef Cell cell
        cell.flags = CELL_EXPIRING if ttl else 0
        if size == 0:
            cell.flags |= CELL_EMPTY
        cell.column = column
        cell.timestamp = ts
        cell.ttl = ttl
        cell.expiry = expiry
        cell.value = value
        cell.value_size = size
        return self.put(&cell, path)

    def cell(self, uint32_t column, int64_t ts, bytes value not None) -> None:
        self.put_value(column, ts, 0, 0, <const uint8_t*><const char*>value, len(value))

    def expiring_cell(
        self, uint32_t column, int64_t ts, uint32_t ttl, uint32_t expiry, bytes value not None
    ) -> None:
        self.put_value(column, ts, ttl, expiry, <const uint8_t*><const char*>value, len(value))

    def counter(self, uint32_t column, int64_t ts, bytes context not None) -> None:
        """A counter cell; its context is sorted shards, see docs/formats/row.md."""
        cdef Cell cell
        assert len(context) and len(context) % COUNTER_SHARD_BYTES == 0, "a context holds shards"
        cell.flags = CELL_COUNTER
        cell.column = column
        cell.timestamp = ts
        cell.ttl = cell.expiry = 0
        cell.value = <const uint8_t*><const char*>context
        cell.value_size = len(context)
        self.put(&cell, None)

    def tombstone(self, uint32_t column, int64_t ts, uint32_t deleted_at) -> None:
        self.put_tombstone(column, ts, deleted_at)

    def complex_deletion(self, uint32_t column, int64_t ts, uint32_t deleted_at) -> None:
        """Deletes the elements of a collection up to `ts`."""
        put_deletion(self, CELL_TOMBSTONE | CELL_COMPLEX_DELETION, column, ts, deleted_at, None)

    def element(
        self, uint32_t column, int64_t ts, bytes path not None, bytes value not None,
        uint32_t ttl=0, uint32_t expiry=0,
    ) -> None:
        self.put_element(
            column, ts, path, ttl, expiry, <const uint8_t*><const char*>value, len(value)
        )

    def element_tombstone(
        self, uint32_t column, int64_t ts, uint32_t deleted_at, bytes path not None
    ) -> None:
        put_deletion(self, CELL_TOMBSTONE, column, ts, deleted_at, path)

    cdef int put(self, Cell* cell, bytes path) except -1:
        """Encodes a cell at the end and notes whether finish() has to tidy up."""
        cdef int64_t ts = cell.timestamp
        assert cell.column <= COLUMN_MAX, "column ids have 16 bits"
        assert ts != INT64_MIN, "timestamps lie above -2^63"
        cell.path = NULL
        cell.path_size = 0
        if path is not None:
            cell.flags |= CELL_HAS_PATH
            cell.path = <const uint8_t*><const char*>path
            cell.path_size = len(path)
        note_order(self, cell, path)
        if ts <= self.head.deletion_ts:
            self.untidy = True
        encode_body(_body, cell)
        cell.body = _body.data
        cell.body_size = _body.size
        self.writer.put_cell(cell)
        self.has_cells = True
        return 0

    cpdef bytes finish(self):
        """The row; b"" if nothing was put into it. The builder can begin() again."""
        cdef bytes row
        if self.head.flags & ROW_MARKER and self.head.base_ts <= self.head.deletion_ts:
            drop_marker(&self.head)
        row = self.writer.finish(&self.head, False)
        return tidy(row) if self.untidy and row else row


cdef Writer _body = Writer()


cdef int put_deletion(
    RowBuilder builder, uint8_t flags, uint32_t column, int64_t ts, uint32_t deleted_at, bytes path
) except -1:
    cdef Cell cell
    cell.flags = flags
    cell.column = column
    cell.timestamp = ts
    cell.ttl = 0
    cell.expiry = deleted_at
    cell.value = NULL
    cell.value_size = 0
    return builder.put(&cell, path)


cdef int note_order(RowBuilder builder, const Cell* cell, bytes path) except -1:
    """Compares with the cell before: out of order, twice, or deleted makes the row untidy."""
    cdef int rank = rank_of(cell)
    cdef bint same_column = builder.has_cells and cell.column == builder.last_column
    if builder.has_cells and not builder.untidy:
        if cell.column < builder.last_column:
            builder.untidy = True
        elif same_column:
            if rank < builder.last_rank or rank == builder.last_rank != 2:
                builder.untidy = True
            elif rank == builder.last_rank and path <= builder.last_path:
                builder.untidy = True
            elif cell.timestamp <= builder.complex_ts:
                builder.untidy = True
    if rank == 0:
        builder.complex_ts = cell.timestamp
    elif not same_column:
        builder.complex_ts = INT64_MIN
    builder.last_column = cell.column
    builder.last_rank = rank
    builder.last_path = path
    return 0


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


# ---- tidying: any cells of one row into the one form -------------------------------------------

cdef int order_for_tidying(const void* left, const void* right) noexcept nogil:
    """By place, the strongest first."""
    cdef const Cell* a = <const Cell*>left
    cdef const Cell* b = <const Cell*>right
    cdef int order = compare_places(a, b)
    return order if order else -compare_strength(a, b)


cdef bytes tidy(bytes row):
    """Sorts cells, keeps the strongest of each place and drops what the row itself deletes."""
    cdef RowScan scan
    cdef RowHead head
    cdef Py_ssize_t count = 0, i
    cdef Cell* cells = <Cell*>PyMem_Malloc(max(len(row), 1) * sizeof(Cell))
    cdef Filter keep
    if cells is NULL:
        raise MemoryError()
    try:
        open_row(&scan, &head, <const uint8_t*><const char*>row, len(row))
        while next_cell(&scan, &cells[count]):
            count += 1
        qsort(cells, count, sizeof(Cell), order_for_tidying)
        if not head.flags & ROW_MARKER or head.base_ts <= head.deletion_ts:
            drop_marker(&head)
        _writer.begin(&head)
        open_filter(&keep, head.deletion_ts)
        for i in range(count):
            if i and compare_places(&cells[i - 1], &cells[i]) == 0:
                continue
            if not covers(&keep, &cells[i]):
                _writer.put_cell(&cells[i])
        return _writer.finish(&head, False)
    finally:
        PyMem_Free(cells)


cdef struct Filter:             # what is deleted while we go through cells in order
    int64_t floor               # of the row
    int64_t complex_ts          # of the column's collection
    uint32_t complex_column


cdef inline void open_filter(Filter* keep, int64_t floor) noexcept nogil:
    keep.floor = floor
    keep.complex_ts = INT64_MIN
    keep.complex_column = COLUMN_MAX + 1


cdef inline bint covers(Filter* keep, const Cell* cell) noexcept nogil:
    """Whether an earlier deletion covers this cell; remembers complex deletions."""
    if cell.timestamp <= keep.floor:
        return True
    if cell.column == keep.complex_column and cell.timestamp <= keep.complex_ts:
        return True
    if cell.flags & CELL_COMPLEX_DELETION:
        keep.complex_column = cell.column
        keep.complex_ts = cell.timestamp
    return False


# ---- merging -----------------------------------------------------------------------------------

cdef bytes merge_pair(bytes a, bytes b):
    """Both rows in one, cell by cell the winner; either may be b""."""
    cdef RowScan a_scan, b_scan
    cdef RowHead a_head, b_head, head
    cdef Cell a_cell, b_cell
    cdef Filter keep
    cdef int order, a_more, b_more
    if not a or a is b:
        return b
    if not b:
        return a
    open_row(&a_scan, &a_head, <const uint8_t*><const char*>a, len(a))
    open_row(&b_scan, &b_head, <const uint8_t*><const char*>b, len(b))
    merge_heads(&head, &a_head, &b_head)
    _writer.begin(&head)
    open_filter(&keep, head.deletion_ts)
    a_more = next_cell(&a_scan, &a_cell)
    b_more = next_cell(&b_scan, &b_cell)
    while a_more or b_more:
        order = compare_places(&a_cell, &b_cell) if a_more and b_more else b_more - a_more
        if order < 0:
            put_unless_covered(&keep, &a_cell)
        elif order > 0:
            put_unless_covered(&keep, &b_cell)
        else:
            put_winner(&keep, &a_cell, &b_cell)
        if order <= 0:
            a_more = next_cell(&a_scan, &a_cell)
        if order >= 0:
            b_more = next_cell(&b_scan, &b_cell)
    return _writer.finish(&head, False)


cdef inline int put_unless_covered(Filter* keep, const Cell* cell) except -1:
    if not covers(keep, cell):
        _writer.put_cell(cell)
    return 0


cdef int put_winner(Filter* keep, const Cell* a, const Cell* b) except -1:
    """The stronger of two cells in one place; counters add up instead."""
    if a.flags & b.flags & CELL_COUNTER:
        return put_counter(keep, a, b)
    return put_unless_covered(keep, a if compare_strength(a, b) >= 0 else b)


cdef int put_counter(Filter* keep, const Cell* a, const Cell* b) except -1:
    """Of each host's shard the one with the later clock; the later timestamp of both cells."""
    cdef Cell cell = a[0]
    cdef Writer context = _context
    cell.timestamp = max(a.timestamp, b.timestamp)
    context.clear()
    merge_contexts(context, a, b)
    cell.value = context.data
    cell.value_size = context.size
    encode_body(_body, &cell)
    cell.body = _body.data
    cell.body_size = _body.size
    return put_unless_covered(keep, &cell)


cdef Writer _context = Writer()


cdef int merge_contexts(Writer out, const Cell* a, const Cell* b) except -1:
    """Merges two sorted lists of shards."""
    cdef const uint8_t* x = a.value
    cdef const uint8_t* y = b.value
    cdef const uint8_t* x_end = x + a.value_size
    cdef const uint8_t* y_end = y + b.value_size
    cdef int order
    if (a.value_size | b.value_size) % COUNTER_SHARD_BYTES or not a.value_size * b.value_size:
        corrupt("a counter's context is malformed")
    while x < x_end or y < y_end:
        order = (y < y_end) - (x < x_end)
        if order == 0:
            order = memcmp(x, y, 16)
        if order == 0:
            out.put_raw(x if compare_shards(x, y) >= 0 else y, COUNTER_SHARD_BYTES)
        else:
            out.put_raw(x if order < 0 else y, COUNTER_SHARD_BYTES)
        if order <= 0:
            x += COUNTER_SHARD_BYTES
        if order >= 0:
            y += COUNTER_SHARD_BYTES
    return 0


cdef inline int compare_shards(const uint8_t* x, const uint8_t* y) noexcept nogil:
    """By clock, then by count."""
    cdef int64_t a = get_i64(x + 16), b = get_i64(y + 16)
    if a == b:
        a = get_i64(x + 24)
        b = get_i64(y + 24)
    return (a > b) - (a < b)


cdef bytes shadow_row(bytes row, int64_t deletion_ts):
    """What a deletion at `deletion_ts` leaves of the row; b"" if nothing."""
    cdef RowScan scan
    cdef RowHead head
    cdef Cell cell
    if deletion_ts == INT64_MIN or not row:
        return row
    if not any_older(row, deletion_ts):
        return row
    open_row(&scan, &head, <const uint8_t*><const char*>row, len(row))
    if head.deletion_ts <= deletion_ts:
        drop_deletion(&head)
    if not head.flags & ROW_MARKER or head.base_ts <= deletion_ts:
        drop_marker(&head)
    _writer.begin(&head)
    while next_cell(&scan, &cell):
        if cell.timestamp > deletion_ts:
            _writer.put_cell(&cell)
    return _writer.finish(&head, False)


cdef bint any_older(bytes row, int64_t deletion_ts) except -1:
    """Whether a deletion takes anything from the row: most rows it meets are all newer."""
    cdef int64_t low, high
    timestamp_span(<const uint8_t*><const char*>row, len(row), &low, &high)
    return low <= deletion_ts


cdef int timestamp_span(
    const uint8_t* data, Py_ssize_t size, int64_t* low, int64_t* high
) except -1:
    """The lowest and highest timestamp in a row, deletions included; low > high if there is none.

    Walks through the whole row, so CorruptData here proves that later walks cannot fail.
    """
    cdef RowScan scan
    cdef RowHead head
    cdef Cell cell
    low[0] = INT64_MAX
    high[0] = INT64_MIN
    open_row(&scan, &head, data, size)
    if head.flags & ROW_MARKER:
        low[0] = high[0] = head.base_ts
    if head.flags & ROW_DELETED:
        low[0] = min(low[0], head.deletion_ts)
        high[0] = max(high[0], head.deletion_ts)
    while next_cell(&scan, &cell):
        if cell.timestamp < low[0]:
            low[0] = cell.timestamp
        if cell.timestamp > high[0]:
            high[0] = cell.timestamp
    return 0


# ---- what is alive -----------------------------------------------------------------------------

cdef class ColumnSet:
    """A set of column ids that answers fast."""

    def __init__(self, columns):
        self.size = max(columns, default=-1) + 1
        if self.size > COLUMN_MAX + 1:
            raise ValueError("column ids have 16 bits")
        bits = bytearray(self.size)
        for column in columns:
            bits[column] = 1
        self.bits = bytes(bits)
        self.table = <const uint8_t*><const char*>self.bits


cdef inline bint is_expired(const Cell* cell, int64_t wall_s) noexcept nogil:
    return cell.flags & CELL_EXPIRING and cell.expiry <= wall_s


cdef inline bint marker_lives(const RowHead* head, int64_t wall_s) noexcept nogil:
    return head.flags & ROW_MARKER and (
        not head.flags & ROW_EXPIRING_MARKER or head.marker_expiry > wall_s
    )


cdef bytes live_row(bytes row, int64_t wall_s, ColumnSet wanted, ColumnSet existing):
    """The live cells of the wanted columns; b"" if no marker and no existing column lives.

    None stands for all columns. Raw clustering values are always kept and never a sign of life.
    """
    cdef RowScan scan
    cdef RowHead head
    cdef Cell cell
    cdef bint alive, whole
    if not row:
        return row
    open_row(&scan, &head, <const uint8_t*><const char*>row, len(row))
    alive = marker_lives(&head, wall_s)
    whole = not head.flags & ROW_DELETED and (alive or not head.flags & ROW_MARKER)
    while (whole or not alive) and next_cell(&scan, &cell):
        if is_visible(&cell, wall_s, existing):
            alive = alive or cell.column != CLUSTERING_COLUMN
            whole = whole and is_wanted(&cell, wanted)
        else:
            whole = False
    if not alive:
        return b""
    return row if whole else pick_live(row, wall_s, wanted, existing)


cdef inline bint is_visible(const Cell* cell, int64_t wall_s, ColumnSet existing):
    """Whether a cell holds a value now, in a column that exists."""
    if cell.flags & CELL_TOMBSTONE or is_expired(cell, wall_s):
        return False
    return existing is None or cell.column == CLUSTERING_COLUMN or existing.has(cell.column)


cdef inline bint is_wanted(const Cell* cell, ColumnSet wanted):
    return wanted is None or cell.column == CLUSTERING_COLUMN or wanted.has(cell.column)


cdef bytes pick_live(bytes row, int64_t wall_s, ColumnSet wanted, ColumnSet existing):
    """A live row without what is dead or not wanted."""
    cdef RowScan scan
    cdef RowHead head
    cdef Cell cell
    open_row(&scan, &head, <const uint8_t*><const char*>row, len(row))
    drop_deletion(&head)
    if not marker_lives(&head, wall_s):
        drop_marker(&head)
    _writer.begin(&head)
    while next_cell(&scan, &cell):
        if is_visible(&cell, wall_s, existing) and is_wanted(&cell, wanted):
            _writer.put_cell(&cell)
    return _writer.finish(&head, True)


cdef bytes purge_row(
    bytes row, int64_t wall_s, int64_t gc_before_s, int64_t purgeable_before_us, ColumnSet existing
):
    """What a compaction keeps of a row.

    Cells that expired become tombstones of the second of their writing, because every replica
    that has them lets them expire by itself. Tombstones and expired markers go when they are
    older than the grace time (before `gc_before_s`) and nothing elsewhere can hold what they
    cover (timestamp below `purgeable_before_us`). Cells of columns that are gone go.
    """
    cdef RowScan scan
    cdef RowHead head
    cdef Cell cell
    cdef Cell name              # raw clustering values, kept back until something is named
    cdef bint has_name = False
    if not row:
        return row
    open_row(&scan, &head, <const uint8_t*><const char*>row, len(row))
    if head.deleted_at < gc_before_s and head.deletion_ts < purgeable_before_us:
        drop_deletion(&head)
    if head.flags & ROW_MARKER and not marker_lives(&head, wall_s):
        if head.marker_expiry < gc_before_s and head.base_ts < purgeable_before_us:
            drop_marker(&head)
    if not head.flags & ROW_MARKER:
        drop_marker(&head)
    _writer.begin(&head)
    while next_cell(&scan, &cell):
        if cell.column == CLUSTERING_COLUMN:
            name = cell
            has_name = True
            continue
        if existing is not None and not existing.has(cell.column):
            continue
        if is_expired(&cell, wall_s):
            bury(&cell)
        if cell.flags & CELL_TOMBSTONE:
            if cell.expiry < gc_before_s and cell.timestamp < purgeable_before_us:
                continue
        if has_name:
            _writer.put_cell(&name)
            has_name = False
        _writer.put_cell(&cell)
    if has_name and (head.flags or name.timestamp >= purgeable_before_us):
        _writer.put_cell(&name)
    return _writer.finish(&head, False)


cdef int bury(Cell* cell) except -1:
    """Makes an expired cell a tombstone, in the scratch buffer."""
    cell.flags = (cell.flags & CELL_HAS_PATH) | CELL_TOMBSTONE
    cell.expiry = cell.expiry - cell.ttl if cell.expiry > cell.ttl else 0
    cell.ttl = 0
    cell.value = NULL
    cell.value_size = 0
    encode_body(_body, cell)
    cell.body = _body.data
    cell.body_size = _body.size
    return 0


# ---- the Python face ---------------------------------------------------------------------------

def merge_rows(bytes a not None, bytes b not None) -> bytes:
    """Both rows in one, cell by cell the winner."""
    return merge_pair(a, b)


def shadow(bytes row not None, int64_t deletion_ts) -> bytes:
    """What a deletion at `deletion_ts` leaves of the row; b"" if nothing."""
    return shadow_row(row, deletion_ts)


def live(bytes row not None, int64_t wall_s, columns=None, existing=None) -> bytes:
    """The live cells of `columns`, counting only `existing` ones; b"" if the row is not live."""
    return live_row(
        row, wall_s,
        None if columns is None else ColumnSet(columns),
        None if existing is None else ColumnSet(existing),
    )


def purge(
    bytes row not None, int64_t wall_s, int64_t gc_before_s, bint purgeable, live_columns=None
) -> bytes:
    """What a compaction keeps; see `purge_row`."""
    return purge_row(
        row, wall_s, gc_before_s, INT64_MAX if purgeable else INT64_MIN,
        None if live_columns is None else ColumnSet(live_columns),
    )


def timestamps(bytes row not None) -> tuple[int, int] | None:
    """The lowest and highest timestamp in a row, deletions included."""
    cdef int64_t low, high
    timestamp_span(<const uint8_t*><const char*>row, len(row), &low, &high)
    return None if low > high else (low, high)


def check_row(bytes row not None) -> None:
    """CorruptData unless the bytes are a row in the one form."""
    cdef RowScan scan
    cdef RowHead head
    cdef Cell cell
    cdef Cell before
    cdef Filter keep
    cdef int64_t base_ts
    cdef bint has_base, first = True
    before.column = before.flags = 0
    before.path = NULL
    before.path_size = 0
    open_row(&scan, &head, <const uint8_t*><const char*>row, len(row))
    check_head(&head)
    has_base = head.flags & ROW_MARKER
    base_ts = head.base_ts
    open_filter(&keep, head.deletion_ts)
    while next_cell(&scan, &cell):
        if not first and compare_places(&before, &cell) >= 0:
            corrupt("its cells are not in order")
        if not has_base and not cell.flags & CELL_COMPLEX_DELETION:
            has_base = True
            if cell.timestamp != base_ts:
                corrupt("its base timestamp is not its first cell's")
        check_cell(&cell, base_ts)
        if covers(&keep, &cell):
            corrupt("a cell is deleted by its own row")
        before = cell
        first = False
    if not has_base and base_ts:
        corrupt("it has a base timestamp that nothing uses")


cdef int check_head(const RowHead* head) except -1:
    if head.flags & ROW_DELETED and head.deletion_ts == INT64_MIN:
        corrupt("its deletion has no timestamp")
    if head.flags & ROW_MARKER and head.base_ts <= head.deletion_ts:
        corrupt("its marker is deleted by its own row")
    if head.flags & ROW_EXPIRING_MARKER and not head.marker_ttl:
        corrupt("its marker expires without a TTL")
    return 0


cdef int check_cell(const Cell* cell, int64_t base_ts) except -1:
    """What the bytes of one cell must obey beyond being readable."""
    cdef bint complex_deletion = (cell.flags & CELL_COMPLEX_DELETION) != 0
    cdef bint same = (cell.flags & CELL_SAME_TS) != 0
    if same != (cell.timestamp == base_ts and not complex_deletion):
        corrupt("a timestamp is not in its shortest form")
    if cell.timestamp == INT64_MIN:
        corrupt("a cell has no timestamp")
    if cell.flags & CELL_EXPIRING and not cell.ttl:
        corrupt("a cell expires without a TTL")
    if cell.flags & CELL_TOMBSTONE and cell.flags & (CELL_EMPTY | CELL_COUNTER):
        corrupt("a tombstone has a value")
    if not cell.flags & CELL_TOMBSTONE and (cell.value_size == 0) != bool(cell.flags & CELL_EMPTY):
        corrupt("an empty value is not in its shortest form")
    if cell.flags & CELL_COUNTER and (
        cell.flags & (CELL_EXPIRING | CELL_HAS_PATH) or not cell.value_size
        or cell.value_size % COUNTER_SHARD_BYTES
    ):
        corrupt("a counter is malformed")
    return 0


cdef class CellCursor:
    """Walks through the cells of a row; the pointers are valid until the next reset()."""

    cpdef int reset(self, bytes row) except -1:
        """Goes to before the first cell of `row`; CorruptData if its head is damaged."""
        assert row is not None, "a cursor walks through bytes"
        open_row(&self.scan, &self.head, <const uint8_t*><const char*>row, len(row))
        self.row = row
        self.has_marker = self.head.flags & ROW_MARKER
        self.marker_ts = self.head.base_ts
        self.marker_ttl = self.head.marker_ttl
        self.marker_expiry = self.head.marker_expiry
        self.deletion_ts = self.head.deletion_ts
        self.deleted_at = self.head.deleted_at
        return 0

    cpdef bint next(self) except -1:
        """Goes to the next cell; False if there is none. CorruptData if it is damaged."""
        if not next_cell(&self.scan, &self.cell):
            return False
        self.column = self.cell.column
        self.timestamp = self.cell.timestamp
        self.flags = self.cell.flags
        self.ttl = self.cell.ttl
        self.expiry = self.cell.expiry
        self.path_ptr = self.cell.path
        self.path_len = self.cell.path_size
        self.value_ptr = self.cell.value
        self.value_len = self.cell.value_size
        return True

    cpdef bytes path(self):
        """The current cell's path; b"" if it has none."""
        return (<const char*>self.path_ptr)[:self.path_len] if self.path_len else b""

    cpdef bytes value(self):
        """The current cell's value; b"" if it has none."""
        return (<const char*>self.value_ptr)[:self.value_len] if self.value_len else b""

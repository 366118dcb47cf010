"""Building a row from cells that may come in any order.

Cells which come in order, as they do from a prepared statement, are encoded as they come; whatever
breaks the one form of a row (see `storage.row`) is noticed and settled at the end.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t
from libc.stdlib cimport qsort

from storage.buffer cimport Writer
from storage.cell cimport (
    CELL_COUNTER, CELL_EMPTY, CELL_EXPIRING, CELL_HAS_PATH, CELL_TOMBSTONE, CELL_COMPLEX_DELETION,
    COLUMN_MAX, COUNTER_SHARD_BYTES, ROW_DELETED, ROW_EXPIRING_MARKER, ROW_MARKER, Cell, Filter,
    RowHead, RowScan, RowWriter, compare_places, compare_strength, covers, drop_marker, encode_body,
    next_cell, open_filter, open_row, rank_of,
)

# Scratch: between its filling and its use no other Python code runs.
cdef Writer _body = Writer()
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

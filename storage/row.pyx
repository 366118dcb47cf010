"""Cells and tombstones of one row as bytes, and which of two writes wins.

The layout is in docs/formats/row.md. Invariants of every row that is written here:

- one form for one content: `base_ts` is the marker's timestamp, else the first element's or plain
  cell's, else 0; SAME_TS and EMPTY are set wherever they apply, never on a complex deletion;
- cells are ordered by (column, complex deletion first, no path, path) and each is there once;
- nothing in it is covered by its own row deletion or complex deletions.

Therefore equal content is equal bytes, and merging is commutative, associative and idempotent.
Timestamps lie above -2^63, which stands for "never deleted".
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t
from libc.string cimport memcmp

from storage.buffer cimport Writer
from storage.cell cimport (
    Filter, RowWriter, compare_places, compare_strength, compare_unsigned, corrupt, covers,
    drop_deletion, drop_marker, encode_body, next_cell, open_filter, open_row,
)
from storage.coding cimport get_i64

NO_DELETION = INT64_MIN

# The builder belongs to this door; a name that is cimported is not visible to Python by itself.
globals()["RowBuilder"] = RowBuilder

# Scratch: between its filling and its use no other Python code runs.
cdef Writer _body = Writer()
cdef Writer _context = Writer()
cdef RowWriter _writer = RowWriter()


# ---- merging -----------------------------------------------------------------------------------

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


cdef int merge_contexts(Writer out, const Cell* a, const Cell* b) except -1:
    """Merges two sorted lists of shards."""
    cdef const uint8_t* x = a.value
    cdef const uint8_t* y = b.value
    cdef const uint8_t* x_end = x + a.value_size
    cdef const uint8_t* y_end = y + b.value_size
    cdef int order
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
    cdef int life
    if not row:
        return row
    life = life_of(<const uint8_t*><const char*>row, len(row), wall_s, wanted, existing)
    if life == IS_DEAD:
        return b""
    return row if life == IS_WHOLE else pick_live(row, wall_s, wanted, existing)


cdef int life_of(
    const uint8_t* row, Py_ssize_t size, int64_t wall_s, ColumnSet wanted, ColumnSet existing
) except -1:
    """What `live_row` leaves of a row that has any bytes."""
    cdef RowScan scan
    cdef RowHead head
    cdef Cell cell
    cdef bint alive, whole
    open_row(&scan, &head, row, size)
    alive = marker_lives(&head, wall_s)
    whole = not head.flags & ROW_DELETED and (alive or not head.flags & ROW_MARKER)
    while (whole or not alive) and next_cell(&scan, &cell):
        if is_visible(&cell, wall_s, existing):
            alive = alive or cell.column != CLUSTERING_COLUMN
            whole = whole and is_wanted(&cell, wanted)
        else:
            whole = False
    if not alive:
        return IS_DEAD
    return IS_WHOLE if whole else IS_PART


cdef inline bint is_visible(const Cell* cell, int64_t wall_s, ColumnSet existing) noexcept:
    """Whether a cell holds a value now, in a column that exists."""
    if cell.flags & CELL_TOMBSTONE or is_expired(cell, wall_s):
        return False
    return existing is None or cell.column == CLUSTERING_COLUMN or existing.has(cell.column)


cdef inline bint is_wanted(const Cell* cell, ColumnSet wanted) noexcept:
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

    Cells that expired lose their values. They keep their TTL and expiry, so that they win and lose
    as before, and count as deleted in the second of their writing, because every replica that has
    them lets them expire by itself. Tombstones and expired markers go when they are
    older than the grace time (before `gc_before_s`) and nothing elsewhere can hold what they
    cover (timestamp below `purgeable_before_us`). Cells of columns that are gone go.
    """
    cdef RowScan scan
    cdef RowHead head
    cdef Cell cell
    cdef Cell name              # raw clustering values, kept back until something is named
    cdef bint has_name = False
    if not row or not may_purge(
        <const uint8_t*><const char*>row, len(row), wall_s, gc_before_s, existing
    ):
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
        if is_expired(&cell, wall_s) and not cell.flags & CELL_TOMBSTONE:
            bury(&cell)
        if cell.flags & CELL_TOMBSTONE:
            if deleted_at(&cell) < gc_before_s and cell.timestamp < purgeable_before_us:
                continue
        if has_name:
            _writer.put_cell(&name)
            has_name = False
        _writer.put_cell(&cell)
    if has_name and (head.flags or name.timestamp >= purgeable_before_us):
        _writer.put_cell(&name)
    return _writer.finish(&head, False)


cdef bint may_purge(
    const uint8_t* row, Py_ssize_t size, int64_t wall_s, int64_t gc_before_s, ColumnSet existing
) except -1:
    """Whether `purge_row` could change anything about a row: it cannot about most."""
    cdef RowScan scan
    cdef RowHead head
    cdef Cell cell
    cdef bint is_named = False
    open_row(&scan, &head, row, size)
    if head.flags & ROW_DELETED and head.deleted_at < gc_before_s:
        return True
    if head.flags & ROW_EXPIRING_MARKER and head.marker_expiry <= wall_s:
        return True
    is_named = head.flags & ROW_MARKER
    while next_cell(&scan, &cell):
        if cell.column == CLUSTERING_COLUMN:
            continue
        is_named = True
        if existing is not None and not existing.has(cell.column):
            return True
        if cell.flags & CELL_TOMBSTONE:
            if deleted_at(&cell) < gc_before_s:
                return True
        elif is_expired(&cell, wall_s):
            return True
    return not is_named


cdef inline int64_t deleted_at(const Cell* cell) noexcept nogil:
    """From which second on the grace time of a tombstone is counted."""
    return cell.expiry - cell.ttl if cell.expiry > cell.ttl else 0


cdef int bury(Cell* cell) except -1:
    """Makes an expired cell a tombstone that keeps TTL and expiry, in the scratch buffer."""
    cell.flags = (cell.flags & CELL_HAS_PATH) | CELL_TOMBSTONE | CELL_EXPIRING
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
    if cell.flags & CELL_TOMBSTONE and cell.flags & CELL_EMPTY:
        corrupt("a tombstone has a value")
    if not cell.flags & CELL_TOMBSTONE and (cell.value_size == 0) != bool(cell.flags & CELL_EMPTY):
        corrupt("an empty value is not in its shortest form")
    if cell.flags & CELL_COUNTER and cell.flags & (CELL_EXPIRING | CELL_HAS_PATH):
        corrupt("a counter is malformed")
    return 0


cdef class CellCursor:
    """Walks through the cells of a row; the pointers are valid until the next reset()."""

    cpdef int reset(self, bytes row) except -1:
        """Goes to before the first cell of `row`; CorruptData if its head is damaged."""
        assert row is not None, "a cursor walks through bytes"
        self.point(<const uint8_t*><const char*>row, len(row))
        self.row = row
        return 0

    cdef int point(self, const uint8_t* row, Py_ssize_t size) except -1:
        """Like `reset`, for bytes which the caller keeps."""
        open_row(&self.scan, &self.head, row, size)
        self.row = None
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

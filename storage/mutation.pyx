"""One partition's change, one encoding for log, wire and memory.

The layout is in docs/formats/mutation.md. A mutation is immutable: its head is read at once, its
items when somebody walks through them, and `check()` reads everything.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t

from storage.buffer cimport Writer
from storage.coding cimport get_i64, get_u32, get_uvarint
from storage.row cimport timestamp_span

from storage.errors import CorruptData
from storage.row import check_row

cdef enum:
    HEAD_MIN = 17               # version and table id
    FLAG_DELETION = 1
    DELETION_BYTES = 12


cdef int corrupt(str what) except -1:
    """Raises CorruptData, always."""
    raise CorruptData(f"a mutation is damaged: {what}")


cdef const uint8_t* read_length(
    const uint8_t* at, const uint8_t* end, Py_ssize_t* size
) except NULL:
    """Reads a length which the bytes after it must fill; returns where they begin."""
    cdef uint64_t number = 0
    cdef int used = get_uvarint(at, end, &number)
    if used == 0 or number > <uint64_t>(end - at - used):
        corrupt("a length leads beyond the end")
    size[0] = <Py_ssize_t>number
    return at + used


cdef int next_item(ItemScan* scan, Item* item) except -1:
    """Reads one item: 1, or 0 after the last; CorruptData if the bytes are no item."""
    cdef const uint8_t* at = scan.at
    if scan.left == 0:
        if at != scan.end:
            corrupt("bytes follow its last item")
        return 0
    if at == scan.end:
        corrupt("an item is missing")
    item.kind = at[0]
    if item.kind > ITEM_RANGE_TOMBSTONE:
        corrupt("an item is of an unknown kind")
    item.start = read_length(at + 1, scan.end, &item.start_size)
    item.end = read_length(item.start + item.start_size, scan.end, &item.end_size)
    at = item.end + item.end_size
    if item.kind == ITEM_RANGE_TOMBSTONE:
        if scan.end - at < DELETION_BYTES:
            corrupt("a range tombstone is cut off")
        item.deletion_ts = get_i64(at)
        item.deleted_at = get_u32(at + 8)
        at += DELETION_BYTES
    scan.at = at
    scan.left -= 1
    return 1


cdef int read_head(const uint8_t* data, Py_ssize_t size, MutationHead* head) except -1:
    """Reads what comes before the items; the head points into `data`."""
    cdef const uint8_t* end = data + size
    cdef const uint8_t* at
    cdef uint8_t flags
    cdef uint64_t count = 0
    cdef int used
    if size < HEAD_MIN or data[0] != MUTATION_VERSION:
        corrupt("its head is cut off or of an unknown version")
    head.table_id = data + 1
    head.key = read_length(data + HEAD_MIN, end, &head.key_size)
    at = head.key + head.key_size
    if at == end or at[0] & ~FLAG_DELETION:
        corrupt("its flags are unknown or missing")
    flags = at[0]
    at += 1
    head.deletion_ts = INT64_MIN
    head.deleted_at = 0
    if flags & FLAG_DELETION:
        if end - at < DELETION_BYTES:
            corrupt("its deletion is cut off")
        head.deletion_ts = get_i64(at)
        head.deleted_at = get_u32(at + 8)
        at += DELETION_BYTES
    used = get_uvarint(at, end, &count)
    if used == 0 or count > <uint64_t>(end - at):
        corrupt("its number of items is malformed")
    head.items.at = at + used
    head.items.end = end
    head.items.left = count
    return 0


cdef int walk(const MutationHead* head, int64_t* low, int64_t* high) except -1:
    """Reads everything once, so that applying cannot fail half-way; low > high if empty.

    Gives the lowest and highest timestamp of the mutation, deletions included.
    """
    cdef ItemScan scan = head.items
    cdef Item item
    cdef int64_t row_low, row_high
    low[0] = INT64_MAX
    high[0] = INT64_MIN
    if head.deletion_ts != INT64_MIN:
        low[0] = high[0] = head.deletion_ts
    while next_item(&scan, &item):
        if item.kind == ITEM_ROW:
            timestamp_span(item.end, item.end_size, &row_low, &row_high)
        else:
            row_low = row_high = item.deletion_ts
        low[0] = min(low[0], row_low)
        high[0] = max(high[0], row_high)
    return 0


cdef class Mutation:
    """A parsed head over the bytes of a mutation."""

    def __init__(self, bytes data not None):
        cdef const uint8_t* start = <const uint8_t*><const char*>data
        cdef MutationHead head
        read_head(start, len(data), &head)
        self.data = data
        self.table_id = (<const char*>head.table_id)[:TABLE_ID_BYTES]
        self.key = (<const char*>head.key)[:head.key_size]
        self.deletion_ts = head.deletion_ts
        self.deleted_at = head.deleted_at
        self.item_count = <Py_ssize_t>head.items.left
        self.items_at = head.items.at - start

    cdef void point(self, MutationHead* head) noexcept:
        """Fills a head, which is valid while the mutation lives."""
        cdef const uint8_t* start = <const uint8_t*><const char*>self.data
        head.table_id = start + 1
        head.key = <const uint8_t*><const char*>self.key
        head.key_size = len(self.key)
        head.deletion_ts = self.deletion_ts
        head.deleted_at = self.deleted_at
        head.items.at = start + self.items_at
        head.items.end = start + len(self.data)
        head.items.left = <uint64_t>self.item_count

    @property
    def deletion(self) -> tuple[int, int] | None:
        """Timestamp and second of the partition's deletion."""
        if self.deletion_ts == INT64_MIN:
            return None
        return self.deletion_ts, self.deleted_at

    def items(self) -> list[tuple]:
        """`(clustering, row)` and `(start, end, deletion_ts, deleted_at)`, in written order."""
        cdef MutationHead head
        cdef Item item
        items = []
        self.point(&head)
        while next_item(&head.items, &item):
            start = (<const char*>item.start)[:item.start_size]
            end = (<const char*>item.end)[:item.end_size]
            if item.kind == ITEM_ROW:
                items.append((start, end))
            else:
                items.append((start, end, item.deletion_ts, item.deleted_at))
        return items

    def timestamps(self) -> tuple[int, int] | None:
        """The lowest and highest timestamp in it, deletions included."""
        cdef MutationHead head
        cdef int64_t low, high
        self.point(&head)
        walk(&head, &low, &high)
        return None if low > high else (low, high)

    def check(self) -> None:
        """CorruptData unless everything in it is well formed."""
        for item in self.items():
            if len(item) == 2:
                check_row(item[1])
            elif item[2] == INT64_MIN or (item[1] and item[0] >= item[1]):
                corrupt("a range tombstone covers nothing")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mutation) and self.data == (<Mutation>other).data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return f"Mutation(key={self.key.hex()}, items={self.item_count})"


cdef class MutationBuilder:
    """Collects the changes of one partition."""

    def __init__(self, bytes table_id not None, bytes key not None):
        self.body = Writer()
        self.start(table_id, key)

    cdef int start(self, bytes table_id, bytes key) except -1:
        """Forgets everything and starts with another partition."""
        assert len(table_id) == TABLE_ID_BYTES, "a table id has 16 bytes"
        self.table_id = table_id
        self.key = key
        self.deletion_ts = INT64_MIN
        self.deleted_at = 0
        self.count = 0
        self.body.clear()
        return 0

    cpdef delete_partition(self, int64_t ts, uint32_t deleted_at):
        """Deletes the partition up to `ts`; of two deletions the newer stays."""
        assert ts != INT64_MIN, "timestamps lie above -2^63"
        if (ts, deleted_at) > (self.deletion_ts, self.deleted_at):
            self.deletion_ts = ts
            self.deleted_at = deleted_at

    cpdef row(self, bytes clustering, bytes row):
        """Adds a row's change; b"" is no change."""
        if row:
            self.body.put_u8(ITEM_ROW)
            self.body.put_bytes(clustering)
            self.body.put_bytes(row)
            self.count += 1

    cpdef range_tombstone(self, bytes start, bytes end, int64_t ts, uint32_t deleted_at):
        """Deletes the rows in [start, end) up to `ts`; an empty range is no change."""
        assert ts != INT64_MIN, "timestamps lie above -2^63"
        if not end or start < end:
            self.body.put_u8(ITEM_RANGE_TOMBSTONE)
            self.body.put_bytes(start)
            self.body.put_bytes(end)
            self.body.put_i64(ts)
            self.body.put_u32(deleted_at)
            self.count += 1

    cpdef Mutation finish(self):
        """The mutation; the builder keeps its items and may go on."""
        cdef Writer out = _out
        out.clear()
        out.put_u8(MUTATION_VERSION)
        out.put_raw(<const char*>self.table_id, TABLE_ID_BYTES)
        out.put_bytes(self.key)
        if self.deletion_ts == INT64_MIN:
            out.put_u8(0)
        else:
            out.put_u8(FLAG_DELETION)
            out.put_i64(self.deletion_ts)
            out.put_u32(self.deleted_at)
        out.put_uvarint(self.count)
        out.put_raw(self.body.data, self.body.size)
        return Mutation(out.take())


# One writer serves all builders: finish() runs no other Python code in between.
cdef Writer _out = Writer()


def merge_mutations(mutations: list[Mutation]) -> list[Mutation]:
    """Joins those of the same table and key, in the order of first appearance."""
    if len(mutations) < 2:
        return mutations
    groups: dict[tuple[bytes, bytes], list[Mutation]] = {}
    for mutation in mutations:
        groups.setdefault((mutation.table_id, mutation.key), []).append(mutation)
    return [join(group) if len(group) > 1 else group[0] for group in groups.values()]


cdef Mutation join(list group):
    """One mutation with the items of all."""
    cdef Mutation mutation = group[0]
    cdef MutationBuilder builder = MutationBuilder(mutation.table_id, mutation.key)
    for mutation in group:
        if mutation.deletion_ts != INT64_MIN:
            builder.delete_partition(mutation.deletion_ts, mutation.deleted_at)
        builder.body.put_raw(
            <const char*>mutation.data + mutation.items_at,
            len(mutation.data) - mutation.items_at,
        )
        builder.count += mutation.item_count
    return builder.finish()

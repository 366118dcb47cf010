"""Which rows are wanted, and the pages of rows that answer.

A position (key, clustering) is where a page ended: the next slice resumes after it. Clustering b""
stands for the whole partition, so the next slice starts with the key after it.

A static row without rows is on a page if the ranges exclude no row, or if the first of them is its
own place, (b"", b"\\x00"), which is before all rows of a table that has static columns.
"""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint8_t, uint32_t

from storage.buffer cimport Reader, Writer
from storage.order cimport compare

from storage.errors import CorruptData

cdef enum:
    SLICE_VERSION = 1
    PAGE_VERSION = 1
    KEY_ALL = 0
    KEY_ONE = 1
    KEY_RANGE = 2
    FLAG_STATIC = 1
    FLAG_REVERSE = 2
    FLAG_COLUMNS = 4
    FLAG_DISTINCT = 8
    FLAG_BYPASS_CACHE = 16
    FLAG_MORE = 1
    NO_DELETION = 0
    PLACES_FIRST = 64           # rows a pack has room for before it grows

WHOLE_PARTITION = ((b"", b""),)


cdef class Slice:
    """The question of a read. An immutable value; `changed` and `after` make other ones."""

    def __init__(
        self, bytes table_id not None, *, key=None, tuple ranges not None=WHOLE_PARTITION,
        bint static=True, bint reverse=False, columns=None, Py_ssize_t row_limit=0,
        Py_ssize_t partition_limit=0, Py_ssize_t byte_limit=0, bint distinct=False,
        bytes resume_key not None=b"", bytes resume_clustering not None=b"",
        Py_ssize_t resume_rows=-1, bint bypass_cache=False,
    ):
        self.table_id = table_id
        self.key = key
        self.ranges = ranges
        self.static = static
        self.reverse = reverse
        self.columns = columns
        self.row_limit = row_limit
        self.partition_limit = partition_limit
        self.byte_limit = byte_limit
        self.distinct = distinct
        self.resume_key = resume_key
        self.resume_clustering = resume_clustering
        self.resume_rows = resume_rows
        self.bypass_cache = bypass_cache

    cdef bint is_whole_partition(self) except -1:
        """Whether the ranges exclude no row."""
        return len(self.ranges) == 1 and self.ranges[0][0] <= b"\x01" and not self.ranges[0][1]

    cdef bint names_static(self) except -1:
        """Whether the static row is wanted for itself: its place is one of the ranges."""
        if not len(self.ranges) or len(self.ranges[0][0]):
            return False
        return 0 < len(self.ranges[0][1]) and self.ranges[0][1] <= b"\x01"

    cdef Slice of_key(self, bytes key, tuple ranges, Py_ssize_t row_limit):
        """The same question about one partition: what a plan asks again and again."""
        cdef Slice made = Slice.__new__(Slice)
        assert not len(self.resume_key), "a question that is asked anew begins at its beginning"
        made.table_id = self.table_id
        made.key = key
        made.ranges = ranges
        made.static = self.static
        made.reverse = self.reverse
        made.columns = self.columns
        made.row_limit = row_limit
        made.partition_limit = self.partition_limit
        made.byte_limit = self.byte_limit
        made.distinct = self.distinct
        made.resume_key = b""
        made.resume_clustering = b""
        made.resume_rows = -1
        made.bypass_cache = self.bypass_cache
        return made

    def changed(self, **changes) -> Slice:
        """The same slice but for the given fields."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        fields.update(changes)
        return Slice(self.table_id, **fields)

    def after(self, Page page not None) -> Slice:
        """The same slice, continued behind a page that said `more`."""
        return self.changed(
            resume_key=page.last_key, resume_clustering=page.last_clustering,
            resume_rows=page.last_rows,
        )

    def encode(self) -> bytes:
        """For the mesh and the peers."""
        cdef Writer out = Writer()
        flags = (FLAG_STATIC * self.static | FLAG_REVERSE * self.reverse
                 | FLAG_COLUMNS * (self.columns is not None) | FLAG_DISTINCT * self.distinct
                 | FLAG_BYPASS_CACHE * self.bypass_cache)
        out.put_u8(SLICE_VERSION)
        out.put_u8(flags)
        out.put_raw(<const char*>self.table_id, 16)
        encode_key(out, self.key)
        out.put_uvarint(len(self.ranges))
        for start, end in self.ranges:
            out.put_bytes(start)
            out.put_bytes(end)
        if self.columns is not None:
            out.put_uvarint(len(self.columns))
            for column in sorted(self.columns):
                out.put_uvarint(column)
        for limit in (self.row_limit, self.partition_limit, self.byte_limit, self.resume_rows + 1):
            out.put_uvarint(limit)
        out.put_bytes(self.resume_key)
        out.put_bytes(self.resume_clustering)
        return out.take()

    @staticmethod
    def decode(bytes data not None) -> Slice:
        """What `encode` wrote; CorruptData if it is anything else."""
        cdef Reader source = Reader(data)
        if source.u8() != SLICE_VERSION:
            raise CorruptData("a slice is of an unknown version")
        flags = source.u8()
        table_id = source.read_raw(16)
        key = decode_key(source)
        ranges = tuple([(source.sized(), source.sized()) for _ in range(source.length())])
        columns = None
        if flags & FLAG_COLUMNS:
            columns = frozenset([source.uvarint() for _ in range(source.length())])
        limits = [decode_limit(source) for _ in range(4)]
        resume_key, resume_clustering = source.sized(), source.sized()
        source.finish()
        return Slice(
            table_id, key=key, ranges=ranges, static=flags & FLAG_STATIC != 0,
            reverse=flags & FLAG_REVERSE != 0, columns=columns, row_limit=limits[0],
            partition_limit=limits[1], byte_limit=limits[2],
            distinct=flags & FLAG_DISTINCT != 0, resume_key=resume_key,
            resume_clustering=resume_clustering, resume_rows=limits[3] - 1,
            bypass_cache=flags & FLAG_BYPASS_CACHE != 0,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slice) and self.encode() == other.encode()

    def __hash__(self) -> int:
        return hash(self.encode())

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in _FIELDS)
        return f"Slice({self.table_id.hex()}, {fields})"


_FIELDS = (
    "key", "ranges", "static", "reverse", "columns", "row_limit", "partition_limit", "byte_limit",
    "distinct", "resume_key", "resume_clustering", "resume_rows", "bypass_cache",
)


cdef int encode_key(Writer out, object key) except -1:
    if key is None:
        out.put_u8(KEY_ALL)
    elif isinstance(key, bytes):
        out.put_u8(KEY_ONE)
        out.put_bytes(key)
    else:
        out.put_u8(KEY_RANGE)
        out.put_bytes(key[0])
        out.put_bytes(key[1])
    return 0


cdef object decode_key(Reader source):
    kind = source.u8()
    if kind == KEY_ALL:
        return None
    if kind == KEY_ONE:
        return source.sized()
    if kind != KEY_RANGE:
        raise CorruptData("a slice has an unknown kind of key")
    start = source.sized()
    return start, source.sized()


cdef Py_ssize_t decode_limit(Reader source) except -1:
    value = source.uvarint()
    if value > 1 << 62:
        raise CorruptData("a limit is beyond all bounds")
    return <Py_ssize_t>value


cdef class PartitionRows:
    """The rows of one partition in the order that was asked for."""

    def __init__(
        self, bytes key not None, deletion, bytes static_row not None, list clusterings not None,
        list rows not None,
    ):
        self.key = key
        self.deletion = deletion
        self.static_row = static_row
        self.clusterings = clusterings
        self.rows = rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PartitionRows) and (
            self.key, self.deletion, self.static_row, self.clusterings, self.rows
        ) == (other.key, other.deletion, other.static_row, other.clusterings, other.rows)

    def __repr__(self) -> str:
        return f"PartitionRows(key={self.key.hex()}, rows={len(self.rows)})"


cdef class Pack:
    """Partitions which have nothing but a few rows, in one buffer: a scan's page is made of them.

    They lie there as they do in an encoded page, so there is one form of their bytes. A row is
    named by its number among all rows of the pack.
    """

    def __cinit__(self):
        self.out = Writer()

    def __dealloc__(self):
        PyMem_Free(self.places)

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"Pack({self.partitions} partitions, {self.count} rows)"

    def key(self, Py_ssize_t row) -> bytes:
        """The key of a row's partition."""
        return self.key_of(row)

    @property
    def size(self) -> int:
        """The bytes of all partitions."""
        return self.out.size

    def partition(self, Py_ssize_t row) -> PartitionRows:
        """The partition whose first row this is, as an object."""
        cdef Py_ssize_t end = row + 1
        assert 0 <= row < self.count, "it is a row of the pack"
        while end < self.count and self.places[end].key == self.places[row].key:
            end += 1
        return self.unpack(row, end)[0]

    def clustering(self, Py_ssize_t row) -> bytes:
        """The clustering of a row."""
        return self.clustering_of(row)

    def rows_before(self, Py_ssize_t row) -> int:
        """How many rows the partition of a row has before it; 0 at the end of the pack."""
        cdef Py_ssize_t first = row
        assert 0 <= row <= self.count, "it is a row of the pack, or its end"
        while row < self.count and first and self.places[first - 1].key == self.places[row].key:
            first -= 1
        return row - first

    cdef int open(self, const uint8_t* key, Py_ssize_t size) except -1:
        """Starts with a partition; `close` ends it."""
        self.opened_at = self.out.size
        self.first = self.count
        self.out.put_sized(key, size)
        self.out.put_u8(NO_DELETION)
        self.out.put_u8(0)              # no static row
        self.out.put_u8(0)              # the number of rows, once it is known
        return 0

    cdef int put(
        self, const uint8_t* clustering, Py_ssize_t size, const uint8_t* row, Py_ssize_t row_size
    ) except -1:
        """Adds a row to the partition at work."""
        self.note(self.out.size)
        self.out.put_sized(clustering, size)
        self.out.put_sized(row, row_size)
        return 0

    cdef Py_ssize_t close(self) except -1:
        """Ends the partition and gives its number of rows; one without any leaves no trace."""
        cdef Py_ssize_t rows = self.count - self.first, size
        cdef const uint8_t* key
        if rows == 0:
            self.out.size = self.opened_at
            return 0
        key = get_packed(self.out.data + self.opened_at, &size)
        self.out.data[key + size + 2 - self.out.data] = <uint8_t>rows
        self.partitions += 1
        return rows

    cdef int add(self, const uint8_t* partition, Py_ssize_t size) except -1:
        """Adds a partition as it is; the caller knows that it is well formed."""
        cdef Py_ssize_t key_size, skipped, rows
        cdef const uint8_t* key = get_packed(partition, &key_size)
        cdef const uint8_t* at = key + key_size + 3
        rows = (at - 1)[0]
        self.opened_at = self.out.size
        self.first = self.count
        for _ in range(rows):
            self.note(self.opened_at + (at - partition))
            at = get_packed(at, &skipped) + skipped
            at = get_packed(at, &skipped) + skipped
        assert at - partition == size, "a partition ends with its rows"
        self.out.put_raw(partition, size)
        self.partitions += 1
        return 0

    cdef int note(self, Py_ssize_t clustering) except -1:
        """Remembers the place of one more row of the partition at work."""
        cdef void* moved
        assert self.count - self.first < PACKED_ROWS_MAX, "the number of rows has one byte"
        if self.count == self.room:
            self.room = max(2 * self.room, PLACES_FIRST)
            moved = PyMem_Realloc(self.places, self.room * sizeof(PackedRow))
            if moved is NULL:
                raise MemoryError()
            self.places = <PackedRow*>moved
        self.places[self.count].key = <uint32_t>self.opened_at
        self.places[self.count].clustering = <uint32_t>clustering
        self.count += 1
        return 0

    def take(
        self, Pack other not None, Py_ssize_t first, bytes end not None, Py_ssize_t rows_max,
        Py_ssize_t bytes_max,
    ) -> int:
        """Adds whole partitions of another pack from its row `first` on, with keys below `end` (b""
        is no end), at most `rows_max` rows (0 is all), until they have `bytes_max` bytes; gives how
        many rows.
        """
        cdef Py_ssize_t row = first, after, start, stop = 0
        cdef Py_ssize_t before = self.out.size
        assert 0 <= first <= other.count, "it is a row of the pack, or its end"
        while row < other.count and self.out.size - before < bytes_max:
            after = row + 1
            while after < other.count and other.places[after].key == other.places[row].key:
                after += 1
            if rows_max and after - first > rows_max:
                break
            if len(end) and compare(other.key_of(row), end) >= 0:
                break
            start = other.places[row].key
            stop = other.places[after].key if after < other.count else other.out.size
            self.add(other.out.data + start, stop - start)
            row = after
        return row - first

    cdef bytes key_of(self, Py_ssize_t row):
        cdef Py_ssize_t size
        cdef const uint8_t* key
        assert 0 <= row < self.count, "it is a row of the pack"
        key = get_packed(self.out.data + self.places[row].key, &size)
        return (<const char*>key)[:size]

    cdef bytes clustering_of(self, Py_ssize_t row):
        cdef Py_ssize_t size
        cdef const uint8_t* clustering
        assert 0 <= row < self.count, "it is a row of the pack"
        clustering = get_packed(self.out.data + self.places[row].clustering, &size)
        return (<const char*>clustering)[:size]

    cdef list unpack(self, Py_ssize_t first, Py_ssize_t end):
        """The partitions of rows [first, end) as objects."""
        cdef list partitions = []
        cdef PartitionRows partition = None
        cdef Py_ssize_t row, size, at_key = -1
        cdef const uint8_t* found
        for row in range(first, end):
            if <Py_ssize_t>self.places[row].key != at_key:
                at_key = self.places[row].key
                partition = make_partition(self.key_of(row), b"", [], [])
                partitions.append(partition)
            partition.clusterings.append(self.clustering_of(row))
            found = get_packed(self.out.data + self.places[row].clustering, &size)
            found = get_packed(found + size, &size)
            partition.rows.append((<const char*>found)[:size])
        return partitions


cdef class Page:
    """The answer to a slice, as far as its limits allowed."""

    def __init__(
        self, list partitions not None, bint more=False, bytes last_key not None=b"",
        bytes last_clustering not None=b"", Py_ssize_t last_rows=0,
    ):
        self.parts = partitions
        self.more = more
        self.last_key = last_key
        self.last_clustering = last_clustering
        self.last_rows = last_rows

    @property
    def partitions(self) -> list[PartitionRows]:
        """All partitions as objects; from then on there are no packs."""
        return self.unpacked()

    cdef list unpacked(self):
        cdef list partitions
        cdef object part
        if self.is_unpacked:
            return self.parts
        partitions = []
        for part in self.parts:
            if type(part) is Pack:
                partitions += (<Pack>part).unpack(0, (<Pack>part).count)
            else:
                partitions.append(part)
        self.parts = partitions
        self.is_unpacked = True
        return partitions

    def rows_at_position(self) -> int:
        """How many rows of the partition at the position are on the page."""
        cdef object last
        cdef Pack pack
        if not self.more or not self.parts:
            return 0
        last = self.parts[len(self.parts) - 1]
        if type(last) is Pack:
            pack = <Pack>last
            if not pack.count or pack.key_of(pack.count - 1) != self.last_key:
                return 0
            return pack.rows_before(pack.count - 1) + 1
        return len(last.rows) if last.key == self.last_key else 0

    def encode(self) -> bytes:
        """For the mesh and the peers."""
        cdef Writer out = Writer()
        cdef Py_ssize_t partitions = 0
        cdef object part
        out.put_u8(PAGE_VERSION)
        out.put_u8(FLAG_MORE if self.more else 0)
        out.put_bytes(self.last_key)
        out.put_bytes(self.last_clustering)
        out.put_uvarint(self.last_rows)
        for part in self.parts:
            partitions += (<Pack>part).partitions if type(part) is Pack else 1
        out.put_uvarint(partitions)
        for part in self.parts:
            if type(part) is Pack:
                out.put_raw((<Pack>part).out.data, (<Pack>part).out.size)
            else:
                encode_partition(out, part)
        return out.take()

    @staticmethod
    def decode(bytes data not None) -> Page:
        """What `encode` wrote; CorruptData if it is anything else."""
        cdef Reader source = Reader(data)
        if source.u8() != PAGE_VERSION:
            raise CorruptData("a page is of an unknown version")
        more = source.u8() & FLAG_MORE != 0
        last_key, last_clustering = source.sized(), source.sized()
        last_rows = decode_limit(source)
        parts = decode_parts(source, source.length())
        source.finish()
        return Page(parts, more, last_key, last_clustering, last_rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Page) and self.encode() == other.encode()

    def __repr__(self) -> str:
        return f"Page({self.parts!r}, more={self.more})"


cdef int encode_partition(Writer out, PartitionRows partition) except -1:
    cdef Py_ssize_t i, count = len(partition.rows)
    assert len(partition.clusterings) == count, "each row has its clustering"
    out.put_bytes(partition.key)
    if partition.deletion is None:
        out.put_u8(0)
    else:
        out.put_u8(1)
        out.put_i64(partition.deletion[0])
        out.put_u32(partition.deletion[1])
    out.put_bytes(partition.static_row)
    out.put_uvarint(count)
    for i in range(count):
        out.put_bytes(partition.clusterings[i])
        out.put_bytes(partition.rows[i])
    return 0


cdef list decode_parts(Reader source, Py_ssize_t partitions):
    """Partitions which `encode` wrote, those which may be packed as packs."""
    cdef list parts = []
    cdef Pack pack = None
    cdef const uint8_t* start
    cdef Py_ssize_t size
    for _ in range(partitions):
        start = source.at
        if not skip_plain(source):
            source.at = start
            pack = None
            parts.append(decode_partition(source))
            continue
        size = source.at - start
        if pack is None or pack.out.size >= PACK_BYTES:
            pack = Pack.__new__(Pack)
            parts.append(pack)
        pack.add(start, size)
    return parts


cdef bint skip_plain(Reader source) except -1:
    """Goes on behind a partition; False if it has anything but a few rows."""
    cdef Py_ssize_t rows
    source.raw(source.length())
    if source.u8() or source.length():
        return False
    rows = source.length()
    if not 0 < rows <= PACKED_ROWS_MAX:
        return False
    for _ in range(2 * rows):
        source.raw(source.length())
    return True


cdef PartitionRows decode_partition(Reader source):
    cdef Py_ssize_t count
    cdef list clusterings = [], rows = []
    key = source.sized()
    deletion = None
    if source.u8():
        timestamp = source.i64()
        deletion = timestamp, source.u32()
    static_row = source.sized()
    count = source.length()
    for _ in range(count):
        clusterings.append(source.sized())
        rows.append(source.sized())
    return PartitionRows(key, deletion, static_row, clusterings, rows)

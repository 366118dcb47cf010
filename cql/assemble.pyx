"""Page -> result rows: row bytes to wire form in one pass, or to values for what must compute."""

from functools import cmp_to_key

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from storage.row cimport COUNTER_SHARD_BYTES, CellCursor
from storage.slice cimport Pack, PartitionRows, get_packed

from cql.types.catalog import ListType, MapType, SetType
from cql.types.ordering import compare, is_memcmp

cdef extern from "Python.h":
    # Of an object that nobody else has seen; frees it and sets the pointer to NULL if it fails.
    int _PyBytes_Resize(PyObject **value, Py_ssize_t size) except -1

cdef Py_ssize_t BUFFER_BYTES_FIRST = 4096
cdef Py_ssize_t GIVEN_AWAY_BYTES = 64 * 1024   # so much is not worth a copy
cdef Py_ssize_t ROWS_MAX = 1 << 30   # more than a partition of any page has
cdef int EXPIRING = 2


cdef class FetchedRow:
    """One row as values, for filters, functions and aggregates."""

    def __init__(self, bytes key, bytes clustering, list values, list times, list ttls):
        self.key = key
        self.clustering = clustering
        self.values = values
        self.times = times
        self.ttls = ttls


cdef class Assembler:
    """Turns pages of one SELECT into result rows.

    `columns` are the fetched ones as (kind, position or column id, type); `outputs` names for each
    result column the fetched column it shows. One assembler serves one execution.
    """

    def __cinit__(self, tuple columns, tuple outputs, int key_parts, object codec, bint lossy,
                  bint is_counter, bint with_times=False, int64_t wall_s=0):
        cdef Py_ssize_t i
        cdef int kind, position
        self.column_count = len(columns)
        self.output_count = len(outputs)
        self.key_parts = key_parts
        self.codec = codec
        self.lossy = lossy
        self.is_counter = is_counter
        self.with_times = with_times
        self.wall_s = wall_s
        self.column_id_max = -1
        for kind, position, _ in columns:
            if kind >= STATIC:
                self.column_id_max = max(self.column_id_max, position)
        self.values = <Value *>malloc(max(1, self.column_count) * sizeof(Value))
        self.kinds = <int *>malloc(max(1, self.column_count) * sizeof(int))
        self.positions = <int *>malloc(max(1, self.column_count) * sizeof(int))
        self.outputs = <int *>malloc(max(1, self.output_count) * sizeof(int))
        self.slot_of = <int *>malloc((self.column_id_max + 2) * sizeof(int))
        if (self.values == NULL or self.kinds == NULL or self.positions == NULL
                or self.outputs == NULL or self.slot_of == NULL):
            raise MemoryError()
        for i in range(self.column_id_max + 2):
            self.slot_of[i] = -1
        self.types = []
        self.multicell = []
        for i in range(self.column_count):
            kind, position, type_ = columns[i]
            self.values[i].data = NULL
            self.values[i].size = -1
            self.kinds[i] = kind
            self.positions[i] = position
            self.types.append(type_)
            self.multicell.append(kind >= STATIC and type_.is_multicell)
            if kind >= STATIC:
                self.slot_of[position] = <int>i
                self.has_multicell = self.has_multicell or self.multicell[i]
            elif kind == CLUSTERING:
                self.wants_clustering = True
        for i in range(self.output_count):
            self.outputs[i] = outputs[i]
            assert 0 <= self.outputs[i] < self.column_count, "an output shows a fetched column"
        self.cursor = CellCursor()
        self.held = []
        self.static_held = []
        self.elements = [None] * self.column_count
        self.times = [None] * self.column_count
        self.ttls = [None] * self.column_count

    def __dealloc__(self):
        free(self.values)
        free(self.kinds)
        free(self.positions)
        free(self.outputs)
        free(self.slot_of)
        Py_XDECREF(self.store)

    @property
    def row_count(self):
        """Result rows written so far."""
        return self.rows

    @property
    def byte_count(self):
        """Their bytes."""
        return self.size

    cpdef Py_ssize_t add_partition(
        self, PartitionRows partition, Py_ssize_t bytes_max=0,
        Py_ssize_t first=0, Py_ssize_t count=ROWS_MAX,
    ) except -1:
        """Append the result rows of a partition, or `count` of them from `first` on, or those of
        them before which the result has less than `bytes_max`; gives the first that was not taken.
        """
        cdef bytes row
        cdef Py_ssize_t i, end
        cdef list rows = partition.rows
        cdef list clusterings = partition.clusterings
        self.read_head(partition)
        if not rows:
            self.clear(REGULAR)
            return self.emit()
        end = min(len(rows), first + count)
        for i in range(first, end):
            if bytes_max and self.size >= bytes_max:
                return i
            row = rows[i]
            self.read_row(clusterings[i], row)
            self.emit()
        return end

    def fetch_partition(
        self, PartitionRows partition not None, Py_ssize_t first=0, Py_ssize_t count=ROWS_MAX
    ):
        """The rows of a PartitionRows, or `count` of them from `first` on, as FetchedRows."""
        cdef bytes row
        cdef Py_ssize_t i
        cdef list rows = partition.rows
        cdef list clusterings = partition.clusterings
        cdef list fetched = []
        self.read_head(partition)
        if not rows:
            self.clear(REGULAR)
            fetched.append(self.fetched(partition.key, b""))
        for i in range(first, min(len(rows), first + count)):
            row = rows[i]
            self.read_row(clusterings[i], row)
            fetched.append(self.fetched(partition.key, clusterings[i]))
        return fetched

    cpdef Py_ssize_t add_pack(
        self, Pack pack, Py_ssize_t bytes_max, Py_ssize_t first, Py_ssize_t count
    ) except -1:
        """Append `count` rows of a pack from `first` on, or those of them before which the result
        has `bytes_max` (0 is no limit); gives the first that was not taken.
        """
        cdef Py_ssize_t row
        cdef Py_ssize_t end = min(pack.count, first + count)
        self.clear(STATIC)
        for row in range(first, end):
            if bytes_max and self.size >= bytes_max:
                return row
            if row == first or pack.places[row].key != pack.places[row - 1].key:
                self.read_packed_key(pack, row)
            self.read_packed(pack, row)
            self.emit()
        return end

    def fetch(self, part not None, Py_ssize_t first, Py_ssize_t count):
        """`count` rows of a part of a page from `first` on as FetchedRows."""
        if type(part) is Pack:
            return self.fetch_pack(part, first, count)
        return self.fetch_partition(part, first, count)

    cdef list fetch_pack(self, Pack pack, Py_ssize_t first, Py_ssize_t count):
        cdef Py_ssize_t row
        cdef bytes key = b""
        cdef list fetched = []
        self.clear(STATIC)
        for row in range(first, min(pack.count, first + count)):
            if row == first or pack.places[row].key != pack.places[row - 1].key:
                self.read_packed_key(pack, row)
                key = pack.key_of(row)
            self.read_packed(pack, row)
            fetched.append(self.fetched(key, pack.clustering_of(row)))
        return fetched

    def add_values(self, list values):
        """Append a result row of computed values: bytes or None, one for each result column."""
        cdef bytes value
        cdef object item
        for item in values:
            if item is None:
                self.reserve(4)
                put_size(self.buffer + self.size, -1)
                self.size += 4
            else:
                value = item
                self.reserve(4 + len(value))
                put_size(self.buffer + self.size, len(value))
                memcpy(self.buffer + self.size + 4, PyBytes_AS_STRING(value), len(value))
                self.size += 4 + len(value)
        self.rows += 1

    def take(self):
        """(wire form of all rows, number of rows); the assembler is empty afterwards."""
        cdef Py_ssize_t rows = self.rows
        return self.take_data(), rows

    cdef bytes take_data(self):
        """The wire form of all rows; the assembler is empty afterwards.

        Much of it is not copied: the buffer itself is given away.
        """
        cdef PyObject *whole
        cdef bytes data
        if self.size < GIVEN_AWAY_BYTES:
            data = PyBytes_FromStringAndSize(<const char *>self.buffer, self.size)
        else:
            whole, self.store, self.buffer, self.capacity = self.store, NULL, NULL, 0
            _PyBytes_Resize(&whole, self.size)
            data = <object>whole
            Py_DECREF(data)
        self.size = 0
        self.rows = 0
        return data

    # The functions below raise what Python raises (-1 with an exception set).

    cdef int clear(self, int kind) except -1:
        """Forget the cells of the row (with its clustering) or of the static row."""
        cdef Py_ssize_t i
        for i in range(self.column_count):
            if self.kinds[i] == kind or (kind == REGULAR and self.kinds[i] == CLUSTERING):
                self.values[i].data = NULL
                self.values[i].size = -1
                if self.has_multicell:
                    self.elements[i] = None
                if self.with_times:
                    self.times[i] = None
                    self.ttls[i] = None
        if kind == REGULAR:
            self.held.clear()
        else:
            self.static_held.clear()
        return 0

    cdef int read_head(self, PartitionRows partition) except -1:
        """Point the key columns and the static ones at their values."""
        self.read_key(<const unsigned char *>PyBytes_AS_STRING(partition.key), len(partition.key))
        self.clear(STATIC)
        if partition.static_row:
            self.static_held.append(partition.static_row)
            self.read_cells(
                <const unsigned char *>PyBytes_AS_STRING(partition.static_row),
                len(partition.static_row), STATIC,
            )
        return 0

    cdef int read_row(self, bytes clustering, bytes row) except -1:
        """Point the columns of a row at their values."""
        self.clear(REGULAR)
        self.held.append(row)
        self.read_clustering(clustering, row)
        return self.read_cells(
            <const unsigned char *>PyBytes_AS_STRING(row), len(row), REGULAR
        )

    cdef int read_packed_key(self, Pack pack, Py_ssize_t row) except -1:
        """Point the key columns at their values, which the pack keeps."""
        cdef Py_ssize_t size
        cdef const unsigned char *key = get_packed(pack.out.data + pack.places[row].key, &size)
        return self.read_key(key, size)

    cdef int read_packed(self, Pack pack, Py_ssize_t row) except -1:
        """Point the columns of a row at their values, which the pack keeps."""
        cdef Py_ssize_t clustering_size, size
        cdef const unsigned char *clustering = get_packed(
            pack.out.data + pack.places[row].clustering, &clustering_size
        )
        cdef const unsigned char *data = get_packed(clustering + clustering_size, &size)
        self.clear(REGULAR)
        if self.wants_clustering and clustering_size:
            self.read_clustering(
                PyBytes_FromStringAndSize(<const char *>clustering, clustering_size),
                PyBytes_FromStringAndSize(<const char *>data, size) if self.lossy else b"",
            )
        return self.read_cells(data, size, REGULAR)

    cdef int read_key(self, const unsigned char *data, Py_ssize_t end) except -1:
        """Point the key columns into the decorated key: token, then the serialized key."""
        cdef Py_ssize_t at = 8
        cdef Py_ssize_t size, part, i
        assert end >= 8, "a decorated key begins with its token"
        self.held.clear()
        for part in range(self.key_parts):
            if self.key_parts == 1:
                size = end - 8
            else:
                assert at + 2 <= end, "a composite key holds all its components"
                size = (data[at] << 8) | data[at + 1]
                at += 2
                assert at + size + 1 <= end, "a component lies inside its key"
            for i in range(self.column_count):
                if self.kinds[i] == KEY and self.positions[i] == part:
                    self.values[i].data = data + at
                    self.values[i].size = size
            at += size + 1
        return 0

    cdef int read_clustering(self, bytes clustering, bytes row) except -1:
        """Point the clustering columns at their values."""
        cdef list parts
        cdef bytes part
        cdef Py_ssize_t i
        if not self.wants_clustering or not clustering:
            return 0
        parts = raw_clustering(row) if self.lossy else self.codec.decode(clustering)
        self.held.append(parts)
        for i in range(self.column_count):
            if self.kinds[i] == CLUSTERING and self.positions[i] < len(parts):
                part = parts[self.positions[i]]
                self.values[i].data = <const unsigned char *>PyBytes_AS_STRING(part)
                self.values[i].size = len(part)
        return 0

    cdef list held_of(self, int kind):
        """Where objects are kept which the columns of a kind point into."""
        return self.static_held if kind == STATIC else self.held

    cdef int read_cells(self, const unsigned char *row, Py_ssize_t size, int kind) except -1:
        """Point the columns of `kind` at the cells of `row`; collections are put together."""
        cdef CellCursor cursor = self.cursor
        cdef int slot
        cdef bytes value
        cdef bint element
        cdef bint some = False
        cursor.point(row, size)
        while cursor.next():
            if cursor.column > self.column_id_max:
                continue
            slot = self.slot_of[cursor.column]
            if slot < 0 or self.kinds[slot] != kind or cursor.flags & 1:
                continue
            element = self.has_multicell and self.multicell[slot]
            if element:
                some = True
                if self.elements[slot] is None:
                    self.elements[slot] = []
                (<list>self.elements[slot]).append((cursor.path(), cursor.value()))
            elif self.is_counter:
                value = counter_total(cursor.value())
                self.held_of(kind).append(value)
                self.values[slot].data = <const unsigned char *>PyBytes_AS_STRING(value)
                self.values[slot].size = len(value)
            else:
                self.values[slot].data = cursor.value_ptr
                self.values[slot].size = cursor.value_len
            if self.with_times:
                self.note_times(slot, element, cursor)
        if some:
            for slot in range(self.column_count):
                if self.kinds[slot] == kind and self.elements[slot] is not None:
                    value = pack_elements(self.types[slot], self.elements[slot])
                    self.held_of(kind).append(value)
                    self.values[slot].data = <const unsigned char *>PyBytes_AS_STRING(value)
                    self.values[slot].size = len(value)
        return 0

    cdef int note_times(self, int slot, bint element, CellCursor cell) except -1:
        """Keep when the cell was written and how long it lives; of a collection, by path."""
        cdef object left = None
        if cell.flags & EXPIRING:
            left = <int64_t>cell.expiry - self.wall_s
        if not element:
            self.times[slot] = cell.timestamp
            self.ttls[slot] = left
            return 0
        if self.times[slot] is None:
            self.times[slot] = {}
            self.ttls[slot] = {}
        self.times[slot][cell.path()] = cell.timestamp
        self.ttls[slot][cell.path()] = left
        return 0

    cdef int emit(self) except -1:
        """Append the row at hand in wire form."""
        cdef Py_ssize_t i
        cdef Py_ssize_t need = 0
        cdef Value value
        cdef unsigned char *to
        for i in range(self.output_count):
            need += 4 + max(0, self.values[self.outputs[i]].size)
        self.reserve(need)
        to = self.buffer + self.size
        for i in range(self.output_count):
            value = self.values[self.outputs[i]]
            put_size(to, value.size)
            to += 4
            if value.size > 0:
                memcpy(to, value.data, value.size)
                to += value.size
        self.size += need
        self.rows += 1
        return 0

    cdef object fetched(self, bytes key, bytes clustering):
        """The row at hand as values."""
        cdef Py_ssize_t i
        cdef list values = []
        for i in range(self.column_count):
            if self.values[i].size < 0:
                values.append(None)
            else:
                values.append(PyBytes_FromStringAndSize(
                    <const char *>self.values[i].data, self.values[i].size))
        if not self.with_times:
            return FetchedRow(key, clustering, values, None, None)
        return FetchedRow(key, clustering, values, list(self.times), list(self.ttls))

    cdef int reserve(self, Py_ssize_t more) except -1:
        """Make room for `more` bytes."""
        cdef Py_ssize_t capacity = max(self.capacity, BUFFER_BYTES_FIRST)
        if self.size + more <= self.capacity:
            return 0
        while capacity < self.size + more:
            capacity *= 2
        if self.store == NULL:
            made = PyBytes_FromStringAndSize(NULL, capacity)
            Py_INCREF(made)
            self.store = <PyObject *>made
        else:
            self.capacity = 0
            _PyBytes_Resize(&self.store, capacity)
        self.buffer = <unsigned char *>PyBytes_AS_STRING(<object>self.store)
        self.capacity = capacity
        return 0


cdef inline void put_size(unsigned char *to, Py_ssize_t size) noexcept:
    """A big-endian int32."""
    to[0] = (size >> 24) & 0xFF
    to[1] = (size >> 16) & 0xFF
    to[2] = (size >> 8) & 0xFF
    to[3] = size & 0xFF


cdef bytes sized(bytes value):
    """A value with its int32 length before it; None is null."""
    cdef unsigned char head[4]
    if value is None:
        return b"\xff\xff\xff\xff"
    put_size(head, len(value))
    return PyBytes_FromStringAndSize(<const char *>head, 4) + value


def raw_clustering(bytes row):
    """The clustering values in the hidden cell of `row`."""
    cdef CellCursor cursor = CellCursor()
    cdef bytes packed
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t size
    cdef list values = []
    cursor.reset(row)
    assert cursor.next() and cursor.column == 0, "a lossy clustering comes with its hidden cell"
    packed = cursor.value()
    while at < len(packed):
        size = int.from_bytes(packed[at:at + 4], "big")
        values.append(packed[at + 4:at + 4 + size])
        at += 4 + size
    return values


def timeuuid_order(bytes path):
    """A key that sorts time UUIDs by time, then by their low half as signed bytes."""
    return (
        bytes([path[6] & 0x0F, path[7]]) + path[4:6] + path[:4],
        bytes([byte ^ 0x80 for byte in path[8:]]),
    )


def sort_elements(object type_, list elements):
    """Put (path, value) pairs into the order in which the collection shows them."""
    if isinstance(type_, ListType):
        if len(elements) > 1:
            elements.sort(key=lambda element: timeuuid_order(element[0]))
    elif isinstance(type_, (SetType, MapType)):
        inner = type_.element if isinstance(type_, SetType) else type_.key
        if len(elements) > 1 and not is_memcmp(inner):
            elements.sort(key=cmp_to_key(lambda a, b: compare(inner, a[0], b[0])))


def pack_elements(object type_, list elements):
    """The value of a collection or user type from its (path, value) cells."""
    cdef list parts
    if isinstance(type_, (ListType, SetType, MapType)):
        sort_elements(type_, elements)
        parts = [(<object>len(elements)).to_bytes(4, "big")]
        if isinstance(type_, ListType):
            parts += [sized(value) for _, value in elements]
        elif isinstance(type_, SetType):
            parts += [sized(path) for path, _ in elements]
        else:
            for path, value in elements:
                parts.append(sized(path))
                parts.append(sized(value))
        return b"".join(parts)
    fields = {int.from_bytes(path, "big"): value for path, value in elements}
    return b"".join([sized(fields.get(i)) for i in range(len(type_.field_types))])


def counter_total(bytes context):
    """The value of a counter cell: the sum of what its shards counted, as eight bytes."""
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(context)
    cdef Py_ssize_t at, i
    cdef uint64_t total = 0
    cdef uint64_t part
    assert len(context) % COUNTER_SHARD_BYTES == 0, "a counter context is a row of equal parts"
    for at in range(COUNTER_SHARD_BYTES - 8, len(context), COUNTER_SHARD_BYTES):
        part = 0
        for i in range(8):
            part = (part << 8) | data[at + i]
        total += part
    return (<object>total).to_bytes(8, "big")

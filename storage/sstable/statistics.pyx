"""What an SSTable's footer says of its contents, gathered while it is written."""

from libc.stdint cimport INT64_MAX, INT64_MIN, UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t

from storage.order cimport compare
from storage.sstable.format cimport (
    Input, Output, compare_spans, get_span, get_u8, get_u32, get_u64, get_uvarint,
)

from storage.errors import CorruptData

_NO_END = b"\xff"

cdef enum:
    ROW_MARKER = 1
    ROW_EXPIRING_MARKER = 2
    ROW_DELETED = 4
    CELL_TOMBSTONE = 1
    CELL_EXPIRING = 2
    CELL_HAS_PATH = 4
    CELL_SAME_TS = 16
    CELL_EMPTY = 32


cdef class Statistics:
    """Counts and bounds over rows and deletions."""

    def __cinit__(self) -> None:
        self.min_timestamp = INT64_MAX
        self.max_timestamp = INT64_MIN
        self.min_deletion_s = UINT32_MAX
        self.first_key = b""
        self.last_key = b""
        self.min_clustering = None
        self.max_clustering = b""

    cdef int _saw(self, int64_t timestamp, uint32_t at) except -1:
        self.min_timestamp = min(self.min_timestamp, timestamp)
        self.max_timestamp = max(self.max_timestamp, timestamp)
        self.min_deletion_s = min(self.min_deletion_s, at)
        self.max_deletion_s = max(self.max_deletion_s, at)
        return 0

    cdef int _saw_deletion(self, int64_t timestamp, uint32_t at) except -1:
        self.tombstones += 1
        return self._saw(timestamp, at)

    def add_partition(
        self, bytes key not None, deletion: object, bytes static_row not None
    ) -> None:
        """Counts a partition which begins, its deletion and its static row."""
        if self.partitions == 0:
            self.first_key = key
        self.last_key = key
        self.partitions += 1
        if deletion is not None:
            self._saw_deletion(deletion[0], deletion[1])
            self._cover(b"", _NO_END)
        if static_row:
            self._cover(b"", b"")
            self.add_row(static_row)

    def add_rows(self, list clusterings not None, list rows not None) -> None:
        """Counts ascending rows of the partition added last."""
        if not rows:
            return
        self._cover(clusterings[0], clusterings[len(clusterings) - 1])
        for row in rows:
            self.add_row(row)

    def add_tombstone(self, bytes start not None, bytes end not None, timestamp: int,
                      deleted_at: int) -> None:
        """Counts a range tombstone of the partition added last."""
        self._saw_deletion(timestamp, deleted_at)
        self._cover(start, end or _NO_END)

    def _cover(self, bytes first, bytes last) -> None:
        if self.min_clustering is None or first < self.min_clustering:
            self.min_clustering = first
        if last > self.max_clustering:
            self.max_clustering = last

    def add_row(self, bytes row not None) -> None:
        """Counts one row's marker, deletion and cells; CorruptData if it is no row."""
        self.add_span(<const uint8_t*><const char*>row, len(row))

    cdef int add_plain(self, bytes key) except -1:
        """Counts a partition which begins and has no deletion and no static row."""
        if self.partitions == 0:
            self.first_key = key
        self.last_key = key
        self.partitions += 1
        return 0

    cdef int cover_span(self, const uint8_t* clustering, Py_ssize_t size) except -1:
        """Notes where a row of the partition added last lies."""
        if self.min_clustering is None or compare_spans(
            clustering, size, <const uint8_t*><const char*>self.min_clustering,
            len(self.min_clustering),
        ) < 0:
            self.min_clustering = (<const char*>clustering)[:size]
        if compare_spans(
            clustering, size, <const uint8_t*><const char*>self.max_clustering,
            len(self.max_clustering),
        ) > 0:
            self.max_clustering = (<const char*>clustering)[:size]
        return 0

    cdef int add_span(self, const uint8_t* row, Py_ssize_t size) except -1:
        """Counts one row's marker, deletion and cells; CorruptData if it is no row."""
        cdef Input source
        cdef uint8_t flags
        cdef int64_t base
        cdef uint32_t ttl, at = UINT32_MAX
        source.at = row
        source.end = row + size
        source.bad = False
        flags = get_u8(&source)
        base = <int64_t>get_u64(&source)
        self.rows += 1
        if flags & ROW_EXPIRING_MARKER:
            ttl = get_u32(&source)
            at = get_u32(&source)
            self.max_ttl_s = max(self.max_ttl_s, ttl)
            self.tombstones += 1
        if flags & ROW_MARKER:
            self._saw(base, at)
        if flags & ROW_DELETED:
            base_of_deletion = <int64_t>get_u64(&source)
            self._saw_deletion(base_of_deletion, get_u32(&source))
        while source.at < source.end and not source.bad:
            self._saw_cell(&source, base)
        if source.bad:
            raise CorruptData("a row that ends within a cell")
        return 0

    cdef int _saw_cell(self, Input* source, int64_t base) except -1:
        cdef uint8_t flags = get_u8(source)
        cdef uint32_t ttl = 0, at = UINT32_MAX
        cdef Py_ssize_t length
        get_uvarint(source)
        if not flags & CELL_SAME_TS:
            base = <int64_t>get_u64(source)
        if flags & CELL_EXPIRING:
            ttl = get_u32(source)
            if not flags & CELL_TOMBSTONE:
                self.max_ttl_s = max(self.max_ttl_s, ttl)
        if flags & (CELL_EXPIRING | CELL_TOMBSTONE):
            at = get_u32(source)
            if flags & CELL_TOMBSTONE:  # One that expired was deleted when it was written.
                at = at - ttl if at > ttl else 0
            self.tombstones += 1
        if flags & CELL_HAS_PATH:
            get_span(source, &length)
        if not flags & (CELL_TOMBSTONE | CELL_EMPTY):
            get_span(source, &length)
        return self._saw(base, at)

    def encode(self) -> bytes:
        """The payload of the statistics frame."""
        cdef Output output = Output()
        for number in (self.partitions, self.rows, self.tombstones, self.raw_bytes):
            output.put_u64(number)
        output.put_u64(<uint64_t>self.min_timestamp)
        output.put_u64(<uint64_t>self.max_timestamp)
        output.put_u32(self.min_deletion_s)
        output.put_u32(self.max_deletion_s)
        output.put_u32(self.max_ttl_s)
        output.put_bytes(self.first_key)
        output.put_bytes(self.last_key)
        output.put_bytes(self.min_clustering or b"")
        output.put_bytes(self.max_clustering)
        return output.take()

    @staticmethod
    def decode(bytes payload not None) -> Statistics:
        """The statistics of a payload whose checksum was right."""
        cdef Input source
        cdef Statistics result = Statistics()
        source.at = <const uint8_t*><const char*>payload
        source.end = source.at + len(payload)
        source.bad = False
        result.partitions = get_u64(&source)
        result.rows = get_u64(&source)
        result.tombstones = get_u64(&source)
        result.raw_bytes = get_u64(&source)
        result.min_timestamp = <int64_t>get_u64(&source)
        result.max_timestamp = <int64_t>get_u64(&source)
        result.min_deletion_s = get_u32(&source)
        result.max_deletion_s = get_u32(&source)
        result.max_ttl_s = get_u32(&source)
        result.first_key = _get_bytes(&source)
        result.last_key = _get_bytes(&source)
        result.min_clustering = _get_bytes(&source)
        result.max_clustering = _get_bytes(&source)
        if source.bad or source.at != source.end or result.first_key > result.last_key:
            raise CorruptData("statistics that are none")
        return result

    def may_cover(self, bytes start not None, bytes end not None) -> bool:
        """Whether anything in the file could lie in, or reach into, [start, end)."""
        return self.covers(start, end)

    cdef bint covers(self, bytes start, bytes end) except -1:
        """The same; an empty `end` is none."""
        assert self.min_clustering is not None, "a file has something, or says that it has all"
        if len(end) > 0 and compare(end, self.min_clustering) <= 0:
            return False
        return self.max_clustering == _NO_END or compare(start, self.max_clustering) <= 0


cdef bytes _get_bytes(Input* source):
    cdef Py_ssize_t length
    cdef const uint8_t* span = get_span(source, &length)
    return <bytes>(<const char*>span)[:length]

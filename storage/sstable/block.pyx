"""Rows and tombstones of one or more partitions <-> the payload of a data frame."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from storage.order cimport compare
from storage.sstable.format cimport (
    LENGTH_MAX,
    SECTION_CONTINUED,
    SECTION_CONTINUES,
    SECTION_DELETED,
    SECTION_FLAGS,
    SECTION_STATIC,
    Input,
    Output,
    compare_spans,
    get_span,
    get_u8,
    get_u32,
    get_u64,
    get_uvarint,
)

from storage.errors import CorruptData


cdef class BlockBuilder:
    """Builds one block after the other; a section is the part of a partition in this block."""

    def __init__(self, bytes_max: int) -> None:
        assert bytes_max > 0, "a block holds at least a byte"
        self.bytes_max = bytes_max
        self._done = Output()
        self._tombstones = Output()
        self._rows = Output()

    cdef Py_ssize_t _size(self) noexcept:
        return self._done.size + self._tombstones.size + self._rows.size

    @property
    def size(self) -> int:
        """Bytes in the block so far, the open section included."""
        return self._size()

    @property
    def is_full(self) -> bool:
        """Whether the next row or tombstone belongs into another block."""
        return self._size() >= self.bytes_max

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in the block, not even an open section."""
        return self._done.size == 0 and self._key is None

    def begin(self, bytes key not None, deletion: object, bytes static_row not None,
              bytes low) -> None:
        """Opens a section; `low` is None if the partition begins here."""
        assert self._key is None, "one section is open at a time"
        assert self._last_key is None or key > self._last_key, "keys ascend within a block"
        assert low is None or self._done.size == 0, "only a block's first section is continued"
        self._note_first(key, low)
        self._key = key
        self._deletion = deletion
        self._static_row = static_row
        self._low = low
        self._last_clustering = None
        self._tombstone_count = 0
        self._row_count = 0

    cdef int _note_first(self, bytes key, bytes low) except -1:
        if self._done.size == 0:
            self.first_key = key
            self.first_clustering = b"" if low is None else low
        return 0

    cdef int open_plain(self, bytes key) except -1:
        """Opens the section of a whole partition that has nothing but rows."""
        assert self._key is None, "one section is open at a time"
        assert self._last_key is None or compare(key, self._last_key) > 0, (
            "keys ascend within a block"
        )
        self._note_first(key, None)
        self._key = key
        self._deletion = None
        self._static_row = b""
        self._low = None
        self._last_clustering = None
        self._tombstone_count = 0
        self._row_count = 0
        return 0

    cdef int put_row(
        self, const uint8_t* clustering, Py_ssize_t size, const uint8_t* row, Py_ssize_t row_size
    ) except -1:
        """Adds a row to a plain section; the caller sees to it that they ascend."""
        self._rows.put_span(clustering, size)
        self._rows.put_span(row, row_size)
        self._row_count += 1
        return 0

    cdef int close_plain(self) except -1:
        """Closes a plain section; one without rows leaves no trace."""
        if self._row_count:
            self._put_section(None)
            self._last_key = self._key
        self._key = None
        return 0

    cdef int put_copy(self, bytes key, const uint8_t* section, Py_ssize_t size) except -1:
        """Puts a section as it is, which is a whole partition."""
        assert self._key is None, "one section is open at a time"
        assert self._last_key is None or compare(key, self._last_key) > 0, (
            "keys ascend within a block"
        )
        self._note_first(key, None)
        self._done.put_raw(section, size)
        self._last_key = key
        return 0

    def add_tombstone(self, bytes start not None, bytes end not None, timestamp: int,
                      deleted_at: int) -> None:
        """Adds [start, end), which lies after every tombstone before it."""
        assert not end or start < end, "a tombstone covers something"
        if self._pending is not None:
            last_start, last_end, last_timestamp, last_deleted_at = self._pending
            assert b"" != last_end <= start, "tombstones ascend and are disjoint"
            if (last_end, last_timestamp, last_deleted_at) == (start, timestamp, deleted_at):
                start = last_start      # what an older cut divided grows together again
            else:
                self._put_pending(last_end)
        self._pending = (start, end, timestamp, deleted_at)

    def add_rows(self, list clusterings not None, list rows not None, Py_ssize_t first,
                 Py_ssize_t stop) -> int:
        """Adds rows [first, stop) until the block is full; the position of the first not added."""
        cdef Py_ssize_t i = first
        cdef bytes clustering
        assert len(clusterings) == len(rows), "each row has a clustering"
        while i < stop and self._size() < self.bytes_max:
            clustering = clusterings[i]
            assert self._last_clustering is None or clustering > self._last_clustering, (
                "rows ascend"
            )
            self._rows.put_bytes(clustering)
            self._rows.put_bytes(rows[i])
            self._last_clustering = clustering
            self._row_count += 1
            i += 1
        return i

    def end(self, bytes high) -> object:
        """Closes the section at `high` (None: the partition ends).

        Gives what is left of a tombstone which crosses `high`, to be added to the next section.
        """
        rest = None
        if self._pending is not None:
            start, end, timestamp, deleted_at = self._pending
            if high is not None and (end == b"" or end > high):
                rest = (max(start, high), end, timestamp, deleted_at)
                if start < high:
                    self._put_pending(high)
            else:
                self._put_pending(end)
            self._pending = None
        self._put_section(high)
        self._last_key = self._key
        self._key = None
        return rest

    cdef int _put_section(self, bytes high) except -1:
        cdef Output done = self._done
        cdef Py_ssize_t start, length
        cdef int i
        cdef uint8_t flags = (
            (SECTION_DELETED if self._deletion is not None else 0)
            | (SECTION_STATIC if len(self._static_row) else 0)
            | (SECTION_CONTINUED if self._low is not None else 0)
            | (SECTION_CONTINUES if high is not None else 0)
        )
        done.put_u8(flags)
        done.put_u32(0)                 # the length, once it is known
        start = done.size
        done.put_bytes(self._key)
        if self._deletion is not None:
            done.put_u64(<uint64_t><int64_t>self._deletion[0])
            done.put_u32(self._deletion[1])
        if self._static_row:
            done.put_bytes(self._static_row)
        if self._low is not None:
            done.put_bytes(self._low)
        if high is not None:
            done.put_bytes(high)
        done.put_uvarint(self._tombstone_count)
        done.put_uvarint(self._row_count)
        done.put_raw(self._tombstones._data, self._tombstones.size)
        done.put_raw(self._rows._data, self._rows.size)
        self._tombstones.clear()
        self._rows.clear()
        length = done.size - start
        assert length < LENGTH_MAX, "a row fits a frame"
        for i in range(4):
            done._data[start - 4 + i] = <uint8_t>(length >> (24 - 8 * i))
        return 0

    cdef int _put_pending(self, bytes end) except -1:
        start, _, timestamp, deleted_at = self._pending
        self._tombstones.put_bytes(start)
        self._tombstones.put_bytes(end)
        self._tombstones.put_u64(<uint64_t><int64_t>timestamp)
        self._tombstones.put_u32(deleted_at)
        self._tombstone_count += 1
        return 0

    def take(self) -> bytes:
        """The block's payload; the next `begin` begins another block."""
        assert self._key is None, "a block is taken between sections"
        assert self._done.size > 0, "an empty block is never written"
        self._last_key = None
        self.first_key = None
        return self._done.take()


cdef class Section:
    """The part of one partition that lies in one block."""

    cdef Input _input(self) noexcept:
        cdef const uint8_t* start = <const uint8_t*><const char*>self._payload
        cdef Input source
        source.at = start + self._body
        source.end = start + self._end
        source.bad = False
        return source

    cdef bint is_plain(self) noexcept:
        """Whether it is a whole partition that has nothing but rows."""
        return (
            self.deletion is None
            and not self.continued
            and not self.continues
            and self.tombstone_count == 0
            and len(self.static_row) == 0
        )

    def tombstones(self) -> list[tuple[bytes, bytes, int, int]]:
        """The range tombstones as (start, end, timestamp, deleted at), ascending."""
        cdef Input source = self._input()
        cdef uint32_t i
        cdef list result = []
        cdef bytes last_end = self.low
        for i in range(self.tombstone_count):
            start = _get_bytes(&source)
            end = _get_bytes(&source)
            timestamp = <int64_t>get_u64(&source)
            deleted_at = get_u32(&source)
            if source.bad or (i and not last_end) or start < last_end or (end and end <= start):
                raise CorruptData("range tombstones that do not ascend")
            if self.continues and (not end or end > self.high):
                raise CorruptData("a range tombstone that leaves its block")
            result.append((start, end, timestamp, deleted_at))
            last_end = end
        return result

    def rows(self, bytes start not None, bytes end not None) -> tuple[list[bytes], list[bytes]]:
        """Clusterings and rows of [start, end), ascending; an empty `end` is no end."""
        cdef Input source = self._input()
        cdef const uint8_t* start_bytes = <const uint8_t*><const char*>start
        cdef const uint8_t* end_bytes = <const uint8_t*><const char*>end
        cdef const uint8_t* clustering
        cdef const uint8_t* row
        cdef const uint8_t* last = NULL
        cdef Py_ssize_t length, row_length, last_length = 0
        cdef uint32_t _
        cdef list clusterings = []
        cdef list rows = []
        self._skip_tombstones(&source)
        for _ in range(self.row_count):
            clustering = get_span(&source, &length)
            row = get_span(&source, &row_length)
            if source.bad or (
                last != NULL and compare_spans(clustering, length, last, last_length) <= 0
            ):
                raise CorruptData("rows that do not ascend, or end after their block")
            last = clustering
            last_length = length
            if compare_spans(clustering, length, start_bytes, len(start)) < 0:
                continue
            if len(end) and compare_spans(clustering, length, end_bytes, len(end)) >= 0:
                break
            clusterings.append(<bytes>(<const char*>clustering)[:length])
            rows.append(<bytes>(<const char*>row)[:row_length])
        return clusterings, rows

    cdef int _skip_tombstones(self, Input* source) except -1:
        cdef Py_ssize_t length
        for _ in range(self.tombstone_count):
            get_span(source, &length)
            get_span(source, &length)
            get_u64(source)
            get_u32(source)
            if source.bad:
                raise CorruptData("a range tombstone that ends after its block")
        return 0


cdef class Block:
    """A data frame's payload, which was checked and decompressed, as sections."""

    def __init__(self, bytes payload not None) -> None:
        self._payload = payload
        self.memory_bytes = len(payload)

    def find(self, bytes key not None) -> Section | None:
        """The section of `key`, if the block has one."""
        return self.section_of(key)

    cdef Section section_of(self, bytes key):
        """The same."""
        cdef const uint8_t* start = <const uint8_t*><const char*>self._payload
        cdef const uint8_t* key_bytes = <const uint8_t*><const char*>key
        cdef const uint8_t* span
        cdef Py_ssize_t length
        cdef Py_ssize_t offset = 0
        cdef Py_ssize_t section_end
        cdef int order
        cdef Input source
        while offset < len(self._payload):
            source.at = start + offset
            source.end = start + len(self._payload)
            source.bad = False
            section_end = _section_end(&source, start)
            span = get_span(&source, &length)
            if source.bad:
                raise CorruptData("a section that ends after its block")
            order = compare_spans(span, length, key_bytes, len(key))
            if order == 0:
                return self._parse(offset)
            if order > 0:
                return None
            offset = section_end
        return None

    def sections(self) -> list[Section]:
        """All sections, ascending."""
        cdef Py_ssize_t offset = 0
        cdef Section section
        cdef list result = []
        cdef bytes last = None
        while offset < len(self._payload):
            section = self._parse(offset)
            if last is not None and (section.key <= last or section.continued):
                raise CorruptData("sections that do not ascend")
            last = section.key
            result.append(section)
            offset = section._end
            if section.continues and offset < len(self._payload):
                raise CorruptData("a section that goes on before its block ends")
        return result

    cdef Section _parse(self, Py_ssize_t offset):
        """The section at `offset`; CorruptData if it is none."""
        cdef SectionHead head
        self.read_head(offset, &head)
        return self._section(&head)

    cdef Section _section(self, const SectionHead* head):
        """The section of which this is the head."""
        cdef Section section = Section.__new__(Section)
        section._payload = self._payload
        section._start = head.start
        section._body = head.body
        section._end = head.end
        section.key = _copy_of(head.key, head.key_size)
        section.deletion = None
        if head.flags & SECTION_DELETED:
            section.deletion = (head.deletion_ts, head.deleted_at)
        section.static_row = _copy_of(head.static_row, head.static_size)
        section.continued = (head.flags & SECTION_CONTINUED) != 0
        section.continues = (head.flags & SECTION_CONTINUES) != 0
        section.low = _copy_of(head.low, head.low_size)
        section.high = _copy_of(head.high, head.high_size)
        section.tombstone_count = head.tombstone_count
        section.row_count = head.row_count
        return section

    cdef int read_head(self, Py_ssize_t offset, SectionHead* head) except -1:
        """Reads what the section at `offset` begins with; CorruptData if there is none."""
        cdef const uint8_t* start = <const uint8_t*><const char*>self._payload
        cdef Input source
        assert 0 <= offset < len(self._payload), "a section begins inside of its block"
        source.at = start + offset
        source.end = start + len(self._payload)
        source.bad = False
        head.flags = start[offset]
        head.start = offset
        head.end = _section_end(&source, start)
        if not source.bad:
            source.end = start + head.end
        head.key = get_span(&source, &head.key_size)
        head.static_size = head.low_size = head.high_size = 0
        if head.flags & SECTION_DELETED:
            head.deletion_ts = <int64_t>get_u64(&source)
            head.deleted_at = get_u32(&source)
        if head.flags & SECTION_STATIC:
            head.static_row = get_span(&source, &head.static_size)
        if head.flags & SECTION_CONTINUED:
            head.low = get_span(&source, &head.low_size)
        if head.flags & SECTION_CONTINUES:
            head.high = get_span(&source, &head.high_size)
        head.tombstone_count = <uint32_t>get_uvarint(&source)
        head.row_count = <uint32_t>get_uvarint(&source)
        head.body = source.at - start
        if source.bad or head.flags > SECTION_FLAGS:
            raise CorruptData("a section that does not fit its block")
        return 0


cdef Py_ssize_t _section_end(Input* source, const uint8_t* start) noexcept:
    """Reads flags and length; the offset one past the section, or `bad` is set."""
    cdef uint32_t length
    get_u8(source)
    length = get_u32(source)
    if source.bad or <Py_ssize_t>length > source.end - source.at:
        source.bad = True
        return 0
    return source.at - start + length


cdef inline bytes _copy_of(const uint8_t* data, Py_ssize_t size):
    return <bytes>(<const char*>data)[:size] if size else b""


cdef bytes _get_bytes(Input* source):
    cdef Py_ssize_t length
    cdef const uint8_t* span = get_span(source, &length)
    return <bytes>(<const char*>span)[:length]

"""Sorted (key, clustering) -> place of a frame: index blocks and the summary above them."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from storage.sstable.format cimport (
    LENGTH_MAX,
    Input,
    Output,
    compare_spans,
    get_span,
    get_u32,
    get_u64,
)

from storage.errors import CorruptData

ENTRY_OVERHEAD_MAX = 10 + 10 + 8 + 4


cdef class IndexBuilder:
    """Collects entries in ascending order."""

    def __cinit__(self) -> None:
        self._output = Output()
        self._last_key = None

    def add(self, bytes key, bytes low, offset: int, size: int) -> None:
        """Adds the frame at `offset` whose first row is at or above (key, low)."""
        assert self._last_key is None or (self._last_key, self._last_low) < (key, low), (
            "index entries ascend strictly"
        )
        if self.count == 0:
            self._first_key = key
            self._first_low = low
        self._last_key = key
        self._last_low = low
        self._output.put_bytes(key)
        self._output.put_bytes(low)
        self._output.put_u64(offset)
        self._output.put_u32(size)
        self.count += 1

    def fits(self, bytes key, bytes low, bytes_max: int) -> bool:
        """Whether one more entry keeps the block within `bytes_max`."""
        return self._output.size + len(key) + len(low) + ENTRY_OVERHEAD_MAX <= bytes_max

    @property
    def size(self) -> int:
        """Bytes of all entries so far."""
        return self._output.size

    @property
    def first(self) -> tuple[bytes, bytes]:
        """The (key, low) of the first entry."""
        assert self.count > 0, "an empty index block has no first entry"
        return self._first_key, self._first_low

    def take(self) -> bytes:
        """The block's payload; the next `add` begins another block."""
        assert self.count > 0, "an empty index block is never written"
        self.count = 0
        return self._output.take()


cdef class IndexBlock:
    """An index block or a summary, searched by key and clustering."""

    def __init__(self, bytes payload) -> None:
        """Takes a payload whose checksum was right; CorruptData if it is no index block."""
        if not 0 < len(payload) <= LENGTH_MAX:
            raise CorruptData("an index block of a length that none has")
        self._payload = payload
        self._offsets = <uint32_t*>malloc(_count_max(payload) * sizeof(uint32_t))
        if self._offsets == NULL:
            raise MemoryError()
        self._scan()
        self._check_order()

    def __dealloc__(self) -> None:
        free(self._offsets)

    def _scan(self) -> None:
        cdef const uint8_t* start = <const uint8_t*><const char*>self._payload
        cdef Input source
        cdef Py_ssize_t length
        source.at = start
        source.end = start + len(self._payload)
        source.bad = False
        while source.at < source.end:
            self._offsets[self.count] = <uint32_t>(source.at - start)
            get_span(&source, &length)
            get_span(&source, &length)
            get_u64(&source)
            get_u32(&source)
            if source.bad:
                raise CorruptData("an index entry that ends after its block")
            self.count += 1

    def _check_order(self) -> None:
        cdef Py_ssize_t i
        for i in range(1, self.count):
            if not self._compare_entries(i - 1, i):
                raise CorruptData("index entries that do not ascend")

    def _compare_entries(self, Py_ssize_t a, Py_ssize_t b) -> bool:
        cdef Input left = self._entry(a)
        cdef Input right = self._entry(b)
        cdef Py_ssize_t left_length, right_length
        cdef const uint8_t* left_bytes
        cdef const uint8_t* right_bytes
        cdef int order = 0
        for _ in range(2):
            left_bytes = get_span(&left, &left_length)
            right_bytes = get_span(&right, &right_length)
            order = compare_spans(left_bytes, left_length, right_bytes, right_length)
            if order != 0:
                break
        return order < 0

    cdef Input _entry(self, Py_ssize_t position) noexcept:
        cdef const uint8_t* start = <const uint8_t*><const char*>self._payload
        cdef Input source
        source.at = start + self._offsets[position]
        source.end = start + len(self._payload)
        source.bad = False
        return source

    cdef int _compare(self, Py_ssize_t position, bytes key, bytes low) noexcept:
        cdef Input source = self._entry(position)
        cdef Py_ssize_t length
        cdef const uint8_t* span = get_span(&source, &length)
        cdef int order = compare_spans(span, length, <const uint8_t*><const char*>key, len(key))
        if order != 0:
            return order
        span = get_span(&source, &length)
        return compare_spans(span, length, <const uint8_t*><const char*>low, len(low))

    def find(self, bytes key not None, bytes low not None) -> int:
        """The position of the last entry at or below (key, low); -1 if all are above."""
        return self.last_at(key, low)

    cdef Py_ssize_t last_at(self, bytes key, bytes low) noexcept:
        """The same."""
        cdef Py_ssize_t lower = 0
        cdef Py_ssize_t upper = self.count
        cdef Py_ssize_t middle
        while lower < upper:
            middle = (lower + upper) // 2
            if self._compare(middle, key, low) <= 0:
                lower = middle + 1
            else:
                upper = middle
        return lower - 1

    def place(self, Py_ssize_t position) -> tuple[int, int]:
        """The (offset, size) of the frame which the entry at `position` names."""
        cdef uint64_t offset
        cdef uint32_t size
        self.read_place(position, &offset, &size)
        return offset, size

    cdef int read_place(self, Py_ssize_t position, uint64_t* offset, uint32_t* size) except -1:
        """The same."""
        cdef Py_ssize_t length
        assert 0 <= position < self.count, "an index position is within its block"
        cdef Input source = self._entry(position)
        get_span(&source, &length)
        get_span(&source, &length)
        offset[0] = get_u64(&source)
        size[0] = get_u32(&source)
        return 0

    def start(self, Py_ssize_t position) -> tuple[bytes, bytes]:
        """The (key, low) of the entry at `position`."""
        cdef Py_ssize_t length
        cdef const uint8_t* span
        assert 0 <= position < self.count, "an index position is within its block"
        cdef Input source = self._entry(position)
        span = get_span(&source, &length)
        key = <bytes>(<const char*>span)[:length]
        span = get_span(&source, &length)
        return key, <bytes>(<const char*>span)[:length]

    @property
    def memory_bytes(self) -> int:
        """What the block holds of memory."""
        return len(self._payload) + _count_max(self._payload) * sizeof(uint32_t)


cdef Py_ssize_t _count_max(bytes payload) noexcept:
    """No entry is shorter than two empty strings, an offset and a size."""
    return len(payload) // 14 + 1

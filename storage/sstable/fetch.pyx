"""Places in an SSTable's file, and which of them are wanted with one read."""

from storage.errors import CorruptData

cdef enum:
    PAGE_BYTES = 4096

cdef uint64_t FILE_BYTES_MAX = <uint64_t>1 << 60


cdef class Extent:
    """A run of bytes of the file."""

    def __init__(self, uint64_t offset, uint64_t size):
        self.offset = offset
        self.size = size

    @property
    def end(self) -> int:
        """The offset of the first byte after it."""
        return <object>self.offset + <object>self.size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Extent):
            return NotImplemented
        return self.offset == (<Extent>other).offset and self.size == (<Extent>other).size

    def __hash__(self) -> int:
        return hash((self.offset, self.size))

    def __repr__(self) -> str:
        return f"Extent(offset={self.offset}, size={self.size})"


cdef class Fetch:
    """Frames of one table, of one kind and in ascending places, which a reader needs."""

    def __init__(self, table, kind, list places not None):
        self.table = table
        self.kind = kind
        self.places = places
        self.place()

    @property
    def bytes(self) -> int:
        """What is read of the file, but for the rounding to pages."""
        return self.end - self.start

    @property
    def pages(self) -> tuple[int, int]:
        """Where the read of the file begins and ends."""
        return self.first_page(), self.pages_end()

    cdef int place(self) except -1:
        """Finds where the read begins and ends; CorruptData if no file is so long."""
        cdef Extent first, last
        assert len(self.places) > 0, "what is fetched is somewhere"
        first = <Extent?>self.places[0]
        last = <Extent?>self.places[len(self.places) - 1]
        if max(first.offset, last.offset) > FILE_BYTES_MAX or last.size > FILE_BYTES_MAX:
            raise CorruptData("a place outside of every file")
        self.start = <int64_t>first.offset
        self.end = <int64_t>(last.offset + last.size)
        return 0

    cdef int64_t first_page(self) noexcept:
        """Where the read of the file begins."""
        return self.start // PAGE_BYTES * PAGE_BYTES

    cdef int64_t pages_end(self) noexcept:
        """Where the read of the file ends."""
        return (self.end + PAGE_BYTES - 1) // PAGE_BYTES * PAGE_BYTES


cdef Fetch fetch_one(object table, object kind, uint64_t offset, uint64_t size):
    """A single frame; without the cost of calls from Python."""
    cdef Extent place = Extent.__new__(Extent)
    cdef Fetch made = Fetch.__new__(Fetch)
    place.offset = offset
    place.size = size
    made.table = table
    made.kind = kind
    made.places = [place]
    made.place()
    return made

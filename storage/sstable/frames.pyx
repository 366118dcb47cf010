"""What an open SSTable says without waiting: may it have a key, and what is in a frame.

The part of `storage.sstable.reader` that every read of every file passes. Invariant: nothing of a
frame is used before its checksum was right.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from storage.order cimport compare
from storage.sstable.bloom cimport key_hash
from storage.sstable.fetch cimport Extent
from storage.sstable.opening cimport payload_of

from storage.errors import CorruptData, CorruptFile
from storage.sstable.block import Block
from storage.sstable.frame import Kind

cdef object INDEX = Kind.INDEX


cdef class FrameFile:
    """One open file and its users."""

    def __init__(self, disk, str path not None, file, footer, Statistics statistics not None,
                 IndexBlock summary not None, BloomFilter bloom not None, int level=0):
        self._disk = disk
        self._file = file
        self.path = path
        self.footer = footer
        self.statistics = statistics
        self.summary = summary
        self.filter = bloom
        self.level = level
        self.generation = footer.generation
        self.file_bytes = footer.file_bytes
        self.identity = footer.identity
        self.first_key, self.last_key = statistics.first_key, statistics.last_key
        self.users = 1
        assert self.first_key is not None and self.last_key is not None, "a file has keys"

    @property
    def memory_bytes(self) -> int:
        """What the open table holds of memory."""
        return self.summary.memory_bytes + self.filter.memory_bytes

    cpdef bint may_contain(self, bytes key, uint64_t hashed) except -1:
        """Whether the partition of `key`, whose `key_hash` is `hashed`, could be in the file."""
        assert key is not None, "a partition has a key"
        return (
            compare(self.first_key, key) <= 0
            and compare(key, self.last_key) <= 0
            and self.filter.may_contain(hashed)
        )

    def acquire(self):
        """One more user, who calls `release` in the end."""
        assert self.users > 0, "a closed table has no new users"
        self.users += 1
        return self

    def release(self) -> bool:
        """One user fewer; true if that was the last one, who must then await `close`."""
        assert self.users > 0, "a table is released once by each user"
        self.users -= 1
        return self.users == 0

    def retire(self) -> None:
        """The manifest no longer names the file: it goes when its last user does."""
        self.is_obsolete = True

    cpdef int begin_read(self, Fetch fetch, object taker) except -1:
        """Begin to read the pages which have the frames; `taker` gets them."""
        cdef int64_t start = fetch.first_page()
        self._file.begin_read(start, fetch.pages_end() - start, taker)
        return 0

    cpdef object parse_one(self, Fetch fetch, bytes data):
        """Check and parse what was read of a single frame."""
        cdef Extent place
        assert len(fetch.places) == 1, "there is one frame"
        place = <Extent>fetch.places[0]
        return self.parse(fetch.kind, place.offset, place.size, data, fetch.first_page())

    def parse_at(self, Fetch fetch not None, Py_ssize_t which, bytes data):
        """Check and parse one frame of all that were read."""
        cdef Extent place = <Extent>fetch.places[which]
        return self.parse(fetch.kind, place.offset, place.size, data, fetch.first_page())

    cdef object parse(self, object kind, uint64_t offset, uint64_t size, bytes data, int64_t start):
        """The frame at an offset of the file, of data that were read from `start`."""
        cdef Py_ssize_t length, begin
        cdef const uint8_t* frame
        cdef bytes payload
        assert data is not None and 0 <= start <= <int64_t>offset, "a frame is within what was read"
        length = PyBytes_GET_SIZE(data)
        begin = min(<int64_t>offset - start, length)
        frame = <const uint8_t*>PyBytes_AS_STRING(data) + begin
        try:
            payload = payload_of(
                self.identity, offset, kind, frame, min(<uint64_t>(length - begin), size)
            )
            return IndexBlock(payload) if kind is INDEX else Block(payload)
        except CorruptData as error:
            raise CorruptFile(self.path, offset, str(error)) from error


cpdef list files_with(tuple files, bytes key):
    """The files which may have something of a partition."""
    cdef FrameFile file
    cdef list found = []
    cdef uint64_t hashed
    assert key is not None, "a partition has a key"
    hashed = key_hash(key)
    for each in files:
        file = <FrameFile?>each
        if file.may_contain(key, hashed):
            found.append(file)
    return found


cpdef list files_for(list found, Slice wanted, bint wants_static):
    """Of the files with a partition, those which may have something for a slice of it.

    Their clusterings leave room for it, unless a static row is wanted, or deletions only.
    """
    if wants_static or len(wanted.ranges) == 0 or len(found) == 0:
        return found
    cdef bytes start = <bytes?>wanted.ranges[0][0]
    cdef bytes end = <bytes?>wanted.ranges[len(wanted.ranges) - 1][1]
    return [each for each in found if (<FrameFile>each).statistics.covers(start, end)]

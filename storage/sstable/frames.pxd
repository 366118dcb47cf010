"""What an open SSTable says without waiting: may it have a key, and what is in a frame."""

from libc.stdint cimport int64_t, uint64_t

from storage.slice cimport Slice
from storage.sstable.bloom cimport BloomFilter
from storage.sstable.fetch cimport Fetch
from storage.sstable.index cimport IndexBlock
from storage.sstable.statistics cimport Statistics


cdef class FrameFile:
    cdef readonly object _disk              # Disk, to remove the file
    cdef readonly object _file              # File that is open
    cdef readonly str path
    cdef readonly object footer
    cdef readonly Statistics statistics
    cdef readonly IndexBlock summary
    cdef readonly BloomFilter filter
    cdef public int level                   # where leveled compaction keeps it; the manifest knows
    cdef readonly uint64_t generation       # in its name; a younger file has a higher one
    cdef readonly uint64_t file_bytes
    cdef readonly bint is_obsolete          # the manifest no longer names the file
    cdef readonly Py_ssize_t users          # the last one closes the file
    cdef bytes identity                     # which the checksums of frames cover
    cdef bytes first_key
    cdef bytes last_key

    cpdef bint may_contain(self, bytes key, uint64_t hashed) except -1
    cpdef int begin_read(self, Fetch fetch, object taker) except -1
    cpdef object parse_one(self, Fetch fetch, bytes data)
    cdef object parse(self, object kind, uint64_t offset, uint64_t size, bytes data, int64_t start)


cpdef list files_with(tuple files, bytes key)
cpdef list files_for(list found, Slice wanted, bint wants_static)

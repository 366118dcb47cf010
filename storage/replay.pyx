"""The log's mutations, handed to their tables as they lie in its bytes.

A record is a mutation, or a group of them as `storage.group` makes it.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp

from storage.log_run cimport LogRun
from storage.memtable cimport Memtable
from storage.mutation cimport TABLE_ID_BYTES, MutationHead, read_head, read_length
from storage.record cimport POSITION_OFFSET_BITS, RecordBatch, RecordSpan

from storage.group import GROUP as _mark

cdef uint8_t _GROUP = _mark


cdef class Target:
    """Where the mutations of one table go, and which of them do not."""

    def __init__(self, into: LogRun | Memtable, uint64_t flushed) -> None:
        if isinstance(into, LogRun):
            self.run = into
        else:
            self.memtable = into
        self.flushed = flushed


cdef class Replay:
    """Hands out what a log holds, and counts."""

    def __cinit__(self) -> None:
        self._targets = {}

    def aim(self, dict targets not None) -> None:
        """From now on mutations go to these targets, by table id."""
        for table_id, target in targets.items():
            assert len(table_id) == TABLE_ID_BYTES, "a table id has 16 bytes"
            assert isinstance(target, Target), "mutations go to targets"
        self._targets = targets
        self._table_id = None
        self._target = None

    def apply(self, RecordBatch batch not None) -> int:
        """Hands out the records in their order; gives by how many bytes memory has grown.

        CorruptData from a record that is no mutation; those before it were handed out.
        """
        cdef const uint8_t* window = <const uint8_t*><const char*>batch.window
        cdef RecordSpan* span
        cdef uint64_t position
        cdef int64_t grown = 0
        cdef Py_ssize_t i
        for i in range(batch.count):
            span = &batch.spans[i]
            position = batch.segment << POSITION_OFFSET_BITS | span.offset
            if span.size and window[span.start] == _GROUP:
                grown += self._apply_group(window + span.start, span.size, position)
            else:
                grown += self._apply_one(window + span.start, span.size, position)
        return grown

    cdef int64_t _apply_group(
        self, const uint8_t* data, Py_ssize_t size, uint64_t position
    ) except? -1:
        cdef const uint8_t* end = data + size
        cdef const uint8_t* at = data + 1
        cdef Py_ssize_t length = 0
        cdef int64_t grown = 0
        while at < end:
            at = read_length(at, end, &length)
            grown += self._apply_one(at, length, position)
            at += length
        return grown

    cdef int64_t _apply_one(
        self, const uint8_t* data, Py_ssize_t size, uint64_t position
    ) except? -1:
        cdef MutationHead head
        read_head(data, size, &head)
        self._aim(head.table_id)
        if self._target is None or position <= self._target.flushed:
            self.skipped += 1
            return 0
        self.replayed += 1
        if self._target.run is not None:
            return self._target.run.add(data, size, &head)
        return self._target.memtable.apply_head(
            (<const char*>head.key)[:head.key_size], &head
        )

    cdef int _aim(self, const uint8_t* table_id) except -1:
        """Finds the target, which is mostly the one of the mutation before."""
        if self._table_id is not None and memcmp(
            <const char*>self._table_id, table_id, TABLE_ID_BYTES
        ) == 0:
            return 0
        self._table_id = (<const char*>table_id)[:TABLE_ID_BYTES]
        self._target = self._targets.get(self._table_id)
        return 0

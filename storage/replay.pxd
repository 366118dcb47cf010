"""The log's mutations, handed to their tables as they lie in its bytes."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from storage.log_run cimport LogRun
from storage.memtable cimport Memtable


@cython.final
cdef class Target:
    cdef readonly LogRun run            # where mutations go, or None
    cdef readonly Memtable memtable     # where they go if there is no run
    cdef uint64_t flushed               # positions up to this one are in files


@cython.final
cdef class Replay:
    cdef readonly int64_t replayed  # mutations that a table took
    cdef readonly int64_t skipped   # mutations which are in files, or whose table is gone
    cdef dict _targets              # by table id
    cdef bytes _table_id            # of the mutation before
    cdef Target _target             # its target; None if its table is gone

    cdef int64_t _apply_group(
        self, const uint8_t* data, Py_ssize_t size, uint64_t position
    ) except? -1
    cdef int64_t _apply_one(
        self, const uint8_t* data, Py_ssize_t size, uint64_t position
    ) except? -1
    cdef int _aim(self, const uint8_t* table_id) except -1

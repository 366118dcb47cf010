"""The struct of what the connections of a shard may hold together."""

cdef class Room:
    cdef readonly Py_ssize_t bytes_max
    cdef readonly Py_ssize_t used  # what all connections said they hold
    cdef readonly Py_ssize_t peak
    cdef readonly long long refusals

    # Whether so much that is yet to come may be waited for.
    cdef bint admits(self, Py_ssize_t size) noexcept
    cdef bint has(self, Py_ssize_t size) noexcept
    # A connection holds so much more, or less.
    cdef void change(self, Py_ssize_t delta) noexcept

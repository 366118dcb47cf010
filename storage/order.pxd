"""Comparing and searching byte strings."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM
from libc.string cimport memcmp


cdef inline int compare(bytes a, bytes b) noexcept:
    """Byte order: negative, zero or positive. Neither may be None."""
    cdef Py_ssize_t a_size = PyBytes_GET_SIZE(a), b_size = PyBytes_GET_SIZE(b)
    cdef int order = memcmp(
        PyBytes_AS_STRING(a), PyBytes_AS_STRING(b), a_size if a_size < b_size else b_size
    )
    if order:
        return order
    return (a_size > b_size) - (a_size < b_size)


cdef inline bint ends_before(bytes end, bytes position) noexcept:
    """Whether the exclusive bound `end` (b"" is unbounded) lies at or below `position`."""
    return PyBytes_GET_SIZE(end) != 0 and compare(end, position) <= 0


cdef inline int compare_ends(bytes a, bytes b) noexcept:
    """The order of two exclusive bounds, b"" being above all others."""
    cdef bint a_open = PyBytes_GET_SIZE(a) == 0, b_open = PyBytes_GET_SIZE(b) == 0
    if a_open or b_open:
        return a_open - b_open
    return compare(a, b)


cdef inline Py_ssize_t find_place(list keys, bytes key, Py_ssize_t low, Py_ssize_t high) noexcept:
    """The first index in [low, high) whose key is not below `key`; `keys` are ascending bytes."""
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if compare(<bytes>PyList_GET_ITEM(keys, middle), key) < 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline Py_ssize_t find_end(list keys, bytes end, Py_ssize_t low, Py_ssize_t high) noexcept:
    """Like `find_place` for an exclusive bound, of which b"" is unbounded.

    Looks near `low` first, because most ranges hold few keys and each comparison misses the cache.
    """
    cdef Py_ssize_t step = 1
    if PyBytes_GET_SIZE(end) == 0:
        return high
    while low + step < high and compare(<bytes>PyList_GET_ITEM(keys, low + step - 1), end) < 0:
        low += step
        step *= 2
    return find_place(keys, end, low, min(low + step, high))

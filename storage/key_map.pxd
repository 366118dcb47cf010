"""Keys to objects, in as many dicts as it takes for none of them to grow in one long step."""

cimport cython

cdef enum:
    SPLIT_AT = 4_096            # entries at which the one dict becomes many
    DICTS = 256                 # by one byte of the token


@cython.final
cdef class KeyMap:
    cdef list dicts             # one, or DICTS of them
    cdef dict only              # the one, or None
    cdef Py_ssize_t size
    cdef Py_ssize_t last        # no dict behind this one has anything

    cdef dict home(self, bytes key)
    cdef object find(self, bytes key)
    cdef int put(self, bytes key, object value) except -1
    cdef object put_new(self, bytes key, object value)
    cdef int grow(self, bytes key) except -1
    cdef int remove(self, bytes key) except -1
    cdef tuple take_any(self)
    cdef int split(self) except -1

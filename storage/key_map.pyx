"""Keys to objects, in as many dicts as it takes for none of them to grow in one long step.

A dict that grows moves all its entries: 60 ms when it has 700,000. So a large map is many dicts,
chosen by the lowest byte of the token that a decorated key begins with. What order entries come in
depends on the keys and on what was done before, and not on the process.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM
from cpython.ref cimport PyObject

cdef extern from "Python.h":
    PyObject* PyDict_SetDefault(dict entries, object key, object value) except NULL

cdef enum:
    TOKEN_BYTE = 7


cdef inline Py_ssize_t place_of(bytes key) noexcept:
    """The dict for a key, when there are many."""
    if PyBytes_GET_SIZE(key) <= TOKEN_BYTE:
        return 0
    return <unsigned char>PyBytes_AS_STRING(key)[TOKEN_BYTE]


cdef class KeyMap:
    """Decorated keys to objects."""

    def __cinit__(self):
        self.only = {}
        self.dicts = [self.only]

    def __len__(self) -> int:
        return self.size

    cdef dict home(self, bytes key):
        """The dict which has the key, or would have it."""
        if self.only is not None:
            return self.only
        return <dict>PyList_GET_ITEM(self.dicts, place_of(key))

    cdef object find(self, bytes key):
        """The value of `key`, or None."""
        return self.home(key).get(key)

    cdef int put(self, bytes key, object value) except -1:
        """Sets the value of `key`."""
        cdef dict home = self.home(key)
        cdef Py_ssize_t before = len(home)
        home[key] = value
        return self.grow(key) if len(home) > before else 0

    cdef object put_new(self, bytes key, object value):
        """Sets the value of `key` if it has none; gives the one it has, which is None for none."""
        cdef dict home = self.home(key)
        cdef Py_ssize_t before = len(home)
        cdef PyObject* found = PyDict_SetDefault(home, key, value)
        if len(home) == before:
            return <object>found
        self.grow(key)
        return None

    cdef int grow(self, bytes key) except -1:
        """The key has come into its dict."""
        self.size += 1
        if self.only is None:
            self.last = max(self.last, place_of(key))
        elif self.size >= SPLIT_AT:
            self.split()
        return 0

    cdef int remove(self, bytes key) except -1:
        """Takes the key out; KeyError if it is not there."""
        del self.home(key)[key]
        self.size -= 1
        return 0

    cdef tuple take_any(self):
        """Takes some entry out; KeyError if there is none."""
        cdef dict home
        while self.last > 0 and not len(<dict>self.dicts[self.last]):
            self.last -= 1
        home = <dict>self.dicts[self.last]
        entry = home.popitem()
        self.size -= 1
        return entry

    cdef int split(self) except -1:
        """Makes many dicts of the one."""
        cdef list dicts = [{} for _ in range(DICTS)]
        cdef bytes key
        for key, value in self.only.items():
            (<dict>dicts[place_of(key)])[key] = value
        self.dicts = dicts
        self.only = None
        self.last = DICTS - 1
        return 0

    # ---- the Python face ------------------------------------------------------------------------

    def __contains__(self, bytes key not None) -> bool:
        return key in self.home(key)

    def __getitem__(self, bytes key not None):
        return self.home(key)[key]

    def __setitem__(self, bytes key not None, value) -> None:
        self.put(key, value)

    def __delitem__(self, bytes key not None) -> None:
        self.remove(key)

    def items(self):
        """All entries, in no order that means anything."""
        for entries in self.dicts:
            yield from entries.items()

    def popitem(self) -> tuple[bytes, object]:
        """Some entry, which goes; KeyError if there is none."""
        return self.take_any()

    def check(self) -> None:
        """Asserts the invariants; slow."""
        assert self.size == sum(map(len, self.dicts)), "the size is the number of entries"
        for place, entries in enumerate(self.dicts):
            assert not entries or place <= self.last, "nothing is behind the last dict"
            for key in entries:
                assert self.only is not None or place_of(key) == place, "a key is in its dict"

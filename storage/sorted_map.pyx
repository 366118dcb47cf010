"""A map of byte strings in their order, in small blocks.

Invariants: blocks are never empty unless the map is; keys ascend within and across blocks; `firsts`
repeats each block's first key. A block's lists may be lent to readers: who changes a block that
somebody else holds makes a copy first, so a reader's lists never change under it. Python's garbage
collector does not look into these lists; it would look at every entry, again and again.
"""

cimport cython
from cpython.list cimport PyList_GET_ITEM, PyList_Insert
from cpython.ref cimport PyObject

from storage.order cimport compare, find_place

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* o) noexcept


@cython.no_gc
cdef class MapBlock:
    """Neighbouring entries of a map."""


@cython.no_gc
cdef class SortedMap:
    """Byte strings -> objects; fast at appending, at random insertion, and at reading a range."""

    def __cinit__(self):
        self.block = MapBlock()
        self.block.keys = untracked([])
        self.block.values = untracked([])
        self.blocks = [self.block]
        self.firsts = [b""]

    def __len__(self) -> int:
        return self.size

    cdef Py_ssize_t find_block(self, bytes key) noexcept:
        """The index of the last block that begins at or below `key`, else of the first."""
        cdef Py_ssize_t low = 1, high = len(self.firsts), middle
        while low < high:
            middle = (low + high) >> 1
            if compare(<bytes>PyList_GET_ITEM(self.firsts, middle), key) <= 0:
                low = middle + 1
            else:
                high = middle
        return low - 1

    cdef bint locate(self, bytes key) noexcept:
        """Goes to the entry of `key`, or to where it would be; whether it is there."""
        cdef Py_ssize_t count
        cdef list keys
        self.block_at = self.find_block(key)
        self.block = <MapBlock>PyList_GET_ITEM(self.blocks, self.block_at)
        keys = self.block.keys
        count = len(keys)
        if count and compare(<bytes>PyList_GET_ITEM(keys, count - 1), key) < 0:
            self.index = count
            return False
        self.index = find_place(keys, key, 0, count)
        return self.index < count and compare(<bytes>PyList_GET_ITEM(keys, self.index), key) == 0

    cdef object located(self):
        """The value that locate() found."""
        return self.block.values[self.index]

    cdef int replace(self, object value) except -1:
        """Changes the value that locate() found."""
        self.unshare()
        self.block.values[self.index] = value
        return 0

    cdef int insert(self, bytes key, object value) except -1:
        """Puts a new entry where locate() did not find it."""
        cdef MapBlock block
        if len(self.block.keys) >= BLOCK_MAX:
            self.split()
        self.unshare()
        block = self.block
        if self.index == 0:
            self.firsts[self.block_at] = key
        if self.index == len(block.keys):
            block.keys.append(key)
            block.values.append(value)
        else:
            PyList_Insert(block.keys, self.index, key)
            PyList_Insert(block.values, self.index, value)
        self.size += 1
        return 0

    cdef int unshare(self) except -1:
        """Copies the located block's lists if a reader holds them."""
        if (Py_REFCNT(<PyObject*>self.block.keys) > 1
                or Py_REFCNT(<PyObject*>self.block.values) > 1):
            self.block.keys = untracked(list(self.block.keys))
            self.block.values = untracked(list(self.block.values))
        return 0

    cdef int split(self) except -1:
        """Makes two of the located, full block; one that grows at its end stays full."""
        cdef MapBlock right = MapBlock(), left = self.block
        cdef Py_ssize_t middle = len(left.keys) // 2
        if self.index == len(left.keys):
            middle = self.index
        right.keys = untracked(left.keys[middle:])
        right.values = untracked(left.values[middle:])
        left.keys = untracked(left.keys[:middle])
        left.values = untracked(left.values[:middle])
        self.blocks.insert(self.block_at + 1, right)
        self.firsts.insert(self.block_at + 1, right.keys[0] if right.keys else b"")
        if self.index >= middle:
            self.block = right
            self.block_at += 1
            self.index -= middle
        return 0

    # ---- the Python face, for tests -------------------------------------------------------------

    def put(self, bytes key not None, value) -> None:
        """Sets the value of `key`."""
        if self.locate(key):
            self.replace(value)
        else:
            self.insert(key, value)

    def get(self, bytes key not None, default=None):
        """The value of `key`."""
        return self.located() if self.locate(key) else default

    def lend(self, Py_ssize_t block) -> tuple[list, list]:
        """The lists of a block, which will not change."""
        return (<MapBlock>self.blocks[block]).keys, (<MapBlock>self.blocks[block]).values

    def items(self) -> list[tuple]:
        """All entries in order."""
        found = []
        for block in self.blocks:
            found.extend(zip((<MapBlock>block).keys, (<MapBlock>block).values))
        return found

    def check(self) -> None:
        """Asserts the invariants."""
        cdef MapBlock block
        count = 0
        last = None
        assert len(self.blocks) == len(self.firsts), "each block has its first key"
        for i, block in enumerate(self.blocks):
            assert len(block.keys) == len(block.values), "each key has its value"
            assert len(block.keys) <= BLOCK_MAX, "blocks are bounded"
            assert block.keys or len(self.blocks) == 1, "no block is empty"
            if block.keys:
                assert self.firsts[i] == block.keys[0], "firsts repeats the first keys"
            for key in block.keys:
                assert last is None or last < key, "keys ascend"
                last = key
            count += len(block.keys)
        assert count == self.size, "the size is the number of entries"

"""Aligned memory for the calls of one disk: one piece, charged once, lent in runs of pages.

A call borrows as many neighbouring pages as it moves and gives them back when its data were copied
out of them or written; nothing that is kept ever lies here. Where no run is long enough the caller
goes to the allocator, which costs time and nothing else. The lowest free pages are lent first, so
only as many become resident as were ever in use at once.

Used by one thread.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset


cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t size)


cdef class IoMemory:
    """Pages for calls, up to `bytes_max` altogether; raises MemoryError."""

    def __cinit__(self, int64_t bytes_max):
        cdef void *base = NULL
        assert bytes_max >= 0, "a bound is no negative number"
        self.pages = bytes_max // PAGE_BYTES
        if self.pages == 0:
            return
        if posix_memalign(&base, PAGE_BYTES, self.pages * PAGE_BYTES) != 0:
            raise MemoryError
        self.base = <char *>base
        self.taken = <char *>calloc(self.pages, 1)
        if self.taken == NULL:
            raise MemoryError

    def __dealloc__(self):
        # Every call in flight refers to us, so there is none.
        free(self.base)
        free(self.taken)

    cdef char *take(self, int64_t size) noexcept:
        """The lowest free run of pages for `size` bytes; NULL if none is long enough."""
        cdef Py_ssize_t wanted = (size + PAGE_BYTES - 1) // PAGE_BYTES
        cdef Py_ssize_t page, run = 0
        if 0 < wanted <= self.pages - self.used_pages:
            while self.taken[self.first]:
                self.first += 1
            for page in range(self.first, self.pages):
                run = 0 if self.taken[page] else run + 1
                if run == wanted:
                    memset(self.taken + page + 1 - wanted, 1, wanted)
                    self.used_pages += wanted
                    self.loans += 1
                    return self.base + (page + 1 - wanted) * PAGE_BYTES
        self.refusals += 1
        return NULL

    cdef bint give(self, char *memory, int64_t size) noexcept:
        """Takes back what was lent for `size` bytes; whether it was ours."""
        cdef Py_ssize_t page, wanted = (size + PAGE_BYTES - 1) // PAGE_BYTES
        if memory < self.base or memory >= self.base + self.pages * PAGE_BYTES:
            return False
        page = (memory - self.base) // PAGE_BYTES
        memset(self.taken + page, 0, wanted)
        self.used_pages -= wanted
        self.first = min(self.first, page)
        return True

    # ---- the Python face, for tests -------------------------------------------------------------

    def lend(self, int64_t size) -> int | None:
        """Which page the memory for `size` bytes begins with; None if there is no room."""
        cdef char *memory = self.take(size)
        return None if memory == NULL else (memory - self.base) // PAGE_BYTES

    def take_back(self, Py_ssize_t page, int64_t size) -> None:
        """What `lend` gave for as many bytes."""
        assert self.give(self.base + page * PAGE_BYTES, size), "it lies within the piece"

    def check(self) -> None:
        """Asserts the invariants."""
        assert self.used_pages == sum(self.taken[page] for page in range(self.pages)), "counted"
        for page in range(min(self.first, self.pages)):
            assert self.taken[page], "no page before the first free one is free"

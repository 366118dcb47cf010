"""What a read of sections misses, brought from the disk to its lookups without a coroutine.

One future for a whole read, however many frames it takes one after the other: the queue at the disk
tells us that it is our turn, the disk brings a frame, and in the same call the lookups go on. Who
waits may give up meanwhile; then the frame that is on its way is the last.
"""

from asyncio import get_running_loop

from storage.section_read cimport SectionRead

from storage.errors import StorageError, disk_error
from storage.io_queue import IoClass

cdef object QUERY = IoClass.QUERY


cdef class SectionLoad:
    """The loads of one read. To the queue and to the disk it looks like a future."""

    def __init__(self, SectionRead search not None, object io, object cache):
        self.search = search
        self.io = io
        self.cache = cache
        self.loop = get_running_loop()

    def run(self, object missing not None):
        """A future that is done when no frame is missing; `missing` is the first that is."""
        assert self.answer is None, "the loads of a read run once"
        self.answer = self.loop.create_future()
        self.ask(missing)
        return self.answer

    # What the queue and the disk tell. Neither hears of an error: it is the answer's.

    def done(self) -> bool:
        """Never, as what was begun has to be ended, even if nobody waits for it any more."""
        return False

    def set_result(self, bytes data) -> None:
        """It is our turn, or the disk has brought what was asked for."""
        try:
            if self.is_waiting:
                self.is_waiting = False
                self.begun = self.loop.time()
                self.read()
            else:
                self.io.end(QUERY, self.missing.bytes, self.asked, self.begun)
                self.take(data)
        except BaseException as error:  # noqa: BLE001 - it is told to who waits
            self.fail(error)

    def set_exception(self, BaseException error not None) -> None:
        """The disk has failed."""
        self.io.end(QUERY, self.missing.bytes, self.asked, self.begun)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            error = disk_error(error.errno, "read", self.missing.table.path)
        self.fail(error)

    cdef int ask(self, object missing) except -1:
        """Asks for a turn, and for the frame if there is one at once."""
        self.missing = missing
        self.asked = self.begun = self.loop.time()
        self.is_waiting = not self.io.begin(QUERY, missing.bytes, self)
        return 0 if self.is_waiting else self.read()

    cdef int read(self) except -1:
        """Asks for the frame; the turn is given back if nobody waits, or the disk refuses."""
        cdef bint is_begun = False
        try:
            if not self.answer.done():
                self.missing.table.begin_read(self.missing, self)
                is_begun = True
        finally:
            if not is_begun:
                self.io.end(QUERY, self.missing.bytes, self.asked, self.begun)
        return 0

    cdef int take(self, bytes data) except -1:
        """Goes on with the lookups, as far as they come."""
        cdef list parsed
        if self.answer.done():
            return 0
        parsed = [self.missing.table.parse_one(self.missing, data)]
        self.cache.put(self.missing, parsed)
        self.search.supply(parsed)
        missing = self.search.step()
        if missing is not None:
            return self.ask(missing)
        self.answer.set_result(None)
        return 0

    cdef int fail(self, object error) except -1:
        """Nothing more is read."""
        if not self.answer.done():
            self.answer.set_exception(error)
        return 0

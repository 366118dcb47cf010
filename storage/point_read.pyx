"""A read of one partition that may go to the disk: its way from the first look to the page.

Nothing on the way is a coroutine. To the room for reads, to the queue at the disk and to the disk
itself the read looks like a future: each tells it to go on, and in that call it goes as far as it
can. What it finds is given to a `Later`. Who waits may give up meanwhile; then the frame that is on
its way is the last.

It serves slices whose rows lie within one block of each file, forward. What goes beyond that, and
what to do about damage, is a coroutine of the engine, which begins from the beginning: what was
read so far is in the cache.
"""

from storage.io_turns cimport loop_time
from storage.later cimport Later
from storage.read_turns cimport ReadTurns
from storage.section_read cimport SectionRead
from storage.slice cimport Page, Slice
from storage.sstable.fetch cimport Fetch
from storage.sstable.frames cimport FrameFile

from storage.errors import CorruptData, DiskError, StorageError, disk_error
from storage.io_queue import IoClass
from storage.read import bounds_of, first_position
from storage.read_room import bytes_of
from storage.sstable.lookup import Lookup

STEPS_MAX = 500
"""Rows which are merged before others get a turn."""

cdef object QUERY = IoClass.QUERY
cdef Py_ssize_t PAGE_STEPS_MAX = STEPS_MAX


cdef class PointRead:
    """One read. `begin` is called once."""

    def __init__(self, engine not None, store not None, ReadTurns room not None, table not None,
                 rows, Slice wanted not None, bytes key not None, wall_s):
        assert not wanted.reverse, "sections are read from their beginning"
        self.engine = engine
        self.store = store
        self.room = room
        self.table = table
        self.rows = rows
        self.wanted = wanted
        self.key = key
        self.wall_s = wall_s

    cpdef object begin(self, list files, list memtables):
        """The page, if nothing has to be waited for; otherwise what comes later.

        `files` are those to look at, beside `memtables`. None if the slice goes beyond what lies in
        one block of each file.
        """
        self.look(files, memtables)
        missing = self.search.step()
        if missing is None:
            return self.page()
        self.answer = Later()
        self.io = self.store.io
        self.lane = self.io.lane_of(QUERY)
        self.now = loop_time()
        self.size = bytes_of(self.wanted, not self.table.layout.has_clustering)
        if not self.room.begin(self.size, self):
            self.waits = FOR_ROOM
            return self.answer
        try:
            self.hold()
            self.ask(missing)
        except BaseException as error:  # noqa: BLE001 - it is told to who waits
            self.fail(error)
        return self.answer

    # What the room, the queue and the disk tell. They hear of no error: it is the answer's.

    def done(self) -> bool:
        """Whether to go on is of no use; what was begun at the disk has to be ended even so."""
        return self.waits == FOR_ROOM and self.answer.is_decided

    def set_result(self, bytes data) -> None:
        """There is room, it is our turn, or the disk has brought what was asked for."""
        cdef Wait waited = self.waits
        self.waits = FOR_NOTHING
        self.now = loop_time()
        try:
            if waited == FOR_DISK:
                self.end_call()
                self.take(data)
            elif waited == FOR_TURN:
                self.begun = self.now
                self.read()
            else:
                assert waited == FOR_ROOM, "nobody tells what was not waited for"
                self.enter()
        except BaseException as error:  # noqa: BLE001 - it is told to who waits
            self.fail(error)

    def set_exception(self, BaseException error not None) -> None:
        """The disk has failed."""
        assert self.waits == FOR_DISK, "only the disk fails"
        self.waits = FOR_NOTHING
        self.now = loop_time()
        self.end_call()
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            error = disk_error(error.errno, "read", self.missing.table.path)
        self.fail(error)

    # The steps.

    cdef int look(self, list files, list memtables) except -1:
        """Begins with what the table has now."""
        cdef object table = self.table
        cdef list found = []
        cdef bytes position = first_position(self.wanted, self.key)
        cache = self.store.cache
        if self.rows is not None:
            self.phase = self.rows.phase
        self.files = files
        for file in files:
            found.append(Lookup(file, file.summary, self.key, position, cache))
        self.memtables = memtables
        self.search = SectionRead(
            self.memtables, found, self.wanted, self.key, self.wall_s, table.existing,
            table.wants_static(self.wanted), bounds_of(self.wanted),
        )
        return 0

    def enter(self) -> None:
        """Begins anew, as everything may have changed while there was no room."""
        if self.table.is_dropped or self.table.rows is not self.rows:
            # What would be kept now, nobody would find or forget.
            self.rows = None
        files = self.table.sstables_with(self.key)
        if self.rows is None:
            files = self.table.relevant(files, self.wanted)
        self.look(files, self.table.memtables())
        self.hold()
        missing = self.search.step()
        if missing is None:
            self.finish()
        else:
            self.ask(missing)

    cdef Page page(self):
        """The page, which the row cache keeps if it may; None if it takes another way."""
        if self.rows is None:
            return self.search.page(PAGE_STEPS_MAX)
        return self.engine.keep(self.rows, self.key, self.search, self.phase, PAGE_STEPS_MAX)

    cdef int hold(self) except -1:
        """Sees that files and memtables stay what they are until the end."""
        for file in self.files:
            file.acquire()
        for memtable in self.memtables:
            memtable.acquire()
        self.is_holding = True
        return 0

    cdef int ask(self, Fetch missing) except -1:
        """Asks for a turn, and for the frame if there is one at once."""
        self.missing = missing
        self.asked = self.begun = self.now
        if self.io.begin_in(self.lane, missing.end - missing.start, self):
            return self.read()
        self.waits = FOR_TURN
        return 0

    cdef int end_call(self) except -1:
        """Gives the turn at the disk back."""
        return self.io.end_in(
            self.lane, self.missing.end - self.missing.start, self.asked, self.begun, self.now
        )

    cdef int read(self) except -1:
        """Asks for the frame; the turn is given back if nobody waits, or the disk refuses."""
        cdef bint is_begun = False
        try:
            if not self.answer.is_decided:
                (<FrameFile>self.missing.table).begin_read(self.missing, self)
                self.waits = FOR_DISK
                is_begun = True
        finally:
            if not is_begun:
                self.end_call()
        return 0 if is_begun else self.end()

    cdef int take(self, bytes data) except -1:
        """Goes on with the lookups, as far as they come."""
        cdef list parsed
        if self.answer.is_decided:
            return self.end()
        parsed = [(<FrameFile>self.missing.table).parse_one(self.missing, data)]
        self.store.cache.put(self.missing, parsed)
        self.search.supply(parsed)
        missing = self.search.step()
        if missing is not None:
            return self.ask(missing)
        return self.finish()

    cdef int finish(self) except -1:
        """All that was missing is here."""
        cdef Page page = self.page()
        if page is not None:
            self.end()
            self.answer.set_result(page)
            return 0
        if self.rows is not None and self.rows.phase != self.phase:
            self.rows = None  # What we look at is not what the cache would keep.
        self.answer.follow(
            self.engine.read_long(
                self.table, self.rows, self.wanted, self.key, self.wall_s, self.files,
                self.memtables,
            )
        )
        return self.end()

    cdef int fail(self, object error) except -1:
        """There is no page."""
        if isinstance(error, (CorruptData, DiskError)) and not self.answer.is_decided:
            # It holds the files that it looks for the damage in.
            self.answer.follow(self.engine.blame(self.table, self.files, error, self.key))
            return self.end()
        self.end()
        self.answer.set_exception(error)
        return 0

    cdef int end(self) except -1:
        """Lets go of everything."""
        cdef list unused = []
        if self.is_holding:
            self.is_holding = False
            for memtable in self.memtables:
                memtable.release()
            for file in self.files:
                if file.release():
                    unused.append(file)
        self.room.leave(self.size)
        if unused:
            self.store.close_soon(unused)
        return 0

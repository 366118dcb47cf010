"""A read of one partition that may go to the disk: its way from the first look to the page.

Nothing on the way is a coroutine. To the room for reads, to the queue at the disk and to the disk
itself the read and its loads look like futures: each tells them to go on, and in that call they go
as far as they can. What is found is given to a `Later`. Who waits may give up meanwhile; then the
frames that are on their way are the last. All files are looked into at once, so that a partition
which lies in many of them takes no longer than the slowest.

It serves slices whose rows lie within one block of each file, forward. What goes beyond that, and
what to do about damage, is a coroutine of the engine, which begins from the beginning: what was
read so far is in the cache.
"""

from storage.io_turns cimport loop_time
from storage.later cimport Later
from storage.read_turns cimport ReadTurns
from storage.section_read cimport SectionRead
from storage.slice cimport Page, Slice
from storage.sstable.frames cimport FrameFile
from storage.sstable.lookup cimport Lookup

from storage.errors import CorruptData, DiskError, StorageError, UnknownTable, disk_error
from storage.io_queue import IoClass
from storage.read import bounds_of, first_position
from storage.read_room import bytes_of

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
        if self.search.step() is None:
            return self.page()
        self.answer = Later()
        self.size = bytes_of(self.wanted, not self.table.layout.has_clustering)
        if self.room.begin(self.size, self):
            self.go_on()
        return self.answer

    # What the room tells. It hears of no error: it is the answer's.

    def done(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.answer.is_decided

    def set_result(self, _result) -> None:
        """There is room: begins anew, as everything may have changed meanwhile."""
        try:
            if self.table.is_dropped:
                raise UnknownTable(self.wanted.table_id)
            if self.table.rows is not self.rows:
                # What would be kept now, nobody would find or forget.
                self.rows = None
            files = self.table.sstables_with(self.key)
            if self.rows is None:
                files = self.table.relevant(files, self.wanted)
            self.look(files, self.table.memtables())
        except BaseException as error:  # noqa: BLE001 - it is told to who waits
            self.fail(error)
            return
        self.go_on()

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

    cdef int go_on(self) except -1:
        """Begins the loads of all files that miss something, beside each other."""
        cdef Lookup lookup
        cdef FrameLoad load
        cdef list loads = []
        self.hold()
        try:
            for lookup in self.search.lookups:
                missing = lookup.step()
                if missing is not None:
                    load = FrameLoad.__new__(FrameLoad)
                    load.read = self
                    load.lookup = lookup
                    load.missing = missing
                    loads.append(load)
        except BaseException as error:  # noqa: BLE001 - it is told to who waits
            return self.fail(error)
        self.io = self.store.io
        self.lane = self.io.lane_of(QUERY)
        self.loading = len(loads)
        for load in loads:
            load.begin()
        return 0 if loads else self.finish()

    cdef int loaded(self, object error) except -1:
        """One of the loads is over; the last one ends the read."""
        self.loading -= 1
        if self.error is None:
            self.error = error
        if self.loading > 0:
            return 0
        if self.error is not None:
            return self.fail(self.error)
        return self.end() if self.answer.is_decided else self.finish()

    cdef int finish(self) except -1:
        """All that was missing is here."""
        cdef Page page
        try:
            missing = self.search.step()
            assert missing is None, "all that was missing is here"
            page = self.page()
            if page is None:
                if self.rows is not None and self.rows.phase != self.phase:
                    self.rows = None  # What we look at is not what the cache would keep.
                self.answer.follow(
                    self.engine.read_long(
                        self.table, self.rows, self.wanted, self.key, self.wall_s, self.files,
                        self.memtables,
                    )
                )
                return self.end()
        except BaseException as error:  # noqa: BLE001 - it is told to who waits
            return self.fail(error)
        self.end()
        self.answer.set_result(page)
        return 0

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


cdef class FrameLoad:
    """What the lookup in one file misses, frame after frame.

    To the queue and to the disk it looks like a future. They hear of no error: it is the read's.
    """

    def done(self) -> bool:
        """Never, as what was begun has to be ended, even if nobody waits for it any more."""
        return False

    def set_result(self, bytes data) -> None:
        """It is our turn, or the disk has brought what was asked for."""
        cdef double now = loop_time()
        try:
            if self.is_waiting:
                self.is_waiting = False
                self.begun = now
                self.ask()
            else:
                self.end_call(now)
                self.take(data, now)
        except BaseException as error:  # noqa: BLE001 - it is told to who waits
            self.read.loaded(error)

    def set_exception(self, BaseException error not None) -> None:
        """The disk has failed."""
        self.end_call(loop_time())
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            error = disk_error(error.errno, "read", self.missing.table.path)
        self.read.loaded(error)

    cdef int begin(self) except -1:
        """Asks for the first frame."""
        try:
            return self.queue(loop_time())
        except BaseException as error:  # noqa: BLE001 - it is told to who waits
            return self.read.loaded(error)

    cdef int queue(self, double now) except -1:
        """Asks for a turn, and for the frame if there is one at once."""
        self.asked = self.begun = now
        if self.read.io.begin_in(self.read.lane, self.missing.end - self.missing.start, self):
            return self.ask()
        self.is_waiting = True
        return 0

    cdef int ask(self) except -1:
        """Asks for the frame; the turn is given back if nobody waits, or the disk refuses."""
        cdef bint is_begun = False
        try:
            if not self.is_vain():
                (<FrameFile>self.missing.table).begin_read(self.missing, self)
                is_begun = True
        finally:
            if not is_begun:
                self.end_call(self.begun)
        return 0 if is_begun else self.read.loaded(None)

    cdef int end_call(self, double now) except -1:
        """Gives the turn at the disk back."""
        return self.read.io.end_in(
            self.read.lane, self.missing.end - self.missing.start, self.asked, self.begun, now
        )

    cdef int take(self, bytes data, double now) except -1:
        """Goes on with the lookup, as far as it comes."""
        cdef list parsed
        if self.is_vain():
            return self.read.loaded(None)
        parsed = [(<FrameFile>self.missing.table).parse_one(self.missing, data)]
        self.read.store.cache.put(self.missing, parsed)
        self.lookup.supply(parsed)
        missing = self.lookup.step()
        if missing is None:
            return self.read.loaded(None)
        self.missing = missing
        return self.queue(now)

    cdef bint is_vain(self) noexcept:
        """Whether nobody waits for the frame any more."""
        return self.read.error is not None or self.read.answer.is_decided

"""A few C threads that make blocking file calls, never take the GIL, and wake the loop.

A call is queued, made by a thread, put on the list of finished calls, and its future is resolved
by the loop, which a byte in a pipe has woken: one wake-up serves all calls finished by then.
Because the threads hold no Python object and no GIL, a slow disk cannot slow the loop, and the
loop cannot delay the disk. Calls that finish together are answered a few in each turn of the loop,
as who waits for them may do much with the answer.

Threads start when there is work that no idle thread will take, up to a bound per lane; so they
are made after the fork of the shard, and an idle node has few. There are two lanes, so that reads
do not stand behind syncs.
"""

import asyncio
import os

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from storage.io_call cimport (
    OPERATION_ALLOCATE,
    OPERATION_OPEN,
    OPERATION_READ,
    OPERATION_REMOVE,
    OPERATION_RENAME,
    OPERATION_SYNC,
    OPERATION_SYNC_DIRECTORY,
    OPERATION_WRITE,
    Call,
    Descriptor,
    Request,
    goes_on,
    new_read,
    new_request,
    new_write,
)
from storage.io_memory cimport IoMemory


cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/stat.h>
    #include <unistd.h>

    #define THREAD_STACK_BYTES (128 * 1024)

    static int pythia_sync(int fd) {
    #if defined(__APPLE__)
        return fcntl(fd, F_FULLFSYNC);
    #else
        return fdatasync(fd);
    #endif
    }

    /* Makes a file at least size bytes long; reserves its blocks where the file system can. */
    static int pythia_allocate(int fd, off_t size) {
        struct stat status;
    #if defined(__linux__)
        if (fallocate(fd, 0, 0, size) == 0) return 0;
        if (errno != EOPNOTSUPP && errno != ENOSYS) return -1;
    #endif
        if (fstat(fd, &status) != 0) return -1;
        return status.st_size >= size ? 0 : ftruncate(fd, size);
    }

    /* Starts a thread with a small stack that leaves all signals to the main thread. */
    static int pythia_start_thread(pthread_t *thread, void *(*work)(void *), void *argument) {
        pthread_attr_t attributes;
        sigset_t all, before;
        int failure = pthread_attr_init(&attributes);
        if (failure) return failure;
        pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failure = pthread_create(thread, &attributes, work, argument);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
        return failure;
    }
    """
    int pythia_sync(int fd) nogil
    int pythia_allocate(int fd, int64_t size) nogil
    int pythia_start_thread(pthread_t *thread, void *(*work)(void *) noexcept nogil, void *argument)


cdef extern from "<pthread.h>" nogil:
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attributes)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_cond_init(pthread_cond_t *condition, void *attributes)
    int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
    int pthread_cond_signal(pthread_cond_t *condition)
    int pthread_cond_broadcast(pthread_cond_t *condition)
    int pthread_cond_destroy(pthread_cond_t *condition)
    int pthread_join(pthread_t thread, void **result)

cdef extern from "<unistd.h>" nogil:
    ssize_t pread(int fd, void *memory, size_t size, int64_t offset)
    ssize_t pwrite(int fd, const void *memory, size_t size, int64_t offset)
    ssize_t unistd_write "write"(int fd, const void *memory, size_t size)
    int fsync(int fd)
    int close(int fd)

cdef extern from "<fcntl.h>" nogil:
    int fcntl_open "open"(const char *path, int flags, int mode)

cdef extern from "<stdio.h>" nogil:
    int stdio_rename "rename"(const char *source, const char *target)
    int stdio_remove "remove"(const char *path)


cdef enum:
    LANE_FAST = 0
    LANE_SLOW = 1
    FILE_MODE = 0o600

ANSWERS_AT_ONCE = ANSWERS_MAX

assert sizeof(long) == 8, "file offsets need 64 bits"


cdef class IoThreads:
    """The threads and their queues; used by one event loop."""

    def __cinit__(
        self, int threads_max, int slow_threads_max, IoMemory memory=None, watch=None
    ):
        """`watch(what, callback)`, if given, times the turns in which calls are answered."""
        self.watch = watch
        assert 0 < threads_max <= LANE_THREADS_MAX, "a lane has a thread, and a bounded number"
        assert 0 < slow_threads_max <= LANE_THREADS_MAX, "a lane has a thread, and a bounded number"
        self.shared = <Shared *>calloc(1, sizeof(Shared))
        if self.shared == NULL:
            raise MemoryError
        pthread_mutex_init(&self.shared.mutex, NULL)
        for number in range(LANES):
            pthread_cond_init(&self.shared.lanes[number].work, NULL)
        self.shared.lanes[LANE_FAST].threads_max = threads_max
        self.shared.lanes[LANE_SLOW].threads_max = slow_threads_max
        self.shared.wake_fd = -1
        self.wake_read_fd = -1
        self.memory = IoMemory(0) if memory is None else memory

    def __dealloc__(self):
        if self.shared == NULL:
            return
        self.join()
        if self.loop is not None:
            close(self.wake_read_fd)
            close(self.shared.wake_fd)
        for number in range(LANES):
            pthread_cond_destroy(&self.shared.lanes[number].work)
        pthread_mutex_destroy(&self.shared.mutex)
        free(self.shared)

    def read(self, Descriptor file, int64_t offset, int64_t size, int64_t skip, int64_t wanted):
        """Read `size` bytes at `offset`; the future gives `wanted` after the first `skip`."""
        return self.submit(new_read(self, self.memory, file, offset, size, skip, wanted), LANE_FAST)

    def begin_read(self, Descriptor file, int64_t offset, int64_t size, int64_t skip,
                   int64_t wanted, taker not None):
        """Like `read`, for who is told in the place of a future."""
        cdef Request request = new_read(self, self.memory, file, offset, size, skip, wanted)
        request.future = taker
        self.submit(request, LANE_FAST)

    def write(self, Descriptor file, int64_t offset, data, bint aligned):
        """Write all of `data` at `offset`, from aligned memory if `aligned`."""
        return self.submit(new_write(self, self.memory, file, offset, data, aligned), LANE_FAST)

    def sync(self, Descriptor file):
        """Make the data of a file durable, and its length."""
        return self.submit(new_request(self, OPERATION_SYNC, file), LANE_SLOW)

    def sync_directory(self, Descriptor directory):
        """Make the names in a directory durable."""
        return self.submit(new_request(self, OPERATION_SYNC_DIRECTORY, directory), LANE_SLOW)

    def allocate(self, Descriptor file, int64_t size):
        """Make a file at least `size` bytes long."""
        cdef Request request = new_request(self, OPERATION_ALLOCATE, file)
        request.call.size = size
        return self.submit(request, LANE_SLOW)

    def open(self, bytes path, int flags):
        """Open a file; the future gives its Descriptor."""
        cdef Request request = new_request(self, OPERATION_OPEN, None)
        request.names = path
        request.call.path = PyBytes_AS_STRING(path)
        request.call.flags = flags
        return self.submit(request, LANE_SLOW)

    def rename(self, bytes source, bytes target):
        """Give a file another name."""
        cdef Request request = new_request(self, OPERATION_RENAME, None)
        request.names = (source, target)
        request.call.path = PyBytes_AS_STRING(source)
        request.call.target = PyBytes_AS_STRING(target)
        return self.submit(request, LANE_SLOW)

    def remove(self, bytes path):
        """Remove a file or an empty directory."""
        cdef Request request = new_request(self, OPERATION_REMOVE, None)
        request.names = path
        request.call.path = PyBytes_AS_STRING(path)
        return self.submit(request, LANE_SLOW)

    def stop(self):
        """Finish what is queued, end the threads, resolve the futures, and let the loop go."""
        self.join()
        if self.loop is None:
            return
        self.take_finished()
        while self.oldest != NULL:
            self.answer(ANSWERS_MAX)
        if not self.loop.is_closed():
            self.loop.remove_reader(self.wake_read_fd)
        close(self.wake_read_fd)
        close(self.shared.wake_fd)
        self.loop = None

    cdef object submit(self, Request request, int lane_number):
        """Queue a call and give its future; raises if no thread can be started for it."""
        cdef Lane *lane = &self.shared.lanes[lane_number]
        if self.loop is None:
            self.attach()
        if request.future is None:
            request.future = self.loop.create_future()
        self.ensure_thread(lane)
        Py_INCREF(request)
        request.call.request = <PyObject *>request
        request.call.next = NULL
        pthread_mutex_lock(&self.shared.mutex)
        if lane.last == NULL:
            lane.first = &request.call
        else:
            lane.last.next = &request.call
        lane.last = &request.call
        lane.queued += 1
        pthread_cond_signal(&lane.work)
        pthread_mutex_unlock(&self.shared.mutex)
        self.in_flight += 1
        return request.future

    cdef int ensure_thread(self, Lane *lane) except -1:
        """Start a thread if the idle ones have work already; raises OSError if there is none.

        Only the loop's thread starts threads, so `started` needs no lock here.
        """
        cdef bint is_needed
        pthread_mutex_lock(&self.shared.mutex)
        is_needed = lane.queued >= lane.idle and lane.started < lane.threads_max
        pthread_mutex_unlock(&self.shared.mutex)
        if not is_needed:
            return 0
        work = _work_fast if lane == &self.shared.lanes[LANE_FAST] else _work_slow
        failure = pythia_start_thread(&lane.threads[lane.started], work, self.shared)
        if failure == 0:
            lane.started += 1
        elif lane.started == 0:
            raise OSError(failure, os.strerror(failure))
        return 0

    cdef int attach(self) except -1:
        """Take the running loop as the one that is woken; raises RuntimeError outside of one."""
        self.loop = asyncio.get_running_loop()
        self.shared.is_stopping = False
        self.wake_read_fd, self.shared.wake_fd = os.pipe()
        os.set_blocking(self.wake_read_fd, False)
        os.set_blocking(self.shared.wake_fd, False)
        wake = self._wake
        self.more = self._answer_more
        if self.watch is not None:
            wake = self.watch("answers of the disk's threads", wake)
            self.more = self.watch("answers of the disk's threads", self.more)
        self.loop.add_reader(self.wake_read_fd, wake)
        return 0

    def _wake(self):
        os.read(self.wake_read_fd, 64)
        self.take_finished()
        if not self.is_going_on:
            self._answer_more()

    def _answer_more(self):
        self.is_going_on = False
        if self.loop is None:
            return  # Stopped since this was planned, and everything was answered then.
        try:
            self.answer(ANSWERS_MAX)
        finally:
            if self.oldest != NULL and not self.is_going_on and self.loop is not None:
                self.is_going_on = True
                self.loop.call_soon(self.more)

    cdef int take_finished(self) except -1:
        """Put all finished calls behind those that wait to be answered, oldest first."""
        cdef Call *call
        cdef Call *newest
        cdef Call *following
        cdef Call *oldest = NULL
        pthread_mutex_lock(&self.shared.mutex)
        newest = self.shared.done
        self.shared.done = NULL
        pthread_mutex_unlock(&self.shared.mutex)
        if newest == NULL:
            return 0
        call = newest
        while newest != NULL:
            following = newest.next
            newest.next = oldest
            oldest = newest
            newest = following
        if self.oldest == NULL:
            self.oldest = oldest
        else:
            self.youngest.next = oldest
        self.youngest = call
        return 0

    cdef int answer(self, int calls_max) except -1:
        """Resolve the futures of finished calls, the oldest first; raises MemoryError."""
        cdef Call *call
        cdef int _i
        for _i in range(calls_max):
            call = self.oldest
            if call == NULL:
                return 0
            self.oldest = call.next
            request = <Request>call.request
            Py_DECREF(request)
            call.request = NULL
            self.in_flight -= 1
            request.finish()
        return 0

    cdef void join(self) noexcept:
        """End the threads once the queues are empty; cannot fail."""
        pthread_mutex_lock(&self.shared.mutex)
        self.shared.is_stopping = True
        for number in range(LANES):
            pthread_cond_broadcast(&self.shared.lanes[number].work)
        pthread_mutex_unlock(&self.shared.mutex)
        for number in range(LANES):
            _join_lane(&self.shared.lanes[number])


cdef void _join_lane(Lane *lane) noexcept:
    """Wait for the threads of a lane to end; cannot fail."""
    cdef int number
    with nogil:
        for number in range(lane.started):
            pthread_join(lane.threads[number], NULL)
    lane.started = 0


cdef void *_work_fast(void *shared) noexcept nogil:
    """The life of a thread of the fast lane; cannot fail."""
    _work(<Shared *>shared, &(<Shared *>shared).lanes[LANE_FAST])
    return NULL


cdef void *_work_slow(void *shared) noexcept nogil:
    """The life of a thread of the slow lane; cannot fail."""
    _work(<Shared *>shared, &(<Shared *>shared).lanes[LANE_SLOW])
    return NULL


cdef void _work(Shared *shared, Lane *lane) noexcept nogil:
    """Make calls until there are none and the pool stops; failures are results of calls."""
    cdef Call *call
    cdef bint was_empty
    pthread_mutex_lock(&shared.mutex)
    while True:
        while lane.first == NULL and not shared.is_stopping:
            lane.idle += 1
            pthread_cond_wait(&lane.work, &shared.mutex)
            lane.idle -= 1
        call = lane.first
        if call == NULL:
            break
        lane.first = call.next
        if lane.first == NULL:
            lane.last = NULL
        lane.queued -= 1
        pthread_mutex_unlock(&shared.mutex)
        _perform(call)
        pthread_mutex_lock(&shared.mutex)
        was_empty = shared.done == NULL
        call.next = shared.done
        shared.done = call
        if was_empty:
            # The pipe cannot be full: a byte is in it only while `done` has not been taken.
            unistd_write(shared.wake_fd, b"!", 1)
    pthread_mutex_unlock(&shared.mutex)


cdef void _perform(Call *call) noexcept nogil:
    """Make one call and leave its result, or -errno."""
    if call.operation in (OPERATION_READ, OPERATION_WRITE):
        _move(call)
        return
    while True:
        call.result = _perform_once(call)
        if call.result >= 0:
            return
        # An interrupted sync is not made again: see `storage.disk`.
        if errno != EINTR or call.operation in (OPERATION_SYNC, OPERATION_SYNC_DIRECTORY):
            call.result = -errno
            return


cdef int64_t _perform_once(Call *call) noexcept nogil:
    """Make a call that moves no data; -1 with errno set if it fails."""
    if call.operation == OPERATION_SYNC:
        return pythia_sync(call.fd)
    if call.operation == OPERATION_SYNC_DIRECTORY:
        return fsync(call.fd)
    if call.operation == OPERATION_ALLOCATE:
        return pythia_allocate(call.fd, call.size)
    if call.operation == OPERATION_OPEN:
        return fcntl_open(call.path, call.flags, FILE_MODE)
    if call.operation == OPERATION_RENAME:
        return stdio_rename(call.path, call.target)
    return stdio_remove(call.path)


cdef void _move(Call *call) noexcept nogil:
    """Read until the size is reached or the file ends, or write everything; cannot fail."""
    cdef int64_t done
    cdef ssize_t moved
    while True:
        done = call.done
        if call.operation == OPERATION_READ:
            moved = pread(call.fd, call.memory + done, call.size - done, call.offset + done)
        else:
            moved = pwrite(call.fd, call.memory + done, call.size - done, call.offset + done)
        if not goes_on(call, -errno if moved < 0 else moved):
            return

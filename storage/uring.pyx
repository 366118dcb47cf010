"""Reads and writes through io_uring, submitted once per turn of the loop.

A call fills an entry of the submission ring; at the end of the turn one system call gives the
kernel all entries of the turn. Completions are announced through an eventfd, and one look at the
completion ring resolves the futures of the calls finished by then, a few in each turn of the loop.
There is no thread to wake and none to wake us, which is most of what a read through
`storage.io_threads` costs.

The memory that calls borrow is registered with the ring, which saves the kernel looking its pages
up for each of them; that makes all of it resident, so a ring that is hardly used does without. The
ring carries reads and writes. Opens, renames, removes, allocations and
syncs would be made by a worker of the kernel, not by the disk's interrupt, so they go to the slow
lane of a few threads.

The ring is made by the thread and the process that use it, and is not passed on by a fork.
"""

import asyncio
import os

from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, EBUSY, EINTR
from libc.stdint cimport int64_t, uint64_t

from storage.io_call cimport (
    OPERATION_READ,
    Call,
    Descriptor,
    Request,
    goes_on,
    new_read,
    new_write,
)
from storage.io_memory cimport PAGE_BYTES, IoMemory
from storage.io_threads cimport ANSWERS_MAX, IoThreads


cdef extern from *:
    """
    #include <errno.h>
    #include <stdint.h>
    #include <string.h>
    #include <unistd.h>

    #if defined(__linux__) && __has_include(<linux/io_uring.h>)
    #include <linux/io_uring.h>
    #include <sys/eventfd.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <sys/uio.h>

    /* Newer than some headers; a kernel which does not know them refuses them. */
    #define PYTHIA_COOP_TASKRUN (1U << 8)
    #define PYTHIA_SINGLE_ISSUER (1U << 12)
    #define PYTHIA_TASKRUN_FLAG (1U << 9)
    #define PYTHIA_DEFER_TASKRUN (1U << 13)
    #define PYTHIA_SQ_HAS_WORK (1U << 1 /* overflown completions */ | 1U << 2 /* task work */)
    #define PYTHIA_FEATURES (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | 1U << 5 /* 5.7 */)

    static void pythia_ring_close(struct pythia_ring *ring) {
        if (ring->sqes) munmap(ring->sqes, ring->sqes_bytes);
        if (ring->rings) munmap(ring->rings, ring->rings_bytes);
        if (ring->event_fd >= 0) close(ring->event_fd);
        if (ring->fd >= 0) close(ring->fd);
        memset(ring, 0, sizeof *ring);
        ring->fd = ring->event_fd = -1;
    }

    static int pythia_ring_map(struct pythia_ring *ring, struct io_uring_params *p) {
        size_t sq = p->sq_off.array + p->sq_entries * sizeof(unsigned);
        size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
        char *at;
        ring->entries = p->sq_entries;
        ring->rings_bytes = sq > cq ? sq : cq;
        ring->sqes_bytes = p->sq_entries * sizeof(struct io_uring_sqe);
        at = mmap(0, ring->rings_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                  ring->fd, IORING_OFF_SQ_RING);
        if (at == MAP_FAILED) return -errno;
        ring->rings = at;
        ring->sqes = mmap(0, ring->sqes_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                          ring->fd, IORING_OFF_SQES);
        if (ring->sqes == MAP_FAILED) { ring->sqes = 0; return -errno; }
        if (madvise(at, ring->rings_bytes, MADV_DONTFORK) != 0) return -errno;
        if (madvise(ring->sqes, ring->sqes_bytes, MADV_DONTFORK) != 0) return -errno;
        ring->sq_head = (unsigned *)(at + p->sq_off.head);
        ring->sq_tail = (unsigned *)(at + p->sq_off.tail);
        ring->sq_flags = (unsigned *)(at + p->sq_off.flags);
        ring->sq_array = (unsigned *)(at + p->sq_off.array);
        ring->sq_mask = *(unsigned *)(at + p->sq_off.ring_mask);
        ring->cq_head = (unsigned *)(at + p->cq_off.head);
        ring->cq_tail = (unsigned *)(at + p->cq_off.tail);
        ring->cq_mask = *(unsigned *)(at + p->cq_off.ring_mask);
        ring->cqes = at + p->cq_off.cqes;
        return 0;
    }

    /* Makes a ring and its eventfd; 0 or -errno. */
    static int pythia_ring_open(struct pythia_ring *ring, unsigned entries) {
        /* The best first: completions are prepared only when we come for them. */
        static const unsigned flags[] = {
            PYTHIA_SINGLE_ISSUER | PYTHIA_DEFER_TASKRUN | PYTHIA_TASKRUN_FLAG,
            PYTHIA_COOP_TASKRUN | PYTHIA_TASKRUN_FLAG, 0};
        struct io_uring_params p;
        int failure = 0;
        unsigned n;
        memset(ring, 0, sizeof *ring);
        ring->fd = ring->event_fd = -1;
        for (n = 0; n < 3 && ring->fd < 0; n++) {
            memset(&p, 0, sizeof p);
            p.flags = flags[n];
            ring->fd = syscall(__NR_io_uring_setup, entries, &p);
            if (ring->fd < 0 && errno != EINVAL) return -errno;
        }
        if (ring->fd < 0) return -EINVAL;
        if ((p.features & PYTHIA_FEATURES) != PYTHIA_FEATURES) failure = -ENOSYS;
        if (!failure) failure = pythia_ring_map(ring, &p);
        if (!failure) {
            ring->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
            if (ring->event_fd < 0) failure = -errno;
        }
        if (!failure && syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_EVENTFD,
                                &ring->event_fd, 1) < 0)
            failure = -errno;
        if (failure) pythia_ring_close(ring);
        return failure;
    }

    /* Has the kernel pin memory once, and not at every call on it. It may refuse, as it counts
       against RLIMIT_MEMLOCK: then calls on this memory are as those on any other. */
    static void pythia_ring_pin(struct pythia_ring *ring, void *memory, size_t size) {
        struct iovec whole = {memory, size};
        if (!size || syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_BUFFERS, &whole, 1))
            return;
        ring->pinned = memory;
        ring->pinned_bytes = size;
    }

    static int pythia_ring_has_pinned(struct pythia_ring *ring, void *memory) {
        return ring->pinned && (char *)memory >= ring->pinned
            && (char *)memory < ring->pinned + ring->pinned_bytes;
    }

    /* Fills an entry; 0, or -1 if the ring is full. */
    static int pythia_ring_put(struct pythia_ring *ring, int is_read, int fd, void *memory,
                               int64_t size, int64_t offset, void *request) {
        unsigned tail = *ring->sq_tail;
        struct io_uring_sqe *entry;
        if (tail - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE) >= ring->entries) return -1;
        entry = (struct io_uring_sqe *)ring->sqes + (tail & ring->sq_mask);
        memset(entry, 0, sizeof *entry);
        if (pythia_ring_has_pinned(ring, memory))
            entry->opcode = is_read ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
        else
            entry->opcode = is_read ? IORING_OP_READ : IORING_OP_WRITE;
        entry->fd = fd;
        entry->addr = (uint64_t)(uintptr_t)memory;
        entry->len = size > (1 << 30) ? (1 << 30) : (unsigned)size;
        entry->off = offset;
        entry->user_data = (uint64_t)(uintptr_t)request;
        ring->sq_array[tail & ring->sq_mask] = tail & ring->sq_mask;
        __atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
        ring->queued++;
        return 0;
    }

    /* Gives the kernel what is queued and waits for so many completions; 0 or -errno. */
    static int pythia_ring_enter(struct pythia_ring *ring, unsigned completions_min) {
        long taken = syscall(__NR_io_uring_enter, ring->fd, ring->queued, completions_min,
                             IORING_ENTER_GETEVENTS, NULL, 0);
        if (taken < 0) return -errno;
        ring->queued -= (unsigned)taken;
        return 0;
    }

    /* Whether the kernel has entries to take, completions to prepare, or has prepared some. */
    static int pythia_ring_has_work(struct pythia_ring *ring) {
        return ring->queued
            || (__atomic_load_n(ring->sq_flags, __ATOMIC_ACQUIRE) & PYTHIA_SQ_HAS_WORK)
            || *ring->cq_head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE);
    }

    /* Takes the newest entry back that the kernel has not taken; its request, or NULL. */
    static void *pythia_ring_unput(struct pythia_ring *ring) {
        unsigned tail;
        if (!ring->queued) return NULL;
        tail = *ring->sq_tail - 1;
        ring->queued--;
        __atomic_store_n(ring->sq_tail, tail, __ATOMIC_RELEASE);
        return (void *)(uintptr_t)((struct io_uring_sqe *)ring->sqes)[
            tail & ring->sq_mask].user_data;
    }

    /* Takes the oldest completion; its request, or NULL if there is none. */
    static void *pythia_ring_take(struct pythia_ring *ring, int *result) {
        unsigned head = *ring->cq_head;
        struct io_uring_cqe *entry;
        void *request;
        if (head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) return NULL;
        entry = (struct io_uring_cqe *)ring->cqes + (head & ring->cq_mask);
        request = (void *)(uintptr_t)entry->user_data;
        *result = entry->res;
        __atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
        return request;
    }

    #else
    static void pythia_ring_close(struct pythia_ring *r) { r->fd = r->event_fd = -1; }
    static int pythia_ring_open(struct pythia_ring *r, unsigned n) {
        (void)n; memset(r, 0, sizeof *r); r->fd = r->event_fd = -1; return -ENOSYS;
    }
    static void pythia_ring_pin(struct pythia_ring *r, void *memory, size_t size) {
        (void)r; (void)memory; (void)size;
    }
    static int pythia_ring_put(struct pythia_ring *r, int is_read, int fd, void *memory,
                               int64_t size, int64_t offset, void *request) {
        (void)r; (void)is_read; (void)fd; (void)memory; (void)size; (void)offset; (void)request;
        return -1;
    }
    static int pythia_ring_enter(struct pythia_ring *r, unsigned n) {
        (void)r; (void)n; return -ENOSYS;
    }
    static int pythia_ring_has_work(struct pythia_ring *r) { (void)r; return 0; }
    static void *pythia_ring_unput(struct pythia_ring *r) { (void)r; return NULL; }
    static void *pythia_ring_take(struct pythia_ring *r, int *result) {
        (void)r; (void)result; return NULL;
    }
    #endif
    """
    void pythia_ring_close(Ring *ring) nogil
    int pythia_ring_open(Ring *ring, unsigned int entries) nogil
    void pythia_ring_pin(Ring *ring, void *memory, size_t size) nogil
    int pythia_ring_put(
        Ring *ring, bint is_read, int fd, void *memory, int64_t size, int64_t offset, void *request
    ) nogil
    int pythia_ring_enter(Ring *ring, unsigned int completions_min) nogil
    bint pythia_ring_has_work(Ring *ring) nogil
    void *pythia_ring_unput(Ring *ring) nogil
    void *pythia_ring_take(Ring *ring, int *result) nogil

cdef extern from "<unistd.h>" nogil:
    ssize_t unistd_read "read"(int fd, void *memory, size_t size)


cdef enum:
    ENTRIES_MAX = 4096
    PINNED_FROM = 1024      # so many calls are worth memory that is resident
    WAKE_ROUNDS_MAX = 8     # looks at the ring before others get their turn


PINNED_FROM_CALLS = PINNED_FROM


cdef class IoUring:
    """A ring and, for the calls it does not carry, a few threads; used by one event loop.

    Raises OSError if the kernel, or whoever confines this process, does not allow a ring.
    """

    def __cinit__(self, int entries, int slow_threads_max, IoMemory memory=None, watch=None):
        """`watch(what, callback)`, if given, times the turns in which calls are answered."""
        assert 0 < entries <= ENTRIES_MAX, "a ring has entries, and a bounded number"
        self.ring.fd = -1
        self.ring.event_fd = -1
        self.entries = entries
        self.memory = IoMemory(0) if memory is None else memory
        self.watch = watch
        self.threads = IoThreads(1, slow_threads_max, None, watch)
        self.make_ring()

    def __dealloc__(self):
        # Every call in flight refers to us, so there is none.
        pythia_ring_close(&self.ring)

    @property
    def in_flight(self):
        """Calls that are not finished."""
        return self.moving + self.threads.in_flight

    @property
    def is_pinned(self):
        """Whether the kernel has pinned the memory that calls borrow."""
        return self.ring.pinned != NULL

    def read(self, Descriptor file, int64_t offset, int64_t size, int64_t skip, int64_t wanted):
        """Read `size` bytes at `offset`; the future gives `wanted` after the first `skip`."""
        return self.begin_call(new_read(self, self.memory, file, offset, size, skip, wanted))

    def begin_read(self, Descriptor file, int64_t offset, int64_t size, int64_t skip,
                   int64_t wanted, taker not None):
        """Like `read`, for who is told in the place of a future."""
        cdef Request request = new_read(self, self.memory, file, offset, size, skip, wanted)
        request.future = taker
        self.begin_call(request)

    def write(self, Descriptor file, int64_t offset, data, bint aligned):
        """Write all of `data` at `offset`, from aligned memory if `aligned`."""
        return self.begin_call(new_write(self, self.memory, file, offset, data, aligned))

    def sync(self, Descriptor file):
        """Make the data of a file durable, and its length."""
        return self.threads.sync(file)

    def sync_directory(self, Descriptor directory):
        """Make the names in a directory durable."""
        return self.threads.sync_directory(directory)

    def allocate(self, Descriptor file, int64_t size):
        """Make a file at least `size` bytes long."""
        return self.threads.allocate(file, size)

    def open(self, bytes path, int flags):
        """Open a file; the future gives its Descriptor."""
        return self.threads.open(path, flags)

    def rename(self, bytes source, bytes target):
        """Give a file another name."""
        return self.threads.rename(source, target)

    def remove(self, bytes path):
        """Remove a file or an empty directory."""
        return self.threads.remove(path)

    def submit(self):
        """Give the kernel what was asked for in this turn, before its end."""
        if self.ring.fd >= 0 and self.ring.queued:
            self.enter(0)

    def submit_after(self, first not None):
        """Call `first` before the kernel is given a turn's calls: a worker of the kernel that makes
        one of them may take our core, and what is ready should not wait for it."""
        self.first = first

    def stop(self):
        """Finish what is in flight, resolve the futures, close the ring, and let the loop go."""
        cdef int left
        self.is_submitting = True  # Nothing more is left to a later turn.
        while self.moving:
            self.enter(1)
            left = self.moving
            self.take_completions(&left)
        self.threads.stop()
        if self.loop is not None and not self.loop.is_closed():
            self.loop.remove_reader(self.ring.event_fd)
        self.loop = None
        pythia_ring_close(&self.ring)

    cdef object begin_call(self, Request request):
        """Queue a call and give its future; raises OSError if the ring cannot take it."""
        if self.loop is None:
            self.attach()
        if request.future is None:
            request.future = self.loop.create_future()
        self.calls += 1
        if self.calls == PINNED_FROM:
            pythia_ring_pin(&self.ring, self.memory.base, self.memory.pages * PAGE_BYTES)
        self.put(request)
        self.moving += 1
        Py_INCREF(request)  # The kernel has the only other reference.
        return request.future

    cdef int put(self, Request request) except -1:
        """Queue what is left of a call; raises OSError if the ring stays full."""
        cdef Call *call = &request.call
        cdef int _attempt
        for _attempt in range(2):
            if pythia_ring_put(
                &self.ring,
                call.operation == OPERATION_READ,
                call.fd,
                call.memory + call.done,
                call.size - call.done,
                call.offset + call.done,
                <void *>request,
            ) == 0:
                break
            self.enter(0)
        else:
            raise OSError(EBUSY, os.strerror(EBUSY))
        self.submit_later()
        return 0

    cdef int submit_later(self) except -1:
        """See that the kernel is entered at the end of this turn; raises MemoryError."""
        if not self.is_submitting:
            self.is_submitting = True
            self.loop.call_soon(self.submit_now)
        return 0

    cdef int attach(self) except -1:
        """Take the running loop as the one that is woken; raises RuntimeError outside of one."""
        loop = asyncio.get_running_loop()
        if self.ring.fd < 0:
            self.make_ring()
        wake = self._wake
        self.submit_now = self._submit
        if self.watch is not None:
            wake = self.watch("answers of the disk", wake)
            self.submit_now = self.watch("calls to the disk and its answers", self.submit_now)
        loop.add_reader(self.ring.event_fd, wake)
        self.loop = loop
        self.is_submitting = False
        return 0

    cdef int make_ring(self) except -1:
        """Make the ring in this process; raises OSError if that is not allowed."""
        failure = -pythia_ring_open(&self.ring, self.entries)
        if failure:
            raise OSError(failure, os.strerror(failure))
        self.calls = 0
        return 0

    def _submit(self):
        cdef int left = ANSWERS_MAX
        if self.ring.fd < 0:
            return  # Stopped since this was planned, and everything was finished then.
        if self.ring.queued and self.first is not None:
            self.first()
        self.is_submitting = False
        if pythia_ring_has_work(&self.ring):
            self.enter(0)
        # What the kernel had at hand is finished already.
        self.take_completions(&left)
        if self.ring.fd >= 0 and pythia_ring_has_work(&self.ring):
            self.submit_later()

    def _wake(self):
        cdef uint64_t count
        cdef int _round
        cdef int left = ANSWERS_MAX
        if self.ring.fd < 0:
            return
        # The kernel prepares completions when it is entered, and announces them once more: that is
        # read here, or the loop would wake twice for each. What comes meanwhile, the ring shows.
        unistd_read(self.ring.event_fd, &count, sizeof(count))
        for _round in range(WAKE_ROUNDS_MAX):
            if not pythia_ring_has_work(&self.ring):
                return
            self.enter(0)
            self.take_completions(&left)
            if self.ring.fd < 0:
                return  # Who was told has stopped us.
            unistd_read(self.ring.event_fd, &count, sizeof(count))
            if left == 0:
                break
        self.submit_later()

    cdef int enter(self, unsigned int completions_min) except -1:
        """Give the kernel what is queued; what it will never take fails. Raises MemoryError."""
        cdef int failure
        with nogil:
            failure = -pythia_ring_enter(&self.ring, completions_min)
        if failure in (0, EINTR):
            return 0
        if failure in (EAGAIN, EBUSY):
            # Short of memory or of room for completions: what is finished has to be taken first.
            if self.loop is not None and not self.is_submitting and not self.loop.is_closed():
                self.is_submitting = True
                self.loop.call_soon(self.submit_now)
            return 0
        self.give_back(failure)
        return 0

    cdef int take_completions(self, int *left) except -1:
        """Resolve the futures of so many finished calls, oldest first; raises MemoryError.

        `left` is how many more may be answered in this turn.
        """
        cdef int result = 0
        cdef Request request
        cdef void *found
        while left[0] > 0:
            found = pythia_ring_take(&self.ring, &result)
            if found == NULL:
                return 0
            left[0] -= 1
            request = <Request>found  # A reference, as complete() drops the kernel's.
            self.complete(request, result)
        return 0

    cdef int complete(self, Request request, int result) except -1:
        """Finish a call, or queue what is left of it; raises MemoryError."""
        if goes_on(&request.call, result):
            self.put(request)
            return 0
        self.moving -= 1
        Py_DECREF(request)
        request.finish()
        return 0

    cdef int give_back(self, int failure) except -1:
        """Fail the calls that the kernel has not taken; raises MemoryError."""
        cdef Request request
        cdef void *found
        while True:
            found = pythia_ring_unput(&self.ring)
            if found == NULL:
                return 0
            request = <Request>found  # A reference, as complete() drops the kernel's.
            self.complete(request, -failure)

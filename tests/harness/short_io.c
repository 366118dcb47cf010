/* Preloaded into a process of a test: the kernel moves less than it was asked to, or is interrupted.

   Every pread, every pwrite and every read or write of an io_uring counts, from 1. A short one is
   a real call of about half the size. One that is interrupted, or fails, is not made at all. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>

enum { PAGE = 4096, RINGS_MAX = 64, ANSWERS_MAX = 4096 };

/* What happens to a call. FULL: it is short, and the next one of the same file fails. */
enum { WHOLE, SHORT, INTERRUPTED, FULL, MIXED };

static atomic_long calls;
static atomic_int failing_fd = -1;
static long planned_call; /* 0 is every call */
static int planned_kind;

/* Plans what happens at a call, and counts from 1 again. */
void short_io_plan(long call, int kind) {
    planned_call = call;
    planned_kind = kind;
    atomic_store(&failing_fd, -1);
    atomic_store(&calls, 0);
}

/* How many calls there were since the plan was made. */
long short_io_calls(void) { return atomic_load(&calls); }

/* The next call's fate. Of MIXED calls every third is left alone, so that all of them end. */
static int next_kind(void) {
    long call = atomic_fetch_add(&calls, 1) + 1;
    if (planned_call != 0 && call != planned_call) return WHOLE;
    return planned_kind == MIXED ? (int)(call * 7 % 3) : planned_kind;
}

/* About half of a size; whole pages of a direct file, as one page is the least that a disk moves. */
static size_t shorter(int fd, size_t size) {
    size_t half = size / 2;
    return fcntl(fd, F_GETFL) & O_DIRECT ? half - half % PAGE : half;
}

/* Decides about one call: 0 and perhaps less to move, or an errno in the place of the call. */
static int decide(int fd, size_t *size, int is_read) {
    int failing = fd, kind = next_kind();
    size_t part;
    if (atomic_compare_exchange_strong(&failing_fd, &failing, -1)) return is_read ? EIO : ENOSPC;
    if (kind == WHOLE) return 0;
    part = shorter(fd, *size);
    if (kind == INTERRUPTED || (kind == SHORT && part == 0)) return EINTR;
    if (kind == FULL && part == 0) return is_read ? EIO : ENOSPC;
    if (kind == FULL) atomic_store(&failing_fd, fd);
    *size = part;
    return 0;
}

/* Calls of threads. */

typedef ssize_t (*reads)(int, void *, size_t, off_t);
typedef ssize_t (*writes)(int, const void *, size_t, off_t);

ssize_t pread64(int fd, void *memory, size_t size, off_t offset) {
    static reads real;
    int failure = decide(fd, &size, 1);
    if (!real) real = (reads)dlsym(RTLD_NEXT, "pread64");
    if (!failure) return real(fd, memory, size, offset);
    errno = failure;
    return -1;
}

ssize_t pwrite64(int fd, const void *memory, size_t size, off_t offset) {
    static writes real;
    int failure = decide(fd, &size, 0);
    if (!real) real = (writes)dlsym(RTLD_NEXT, "pwrite64");
    if (!failure) return real(fd, memory, size, offset);
    errno = failure;
    return -1;
}

ssize_t pread(int fd, void *memory, size_t size, off_t offset) {
    return pread64(fd, memory, size, offset);
}

ssize_t pwrite(int fd, const void *memory, size_t size, off_t offset) {
    return pwrite64(fd, memory, size, offset);
}

/* Calls of rings: a second mapping of a ring shows what the kernel is about to be given, and what
   it has answered. A ring is used by one thread. */

struct ring {
    int fd;
    struct io_uring_params p;
    char *queues;
    struct io_uring_sqe *entries;
    unsigned seen; /* entries before this one are decided */
};

static struct ring rings[RINGS_MAX];
static struct { uint64_t request; int result; } answers[ANSWERS_MAX];
static int waiting; /* answers that the kernel has not come back with */

static void note_ring(int fd, const struct io_uring_params *p) {
    static unsigned next;
    struct ring *ring = &rings[next++ % RINGS_MAX];
    size_t sq = p->sq_off.array + p->sq_entries * sizeof(unsigned);
    size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    int way = PROT_READ | PROT_WRITE;
    for (unsigned n = 0; n < RINGS_MAX; n++)
        if (rings[n].fd == fd) rings[n].fd = 0;
    ring->p = *p;
    ring->seen = 0;
    ring->queues = mmap(NULL, sq > cq ? sq : cq, way, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    ring->entries = mmap(NULL, p->sq_entries * sizeof(struct io_uring_sqe), way, MAP_SHARED, fd,
                         IORING_OFF_SQES);
    /* The rooms here have one queue map; without it this one is left alone. */
    ring->fd = ring->queues != MAP_FAILED && ring->entries != MAP_FAILED
            && (p->features & IORING_FEAT_SINGLE_MMAP) ? fd : 0;
}

static unsigned *field(struct ring *ring, unsigned offset) {
    return (unsigned *)(ring->queues + offset);
}

/* Lets a request be answered with an errno, by an entry that does nothing. */
static void answer(struct io_uring_sqe *entry, int failure) {
    uint64_t request = entry->user_data;
    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_NOP;
    entry->user_data = request;
    for (int n = 0; n < ANSWERS_MAX; n++)
        if (answers[n].request == 0) {
            answers[n].request = request;
            answers[n].result = -failure;
            waiting++;
            return;
        }
}

static int is_read(int operation) {
    return operation == IORING_OP_READ || operation == IORING_OP_READ_FIXED;
}

static void before_enter(struct ring *ring) {
    unsigned mask = *field(ring, ring->p.sq_off.ring_mask);
    unsigned *array = field(ring, ring->p.sq_off.array);
    unsigned tail = *field(ring, ring->p.sq_off.tail);
    for (; ring->seen != tail; ring->seen++) {
        struct io_uring_sqe *entry = &ring->entries[array[ring->seen & mask]];
        size_t size = entry->len;
        int failure = decide(entry->fd, &size, is_read(entry->opcode));
        entry->len = size;
        if (failure) answer(entry, failure);
    }
}

static void after_enter(struct ring *ring) {
    unsigned mask = *field(ring, ring->p.cq_off.ring_mask);
    struct io_uring_cqe *done = (struct io_uring_cqe *)(ring->queues + ring->p.cq_off.cqes);
    unsigned at = *field(ring, ring->p.cq_off.head);
    unsigned tail = __atomic_load_n(field(ring, ring->p.cq_off.tail), __ATOMIC_ACQUIRE);
    for (; at != tail && waiting; at++)
        for (int n = 0; n < ANSWERS_MAX; n++)
            if (answers[n].request && answers[n].request == done[at & mask].user_data) {
                done[at & mask].res = answers[n].result;
                answers[n].request = 0;
                waiting--;
                break;
            }
}

static struct ring *ring_of(int fd) {
    for (int n = 0; n < RINGS_MAX; n++)
        if (rings[n].fd == fd && fd > 0) return &rings[n];
    return NULL;
}

long syscall(long number, ...) {
    static long (*real)(long, ...);
    struct ring *ring = NULL;
    long a[6], result;
    va_list given;
    va_start(given, number);
    for (int n = 0; n < 6; n++) a[n] = va_arg(given, long);
    va_end(given);
    if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_io_uring_enter) ring = ring_of((int)a[0]);
    if (ring) before_enter(ring);
    result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (ring) {
        int failure = errno;
        after_enter(ring);
        errno = failure;
    }
    if (number == SYS_io_uring_setup && result >= 0)
        note_ring((int)result, (const struct io_uring_params *)a[1]);
    return result;
}

"""The highest write timestamp of a node: one word of memory that its shards share.

Every shard takes its timestamps here, so whatever the clock does, a write that begins after another
was acknowledged has the higher timestamp, through whichever shard it comes; and no two shards make
the same one. Made before the shards are forked, it outlives each of them; node/ceiling carries it
over the life of the node.

One compare-and-swap for each timestamp, and no lock that a killed shard could hold.
"""

from libc.stdint cimport int64_t
from mmap import mmap

cdef extern from *:
    """
    static inline int64_t high_mark_load(int64_t *word) {
        return __atomic_load_n(word, __ATOMIC_SEQ_CST);
    }
    /* Returns what was there: `seen` if it was replaced. */
    static inline int64_t high_mark_swap(int64_t *word, int64_t seen, int64_t next) {
        __atomic_compare_exchange_n(word, &seen, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        return seen;
    }
    """
    int64_t high_mark_load(int64_t *word) noexcept
    int64_t high_mark_swap(int64_t *word, int64_t seen, int64_t next) noexcept

WORD_BYTES = sizeof(int64_t)


cdef class HighMark:
    """Shared by all who are forked after it was made."""

    def __cinit__(self):
        self.word = memoryview(mmap(-1, WORD_BYTES)).cast("q")

    @property
    def value(self) -> int:
        """No timestamp up to this one is made any more."""
        return high_mark_load(&self.word[0])

    def next(self, int64_t wall_us) -> int:
        """A timestamp above all others, and not below the wall's."""
        return self.next_us(wall_us)

    def keep_above(self, int64_t timestamp_us) -> None:
        """From now on only timestamps above this one are made, by any shard."""
        self.raise_above(timestamp_us)

    cdef int64_t next_us(self, int64_t wall_us) noexcept:
        """See `next`."""
        cdef int64_t *word = &self.word[0]
        cdef int64_t seen = high_mark_load(word)
        cdef int64_t candidate, found
        while True:
            candidate = wall_us if wall_us > seen else seen + 1
            found = high_mark_swap(word, seen, candidate)
            if found == seen:
                return candidate
            seen = found

    cdef void raise_above(self, int64_t timestamp_us) noexcept:
        """See `keep_above`."""
        cdef int64_t *word = &self.word[0]
        cdef int64_t seen = high_mark_load(word)
        cdef int64_t found
        while seen < timestamp_us:
            found = high_mark_swap(word, seen, timestamp_us)
            if found == seen:
                return
            seen = found

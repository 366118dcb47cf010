"""What the C library's allocator keeps of memory that was freed.

glibc gives the end of its heap back to the kernel as soon as 128 KiB of it are free. A shard frees
and takes so much many times in a second; to give it back is a system call of 30 to 50 us, and to
have it again a page fault for every 4 KiB. A megabyte that it may keep ends this. Other libraries
do as they do.
"""


cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __GLIBC__
    #include <malloc.h>
    static void pythia_keep_free_memory(int kept, int mapped) {
        mallopt(M_TRIM_THRESHOLD, kept);
        mallopt(M_MMAP_THRESHOLD, mapped);
    }
    #else
    static void pythia_keep_free_memory(int kept, int mapped) { (void)kept; (void)mapped; }
    #endif
    """
    void pythia_keep_free_memory(int kept, int mapped) nogil

cdef enum:
    KEPT_BYTES = 1 << 20
    MAPPED_BYTES = 1 << 18      # what is larger is a mapping of its own, and goes back at once


def keep_free_memory() -> None:
    """Keep what was freed at the end of the heap, up to a megabyte, for what comes next."""
    pythia_keep_free_memory(KEPT_BYTES, MAPPED_BYTES)

"""Messages between the shards of one node."""

from libc.stdint cimport uint64_t

cdef class Link:
    cdef readonly int shard             # the sibling at the other end
    cdef object sock                    # kept so that the descriptor stays open
    cdef int fd                         # -1 when the link is lost
    cdef dict pending                   # request id -> Future, of requests we sent
    cdef uint64_t next_id               # of our next request
    cdef uint64_t ready_before          # requests below this id may be given to the kernel
    cdef uint64_t sent_before           # requests below this id may have left the process
    cdef char *out                      # bytes not yet in the kernel, from out_start to out_end
    cdef Py_ssize_t out_start
    cdef Py_ssize_t out_ready           # bytes before this one may be given to the kernel now
    cdef Py_ssize_t out_end
    cdef Py_ssize_t out_capacity
    cdef bint waits_for_room            # whether the loop tells us when the kernel takes more
    cdef char *received                 # bytes not yet understood, from in_start to in_end
    cdef Py_ssize_t in_start
    cdef Py_ssize_t in_end
    cdef Py_ssize_t in_capacity

    # Queues one frame. MemoryError if there is no room for it.
    cdef int put(self, int type, int kind, uint64_t number, bytes payload) except -1
    # Gives the kernel what is ready: 1 if all is gone, 0 if it takes no more. OSError if the
    # other end is gone.
    cdef int send(self) except -1
    # Takes what has come: the bytes read, 0 at the end of the stream, -2 if there is nothing.
    cdef Py_ssize_t receive(self) except -1
    # Makes room for `size` bytes from in_start on. MemoryError.
    cdef int reserve_in(self, Py_ssize_t size) except -1

cdef class Mesh:
    cdef readonly int shard
    cdef readonly uint64_t frames_sent
    cdef readonly uint64_t bytes_sent
    cdef readonly uint64_t writes       # calls of the kernel's send
    cdef readonly uint64_t frames_received
    cdef object loop
    cdef object before_flush            # called before sending; if it raises, nothing is sent again
    cdef object read                    # `readable`, watched for stalls if we were told to
    cdef object encode_fault
    cdef object decode_fault
    cdef dict links                     # shard -> Link, in order of arrival
    cdef dict handlers                  # kind -> handler
    cdef list listeners
    cdef set running                    # answers that handlers still work on
    cdef bint flush_is_due
    cdef bint is_closed
    cdef Py_ssize_t calls_max
    cdef Py_ssize_t queue_bytes_max

    # Plans a flush at the end of this turn of the loop. Fails as call_soon does.
    cdef int flush_soon(self) except -1
    # Forgets a link and fails its calls. Fails as listeners do.
    cdef int lose(self, Link link) except -1
    # Understands all whole frames that a link has received; 0 if they are damaged.
    cdef int understand(self, Link link) except -1
    cdef int handle(self, Link link, int kind, uint64_t number, bytes payload) except -1
    cdef int answer(self, Link link, uint64_t number, bytes content) except -1
    cdef int refuse(self, Link link, uint64_t number, object fault) except -1
    cdef int settle(self, Link link, int type, uint64_t number, bytes payload) except -1

cdef class Waiting:
    cdef int fd                 # the selector of the loop

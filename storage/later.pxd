"""An answer that comes later, and the plain calls that are made with it then."""


cdef class Later:
    cdef list steps             # on_result, on_error, on_result, on_error, ...
    cdef Py_ssize_t at          # the step that is next
    cdef bint is_decided        # an outcome has come, though steps of it may still wait
    cdef bint is_running        # steps are being made
    cdef object result
    cdef object error
    cdef object task            # what `follow` began, while nothing else has decided

    cpdef Later then(self, on_result, on_error=*)
    cdef int decide(self, object result, object error) except -1
    cdef int run(self) except -1
    cdef int go_on_after(self, object work) except -1
    cdef int tell_loop(self) except -1

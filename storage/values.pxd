"""Immutable values with slots: frozen dataclasses whose definition compiles nothing."""


cdef class Fields:
    cdef tuple names  # those given by position first; a base's before its subclass's
    cdef tuple defaults  # one for each name, or the mark of a field that has none
    cdef Py_ssize_t positions  # how many of them, the first ones, may be given by position
    cdef object check  # the class's __post_init__, called with each new value; or None

"""The struct of a SELECT that takes the short way."""

cimport cython

from cql.assemble cimport Assembler
from cql.bind cimport Binding, KeyTemplate
from cql.rows cimport Rows
from storage.slice cimport Page, Slice


@cython.final
cdef class RowsByKey:
    cdef Slice question            # all of the slice but the key
    cdef KeyTemplate key
    cdef object ranges_of          # (Binding) -> clustering ranges, or None: those of the question
    cdef Assembler assembler       # serves one execution after the other
    cdef tuple columns             # of the result
    cdef bytes metadata_id         # of these columns

    cpdef Slice slice(self, Binding binding, Py_ssize_t page_size)
    cpdef bint is_quick(self, Page page) except -1
    cpdef Rows rows(self, Page page)

"""The structs of what clients ask."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

cdef class QueryOptions:
    cdef readonly object consistency  # a Consistency
    cdef readonly list values  # of bytes, None (null) or UNSET; None when the request has none
    cdef readonly list names  # the values' names, None when they go by position
    cdef readonly bint skip_metadata
    cdef readonly int32_t page_size  # zero or less: no paging
    cdef readonly bytes paging_state  # None on the first page
    cdef readonly object serial_consistency
    cdef readonly object timestamp  # microseconds, or None
    cdef readonly str keyspace  # of this request only, or None
    cdef readonly object now_in_seconds  # or None

cdef class Startup:
    cdef readonly dict options  # names in upper case

cdef class Options:
    pass

cdef class Register:
    cdef readonly tuple events

cdef class Query:
    cdef readonly str text
    cdef readonly QueryOptions options

cdef class Prepare:
    cdef readonly str text
    cdef readonly str keyspace

cdef class Execute:
    cdef readonly bytes id
    cdef readonly bytes metadata_id  # None where the protocol sends none
    cdef readonly QueryOptions options

cdef class Batch:
    cdef readonly int kind  # 0 logged, 1 unlogged, 2 counter
    cdef readonly list parts  # pairs of a text or an id, and its values
    cdef readonly QueryOptions options

cdef class AuthResponse:
    cdef readonly bytes token  # None for null

cdef class BodyReader:
    cdef bytes body  # keeps `data` alive
    cdef const uint8_t* data
    cdef Py_ssize_t at
    cdef Py_ssize_t size
    cdef int version

    # Each raises ProtocolError when the body ends too early or holds what it may not.
    cdef const uint8_t* take(self, Py_ssize_t count) except NULL
    cdef int read_byte(self) except -1
    cdef int read_short(self) except -1
    cdef int64_t read_int(self) except? -1
    cdef int64_t read_long(self) except? -1
    cdef str read_text(self, Py_ssize_t length)
    cdef str read_string(self)
    cdef str read_long_string(self)
    cdef bytes read_short_bytes(self)
    cdef bytes read_bytes(self)
    cdef object read_value(self)
    cdef list read_values(self)
    cdef object read_consistency(self)
    cdef QueryOptions read_options(self)
    cdef int read_named_values(self, QueryOptions options) except -1
    cdef int read_rarer_options(self, QueryOptions options, uint32_t flags) except -1
    cdef int skip_payload(self) except -1

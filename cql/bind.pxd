"""Structs of a prepared write: where values come from and the row they make."""

from libc.stdint cimport int64_t

from cql.types.ordering cimport ClusteringCodec
from storage.mutation cimport Mutation
from storage.row cimport RowBuilder


cdef enum Source:
    CONSTANT = 0   # known when the statement was planned
    MARKER = 1     # a bind marker
    COMPUTED = 2   # an expression over markers or the clock


cdef class Slot:
    cdef readonly int source       # one of Source
    cdef readonly int index        # of the bind marker; -1 when source is not MARKER
    cdef readonly object constant  # bytes or None, when source is CONSTANT
    cdef readonly object type      # CqlType of the value
    cdef readonly object compute   # callable(Binding) -> bytes | None | UNSET, if COMPUTED

    cpdef object resolve(self, Binding binding)  # bytes, None or UNSET; raises InvalidRequest


cdef class Binding:
    cdef readonly list values        # one entry for each bind marker: bytes, None or UNSET
    cdef public int64_t timestamp_us  # write timestamp
    cdef public int64_t wall_s        # now, in seconds since 1970
    cdef public int64_t ttl           # seconds to live; 0 is for ever
    cdef readonly object moment       # the clocks at the start of the request
    cdef readonly object environment  # what functions may ask for: chance and unique times
    cdef public dict found            # column id -> elements read before the write
    cdef public dict json             # INSERT JSON: column -> value, once parsed


cdef class KeyTemplate:
    cdef readonly tuple slots   # one Slot for each component of the partition key
    cdef readonly tuple names   # their column names, for messages

    cpdef bytes bind(self, Binding binding)  # decorated key; raises InvalidRequest


cdef class ClusteringTemplate:
    cdef readonly tuple slots
    cdef readonly tuple names
    cdef readonly ClusteringCodec codec   # of the table

    cpdef list values(self, Binding binding)  # raises InvalidRequest
    cpdef bytes bind(self, Binding binding)  # clustering bytes; raises InvalidRequest


cdef class SetCell:
    cdef readonly int column_id
    cdef readonly Slot slot
    cdef readonly bint needs_read  # always False

    cpdef int apply(self, RowBuilder builder, Binding binding) except -1


cdef class RowTemplate:
    cdef readonly bint marker        # an INSERT marks the row as existing
    cdef readonly tuple operations   # sorted by column id; SetCell or anything with `apply`
    cdef readonly bint lossy         # the clustering's values are stored in the hidden cell too
    cdef RowBuilder builder          # used anew by each bind, which runs to its end without waiting

    cpdef bytes bind(self, Binding binding, bytes raw_clustering)


cdef class OneRow:
    cdef readonly bytes table_id
    cdef readonly KeyTemplate key
    cdef readonly ClusteringTemplate clustering
    cdef readonly RowTemplate row
    cdef readonly RowTemplate static_row   # None when no static column is written

    cpdef Mutation bind(self, Binding binding)  # raises InvalidRequest


cpdef bytes partition_key(list components)
cpdef bytes key_value(Slot slot, Binding binding, str name)
cpdef bytes pack_clustering(list values)

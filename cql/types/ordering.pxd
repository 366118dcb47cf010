# Appends the sortable bytes of one value; raises InvalidRequest for bytes that are no value.
cdef int append_component(bytearray target, object cql_type, bytes value) except -1

cdef class ClusteringCodec:
    cdef readonly tuple types         # the types of the clustering columns, in order
    cdef readonly tuple is_reversed   # True where the column is CLUSTERING ORDER BY ... DESC
    cdef readonly bint is_lossy       # decoding gives an equal value, but perhaps other bytes

    # Raises InvalidRequest if a value is no value of its type.
    cpdef bytes encode(self, object values)
    # Raises InvalidRequest if the bytes were not made by `encode`.
    cpdef list decode(self, bytes clustering)

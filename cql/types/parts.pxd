from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

# Read where the caller has checked that the bytes are there; never fail.
cdef inline int32_t read_int32(const unsigned char *data) noexcept nogil:
    return <int32_t>(
        (<uint32_t>data[0] << 24) | (<uint32_t>data[1] << 16) | (<uint32_t>data[2] << 8) | data[3]
    )

cdef inline void write_int32(unsigned char *data, int32_t value) noexcept nogil:
    data[0] = <unsigned char>(<uint32_t>value >> 24)
    data[1] = <unsigned char>(<uint32_t>value >> 16)
    data[2] = <unsigned char>(<uint32_t>value >> 8)
    data[3] = <unsigned char>value

# Raise InvalidRequest, with Cassandra's text, if the bytes have not the shape asked for.
cpdef list unpack_list(bytes value)
cpdef list unpack_map(bytes value)
cpdef list unpack_tuple(object cql_type, bytes value)
cpdef list unpack_vector(object vector_type, bytes value)
cdef list split_collection(bytes value, int parts_per_entry, int kind)
cdef list split_tuple(object cql_type, bytes value)

# Raise InvalidRequest if the parts do not make such a value.
cpdef bytes pack_collection(object values, Py_ssize_t count=*)
cpdef bytes pack_tuple(object fields)
cpdef bytes pack_vector(object vector_type, object elements)

# Never fails; the number of bytes read, 0 if the value is cut.
cdef Py_ssize_t read_unsigned_vint(bytes value, Py_ssize_t at, uint64_t *result) noexcept
cdef bytes encode_unsigned_vint(uint64_t value)

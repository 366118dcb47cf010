# Raise InvalidRequest, with Cassandra's text, if the bytes are no value of the type.
cpdef int validate(object cql_type, bytes value) except -1

"""Plan + values -> partition key, clustering and row bytes: the hot path of a prepared write."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t

from cluster.token cimport decorate
from cql.types.codec cimport validate
from cql.types.ordering cimport ClusteringCodec
from storage.mutation cimport Mutation, MutationBuilder
from storage.row cimport RowBuilder

from cql.errors import InvalidRequest
from cql.protocol.requests import UNSET as _UNSET

cdef object UNSET = _UNSET
cdef Py_ssize_t EMPTY_ROW_BYTES = 9
cdef Py_ssize_t KEY_BYTES_MAX = 65535
cdef int64_t EXPIRY_MAX = 0xFFFFFFFE


cdef class Slot:
    """Where one value of a statement comes from."""

    def __init__(self, object cql_type, int source, int index, object constant, object compute):
        self.type = cql_type
        self.source = source
        self.index = index
        self.constant = constant
        self.compute = compute

    @staticmethod
    def of_constant(object cql_type, object value):
        """A slot whose value is known."""
        return Slot(cql_type, CONSTANT, -1, value, None)

    @staticmethod
    def of_marker(object cql_type, int index):
        """A slot filled by the bind marker `index`."""
        return Slot(cql_type, MARKER, index, None, None)

    @staticmethod
    def of_expression(object cql_type, object compute):
        """A slot computed from the binding."""
        return Slot(cql_type, COMPUTED, -1, None, compute)

    @property
    def is_constant(self):
        return self.source == CONSTANT

    @property
    def is_marker(self):
        return self.source == MARKER

    cpdef object resolve(self, Binding binding):
        cdef object value
        if self.source == MARKER:
            value = binding.values[self.index]
            if value is not None and value is not UNSET:
                validate(self.type, value)
            return value
        if self.source == CONSTANT:
            return self.constant
        return self.compute(binding)


# Hot path: all that follows runs once per statement, or once per value of it.


cdef class Binding:
    """The values of one execution and the instant at which they are written."""

    def __init__(self, list values, int64_t timestamp_us, int64_t wall_s, object moment,
                 object environment):
        self.values = values
        self.timestamp_us = timestamp_us
        self.wall_s = wall_s
        self.ttl = 0
        self.moment = moment
        self.environment = environment
        self.found = None
        self.json = None

    @property
    def expiry(self):
        """Second at which what is written expires; 0 when it lives for ever."""
        return expiry_of(self)


cdef inline int64_t expiry_of(Binding binding) noexcept:
    if binding.ttl == 0:
        return 0
    return min(binding.wall_s + binding.ttl, EXPIRY_MAX)


cpdef bytes key_value(Slot slot, Binding binding, str name):
    """The value of a key column, which can be neither null nor unset."""
    cdef object value = slot.resolve(binding)
    if value is None:
        raise InvalidRequest(f"Invalid null value in condition for column {name}")
    if value is UNSET:
        raise InvalidRequest(f"Invalid unset value for column {name}")
    return value


cpdef bytes partition_key(list components):
    """The serialized key of `components`: the value alone, or each with its length and a zero."""
    cdef bytes key
    cdef bytes part
    cdef list parts
    cdef Py_ssize_t size
    if len(components) == 1:
        key = components[0]
        if len(key) == 0:
            raise InvalidRequest("Key may not be empty")
    else:
        parts = []
        for part in components:
            size = PyBytes_GET_SIZE(part)
            if size > KEY_BYTES_MAX:
                raise InvalidRequest(
                    f"Key length of {size} is longer than maximum of {KEY_BYTES_MAX}"
                )
            parts.append(size.to_bytes(2, "big"))
            parts.append(part)
            parts.append(b"\x00")
        key = b"".join(parts)
    if len(key) > KEY_BYTES_MAX:
        raise InvalidRequest(f"Key length of {len(key)} is longer than maximum of {KEY_BYTES_MAX}")
    return key


cdef class KeyTemplate:
    """The slots of a whole partition key."""

    def __init__(self, tuple slots, tuple names):
        self.slots = slots
        self.names = names

    cpdef bytes bind(self, Binding binding):
        cdef Py_ssize_t i
        cdef list components = []
        for i in range(len(self.slots)):
            components.append(key_value(self.slots[i], binding, self.names[i]))
        return decorate(partition_key(components))


cdef class ClusteringTemplate:
    """The slots of a whole clustering key."""

    def __init__(self, tuple slots, tuple names, ClusteringCodec codec):
        self.slots = slots
        self.names = names
        self.codec = codec

    cpdef list values(self, Binding binding):
        """The values of the clustering columns, checked."""
        cdef Py_ssize_t i
        cdef list values = []
        for i in range(len(self.slots)):
            values.append(key_value(self.slots[i], binding, self.names[i]))
        return values

    cpdef bytes bind(self, Binding binding):
        if not self.slots:
            return b""
        return self.codec.encode(self.values(binding))


cdef class SetCell:
    """`column = value` of a column that is stored as one cell."""

    def __init__(self, int column_id, Slot slot):
        self.column_id = column_id
        self.slot = slot
        self.needs_read = False

    cpdef int apply(self, RowBuilder builder, Binding binding) except -1:
        cdef object value = self.slot.resolve(binding)
        cdef bytes data
        if value is UNSET:
            return 0
        if value is None:
            return builder.put_tombstone(
                self.column_id, binding.timestamp_us, <uint32_t>binding.wall_s
            )
        data = value
        return builder.put_value(
            self.column_id, binding.timestamp_us, <uint32_t>binding.ttl,
            <uint32_t>expiry_of(binding),
            <const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data),
        )


cdef class RowTemplate:
    """The cells that a statement writes into one row."""

    def __init__(self, bint marker, tuple operations, bint lossy=False):
        self.marker = marker
        self.operations = operations
        self.lossy = lossy
        self.builder = RowBuilder()

    cpdef bytes bind(self, Binding binding, bytes raw_clustering):
        """The row's bytes; empty when there is nothing to write."""
        cdef RowBuilder builder = self.builder
        cdef object operation
        cdef bytes row
        builder.start(
            binding.timestamp_us, self.marker, <uint32_t>binding.ttl, <uint32_t>expiry_of(binding)
        )
        if self.lossy:
            builder.put_value(
                0, binding.timestamp_us, 0, 0,
                <const uint8_t *>PyBytes_AS_STRING(raw_clustering),
                PyBytes_GET_SIZE(raw_clustering),
            )
        for operation in self.operations:
            if type(operation) is SetCell:
                (<SetCell>operation).apply(builder, binding)
            else:
                operation.apply(builder, binding)
        row = builder.finish()
        if not self.marker and PyBytes_GET_SIZE(row) <= EMPTY_ROW_BYTES:
            return b""
        return row


cdef class OneRow:
    """A statement that writes one row of one partition, and perhaps its static row."""

    def __init__(self, bytes table_id, KeyTemplate key, ClusteringTemplate clustering,
                 RowTemplate row, RowTemplate static_row):
        self.table_id = table_id
        self.key = key
        self.clustering = clustering
        self.row = row
        self.static_row = static_row

    cpdef Mutation bind(self, Binding binding):
        cdef MutationBuilder builder = MutationBuilder(self.table_id, self.key.bind(binding))
        cdef list values
        if self.row.lossy:
            values = self.clustering.values(binding)
            builder.row(
                self.clustering.codec.encode(values),
                self.row.bind(binding, pack_clustering(values)),
            )
        else:
            builder.row(self.clustering.bind(binding), self.row.bind(binding, b""))
        if self.static_row is not None:
            builder.row(b"", self.static_row.bind(binding, b""))
        return builder.finish()


cpdef bytes pack_clustering(list values):
    """The hidden cell's content: every clustering value with its length."""
    cdef bytes value
    cdef list parts = []
    for value in values:
        parts.append((<object>PyBytes_GET_SIZE(value)).to_bytes(4, "big"))
        parts.append(value)
    return b"".join(parts)

"""Plan + values -> partition key, clustering and row bytes: the hot path of a prepared write."""

from cluster.token import decorate
from cql.errors import InvalidRequest
from cql.protocol.requests import UNSET as _UNSET
from cql.types.codec import validate as _validate
from storage.row import RowBuilder

cdef object UNSET = _UNSET
cdef object validate = _validate
cdef Py_ssize_t KEY_BYTES_MAX = 65535
cdef int64_t EXPIRY_MAX = 0xFFFFFFFE


cdef class Slot:
    """Where one value of a statement comes from."""

    def __init__(self, object type, int source, int index, object constant, object compute):
        self.type = type
        self.source = source
        self.index = index
        self.constant = constant
        self.compute = compute

    @staticmethod
    def of_constant(object type, object value):
        """A slot whose value is known."""
        return Slot(type, CONSTANT, -1, value, None)

    @staticmethod
    def of_marker(object type, int index):
        """A slot filled by the bind marker `index`."""
        return Slot(type, MARKER, index, None, None)

    @staticmethod
    def of_expression(object type, object compute):
        """A slot computed from the binding."""
        return Slot(type, COMPUTED, -1, None, compute)

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
            size = len(part)
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

    def __init__(self, tuple slots, tuple names, object codec):
        self.slots = slots
        self.names = names
        self.codec = codec

    def values(self, Binding binding):
        """The values of the clustering columns, checked."""
        cdef Py_ssize_t i
        cdef list values = []
        for i in range(len(self.slots)):
            values.append(key_value(self.slots[i], binding, self.names[i]))
        return values

    cpdef bytes bind(self, Binding binding):
        return self.codec.encode(self.values(binding))


cdef class SetCell:
    """`column = value` of a column that is stored as one cell."""

    def __init__(self, int column_id, Slot slot):
        self.column_id = column_id
        self.slot = slot
        self.needs_read = False

    cpdef object apply(self, object builder, Binding binding):
        cdef object value = self.slot.resolve(binding)
        if value is UNSET:
            return
        if value is None:
            builder.tombstone(self.column_id, binding.timestamp_us, binding.wall_s)
        elif binding.ttl:
            builder.expiring_cell(
                self.column_id, binding.timestamp_us, binding.ttl, expiry_of(binding), value
            )
        else:
            builder.cell(self.column_id, binding.timestamp_us, value)


cdef class RowTemplate:
    """The cells that a statement writes into one row."""

    def __init__(self, bint marker, tuple operations, bint lossy=False):
        self.marker = marker
        self.operations = operations
        self.lossy = lossy

    cpdef bytes bind(self, Binding binding, bytes raw_clustering):
        """The row's bytes; empty when there is nothing to write."""
        cdef object operation
        cdef bytes row
        builder = RowBuilder()
        builder.begin(binding.timestamp_us, self.marker, binding.ttl, expiry_of(binding))
        if self.lossy:
            builder.cell(0, binding.timestamp_us, raw_clustering)
        for operation in self.operations:
            if type(operation) is SetCell:
                (<SetCell>operation).apply(builder, binding)
            else:
                operation.apply(builder, binding)
        row = builder.finish()
        if not self.marker and len(row) <= 9:
            return b""
        return row

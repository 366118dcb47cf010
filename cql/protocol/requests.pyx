"""Bodies of requests to values: what each message of v3, v4 and v5 asks.

Whatever the bytes are, the outcome is a request or a ProtocolError, in memory that the body bounds.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from typing import Union

from cluster.consistency import Consistency
from cql.errors import ProtocolError

from cql.protocol.frame cimport PAYLOAD

cdef enum:
    STARTUP = 0x01
    OPTIONS = 0x05
    QUERY = 0x07
    PREPARE = 0x09
    EXECUTE = 0x0A
    REGISTER = 0x0B
    BATCH = 0x0D
    AUTH_RESPONSE = 0x0F

cdef enum:
    WITH_VALUES = 0x01
    WITH_SKIP_METADATA = 0x02
    WITH_PAGE_SIZE = 0x04
    WITH_PAGING_STATE = 0x08
    WITH_SERIAL_CONSISTENCY = 0x10
    WITH_TIMESTAMP = 0x20
    WITH_NAMES = 0x40
    WITH_KEYSPACE = 0x80
    WITH_NOW = 0x100

cdef enum:
    BATCH_KIND_MAX = 2

cdef tuple LEVELS = tuple(Consistency)  # each at the index of its code
assert all(level == code for code, level in enumerate(LEVELS)), "the codes have no gaps"
cdef object SERIAL = Consistency.SERIAL

EVENT_TYPES = ("TOPOLOGY_CHANGE", "STATUS_CHANGE", "SCHEMA_CHANGE")


class Unset:
    """The type of `UNSET`: a value the client left out, which leaves what is stored alone."""

    __slots__ = ()

    def __repr__(self):
        return "UNSET"


UNSET = Unset()
cdef object UNSET_VALUE = UNSET


cdef class QueryOptions:
    """What QUERY, EXECUTE and BATCH say besides the statement."""

    def __init__(
        self,
        consistency=Consistency.ONE,
        list values=None,
        list names=None,
        *,
        bint skip_metadata=False,
        int32_t page_size=-1,
        bytes paging_state=None,
        serial_consistency=Consistency.SERIAL,
        timestamp=None,
        str keyspace=None,
        now_in_seconds=None,
    ):
        self.consistency = consistency
        self.values = values
        self.names = names
        self.skip_metadata = skip_metadata
        self.page_size = page_size
        self.paging_state = paging_state
        self.serial_consistency = serial_consistency
        self.timestamp = timestamp
        self.keyspace = keyspace
        self.now_in_seconds = now_in_seconds

    def __repr__(self):
        return (
            f"QueryOptions({self.consistency!r}, {self.values}, {self.names}, "
            f"skip_metadata={self.skip_metadata}, page_size={self.page_size}, "
            f"paging_state={self.paging_state!r}, serial_consistency={self.serial_consistency!r}, "
            f"timestamp={self.timestamp}, keyspace={self.keyspace!r}, "
            f"now_in_seconds={self.now_in_seconds})"
        )


cdef class Startup:
    """The client opens the conversation."""

    def __init__(self, dict options):
        self.options = options


cdef class Options:
    """The client asks what we can do, or whether we are alive."""


cdef class Register:
    """The client wants to be told of events of these types."""

    def __init__(self, tuple events):
        self.events = events


cdef class Query:
    """A statement as text."""

    def __init__(self, str text, QueryOptions options):
        self.text = text
        self.options = options


cdef class Prepare:
    """A statement to be kept under an id."""

    def __init__(self, str text, str keyspace=None):
        self.text = text
        self.keyspace = keyspace


cdef class Execute:
    """A kept statement with its values."""

    def __init__(self, bytes id, bytes metadata_id, QueryOptions options):  # noqa: A002
        self.id = id
        self.metadata_id = metadata_id
        self.options = options


cdef class Batch:
    """Several modifications as one."""

    def __init__(self, int kind, list parts, QueryOptions options):
        self.kind = kind
        self.parts = parts
        self.options = options


cdef class AuthResponse:
    """A client's step of the SASL exchange."""

    def __init__(self, bytes token):
        self.token = token


Value = Union[bytes, Unset, None]
Request = Startup | Options | Register | Query | Prepare | Execute | Batch | AuthResponse


def parse_request(
    int opcode, bytes body, int version, int flags=0, *, bint has_metadata_id=False
):
    """The request in a frame's body.

    `has_metadata_id`: EXECUTE carries the result metadata's id although the version is below 5.
    Raises ProtocolError.
    """
    cdef BodyReader reader = BodyReader.__new__(BodyReader)
    reader.body = body
    reader.data = <const uint8_t*>PyBytes_AS_STRING(body)
    reader.size = PyBytes_GET_SIZE(body)
    reader.version = version
    if flags & PAYLOAD:
        reader.skip_payload()
    if opcode == EXECUTE:
        return parse_execute(reader, has_metadata_id or version >= 5)
    if opcode == QUERY:
        return parse_query(reader)
    if opcode == BATCH:
        return parse_batch(reader)
    if opcode == PREPARE:
        return parse_prepare(reader)
    if opcode == OPTIONS:
        return Options()
    if opcode == STARTUP:
        return parse_startup(reader)
    if opcode == REGISTER:
        return parse_register(reader)
    if opcode == AUTH_RESPONSE:
        return AuthResponse(reader.read_bytes())
    raise ProtocolError(f"Unknown opcode {opcode}")


cdef Execute parse_execute(BodyReader reader, bint has_metadata_id):
    cdef Execute request = Execute.__new__(Execute)
    request.id = reader.read_short_bytes()
    if has_metadata_id:
        request.metadata_id = reader.read_short_bytes()
    request.options = reader.read_options()
    return request


cdef Query parse_query(BodyReader reader):
    cdef Query request = Query.__new__(Query)
    request.text = reader.read_long_string()
    request.options = reader.read_options()
    return request


cdef Batch parse_batch(BodyReader reader):
    cdef Batch request = Batch.__new__(Batch)
    cdef int count, kind
    cdef object statement
    request.kind = reader.read_byte()
    if request.kind > BATCH_KIND_MAX:
        raise ProtocolError(f"Invalid BATCH message type {request.kind}")
    count = reader.read_short()
    request.parts = []
    for _ in range(count):
        kind = reader.read_byte()
        if kind == 0:
            statement = reader.read_long_string()
        elif kind == 1:
            statement = reader.read_short_bytes()
        else:
            raise ProtocolError(
                f"Invalid query kind in BATCH messages. Must be 0 or 1 but got {kind}"
            )
        request.parts.append((statement, reader.read_values()))
    request.options = reader.read_options()
    return request


cdef Prepare parse_prepare(BodyReader reader):
    cdef Prepare request = Prepare.__new__(Prepare)
    request.text = reader.read_long_string()
    if reader.version >= 5 and reader.read_int() & 1:
        request.keyspace = reader.read_string()
    return request


cdef Startup parse_startup(BodyReader reader):
    cdef dict options = {}
    cdef int count = reader.read_short()
    for _ in range(count):
        name = reader.read_string()
        options[name.upper()] = reader.read_string()
    return Startup(options)


cdef Register parse_register(BodyReader reader):
    cdef list events = []
    cdef int count = reader.read_short()
    for _ in range(count):
        event = reader.read_string()
        if event not in EVENT_TYPES:
            raise ProtocolError(f"Invalid value '{event}' for Type")
        events.append(event)
    return Register(tuple(events))


cdef class BodyReader:
    """A cursor over one body; every read checks what is left."""

    cdef const uint8_t* take(self, Py_ssize_t count) except NULL:
        cdef const uint8_t* start = self.data + self.at
        if count > self.size - self.at:
            raise ProtocolError(
                f"The message ends too early: {count} more bytes are needed at {self.at}, "
                f"{self.size - self.at} are left"
            )
        self.at += count
        return start

    cdef int read_byte(self) except -1:
        return self.take(1)[0]

    cdef int read_short(self) except -1:
        cdef const uint8_t* data = self.take(2)
        return (data[0] << 8) | data[1]

    cdef int64_t read_int(self) except? -1:
        cdef const uint8_t* data = self.take(4)
        return <int32_t>(
            (<uint32_t>data[0] << 24)
            | (<uint32_t>data[1] << 16)
            | (<uint32_t>data[2] << 8)
            | data[3]
        )

    cdef int64_t read_long(self) except? -1:
        cdef uint64_t high = <uint32_t>self.read_int()
        cdef uint64_t low = <uint32_t>self.read_int()
        return <int64_t>((high << 32) | low)

    cdef str read_text(self, Py_ssize_t length):
        cdef const uint8_t* data = self.take(length)
        try:
            return PyUnicode_DecodeUTF8(<const char*>data, length, NULL)
        except UnicodeDecodeError:
            raise ProtocolError("Cannot decode string as UTF8") from None

    cdef str read_string(self):
        return self.read_text(self.read_short())

    cdef str read_long_string(self):
        cdef int64_t length = self.read_int()
        if length < 0:
            raise ProtocolError(f"A string cannot have the length {length}")
        return self.read_text(length)

    cdef bytes read_short_bytes(self):
        cdef int length = self.read_short()
        return PyBytes_FromStringAndSize(<const char*>self.take(length), length)

    cdef bytes read_bytes(self):
        """[bytes]: None for a negative length."""
        cdef int64_t length = self.read_int()
        if length < 0:
            return None
        return PyBytes_FromStringAndSize(<const char*>self.take(length), length)

    cdef object read_value(self):
        """[value]: bytes, None or UNSET. Before v4 every negative length is null."""
        cdef int64_t length = self.read_int()
        if length >= 0:
            return PyBytes_FromStringAndSize(<const char*>self.take(length), length)
        if length == -1 or self.version < 4:
            return None
        if length == -2:
            return UNSET_VALUE
        raise ProtocolError(f"Invalid ByteBuf length {length}")

    cdef list read_values(self):
        cdef int count = self.read_short()
        cdef list values = []
        for _ in range(count):
            values.append(self.read_value())
        return values

    cdef object read_consistency(self):
        cdef int code = self.read_short()
        if code >= len(LEVELS):
            raise ProtocolError(f"Unknown code {code} for a consistency level")
        return LEVELS[code]

    cdef QueryOptions read_options(self):
        cdef QueryOptions options = QueryOptions.__new__(QueryOptions)
        cdef uint32_t flags
        options.consistency = self.read_consistency()
        options.page_size = -1
        options.serial_consistency = SERIAL
        if self.version >= 5:
            flags = <uint32_t>self.read_int()
        else:
            flags = self.read_byte()
        if flags & WITH_VALUES:
            if flags & WITH_NAMES:
                self.read_named_values(options)
            else:
                options.values = self.read_values()
        options.skip_metadata = (flags & WITH_SKIP_METADATA) != 0
        if flags & ~<uint32_t>(WITH_VALUES | WITH_NAMES | WITH_SKIP_METADATA):
            self.read_rarer_options(options, flags)
        return options

    cdef int read_named_values(self, QueryOptions options) except -1:
        cdef int count = self.read_short()
        options.names = []
        options.values = []
        for _ in range(count):
            options.names.append(self.read_string())
            options.values.append(self.read_value())
        return 0

    cdef int read_rarer_options(self, QueryOptions options, uint32_t flags) except -1:
        """The fields behind the values, in their fixed order."""
        if flags & WITH_PAGE_SIZE:
            options.page_size = <int32_t>self.read_int()
            if options.page_size == 0:
                raise ProtocolError("The page size cannot be 0")
        if flags & WITH_PAGING_STATE:
            options.paging_state = self.read_bytes()
        if flags & WITH_SERIAL_CONSISTENCY:
            options.serial_consistency = self.read_consistency()
        if flags & WITH_TIMESTAMP:
            options.timestamp = check_timestamp(self.read_long())
        if flags & (WITH_KEYSPACE | WITH_NOW) and self.version < 5:
            raise ProtocolError("A keyspace or time per request needs protocol version 5")
        if flags & WITH_KEYSPACE:
            options.keyspace = self.read_string()
        if flags & WITH_NOW:
            options.now_in_seconds = self.read_int()
        return 0

    cdef int skip_payload(self) except -1:
        """Passes over a custom payload: a map of short strings to bytes."""
        cdef int count
        if self.version < 4:
            raise ProtocolError(
                "Must not send frame with CUSTOM_PAYLOAD flag for native protocol version < 4"
            )
        count = self.read_short()
        for _ in range(count):
            self.read_string()
            self.read_bytes()
        return 0


cdef object check_timestamp(int64_t timestamp):
    """The timestamp itself; raises ProtocolError for the one that means "none" on disk."""
    if timestamp == -(<int64_t>1 << 62) * 2:
        raise ProtocolError(
            "Out of bound timestamp, must be in [-9223372036854775807, 9223372036854775807] "
            f"(got {timestamp})"
        )
    return timestamp

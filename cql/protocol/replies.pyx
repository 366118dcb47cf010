"""Results, errors and events to bodies of replies, as each protocol version wants them.

Encoded metadata is kept per (columns, version): a plan's columns are one tuple for its whole life.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from ipaddress import ip_address

from cql.protocol.events import StatusChange, TopologyChange, event_type
from cql.results import (
    Prepared,
    SchemaChange,
    SetKeyspace,
    Void,
    result_metadata_id,
)
from cql.types.catalog import (
    CustomType,
    ListType,
    MapType,
    NativeType,
    SetType,
    TupleType,
    UserType,
    VectorType,
    java_class,
)

from cql.protocol.frame cimport LARGE_BYTES, PAYLOAD, TRACING, WARNING, Reply
from cql.protocol.requests cimport Execute, Query
from cql.rows cimport Rows

cdef enum:
    SUPPORTED = 0x06
    RESULT = 0x08
    EVENT = 0x0C

cdef enum:
    KIND_VOID = 1
    KIND_ROWS = 2
    KIND_SET_KEYSPACE = 3
    KIND_PREPARED = 4
    KIND_SCHEMA_CHANGE = 5

cdef enum:
    GLOBAL_TABLE = 0x1
    MORE_PAGES = 0x2
    NO_METADATA = 0x4
    METADATA_CHANGED = 0x8

# Bit 31 of the bind metadata's flags, for clients which asked to see what is conditional.
cdef long long CONDITIONAL_MARK = 0x80000000

# Native types that exist as an id only from this version on; below, their class is named.
cdef dict FIRST_VERSIONS = {
    "date": 4, "time": 4, "smallint": 4, "tinyint": 4, "duration": 5
}

METADATA_KEPT_MAX = 1024
cdef dict kept_metadata = {}

cdef Reply VOID_REPLY = Reply(RESULT, pack_int(KIND_VOID))


cdef bytes pack_int(long long value):
    cdef uint8_t data[4]
    data[0] = (value >> 24) & 0xFF
    data[1] = (value >> 16) & 0xFF
    data[2] = (value >> 8) & 0xFF
    data[3] = value & 0xFF
    return PyBytes_FromStringAndSize(<char*>data, 4)


cdef bytes pack_short(int value):
    cdef uint8_t data[2]
    assert 0 <= value <= 0xFFFF, "a [short] is unsigned and has 16 bits"
    data[0] = (value >> 8) & 0xFF
    data[1] = value & 0xFF
    return PyBytes_FromStringAndSize(<char*>data, 2)


cdef bytes pack_string(str text):
    """[string]: cut to what its length can say."""
    cdef bytes data = text.encode("utf-8", "replace")
    if len(data) > 0xFFFF:
        data = data[:0xFFFF].decode("utf-8", "ignore").encode()
    return pack_short(len(data)) + data


cdef bytes pack_bytes(bytes data):
    return pack_int(-1) if data is None else pack_int(len(data)) + data


cdef bytes pack_short_bytes(bytes data):
    return pack_short(len(data)) + data


cdef bytes pack_string_list(object texts):
    return pack_short(len(texts)) + b"".join([pack_string(text) for text in texts])


def reply_to(
    result,
    int version,
    *,
    bint skip_metadata=False,
    bytes known_metadata_id=None,
    bint has_metadata_id=False,
    bint marks_conditional=False,
    payload=None,
):
    """The reply that carries a result.

    `skip_metadata`, `known_metadata_id`: as the request says; the id is None for a QUERY.
    `has_metadata_id`, `marks_conditional`: what the connection agreed upon.
    """
    if result.tracing_id is None and not result.warnings and payload is None:
        if type(result) is Void:
            return VOID_REPLY
        return Reply(
            RESULT,
            encode_result(
                result,
                version,
                skip_metadata=skip_metadata,
                known_metadata_id=known_metadata_id,
                has_metadata_id=has_metadata_id,
                marks_conditional=marks_conditional,
            ),
        )
    body = encode_result(
        result,
        version,
        skip_metadata=skip_metadata,
        known_metadata_id=known_metadata_id,
        has_metadata_id=has_metadata_id,
        marks_conditional=marks_conditional,
    )
    return wrap(
        RESULT,
        body,
        version,
        tracing_id=result.tracing_id,
        warnings=result.warnings,
        payload=payload,
    )


def wrap(int opcode, bytes body, int version, *, tracing_id=None, warnings=(), payload=None):
    """A reply with what goes before its message; v3 knows neither warnings nor payloads."""
    cdef int flags = 0
    cdef list parts = []
    if tracing_id is not None:
        flags |= TRACING
        parts.append(tracing_id.bytes)
    if warnings and version >= 4:
        flags |= WARNING
        parts.append(pack_string_list(warnings))
    if payload is not None and version >= 4:
        flags |= PAYLOAD
        parts.append(pack_short(len(payload)))
        for name, value in payload.items():
            parts.append(pack_string(name))
            parts.append(pack_bytes(value))
    parts.append(body)
    return Reply(opcode, b"".join(parts), flags=flags)


cpdef Reply rows_reply(object request, Rows rows, int version):
    """The reply that carries rows to a request: hot path of every SELECT."""
    cdef Execute execute
    cdef bint skips = False
    cdef bytes known_metadata_id = None
    if type(request) is Execute:
        execute = request
        skips = execute.options.skip_metadata and not rows.is_conditional
        known_metadata_id = execute.metadata_id
    elif type(request) is Query:
        skips = (<Query>request).options.skip_metadata
    cdef bytes head = head_of_rows(rows, version, skips, known_metadata_id)
    cdef bytes rest = rows.data if PyBytes_GET_SIZE(rows.data) > LARGE_BYTES else None
    cdef bytes body = join_rows(head, rows.row_count, rows.data if rest is None else b"")
    cdef Reply reply
    if rows.tracing_id is None and not rows.warnings:
        reply = Reply.__new__(Reply)
        reply.opcode = RESULT
        reply.body = body
    else:
        reply = wrap(RESULT, body, version, tracing_id=rows.tracing_id, warnings=rows.warnings)
    reply.rest = rest
    return reply


def encode_result(
    result,
    int version,
    *,
    bint skip_metadata=False,
    bytes known_metadata_id=None,
    bint has_metadata_id=False,
    bint marks_conditional=False,
) -> bytes:
    """The message of a RESULT; see `reply_to` for the arguments."""
    kind = type(result)
    if kind is Rows:
        head = head_of_rows(result, version, skip_metadata, known_metadata_id)
        return join_rows(head, result.row_count, result.data)
    if kind is Void:
        return VOID_REPLY.body
    if kind is Prepared:
        return encode_prepared(result, version, has_metadata_id, marks_conditional)
    if kind is SetKeyspace:
        return pack_int(KIND_SET_KEYSPACE) + pack_string(result.keyspace)
    assert kind is SchemaChange, "a result is one of those in cql/results"
    return pack_int(KIND_SCHEMA_CHANGE) + encode_schema_change(result, version)


cdef bytes head_of_rows(Rows rows, int version, bint skips, bytes known_metadata_id):
    """What precedes the row count: the metadata, or none where the client may do without.

    A client that named a metadata id gets the metadata again exactly when that id is out of date.
    One that executes without an id may skip only while nothing changed since it prepared. Columns
    of a conditional statement depend on its outcome, so an EXECUTE of one always brings them along.
    """
    cdef int flags = 0
    cdef bint is_changed = False
    cdef bytes metadata_id = rows.metadata_id
    cdef object columns = rows.columns
    if known_metadata_id is not None and not rows.is_conditional:
        metadata_id = metadata_id or kept_metadata_id(columns)
        is_changed = metadata_id != known_metadata_id
    elif rows.metadata_changed or known_metadata_id is not None:
        skips = False
    if is_changed:
        skips = False
        flags |= METADATA_CHANGED
    elif rows.paging_state is None:
        return head_of(columns, version, skips)
    if rows.paging_state is not None:
        flags |= MORE_PAGES
    if skips:
        flags |= NO_METADATA
    if is_of_one_table(columns):
        flags |= GLOBAL_TABLE
    return b"".join(
        (
            pack_int(KIND_ROWS),
            pack_int(flags),
            pack_int(len(columns)),
            pack_bytes(rows.paging_state) if flags & MORE_PAGES else b"",
            pack_short_bytes(metadata_id) if is_changed else b"",
            b"" if skips else encode_columns(columns, version),
        )
    )


cdef bytes head_of(object columns, int version, bint skips):
    """All that precedes the row count when there is no further page and no changed metadata."""
    cdef _Metadata metadata = metadata_of(columns)
    cdef int key = version * 2 + skips
    cdef bytes head = metadata.heads.get(key)
    if head is None:
        flags = (GLOBAL_TABLE if is_of_one_table(columns) else 0) | (NO_METADATA if skips else 0)
        encoded = b"" if skips else encode_columns(columns, version)
        head = pack_int(KIND_ROWS) + pack_int(flags) + pack_int(len(columns)) + encoded
        metadata.heads[key] = head
    return head


cdef bytes join_rows(bytes head, unsigned int row_count, bytes data):
    """The head, the row count and the rows, in one allocation."""
    cdef Py_ssize_t first = PyBytes_GET_SIZE(head)
    cdef Py_ssize_t second = PyBytes_GET_SIZE(data)
    cdef bytes body = PyBytes_FromStringAndSize(NULL, first + 4 + second)
    cdef uint8_t* to = <uint8_t*>PyBytes_AS_STRING(body)
    memcpy(to, PyBytes_AS_STRING(head), first)
    to[first] = row_count >> 24
    to[first + 1] = (row_count >> 16) & 0xFF
    to[first + 2] = (row_count >> 8) & 0xFF
    to[first + 3] = row_count & 0xFF
    memcpy(to + first + 4, PyBytes_AS_STRING(data), second)
    return body


cdef bytes encode_prepared(
    object prepared, int version, bint has_metadata_id, bint marks_conditional
):
    cdef long long flags = 0
    cdef bint is_global = is_of_one_table(prepared.bind)
    cdef list parts = [pack_int(KIND_PREPARED), pack_short_bytes(prepared.id)]
    if has_metadata_id or version >= 5:
        parts.append(pack_short_bytes(prepared.result_metadata_id))
    if is_global:
        flags |= GLOBAL_TABLE
    if marks_conditional and prepared.is_conditional:
        flags |= CONDITIONAL_MARK
    parts.append(pack_int(flags))
    parts.append(pack_int(len(prepared.bind)))
    if version >= 4:
        indices = prepared.pk_indices if is_global else ()
        parts.append(pack_int(len(indices)))
        parts.extend([pack_short(index) for index in indices])
    parts.append(encode_columns(prepared.bind, version))
    if prepared.result:
        parts.append(pack_int(GLOBAL_TABLE if is_of_one_table(prepared.result) else 0))
        parts.append(pack_int(len(prepared.result)))
        parts.append(encode_columns(prepared.result, version))
    else:
        parts.append(pack_int(NO_METADATA))
        parts.append(pack_int(0))
    return b"".join(parts)


cdef class _Metadata:
    """What is known of one tuple of columns; holding the tuple keeps its identity its own."""

    cdef object columns
    cdef bytes id
    cdef dict encoded  # version to the columns' bytes
    cdef dict heads  # (version, are they left out) to what precedes a last page's row count
    cdef int is_global  # -1: not known yet


cdef _Metadata metadata_of(object columns):
    """The entry of these very columns, new if there is none."""
    cdef _Metadata found = kept_metadata.get(id(columns))
    if found is None:
        if len(kept_metadata) >= METADATA_KEPT_MAX:
            kept_metadata.clear()
        found = _Metadata.__new__(_Metadata)
        found.columns = columns
        found.encoded = {}
        found.heads = {}
        found.is_global = -1
        kept_metadata[id(columns)] = found
    return found


cdef bytes kept_metadata_id(object columns):
    cdef _Metadata metadata = metadata_of(columns)
    if metadata.id is None:
        metadata.id = result_metadata_id(columns)
    return metadata.id


cdef bint is_of_one_table(object columns) except -1:
    """True if there are columns and one keyspace and table names them all."""
    cdef _Metadata metadata = metadata_of(columns)
    if metadata.is_global < 0:
        metadata.is_global = len({(column.keyspace, column.table) for column in columns}) == 1
    return metadata.is_global


cdef bytes encode_columns(object columns, int version):
    """The table, if it is one, and each column's name and type."""
    cdef _Metadata metadata = metadata_of(columns)
    cdef bytes encoded = metadata.encoded.get(version)
    if encoded is None:
        encoded = encode_columns_anew(columns, version)
        metadata.encoded[version] = encoded
    return encoded


cdef bytes encode_columns_anew(object columns, int version):
    cdef list parts = []
    cdef bint is_global = is_of_one_table(columns)
    for column in columns:
        if not parts or not is_global:
            parts.append(pack_string(column.keyspace))
            parts.append(pack_string(column.table))
        parts.append(pack_string(column.name))
        parts.append(encode_type(column.type, version))
    return b"".join(parts)


cpdef bytes encode_type(object cql_type, int version):
    """A type as a protocol option: an id and what belongs to it."""
    kind = type(cql_type)
    if kind is NativeType:
        if version < FIRST_VERSIONS.get(cql_type.name, 0):
            return pack_short(0) + pack_string(cql_type.class_name)
        return pack_short(cql_type.type_id)
    if kind is CustomType or kind is VectorType:
        return pack_short(0) + pack_string(java_class(cql_type))
    if kind is UserType:
        return encode_user_type(cql_type, version)
    inner = b"".join([encode_type(part, version) for part in cql_type.inner()])
    if kind is TupleType:
        return pack_short(cql_type.type_id) + pack_short(len(cql_type.elements)) + inner
    assert kind in (ListType, SetType, MapType), "every type has an option"
    return pack_short(cql_type.type_id) + inner


cdef bytes encode_user_type(object user_type, int version):
    cdef list parts = [
        pack_short(user_type.type_id),
        pack_string(user_type.keyspace),
        pack_string(user_type.name),
        pack_short(len(user_type.field_names)),
    ]
    for name, field in zip(user_type.field_names, user_type.field_types):
        parts.append(pack_string(name))
        parts.append(encode_type(field, version))
    return b"".join(parts)


def encode_schema_change(change, int version) -> bytes:
    """A schema change as RESULT and EVENT both carry it; v3 has no functions and aggregates."""
    is_function = change.target in ("FUNCTION", "AGGREGATE")
    if is_function and version < 4:
        return pack_string("UPDATED") + pack_string("KEYSPACE") + pack_string(change.keyspace)
    parts = [pack_string(change.change), pack_string(change.target), pack_string(change.keyspace)]
    if change.target != "KEYSPACE":
        parts.append(pack_string(change.name))
    if is_function:
        parts.append(pack_string_list(change.argument_types))
    return b"".join(parts)


def encode_event(event, int version) -> bytes:
    """The message of an EVENT."""
    head = pack_string(event_type(event))
    if type(event) is SchemaChange:
        return head + encode_schema_change(event, version)
    assert type(event) in (TopologyChange, StatusChange), "an event is one of cql/protocol/events"
    address = ip_address(event.address).packed
    return b"".join(
        (head, pack_string(event.change), bytes([len(address)]), address, pack_int(event.port))
    )


def event_reply(event, int version) -> Reply:
    """An EVENT, to be sent on stream -1."""
    return Reply(EVENT, encode_event(event, version))


def encode_supported(options) -> bytes:
    """The message of SUPPORTED: names to lists of values, in the mapping's order."""
    parts = [pack_short(len(options))]
    for name, values in options.items():
        parts.append(pack_string(name))
        parts.append(pack_string_list(values))
    return b"".join(parts)


def supported_reply(options) -> Reply:
    """The answer to OPTIONS."""
    return Reply(SUPPORTED, encode_supported(options))


def encode_string(str text) -> bytes:
    """[string]: a length of two bytes and UTF-8."""
    return pack_string(text)


def encode_bytes(data) -> bytes:
    """[bytes]: a length of four bytes, -1 for None, and the bytes."""
    return pack_bytes(data)


def encode_short_bytes(bytes data) -> bytes:
    """[short bytes]: a length of two bytes and the bytes."""
    return pack_short_bytes(data)


def encode_string_list(texts) -> bytes:
    """[string list]: a count of two bytes and the strings."""
    return pack_string_list(texts)

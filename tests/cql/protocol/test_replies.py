"""Tests of cql/protocol/replies; the driver's own decoder says what we wrote."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from cassandra.protocol import ResultMessage, SupportedMessage
from hypothesis import given
from hypothesis import strategies as st

from cql.protocol.events import StatusChange, TopologyChange
from cql.protocol.replies import (
    METADATA_KEPT_MAX,
    encode_event,
    encode_result,
    encode_supported,
    encode_type,
    reply_to,
)
from cql.results import (
    NO_METADATA_ID,
    VOID,
    ColumnSpec,
    Prepared,
    Rows,
    SchemaChange,
    SetKeyspace,
    Void,
    result_metadata_id,
)
from cql.types.catalog import (
    DATE,
    DURATION,
    INT,
    NATIVE_TYPES,
    SMALLINT,
    TEXT,
    TIME,
    TINYINT,
    CqlType,
    CustomType,
    ListType,
    MapType,
    SetType,
    TupleType,
    UserType,
    VectorType,
)
from tests.harness.protocol_client import string

AB = (ColumnSpec("ks", "t", "a", INT), ColumnSpec("ks", "t", "b", TEXT))
TWO_TABLES = (ColumnSpec("ks", "t", "a", INT), ColumnSpec("ks", "u", "b", TEXT))
ONE_ROW = struct.pack(">iii", 4, 7, 1) + b"x"


def decode(body: bytes, version: int, metadata: Any = None) -> Any:
    """What the public driver makes of a RESULT."""
    return ResultMessage.recv_body(BytesIO(body), version, {}, metadata, None)


def flags_of(body: bytes) -> int:
    return int.from_bytes(body[4:8], "big")


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("columns", [AB, TWO_TABLES])
@pytest.mark.parametrize("state", [None, b"", b"next"])
def test_the_driver_reads_rows(version: int, columns: Any, state: bytes | None) -> None:
    result = decode(encode_result(Rows(columns, 1, ONE_ROW, state), version), version)
    assert result.column_names == ["a", "b"]
    assert result.parsed_rows == [(7, "x")]
    assert result.paging_state == state
    assert [column[:2] for column in result.column_metadata] == [
        (column.keyspace, column.table) for column in columns
    ]


def test_metadata_is_left_out_where_the_client_has_it() -> None:
    rows = Rows(AB, 1, ONE_ROW)
    body = encode_result(rows, 4, skip_metadata=True)
    assert flags_of(body) == 0x5
    assert body[12:] == struct.pack(">i", 1) + ONE_ROW


def test_metadata_that_changed_since_prepare_is_sent_although_the_client_would_skip_it() -> None:
    rows = Rows(AB, 1, ONE_ROW, metadata_changed=True)
    assert flags_of(encode_result(rows, 4, skip_metadata=True)) == 0x1


def test_a_known_metadata_id_decides_over_skipping() -> None:
    rows, known = Rows(AB, 1, ONE_ROW), result_metadata_id(AB)
    same = encode_result(rows, 5, skip_metadata=True, known_metadata_id=known)
    kept = encode_result(rows, 5, skip_metadata=False, known_metadata_id=known)
    other = encode_result(rows, 5, skip_metadata=True, known_metadata_id=bytes(16))
    assert (flags_of(same), flags_of(kept), flags_of(other)) == (0x5, 0x1, 0x9)
    assert decode(other, 5).result_metadata_id == known


def test_a_conditional_statement_always_brings_its_columns() -> None:
    rows = Rows(AB, 1, ONE_ROW, is_conditional=True)
    body = encode_result(rows, 5, skip_metadata=True, known_metadata_id=bytes(16))
    assert flags_of(body) == 0x1


def test_a_paging_state_stands_before_the_new_metadata_id() -> None:
    rows = Rows(AB, 1, ONE_ROW, b"state")
    result = decode(encode_result(rows, 5, known_metadata_id=b"old"), 5)
    assert result.paging_state == b"state"
    assert result.result_metadata_id == result_metadata_id(AB)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_the_driver_reads_prepared_statements(version: int) -> None:
    prepared = Prepared(b"id", b"m" * 16, AB, (1, 0), AB)
    result = decode(encode_result(prepared, version), version)
    assert result.query_id == b"id"
    assert [column.name for column in result.bind_metadata] == ["a", "b"]
    assert [column[2] for column in result.column_metadata] == ["a", "b"]
    assert result.pk_indexes == ([1, 0] if version >= 4 else None)
    assert result.result_metadata_id == (b"m" * 16 if version >= 5 else None)


def test_markers_of_several_tables_route_nowhere() -> None:
    prepared = Prepared(b"id", NO_METADATA_ID, TWO_TABLES, (0,))
    result = decode(encode_result(prepared, 4), 4)
    assert result.pk_indexes == []
    assert result.column_metadata is None


def test_the_mark_of_conditional_statements_is_for_those_who_asked() -> None:
    prepared = Prepared(b"id", NO_METADATA_ID, AB, (0,), is_conditional=True)
    plain = encode_result(prepared, 4)
    marked = encode_result(prepared, 4, marks_conditional=True)
    assert plain[8:12] == b"\0\0\0\1"
    assert marked[8:12] == b"\x80\0\0\1"


def test_a_metadata_id_on_v4_is_for_those_who_asked() -> None:
    prepared = Prepared(b"id", b"m" * 16, AB)
    assert b"m" * 16 not in encode_result(prepared, 4)
    assert b"m" * 16 in encode_result(prepared, 4, has_metadata_id=True)


def test_void_set_keyspace_and_schema_change() -> None:
    assert encode_result(VOID, 4) == b"\0\0\0\1"
    assert decode(encode_result(SetKeyspace("k"), 4), 4).new_keyspace == "k"
    table = decode(encode_result(SchemaChange("CREATED", "TABLE", "k", "t"), 4), 4)
    assert table.schema_change_event == {
        "target_type": "TABLE", "change_type": "CREATED", "keyspace": "k", "table": "t"
    }  # fmt: skip
    keyspace = encode_result(SchemaChange("DROPPED", "KEYSPACE", "k"), 4)
    assert keyspace[4:] == string("DROPPED") + string("KEYSPACE") + string("k")


def test_v3_learns_of_functions_as_a_changed_keyspace() -> None:
    change = SchemaChange("CREATED", "FUNCTION", "k", "f", ("int",))
    assert encode_result(change, 3)[4:] == string("UPDATED") + string("KEYSPACE") + string("k")
    assert encode_result(change, 4)[4:] == (
        string("CREATED") + string("FUNCTION") + string("k") + string("f") + b"\0\1" + string("int")
    )


def test_what_stands_before_the_message_has_its_order() -> None:
    trace = UUID(int=5)
    result = Void(warnings=("w",), tracing_id=trace)
    reply = reply_to(result, 4, payload={"p": b"v"})
    assert reply.flags == 0x02 | 0x04 | 0x08
    warnings = b"\0\1" + string("w")
    payload = b"\0\1" + string("p") + struct.pack(">i", 1) + b"v"
    assert reply.body == trace.bytes + warnings + payload + b"\0\0\0\1"


def test_v3_gets_no_warnings_and_no_payload() -> None:
    reply = reply_to(Void(warnings=("w",)), 3, payload={"p": b"v"})
    assert (reply.flags, reply.body) == (0, b"\0\0\0\1")


def test_types_younger_than_the_version_are_named_by_their_class() -> None:
    for kind in (DATE, TIME, SMALLINT, TINYINT):
        assert encode_type(kind, 3) == b"\0\0" + string(kind.class_name)
        assert encode_type(kind, 4) == struct.pack(">H", kind.type_id)
    assert encode_type(DURATION, 4) == b"\0\0" + string(DURATION.class_name)
    assert encode_type(DURATION, 5) == b"\0\x15"
    assert encode_type(ListType(DURATION), 4) == b"\0\x20" + encode_type(DURATION, 4)
    assert encode_type(TEXT, 4) == b"\0\x0d"


TYPES: st.SearchStrategy[CqlType] = st.recursive(
    st.sampled_from(NATIVE_TYPES),
    lambda inner: st.one_of(
        inner.map(ListType),
        inner.map(SetType),
        st.builds(MapType, inner, inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: TupleType(tuple(parts))),
        st.builds(VectorType, st.sampled_from(NATIVE_TYPES), st.integers(1, 9)),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: UserType(
                "k", "u", tuple(f"f{i}" for i in range(len(parts))), tuple(parts)
            )
        ),
    ),
    max_leaves=6,
)


@given(TYPES, st.sampled_from([4, 5]))
def test_the_driver_reads_every_type(cql_type: CqlType, version: int) -> None:
    data = BytesIO(encode_type(cql_type, version))
    ResultMessage.read_type(data, {})
    assert data.read() == b""


def test_a_custom_type_is_its_class() -> None:
    assert encode_type(CustomType("a.B"), 4) == b"\0\0" + string("a.B")


def test_events_name_the_address_without_its_text() -> None:
    up = encode_event(StatusChange("UP", "127.0.0.1", 9042), 4)
    assert up == string("STATUS_CHANGE") + string("UP") + b"\4\x7f\0\0\1" + struct.pack(">i", 9042)
    new = encode_event(TopologyChange("NEW_NODE", "::1", 1), 4)
    assert new == (
        string("TOPOLOGY_CHANGE") + string("NEW_NODE") + b"\x10" + bytes(15) + b"\1\0\0\0\1"
    )
    schema = encode_event(SchemaChange("UPDATED", "TYPE", "k", "u"), 4)
    assert schema == (
        string("SCHEMA_CHANGE") + string("UPDATED") + string("TYPE") + string("k") + string("u")
    )


def test_the_driver_reads_supported() -> None:
    body = encode_supported({"COMPRESSION": [], "CQL_VERSION": ["3.4.7"], "X": ["1", "2"]})
    message = SupportedMessage.recv_body(BytesIO(body))
    assert message.cql_versions == ["3.4.7"]
    assert message.options == {"COMPRESSION": [], "X": ["1", "2"]}


def test_metadata_of_columns_that_look_alike_is_not_mixed_up() -> None:
    for number in range(METADATA_KEPT_MAX * 2 + 10):
        columns = (ColumnSpec("ks", "t", f"c{number}", INT),)
        body = encode_result(Rows(columns, 0, b""), 4)
        assert string(f"c{number}") in body


def test_a_string_too_long_for_its_length_is_cut_between_characters() -> None:
    body = encode_result(SetKeyspace("é" * 40_000), 4)
    assert int.from_bytes(body[4:6], "big") == 65534
    assert body[6:].decode() == "é" * 32767

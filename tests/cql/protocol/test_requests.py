"""Tests of cql/protocol/requests."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.consistency import Consistency
from cql.errors import ProtocolError
from cql.protocol.requests import (
    UNSET,
    AuthResponse,
    Batch,
    Execute,
    Options,
    Prepare,
    Query,
    Register,
    Startup,
    parse_request,
)
from tests.harness.protocol_client import (
    AUTH_RESPONSE,
    BATCH,
    EXECUTE,
    OPTIONS,
    PREPARE,
    QUERY,
    REGISTER,
    STARTUP,
    long_string,
    options_of,
    short_bytes,
    string,
    string_map,
    value,
)

VERSIONS = st.sampled_from([3, 4, 5])
NAMES = st.text(max_size=20)
VALUES = st.lists(st.none() | st.binary(max_size=40), max_size=8)
LEVELS = st.sampled_from(list(Consistency))


@st.composite
def options(draw: st.DrawFn, version: int) -> tuple[bytes, dict[str, Any]]:
    """The bytes of random options, and the fields that they say."""
    level = draw(LEVELS)
    flags, rest = 0, b""
    said: dict[str, Any] = {"consistency": level, "values": None, "names": None}
    if draw(st.booleans()):
        values = draw(VALUES)
        flags |= 0x01
        rest += struct.pack(">H", len(values))
        said["values"] = values
        if draw(st.booleans()):
            flags |= 0x40
            said["names"] = [draw(NAMES) for _ in values]
        for index, one in enumerate(values):
            rest += string(said["names"][index]) if said["names"] else b""
            rest += value(one)
        if not values and flags & 0x40:
            said["names"] = []
    if draw(st.booleans()):
        flags |= 0x02
    said["skip_metadata"] = bool(flags & 2)
    said["page_size"] = draw(st.none() | st.integers(-(2**31), 2**31 - 1).filter(bool))
    if said["page_size"] is not None:
        flags |= 0x04
        rest += struct.pack(">i", said["page_size"])
    said["paging_state"] = draw(st.none() | st.binary(max_size=20))
    if said["paging_state"] is not None:
        flags |= 0x08
        rest += value(said["paging_state"])
    said["serial_consistency"] = draw(st.none() | LEVELS)
    if said["serial_consistency"] is not None:
        flags |= 0x10
        rest += struct.pack(">H", said["serial_consistency"])
    said["timestamp"] = draw(st.none() | st.integers(-(2**63) + 1, 2**63 - 1))
    if said["timestamp"] is not None:
        flags |= 0x20
        rest += struct.pack(">q", said["timestamp"])
    said["keyspace"] = draw(st.none() | NAMES) if version >= 5 else None
    if said["keyspace"] is not None:
        flags |= 0x80
        rest += string(said["keyspace"])
    said["now_in_seconds"] = draw(st.none() | st.integers(0, 2**31 - 1)) if version >= 5 else None
    if said["now_in_seconds"] is not None:
        flags |= 0x100
        rest += struct.pack(">i", said["now_in_seconds"])
    said["page_size"] = -1 if said["page_size"] is None else said["page_size"]
    if said["serial_consistency"] is None:
        said["serial_consistency"] = Consistency.SERIAL
    return options_of(version, flags, rest, level), said


def fields(parsed: Any, said: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(parsed, name) for name in said}


@given(st.data(), VERSIONS, NAMES)
def test_query_says_what_was_written(data: st.DataObject, version: int, text: str) -> None:
    encoded, said = data.draw(options(version))
    request = parse_request(QUERY, long_string(text) + encoded, version)
    assert isinstance(request, Query)
    assert request.text == text
    assert fields(request.options, said) == said


@given(st.data(), VERSIONS, st.binary(max_size=20), st.binary(max_size=20), st.booleans())
def test_execute_has_a_metadata_id_from_v5_on_or_where_it_was_agreed(
    data: st.DataObject, version: int, id_: bytes, metadata_id: bytes, agreed: bool
) -> None:
    encoded, said = data.draw(options(version))
    has_id = version >= 5 or agreed
    body = short_bytes(id_) + (short_bytes(metadata_id) if has_id else b"") + encoded
    request = parse_request(EXECUTE, body, version, has_metadata_id=agreed)
    assert isinstance(request, Execute)
    assert request.id == id_
    assert request.metadata_id == (metadata_id if has_id else None)
    assert request.options.values == said["values"]


@given(
    VERSIONS,
    st.integers(0, 2),
    st.lists(st.tuples(st.text(max_size=9) | st.binary(max_size=9), VALUES), max_size=6),
)
def test_batch_mixes_texts_and_ids(
    version: int, kind: int, parts: list[tuple[str | bytes, list[bytes | None]]]
) -> None:
    body = struct.pack(">BH", kind, len(parts))
    for statement, values in parts:
        if isinstance(statement, str):
            body += b"\0" + long_string(statement)
        else:
            body += b"\1" + short_bytes(statement)
        body += struct.pack(">H", len(values)) + b"".join(value(one) for one in values)
    request = parse_request(BATCH, body + options_of(version, consistency=4), version)
    assert isinstance(request, Batch)
    assert (request.kind, request.parts) == (kind, parts)
    assert request.options.consistency is Consistency.QUORUM


def test_prepare_has_a_keyspace_from_v5_on() -> None:
    text = long_string("SELECT 1")
    old = parse_request(PREPARE, text, 4)
    new = parse_request(PREPARE, text + struct.pack(">I", 1) + string("ks"), 5)
    none = parse_request(PREPARE, text + struct.pack(">I", 0), 5)
    assert isinstance(old, Prepare) and isinstance(new, Prepare) and isinstance(none, Prepare)
    assert (old.keyspace, new.keyspace, none.keyspace) == (None, "ks", None)


def test_startup_keys_are_upper_case_and_unknown_ones_are_kept() -> None:
    body = string_map({"cql_version": "3.0.0", "Driver_Name": "x", "WHATEVER": "1"})
    request = parse_request(STARTUP, body, 4)
    assert isinstance(request, Startup)
    assert request.options == {"CQL_VERSION": "3.0.0", "DRIVER_NAME": "x", "WHATEVER": "1"}


def test_register_names_known_events_only() -> None:
    good = parse_request(REGISTER, b"\0\1" + string("STATUS_CHANGE"), 4)
    assert isinstance(good, Register)
    assert good.events == ("STATUS_CHANGE",)
    with pytest.raises(ProtocolError, match="NO_SUCH"):
        parse_request(REGISTER, b"\0\1" + string("NO_SUCH"), 4)


def test_options_and_auth_response() -> None:
    assert isinstance(parse_request(OPTIONS, b"", 4), Options)
    token = parse_request(AUTH_RESPONSE, value(b"\0a\0b"), 4)
    none = parse_request(AUTH_RESPONSE, value(None), 4)
    assert isinstance(token, AuthResponse) and isinstance(none, AuthResponse)
    assert (token.token, none.token) == (b"\0a\0b", None)


@pytest.mark.parametrize(
    ("version", "length", "expected"),
    [(3, -1, None), (3, -2, None), (3, -9, None), (4, -1, None), (4, -2, UNSET), (5, -2, UNSET)],
)
def test_negative_value_lengths_are_null_or_unset(version: int, length: int, expected: Any) -> None:
    body = long_string("x") + options_of(version, 1, struct.pack(">Hi", 1, length))
    request = parse_request(QUERY, body, version)
    assert isinstance(request, Query)
    assert request.options.values == [expected]


@pytest.mark.parametrize(
    ("version", "flags", "rest", "text"),
    [
        (4, 0x01, struct.pack(">Hi", 1, -3), "length -3"),
        (4, 0x04, struct.pack(">i", 0), "The page size cannot be 0"),
        (4, 0x20, struct.pack(">q", -(2**63)), "Out of bound timestamp"),
        (4, 0x80, string("ks"), "version 5"),
        (4, 0x10, b"\0\x0c", "Unknown code 12 for a consistency level"),
        (4, 0x01, struct.pack(">Hi", 1, 2**31 - 1), "ends too early"),
        (5, 0x100, b"\0\0", "ends too early"),
        (5, 0x80, b"\0\2\xff\xfe", "UTF8"),
    ],
)
def test_wrong_options_are_protocol_errors(
    version: int, flags: int, rest: bytes, text: str
) -> None:
    with pytest.raises(ProtocolError, match=text):
        parse_request(QUERY, long_string("x") + options_of(version, flags, rest), version)


@pytest.mark.parametrize(
    ("opcode", "body", "text"),
    [
        (BATCH, b"\x03\0\0", "Invalid BATCH message type 3"),
        (BATCH, b"\x00\0\1\2", "Must be 0 or 1 but got 2"),
        (QUERY, struct.pack(">i", -1), "length -1"),
        (80, b"", "Unknown opcode 80"),
        (2, b"", "Unknown opcode 2"),
    ],
)
def test_wrong_messages_are_protocol_errors(opcode: int, body: bytes, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        parse_request(opcode, body, 4)


def test_a_custom_payload_is_passed_over_from_v4_on() -> None:
    payload = b"\0\2" + string("a") + value(b"xyz") + string("b") + value(None)
    request = parse_request(QUERY, payload + long_string("x") + options_of(4), 4, 0x04)
    assert isinstance(request, Query)
    assert request.text == "x"
    with pytest.raises(ProtocolError, match="CUSTOM_PAYLOAD"):
        parse_request(QUERY, payload + long_string("x") + options_of(3), 3, 0x04)


@given(st.data(), VERSIONS)
def test_every_cut_body_is_a_protocol_error(data: st.DataObject, version: int) -> None:
    encoded, _ = data.draw(options(version))
    body = long_string("abc") + encoded
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(ProtocolError):
        parse_request(QUERY, body[:cut], version)


@given(st.integers(0, 20), st.binary(max_size=60), VERSIONS, st.integers(0, 31), st.booleans())
def test_arbitrary_bodies_are_survived(
    opcode: int, body: bytes, version: int, flags: int, agreed: bool
) -> None:
    with contextlib.suppress(ProtocolError):
        parse_request(opcode, body, version, flags, has_metadata_id=agreed)

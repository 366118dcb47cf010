"""Tests of node/dispatch."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

import pytest

from cql.errors import InvalidRequest
from cql.results import VOID, ColumnSpec, Prepared, Rows, SetKeyspace, Void
from cql.types.catalog import INT
from storage.errors import CommitLogFailed
from tests.harness.protocol_client import (
    BATCH,
    EXECUTE,
    OPTIONS,
    PREPARE,
    QUERY,
    Later,
    ScriptedExecutor,
    Wire,
    envelope,
    envelopes,
    long_string,
    options_of,
    query,
    short_bytes,
    startup,
    string_map,
)

A = (ColumnSpec("k", "t", "a", INT),)
TRACE = UUID(int=77)


def execute(version: int, flags: int = 0, *, metadata_id: bytes | None = None) -> bytes:
    middle = short_bytes(metadata_id) if metadata_id is not None else b""
    return envelope(version, EXECUTE, short_bytes(b"id") + middle + options_of(version, flags))


def test_every_message_reaches_its_handler() -> None:
    wire = Wire().start()
    wire.send(query(4, "q"))
    wire.send(envelope(4, PREPARE, long_string("p")))
    wire.send(execute(4))
    wire.send(envelope(4, BATCH, b"\0\0\0" + options_of(4)))
    assert [kind for kind, _ in wire.executor.asked] == ["query", "prepare", "execute", "batch"]


def test_use_changes_the_connection() -> None:
    wire = Wire(ScriptedExecutor({"USE k": SetKeyspace("k")})).start()
    assert wire.session.keyspace is None
    wire.send(query(4, "USE k"))
    assert wire.session.keyspace == "k"


@pytest.mark.parametrize("waits", [False, True])
def test_a_refusal_has_its_code_now_or_later(waits: bool) -> None:
    error = InvalidRequest("no")
    wire = Wire(ScriptedExecutor({"x": (lambda _r: Later(error)) if waits else error})).start()
    out = wire.send(query(4, "x", stream=3))
    if waits:
        wire.later[0].run()
        out = wire.take()
    (answer,) = envelopes(out)
    assert (answer.stream, answer.code, answer.message) == (3, 0x2200, "no")


def test_a_mistake_of_ours_is_logged_once_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire(ScriptedExecutor({"x": ZeroDivisionError("secret")})).start()
    with caplog.at_level(logging.ERROR):
        answer = wire.ask(query(4, "x"))
    assert answer.code == 0
    assert "secret" not in answer.message
    (record,) = caplog.records
    assert record.exc_info is not None


def test_a_client_s_mistake_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire(ScriptedExecutor({"x": InvalidRequest("no")})).start()
    wire.ask(query(4, "x"))
    assert caplog.records == []


def test_a_failed_log_stops_the_shard() -> None:
    stopped: list[BaseException] = []
    failure = CommitLogFailed("the disk is gone")
    wire = Wire(ScriptedExecutor({"x": failure}), stop=stopped.append).start()
    assert wire.ask(query(4, "x")).code == 0
    assert stopped == [failure]


def test_a_traced_request_brings_its_id_first() -> None:
    asked: list[Any] = []
    finished: list[UUID] = []

    class Trace:
        id = TRACE

        def finish(self) -> None:
            finished.append(self.id)

    def begin(request: Any, session: Any, _moment: Any) -> Trace:
        asked.append(request)
        return Trace()

    wire = Wire(begin_trace=begin)
    wire.executor.script = {
        "now": lambda _request: VOID,
        "wait": lambda _request: Later(Void(warnings=("w",))),
    }
    wire.start()
    body = long_string("now") + options_of(4)
    answer = wire.ask(envelope(4, QUERY, body, flags=2))
    assert (answer.flags, answer.body) == (2, TRACE.bytes + b"\0\0\0\1")
    assert finished == [TRACE]
    wire.send(envelope(4, QUERY, long_string("wait") + options_of(4), flags=2))
    wire.later[0].run()
    (waited,) = envelopes(wire.take())
    assert waited.flags == 0x0A
    assert waited.body.startswith(TRACE.bytes + b"\0\1\0\1w")
    assert wire.ask(envelope(4, OPTIONS, flags=2)).flags == 0
    assert (len(asked), finished) == (2, [TRACE, TRACE])


def test_without_tracing_the_flag_is_ignored() -> None:
    answer = Wire().start().ask(envelope(4, QUERY, long_string("x") + options_of(4), flags=2))
    assert (answer.flags, answer.body) == (0, b"\0\0\0\1")


@pytest.mark.parametrize("version", [3, 4])
def test_an_execute_skips_metadata_only_while_it_holds(version: int) -> None:
    for more, flags in (({}, 5), ({"metadata_changed": True}, 1), ({"is_conditional": True}, 1)):
        rows = Rows(A, 0, b"", **more)  # type: ignore[arg-type]
        wire = Wire(ScriptedExecutor({b"id": rows})).start(version)
        assert wire.ask(execute(version, 2)).body[4:8] == flags.to_bytes(4, "big")


def test_a_query_skips_metadata_when_it_says_so() -> None:
    wire = Wire(ScriptedExecutor({"x": Rows(A, 0, b"")})).start()
    assert wire.ask(query(4, "x", 2)).body[4:8] == b"\0\0\0\5"


def test_scylla_s_metadata_id_is_for_v4_connections_that_asked() -> None:
    script = {b"id": Rows(A, 0, b""), ("prepare", "p"): Prepared(b"id", b"m" * 16, (), (), A)}
    asked = Wire(ScriptedExecutor(script)).start(4, SCYLLA_USE_METADATA_ID="")
    assert b"m" * 16 in asked.ask(envelope(4, PREPARE, long_string("p"))).body
    changed = asked.ask(execute(4, 2, metadata_id=b"old"))
    assert changed.body[4:8] == b"\0\0\0\x09"
    plain = Wire(ScriptedExecutor(script)).start(3, SCYLLA_USE_METADATA_ID="")
    assert plain.ask(execute(3, 2)).body[4:8] == b"\0\0\0\5"


def test_the_lwt_mark_is_for_connections_that_asked() -> None:
    script = {("prepare", "p"): Prepared(b"id", b"m" * 16, A, (0,), is_conditional=True)}
    for options, mark in (({}, b"\0"), ({"SCYLLA_LWT_ADD_METADATA_MARK": "1"}, b"\x80")):
        wire = Wire(ScriptedExecutor(script)).start(4, **options)
        assert wire.ask(envelope(4, PREPARE, long_string("p"))).body[8:9] == mark


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "Missing value CQL_VERSION in STARTUP message"),
        ({"CQL_VERSION": "2.9.0"}, "CQL version 2.9.0 is not supported by the binary protocol"),
        ({"CQL_VERSION": "three"}, "Invalid CQL_VERSION three"),
        ({"CQL_VERSION": "3.0.0", "COMPRESSION": "x"}, "Unknown compression algorithm: x"),
        ({"CQL_VERSION": "3.0.0", "COMPRESSION": "snappy"}, "does not support Snappy"),
    ],
)
def test_startup_is_refused_with_a_reason(options: dict[str, str], text: str) -> None:
    wire = Wire()
    answer = wire.ask(envelope(4, 1, string_map(options)))
    assert (answer.code, text in answer.message) == (0x000A, True)
    assert not wire.connection.is_closing
    wire.start()


@pytest.mark.parametrize("version", ["2.99", "3.0.0", "3.4.7", "9.9.9", "3.0.0-beta1"])
def test_cql_versions_from_2_99_on_are_welcome(version: str) -> None:
    assert Wire().ask(startup(4, CQL_VERSION=version)).opcode == 2


def test_options_in_supported_are_the_connection_s_own() -> None:
    wire = Wire(supported={"SCYLLA_SHARD": ["3"]}).start()
    assert b"SCYLLA_SHARD\x00\x01\x00\x013" in wire.ask(envelope(4, OPTIONS)).body


def test_a_response_opcode_from_a_client_is_refused() -> None:
    wire = Wire().start()
    answer = wire.ask(envelope(4, 8))
    assert answer.code == 0x000A
    assert wire.ask(query(4, "x")).opcode == 8

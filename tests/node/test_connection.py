"""Tests of node/connection: bytes in, bytes out, no socket."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cql.errors import BadCredentials
from cql.moment import Moment
from cql.protocol.frame import NO_ROOM, compress_body, decompress_body
from cql.protocol.room import Room
from cql.protocol.segment import encode_segment
from cql.results import VOID, Rows, SchemaChange
from node.connection import RECEIVE_BYTES, SMALL_RECEIVE_BYTES, Connection, Limits, Ports
from node.dispatch import Dispatch
from node.session import Session, Stage
from node.turn import Turn
from tests.harness.protocol_client import (
    AUTH_RESPONSE,
    OPTIONS,
    QUERY,
    REGISTER,
    Later,
    ScriptedExecutor,
    Wire,
    envelope,
    envelopes,
    query,
    startup,
    string,
    unsegment,
    value,
)


class FakeTransport:
    """What a connection does to its socket."""

    def __init__(self, connection: Connection | None = None) -> None:
        self.written: list[bytes] = []
        self.calls: list[str] = []
        self.unsent = 0
        self.connection = connection

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")


def with_transport(wire: Wire) -> FakeTransport:
    transport = FakeTransport()
    wire.connection.connection_made(transport)  # type: ignore[arg-type]
    return transport


def waiting_wire(version: int = 4, limits: Limits | None = None, **options: str) -> Wire:
    """A started connection whose statements `wait` answer later."""
    executor = ScriptedExecutor({"wait": lambda _request: Later(VOID)})
    return Wire(executor, limits=limits).start(version, **options)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_startup_opens_the_connection(version: int) -> None:
    wire = Wire().start(version)
    assert wire.session.stage is Stage.READY
    data = wire.send(encode_segment(query(version, "x")) if version == 5 else query(version, "x"))
    (answer,) = envelopes(unsegment(data) if version == 5 else data)
    assert (answer.opcode, answer.body) == (8, b"\0\0\0\1")


def test_options_before_startup_may_have_another_version() -> None:
    wire = Wire()
    assert wire.ask(envelope(5, OPTIONS)).opcode == 6
    wire.start(4)
    assert wire.ask(query(4, "x")).opcode == 8


def test_the_answer_to_startup_is_bare_and_what_follows_it_is_segmented() -> None:
    wire = Wire()
    data = wire.send(startup(5) + encode_segment(query(5, "x", stream=3)))
    ready, rest = data[:9], data[9:]
    assert ready[4] == 2
    (answer,) = envelopes(unsegment(rest))
    assert answer.stream == 3


def test_a_refused_startup_stays_bare_and_may_be_tried_again() -> None:
    wire = Wire()
    answer = wire.ask(startup(5, COMPRESSION="snappy"))
    assert answer.message == "Snappy compression is not supported in protocol V5"
    wire.start(5)
    assert wire.session.stage is Stage.READY


@pytest.mark.parametrize("version", [3, 4])
def test_lz4_goes_both_ways_in_bodies(version: int) -> None:
    executor = ScriptedExecutor({"big": Rows((), 1, b"a" * 9000)})
    wire = Wire(executor).start(version, COMPRESSION="lz4")
    body = query(version, "big")[9:]
    answer = wire.ask(envelope(version, QUERY, compress_body(body), flags=1))
    assert answer.flags == 1
    assert decompress_body(answer.body, 10_000).endswith(b"a" * 9000)
    small = wire.ask(query(version, "x"))
    assert small.flags == 0


def test_lz4_goes_both_ways_in_segments() -> None:
    executor = ScriptedExecutor({"big": Rows((), 1, b"a" * 400_000)})
    wire = Wire(executor).start(5, COMPRESSION="lz4")
    data = wire.send(encode_segment(query(5, "big", stream=4) + query(5, "x"), packed=True))
    assert len(data) < 10_000
    first, second = envelopes(unsegment(data, packed=True))
    assert (first.stream, second.stream) == (4, 0)
    assert first.body.endswith(b"a" * 400_000)


def test_authentication_is_segmented_already_and_opens_the_connection() -> None:
    class Authenticator:
        class_name = "org.apache.cassandra.auth.PasswordAuthenticator"

        async def authenticate(self, token: bytes, session: Session) -> str:
            if token != b"\0me\0secret":
                raise BadCredentials("Provided username me and/or password are incorrect")
            return "me"

    wire = Wire(authenticator=Authenticator()).start(5)
    assert wire.session.stage is Stage.AUTHENTICATING
    wire.send(encode_segment(envelope(5, AUTH_RESPONSE, value(b"\0me\0secret"), stream=8)))
    wire.later[0].run()
    (answer,) = envelopes(unsegment(wire.take()))
    assert (answer.opcode, answer.stream, answer.body) == (0x10, 8, b"\xff" * 4)
    assert (wire.session.role, wire.session.stage) == ("me", Stage.READY)

    wrong = Wire(authenticator=Authenticator()).start(4)
    wrong.send(envelope(4, AUTH_RESPONSE, value(b"\0me\0guess")))
    wrong.later[0].run()
    (refusal,) = envelopes(wrong.take())
    assert refusal.code == 0x0100
    assert wrong.connection.is_closing


def test_nothing_but_authentication_is_served_before_it() -> None:
    class Authenticator:
        class_name = "x"

        async def authenticate(self, token: bytes, session: Session) -> str:
            raise AssertionError("nobody authenticates here")

    wire = Wire(authenticator=Authenticator()).start(4)
    assert wire.ask(envelope(4, OPTIONS)).opcode == 6
    answer = wire.ask(query(4, "x"))
    assert answer.message == "Unexpected message QUERY, expecting SASL_RESPONSE"
    assert wire.connection.is_closing
    assert wire.executor.asked == []


def test_a_statement_before_startup_ends_the_connection() -> None:
    wire = Wire()
    answer = wire.ask(query(4, "x"))
    assert (answer.code, wire.connection.is_closing) == (0x000A, True)
    assert wire.send(startup(4)) == b""


def test_a_closed_connection_is_closed_after_its_last_words() -> None:
    wire = Wire()
    transport = with_transport(wire)
    wire.connection.feed(query(4, "x"))
    wire.connection.flush()
    assert len(transport.written) == 1
    assert transport.calls == ["close"]


@given(st.lists(st.integers(0), max_size=10), st.sampled_from([3, 4, 5]))
def test_any_cut_of_the_bytes_gives_the_same_answers(cuts: list[int], version: int) -> None:
    requests = b"".join(query(version, "x", stream=stream) for stream in range(5))
    data = startup(version) + (encode_segment(requests) if version == 5 else requests)
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    wire, out = Wire(), b""
    for index in range(len(edges) - 1):
        out += wire.send(data[edges[index] : edges[index + 1]])
    rest = unsegment(out[9:]) if version == 5 else out[9:]
    assert [answer.stream for answer in envelopes(rest)] == [0, 1, 2, 3, 4]


def test_replies_may_overtake_those_that_wait() -> None:
    wire = waiting_wire()
    out = wire.send(query(4, "wait", stream=1) + query(4, "now", stream=2))
    assert [answer.stream for answer in envelopes(out)] == [2]
    assert wire.connection.in_flight == 1
    wire.later[0].run()
    assert [answer.stream for answer in envelopes(wire.take())] == [1]
    assert (wire.connection.in_flight, wire.connection.in_flight_bytes) == (0, 0)


@pytest.mark.parametrize("version", [4, 5])
def test_a_client_that_sends_much_at_once_lets_others_have_turns_in_between(version: int) -> None:
    flushes: list[Connection] = []
    wire = Wire(flush_later=flushes.append)

    def work(_request: Any) -> Any:
        wire.now += 0.0003
        return VOID

    wire.executor.script = {"work": work}
    wire.start(version)
    transport = with_transport(wire)
    flushes.clear()
    asked = [query(version, "work", stream=stream) for stream in range(100)]
    pack = encode_segment if version == 5 else bytes
    wire.connection.feed(b"".join(pack(frame) for frame in asked))
    turns = []
    while flushes:
        before = wire.now
        wire.ports.renew()
        flushes.pop().flush()
        turns.append(wire.now - before)
    assert len(turns) > 3
    assert max(turns) < 0.010, "it looks at the clock after every 16 requests"
    assert transport.calls == ["pause_reading", "resume_reading"]
    replies = b"".join(transport.written)
    answers = envelopes(unsegment(replies) if version == 5 else replies)
    assert [answer.stream for answer in answers] == list(range(100))


@pytest.mark.parametrize(("work_s", "reply_bytes"), [(0.0003, 0), (0.003, 100_000)])
def test_many_clients_that_send_much_share_the_time_of_a_turn(
    work_s: float, reply_bytes: int
) -> None:
    soon: list[Callable[[], None]] = []
    turn = Turn(soon.append, lambda: None, lambda error: None)
    now = 0.0

    def work(_request: Any) -> Any:
        nonlocal now
        now += work_s
        return Rows((), 1, bytes(reply_bytes))

    executor = ScriptedExecutor({"work": work})
    ports = Ports(
        handle=Dispatch(executor, lambda _session: {}).handle,
        moment=lambda: Moment(now, 1, 1),
        now=lambda: now,
        spawn=lambda _work: None,
        flush_later=turn.flush_later,
        requests=Room(1 << 24),
        replies=Room(1 << 30),
    )
    turn.renew = ports.renew
    wires = [Wire(executor, ports=ports).start() for _ in range(20)]
    transports = [with_transport(wire) for wire in wires]
    turn.end_now()
    soon.clear()
    for wire in wires:
        wire.connection.feed(b"".join(query(4, "work", stream=stream) for stream in range(60)))
    assert now <= 0.002 + 32 * work_s, "what came at once has one share of the turn"
    turns = longest = 0.0
    while soon:
        began = now
        soon.pop()()
        longest = max(longest, now - began)
        turns += 1
        if turns == 60:
            assert all(transport.written for transport in transports), "all have had their turn"
    assert longest <= 0.002 + (2 if reply_bytes else 32) * work_s
    for transport in transports:
        answers = envelopes(b"".join(transport.written))
        assert [answer.stream for answer in answers] == list(range(60))


def test_too_many_requests_in_flight_wait_their_turn() -> None:
    wire = waiting_wire(limits=Limits(requests_in_flight_max=2))
    transport = with_transport(wire)
    wire.connection.feed(b"".join(query(4, "wait", stream=stream) for stream in range(5)))
    assert len(wire.later) == 2
    assert transport.calls == ["pause_reading"]
    wire.later[0].run()
    assert len(wire.later) == 3
    for index in range(1, 5):
        wire.later[index].run()
    assert transport.calls == ["pause_reading", "resume_reading"]
    wire.connection.flush()
    assert [a.stream for a in envelopes(b"".join(transport.written))] == [0, 1, 2, 3, 4]


def test_bytes_of_requests_in_flight_are_bounded_too() -> None:
    wire = waiting_wire(limits=Limits(request_bytes_in_flight_max=20))
    wire.connection.feed(b"".join(query(4, "wait") for _ in range(5)))
    assert len(wire.later) == 2
    wire.drop_waiting()


def test_who_asks_for_it_is_told_of_overload_and_still_gets_heartbeats() -> None:
    limits = Limits(requests_in_flight_max=2)
    wire = waiting_wire(limits=limits, THROW_ON_OVERLOAD="1")
    requests = b"".join(query(4, "wait", stream=stream) for stream in range(4))
    answers = list(envelopes(wire.send(requests + envelope(4, OPTIONS, stream=9))))
    assert [(answer.stream, answer.opcode) for answer in answers] == [(2, 0), (3, 0), (9, 6)]
    assert {answer.code for answer in answers[:2]} == {0x1001}
    wire.drop_waiting()


def test_output_stops_the_reading_of_requests_until_it_is_written() -> None:
    executor = ScriptedExecutor({"big": Rows((), 1, bytes(1000))})
    wire = Wire(executor, limits=Limits(output_bytes_max=1500)).start()
    transport = with_transport(wire)
    wire.connection.feed(b"".join(query(4, "big", stream=stream) for stream in range(9)))
    assert len(executor.asked) == 2
    for _ in range(5):
        wire.connection.flush()
    assert len(executor.asked) == 9
    assert [a.stream for a in envelopes(b"".join(transport.written))] == list(range(9))
    assert transport.calls == ["pause_reading", "resume_reading"]


@pytest.mark.parametrize("version", [4, 5])
def test_a_large_reply_leaves_in_pieces_one_in_each_turn(version: int) -> None:
    wire = Wire(ScriptedExecutor({"big": Rows((), 1, bytes(300_000))})).start(version)
    transport = with_transport(wire)
    asked = query(version, "big") + query(version, "small", stream=2)
    wire.connection.feed(encode_segment(asked) if version == 5 else asked)
    pieces = []
    while len(transport.written) > len(pieces) or not pieces:
        pieces = list(transport.written)
        wire.connection.flush()
    assert max(map(len, pieces)) <= 64 * 1024
    assert len(pieces) >= 5
    data = b"".join(pieces)
    answers = envelopes(unsegment(data, packed=False) if version == 5 else data)
    assert [answer.stream for answer in answers] == [0, 2]


def test_a_client_that_pauses_within_a_large_reply_gets_the_rest_later() -> None:
    wire = Wire(ScriptedExecutor({"big": Rows((), 1, bytes(200_000))})).start()
    transport = with_transport(wire)
    wire.connection.feed(query(4, "big"))
    wire.connection.flush()
    wire.connection.pause_writing()
    wire.connection.flush()
    assert 0 < sum(map(len, transport.written)) <= 64 * 1024
    wire.connection.resume_writing()
    for _ in range(4):
        wire.connection.flush()
    (answer,) = envelopes(b"".join(transport.written))
    assert len(answer.body) > 200_000


def test_a_client_that_does_not_read_is_paused_and_then_cut_off() -> None:
    wire = Wire(limits=Limits(stalled_s=60)).start()
    transport = with_transport(wire)
    wire.connection.pause_writing()
    wire.connection.feed(query(4, "x"))
    wire.connection.flush()
    assert wire.executor.asked == []
    assert transport.calls == ["pause_reading"]
    wire.connection.tick(59.0)
    assert "abort" not in transport.calls
    wire.connection.tick(60.0)
    assert transport.calls == ["pause_reading", "abort"]


def test_a_client_that_reads_again_is_served_again() -> None:
    wire = Wire().start()
    transport = with_transport(wire)
    wire.connection.pause_writing()
    wire.connection.feed(query(4, "x"))
    wire.connection.resume_writing()
    wire.connection.flush()
    assert transport.calls == ["pause_reading", "resume_reading"]
    assert [answer.opcode for answer in envelopes(b"".join(transport.written))] == [8]
    wire.connection.tick(1e9)
    assert "abort" not in transport.calls


def test_replies_that_pile_up_end_the_connection() -> None:
    executor = ScriptedExecutor({"wait": lambda _request: Later(Rows((), 1, bytes(1000)))})
    wire = Wire(executor, limits=Limits(output_bytes_closed=2500)).start()
    transport = with_transport(wire)
    wire.connection.feed(b"".join(query(4, "wait") for _ in range(4)))
    wire.connection.pause_writing()
    for waiting in wire.later:
        waiting.run()
    assert "abort" in transport.calls
    assert wire.take() == b""


def test_starting_up_takes_ten_seconds_at_most() -> None:
    wire = Wire()
    transport = with_transport(wire)
    wire.send(envelope(4, OPTIONS))
    wire.connection.tick(9.9)
    assert transport.calls == []
    wire.connection.tick(10.0)
    assert transport.calls == ["abort"]
    started = Wire().start()
    other = with_transport(started)
    started.connection.tick(1e9)
    assert other.calls == []


def test_an_oversized_request_fails_alone() -> None:
    wire = Wire(limits=Limits(frame_bytes_max=100)).start()
    big = query(4, "x" * 200, stream=5)
    refusal, answer = envelopes(wire.send(big + query(4, "x", stream=6)))
    assert (refusal.stream, refusal.code) == (5, 0x2200)
    assert (answer.stream, answer.opcode) == (6, 8)


def test_a_damaged_segment_is_answered_and_ends_the_connection() -> None:
    wire = Wire().start(5)
    data = bytearray(encode_segment(query(5, "x")))
    data[-1] ^= 1
    (answer,) = envelopes(unsegment(wire.send(bytes(data))))
    assert answer.code == 0x000A
    assert wire.connection.is_closing


def test_events_go_to_stream_minus_one() -> None:
    wire = Wire().start()
    wire.send(envelope(4, REGISTER, b"\0\1" + string("SCHEMA_CHANGE")))
    assert wire.session.registered == {"SCHEMA_CHANGE"}
    wire.connection.send_event(SchemaChange("CREATED", "KEYSPACE", "k"))
    (event,) = envelopes(wire.take())
    assert (event.stream, event.opcode) == (-1, 12)


def test_replies_for_a_lost_connection_are_dropped() -> None:
    wire = waiting_wire()
    with_transport(wire)
    wire.connection.feed(query(4, "wait"))
    wire.connection.connection_lost(None)
    wire.later[0].run()
    assert wire.take() == b""
    assert wire.connection.in_flight == 0
    wire.connection.flush()
    wire.connection.send_event(SchemaChange("CREATED", "KEYSPACE", "k"))
    assert wire.take() == b""


def test_an_idle_connection_costs_less_than_four_kibibytes() -> None:
    wire = Wire()
    count = 500
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept: list[Any] = []
    for _ in range(count):
        connection = Connection(wire.ports, Session("127.0.0.1", 40_000))
        connection.feed(startup(5, COMPRESSION="lz4", DRIVER_NAME="a driver", CLIENT_ID="1"))
        connection.feed(encode_segment(query(5, "x"), packed=True))
        connection.take_output()
        kept.append(connection)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert (after - before) / count < 4096
    assert len(kept) == count


def test_an_executor_that_answers_neither_now_nor_later_fails_one_request() -> None:
    wire = Wire(ScriptedExecutor({"odd": 7})).start()
    wire.send(query(4, "odd"))
    wire.later[0].run()
    (answer,) = envelopes(wire.take())
    assert answer.code == 0
    assert wire.ask(query(4, "x")).opcode == 8


ROOM = 100_000
LENGTH = 50_000


def roomy_wire(bytes_max: int = ROOM, version: int = 4, **options: str) -> Wire:
    """A started connection to a shard with so much room for requests."""
    executor = ScriptedExecutor({"wait": lambda _request: Later(VOID)})
    return Wire(executor, requests=Room(bytes_max)).start(version, **options)


def beside(wire: Wire, version: int = 4, **options: str) -> Wire:
    """Another connection to the same shard."""
    return Wire(wire.executor, ports=wire.ports).start(version, **options)


def test_a_frame_reserves_its_length_when_its_header_is_seen() -> None:
    wire = roomy_wire()
    other = beside(wire)
    idle = wire.ports.requests.used
    whole = query(4, "x" * LENGTH, stream=7)
    assert wire.send(whole[:9]) == b""
    assert wire.ports.requests.used == idle + len(whole)
    refused = other.ask(whole[:9])
    assert (refused.code, refused.stream, refused.message) == (0x1001, 7, NO_ROOM)
    assert wire.ports.requests.used == idle + len(whole)
    # Its body is thrown away as it comes, whatever the pieces, and the connection goes on.
    for at in range(9, len(whole), 7_000):
        assert other.send(whole[at : at + 7_000]) == b""
        assert other.connection.held_bytes == 0
    assert other.ask(query(4, "y", stream=3)).opcode == 8
    (answer,) = envelopes(wire.send(whole[9:]))
    assert (answer.stream, answer.opcode) == (7, 8)
    assert wire.ports.requests.used == idle
    assert other.ask(whole).opcode == 8


@pytest.mark.parametrize("packed", [False, True])
def test_an_envelope_over_segments_is_refused_for_room_and_the_rest_is_skipped(
    packed: bool,
) -> None:
    options = {"COMPRESSION": "lz4"} if packed else {}
    wire = roomy_wire(1_000_000, 5, **options)
    other = beside(wire, 5, **options)
    whole = query(5, "x" * 500_000, stream=7)
    pieces = [
        encode_segment(whole[at : at + 100_000], is_self_contained=False, packed=packed)
        for at in range(0, len(whole), 100_000)
    ]
    assert wire.send(pieces[0]) == b""
    (refused,) = envelopes(unsegment(other.send(pieces[0]), packed=packed))
    assert (refused.code, refused.stream) == (0x1001, 7)
    for piece in pieces[1:]:
        assert other.send(piece) == b""
        assert other.connection.held_bytes == 0
    rest = unsegment(wire.send(b"".join(pieces[1:])), packed=packed)
    assert [answer.opcode for answer in envelopes(rest)] == [8]
    small = encode_segment(query(5, "y", stream=3), packed=packed)
    (answer,) = envelopes(unsegment(other.send(small), packed=packed))
    assert (answer.opcode, answer.stream) == (8, 3)


def test_a_segment_for_which_there_is_no_room_waits_in_the_socket() -> None:
    wire = roomy_wire(200_000, 5)
    other = beside(wire, 5)
    transport = with_transport(other)
    holder = beside(wire)
    holder.send(query(4, "x" * 130_000)[:9])
    segment = encode_segment(query(5, "x" * 100_000, stream=2))
    other.connection.feed(segment[:50])
    assert transport.calls == ["pause_reading"]
    holder.connection.connection_lost(None)
    other.connection.tick(1.0)
    assert transport.calls == ["pause_reading", "resume_reading"]
    (answer,) = envelopes(unsegment(other.send(segment[50:])))
    assert (answer.opcode, answer.stream) == (8, 2)


def test_requests_in_flight_of_all_connections_are_bounded_together() -> None:
    wire = roomy_wire()
    other = beside(wire)
    wire.connection.feed(query(4, "wait", stream=1))
    assert wire.connection.in_flight == 1
    other.executor.script = {"x" * 70_000: lambda _request: Later(VOID)}
    other.connection.feed(query(4, "x" * 70_000, stream=2))
    assert other.connection.in_flight == 1
    refused = wire.ask(query(4, "x" * 70_000, stream=3))
    assert (refused.code, refused.stream) == (0x1001, 3)
    assert wire.ask(envelope(4, OPTIONS)).opcode == 6
    for waiting in wire.later:
        waiting.run()
    wire.take()
    assert wire.ask(query(4, "y" * 70_000, stream=3)).opcode == 8


def test_a_compressed_body_that_becomes_too_much_is_refused_before_it_does() -> None:
    wire = roomy_wire(COMPRESSION="lz4")
    body = compress_body(query(4, "x" * 150_000)[9:])
    assert len(body) < 10_000
    assert wire.ask(envelope(4, QUERY, body, flags=1)).code == 0x1001


def test_what_a_lost_connection_held_is_given_back() -> None:
    wire = roomy_wire()
    idle = wire.ports.requests.used
    other = beside(wire)
    other.send(query(4, "x" * LENGTH)[:9])
    other.connection.feed(query(4, "x"))
    other.connection.connection_lost(None)
    assert (wire.ports.requests.used, wire.ports.replies.used) == (idle, 0)


def test_a_frame_that_comes_too_slowly_is_given_up_when_others_need_its_room() -> None:
    wire = roomy_wire()
    transport = with_transport(wire)
    wire.connection.feed(query(4, "x" * LENGTH)[:9])
    for now in (1.0, 30.0, 60.0):
        wire.connection.tick(now)
    assert transport.calls == []
    wire.connection.tick(61.0)
    assert transport.calls == ["abort"]


def test_replies_for_which_there_is_no_room_become_overloaded() -> None:
    executor = ScriptedExecutor({"big": Rows((), 1, b"a" * 60_000)})
    wire = Wire(executor, replies=Room(100_000)).start(4)
    other = beside(wire)
    transport = with_transport(other)
    other.connection.feed(query(4, "big"))
    other.connection.flush()
    transport.unsent = 60_009
    other.connection.pause_writing()
    assert wire.ask(query(4, "big")).code == 0x1001
    assert wire.ask(query(4, "small")).opcode == 8
    other.connection.resume_writing()
    assert wire.ask(query(4, "big")).opcode == 8


def test_a_client_that_does_not_read_is_cut_off_soon_when_others_need_the_memory() -> None:
    wire = Wire(replies=Room(100_000)).start(4)
    transport = with_transport(wire)
    transport.unsent = 80_000
    wire.connection.pause_writing()
    wire.connection.tick(0.9)
    assert transport.calls == []
    wire.connection.tick(1.1)
    assert transport.calls == ["abort"]


def test_little_is_received_at_once_when_memory_is_short() -> None:
    wire = roomy_wire()
    assert len(wire.connection.get_buffer(-1)) == RECEIVE_BYTES
    wire.send(query(4, "x" * LENGTH)[:9])
    assert len(wire.connection.get_buffer(-1)) == SMALL_RECEIVE_BYTES

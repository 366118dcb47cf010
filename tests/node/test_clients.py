"""Tests of node/clients, on real sockets of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop

from cql.moment import Moment
from cql.protocol.events import StatusChange
from cql.results import VOID, Result, Rows, SchemaChange
from node.clients import Clients
from node.connection import Limits, Ports
from node.dispatch import Dispatch
from node.turn import Turn
from tests.harness.protocol_client import (
    REGISTER,
    SUPPORTED,
    Answer,
    ScriptedExecutor,
    envelope,
    envelopes,
    query,
    startup,
    string,
)

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def run(loop: NewLoop, test: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(test(), 20))  # type: ignore[arg-type]


async def later(result: Result) -> Result:
    await asyncio.sleep(0)
    return result


@asynccontextmanager
async def serving(
    script: dict[object, Any], limits: Limits | None = None, most: int = 0
) -> AsyncIterator[Any]:
    """A listener, its clients, and a function that connects to it."""
    loop = asyncio.get_running_loop()
    turn = Turn(loop.call_soon, lambda: None, lambda error: None)
    dispatch = Dispatch(ScriptedExecutor(script), lambda _session: SUPPORTED)
    ports = Ports(
        handle=dispatch.handle,
        moment=lambda: Moment(loop.time(), 1, 1),
        now=loop.time,
        spawn=loop.create_task,
        flush_later=turn.flush_later,
        limits=limits,
    )
    turn.renew = ports.renew
    clients = Clients(ports, most)
    server = await loop.create_server(clients.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield clients, lambda: asyncio.open_connection("127.0.0.1", port)
    finally:
        clients.close()
        server.close()


async def read(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readexactly(9)
    body = await reader.readexactly(int.from_bytes(head[5:], "big"))
    (answer,) = envelopes(head + body)
    return answer


@LOOPS
def test_requests_are_answered_over_a_socket(loop: NewLoop) -> None:
    async def test() -> None:
        script = {"wait": lambda _request: later(VOID), "big": Rows((), 1, bytes(3_000_000))}
        async with serving(script) as (clients, connect):
            reader, writer = await connect()
            writer.write(startup(4) + query(4, "x", stream=1) + query(4, "wait", stream=2))
            writer.write(query(4, "big", stream=3))
            answers = [await read(reader) for _ in range(4)]
            assert sorted(answer.stream for answer in answers) == [0, 1, 2, 3]
            assert len(clients) == 1
            (client,) = clients
            assert client.session.address == "127.0.0.1"
            writer.close()
            await writer.wait_closed()
            while len(clients):
                await asyncio.sleep(0)

    run(loop, test)


@LOOPS
def test_a_refused_client_reads_why_before_the_end(loop: NewLoop) -> None:
    async def test() -> None:
        async with serving({}) as (_clients, connect):
            reader, writer = await connect()
            writer.write(b"\x42\x00\x00\x07\x05\0\0\0\0")
            answer = await read(reader)
            assert (answer.version, answer.stream, answer.code) == (5, 7, 0x000A)
            assert await reader.read() == b""
            writer.close()

    run(loop, test)


@LOOPS
def test_a_client_that_never_reads_costs_a_bounded_amount(loop: NewLoop) -> None:
    async def test() -> None:
        answered = 0

        def big(_request: Any) -> Rows:
            nonlocal answered
            answered += 1
            return Rows((), 1, bytes(500_000))

        async with serving({"big": big}, Limits(stalled_s=0.2)) as (clients, connect):
            reader, writer = await connect()
            writer.write(startup(4))
            await read(reader)
            writer.transport.pause_reading()
            writer.write(query(4, "big") * 1000)
            loop_ = asyncio.get_running_loop()
            while len(clients):
                clients.tick(loop_.time())
                await asyncio.sleep(0.01)
            assert answered < 200
            writer.transport.abort()

    run(loop, test)


@LOOPS
def test_events_reach_those_who_registered_and_repeats_are_no_news(loop: NewLoop) -> None:
    async def test() -> None:
        async with serving({}) as (clients, connect):
            reader, writer = await connect()
            writer.write(startup(4))
            writer.write(envelope(4, REGISTER, b"\0\1" + string("STATUS_CHANGE")))
            await read(reader)
            await read(reader)
            clients.broadcast(SchemaChange("CREATED", "KEYSPACE", "k"))
            for change in ("UP", "UP", "DOWN"):
                clients.broadcast(StatusChange(change, "127.0.0.2", 9042))
            events = [await read(reader) for _ in range(2)]
            assert [event.stream for event in events] == [-1, -1]
            assert [string("UP") in events[0].body, string("DOWN") in events[1].body] == [True] * 2
            writer.write(envelope(4, 5))
            assert (await read(reader)).opcode == 6
            writer.close()

    run(loop, test)


@LOOPS
def test_one_client_too_many_is_turned_away(loop: NewLoop) -> None:
    async def test() -> None:
        async with serving({}, most=1) as (clients, connect):
            reader, writer = await connect()
            writer.write(startup(4))
            await read(reader)
            other, other_writer = await connect()
            with suppress(ConnectionResetError):
                assert await other.read() == b""
            assert len(clients) == 1
            writer.close()
            other_writer.close()

    run(loop, test)


@LOOPS
def test_who_does_not_start_up_in_time_is_cut_off(loop: NewLoop) -> None:
    async def test() -> None:
        async with serving({}) as (clients, connect):
            reader, writer = await connect()
            writer.write(envelope(4, 5))
            await read(reader)
            clients.tick(asyncio.get_running_loop().time() + 10)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    run(loop, test)

"""A CQL client of a simulated node: protocol v4 frames over a link that delays, no socket."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.harness.protocol_client import (
    BATCH,
    EXECUTE,
    PREPARE,
    QUERY,
    envelope,
    long_string,
    short_bytes,
    startup,
    value,
)
from tests.harness.wire import read_rows
from tests.sim.machine import Life, Machine
from tests.sim.process import OUTSIDE

VERSION = 4
ONE, SERIAL = 1, 8
ERROR, RESULT = 0, 8
DELAY_MIN_S, DELAY_MAX_S = 0.00002, 0.0005
TIMEOUT_S = 15.0
"""Longer than any timeout of the node: a request that is not answered by then never is."""

UNAVAILABLE, OVERLOADED, SYNTAX, INVALID, UNPREPARED = 0x1000, 0x1001, 0x2000, 0x2200, 0x2500
ALREADY_EXISTS, CONFIGURATION = 0x2400, 0x2300
DEFINITE = {UNAVAILABLE, OVERLOADED, SYNTAX, INVALID, UNPREPARED, ALREADY_EXISTS, CONFIGURATION}
"""Codes of errors that say: it has not happened and never will."""

Values = Sequence[bytes | None]


class Failed(Exception):
    """A request that has not succeeded; `is_definite` says that it never will."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"0x{code:04x} {message}")
        self.code = code
        self.is_definite = code in DEFINITE


class Lost(Failed):
    """The connection ended, or the answer did not come: nobody knows."""

    def __init__(self, message: str, *, was_sent: bool = True) -> None:
        super().__init__(0, message)
        self.is_definite = not was_sent


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer, with what the next page needs."""

    rows: list[tuple[bytes | None, ...]]
    paging_state: bytes | None = None


class Wire:
    """The transport that a shard's connection sees, and the way of the bytes to the client."""

    def __init__(self, machine: Machine, life: Life, client: Client) -> None:
        self._machine = machine
        self._life = life
        self._client = client
        self._is_closed = False
        self._paused: list[bytes] | None = None
        self._to_shard_at = self._to_client_at = 0.0
        self._connection: Any = None

    def open(self) -> None:
        """Let the shard accept the connection."""
        assert self._life.shard is not None and self._life.shard.clients is not None
        self._connection = self._life.process.run(self._life.shard.clients.accept)
        self._life.process.run(self._connection.connection_made, self)

    def send(self, data: bytes) -> None:
        """The client sends."""
        loop = self._machine.loop
        self._to_shard_at = max(self._to_shard_at, loop.time() + self._delay())
        context = self._life.process.context
        loop.call_at(self._to_shard_at, self._feed, data, context=context)

    def _feed(self, data: bytes) -> None:
        if self._is_closed:
            return
        if self._paused is not None:
            self._paused.append(data)
        else:
            self._connection.feed(data)

    def _delay(self) -> float:
        return self._machine.random.uniform(DELAY_MIN_S, DELAY_MAX_S)

    # The transport.

    def write(self, data: bytes) -> None:
        """The shard sends; bytes that it gave away arrive, whatever becomes of it."""
        loop = self._machine.loop
        self._to_client_at = max(self._to_client_at, loop.time() + self._delay())
        received = self._client.received
        loop.call_at(self._to_client_at, received, self, bytes(data), context=OUTSIDE)

    def close(self) -> None:
        """The shard ends the connection."""
        if not self._is_closed:
            self._is_closed = True
            loop = self._machine.loop
            loop.call_soon(self._connection.connection_lost, None)
            loop.call_at(self._to_client_at, self._client.lost, self, context=OUTSIDE)

    abort = close

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The client's address."""
        return ("127.0.0.1", 40_000 + self._client.number) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The client reads everything at once."""

    def pause_reading(self) -> None:
        """The shard takes no more for now."""
        self._paused = []

    def resume_reading(self) -> None:
        """It takes more."""
        waiting, self._paused = self._paused or [], None
        for data in waiting:
            self._machine.loop.call_soon(self._feed, data)


class Client:
    """One connection to one shard; made again when it was lost."""

    def __init__(self, machine: Machine, number: int, shard: int) -> None:
        self.machine = machine
        self.number = number
        self.shard = shard
        self._life: Life | None = None
        self._wire: Wire | None = None
        self._buffer = b""
        self._stream = 0
        self._waiting: dict[int, asyncio.Future[tuple[int, bytes]]] = {}
        self._prepared: dict[str, bytes] = {}

    async def query(
        self,
        text: str,
        values: Values = (),
        *,
        consistency: int = ONE,
        page_size: int = 0,
        paging_state: bytes | None = None,
        timestamp: int | None = None,
    ) -> Rows:
        """Run a statement as text."""
        options = _options(values, consistency, page_size, paging_state, timestamp)
        return _rows(await self._ask(QUERY, long_string(text) + options))

    async def execute(self, text: str, values: Values = (), **options: Any) -> Rows:
        """Run a statement that is prepared first, if this connection has not done it yet."""
        for _ in range(3):
            statement = self._prepared.get(text) or await self._prepare(text)
            body = short_bytes(statement) + _options(values, **{**_PLAIN, **options})
            try:
                return _rows(await self._ask(EXECUTE, body))
            except Failed as failed:
                if failed.code != UNPREPARED:
                    raise
                self._prepared.pop(text, None)
        raise Lost("the statement is forgotten again and again", was_sent=False)

    async def _prepare(self, text: str) -> bytes:
        reply = await self._ask(PREPARE, long_string(text))
        size = int.from_bytes(reply[4:6], "big")
        self._prepared[text] = statement = reply[6 : 6 + size]
        return statement

    async def batch(self, statements: Sequence[tuple[str, Values]], kind: int = 0) -> None:
        """Run a BATCH message; kind 0 is logged, 1 unlogged."""
        body = struct.pack(">BH", kind, len(statements))
        for text, values in statements:
            body += b"\0" + long_string(text) + struct.pack(">H", len(values))
            body += b"".join(value(v) for v in values)
        await self._ask(BATCH, body + struct.pack(">HB", ONE, 0))

    async def _ask(self, opcode: int, body: bytes) -> bytes:
        """Send one request and wait for its answer; raises `Failed`."""
        await self._connect()
        return await self._exchange(opcode, body)

    async def _connect(self) -> None:
        life = self.machine.lives.get(self.shard)
        if life is None or not life.is_serving:
            await asyncio.sleep(0.02)
            raise Lost("nobody listens", was_sent=False)
        if self._wire is not None and self._life is life and not self._wire.is_closing():
            return
        self.lost()
        self._life, self._buffer, self._prepared = life, b"", {}
        self._wire = Wire(self.machine, life, self)
        self._wire.open()
        body = startup(VERSION)[9:]
        try:
            await self._exchange(1, body)
        except Failed as failed:
            raise Lost(f"no connection: {failed}", was_sent=False) from failed

    async def _exchange(self, opcode: int, body: bytes) -> bytes:
        assert self._wire is not None and self._life is not None
        life, loop = self._life, self.machine.loop
        self._stream = (self._stream + 1) % 32_000
        stream = self._stream
        answer: asyncio.Future[tuple[int, bytes]] = loop.create_future()
        self._waiting[stream] = answer
        self._wire.send(envelope(VERSION, opcode, body, stream=stream))
        watch = loop.call_later(TIMEOUT_S, _time_out, answer)
        try:
            while not answer.done():
                # A dead process's socket closes a moment later.
                await asyncio.wait((answer,), timeout=0.5)
                if life.process.is_dead and not answer.done():
                    self.lost()
            kind, reply = answer.result()
        finally:
            watch.cancel()
            self._waiting.pop(stream, None)
        if kind == ERROR:
            (code,) = struct.unpack_from(">i", reply)
            raise Failed(code, reply[6:].decode(errors="replace"))
        return reply

    # The other end of the wire.

    def received(self, wire: Wire, data: bytes) -> None:
        """Bytes have come; those of an older connection are of no use."""
        if wire is not self._wire:
            return
        self._buffer += data
        while len(self._buffer) >= 9:
            _, _, stream, opcode, length = struct.unpack(">BBhBi", self._buffer[:9])
            if len(self._buffer) < 9 + length:
                return
            body = self._buffer[9 : 9 + length]
            self._buffer = self._buffer[9 + length :]
            digest = hashlib.blake2b(body, digest_size=6).hexdigest()
            self.machine.loop.trace(f"client {self.number} #{stream} {opcode} {digest}")
            answer = self._waiting.pop(stream, None)
            if answer is not None and not answer.done():
                answer.set_result((opcode, body))

    def lost(self, wire: Wire | None = None) -> None:
        """The connection is gone."""
        if wire is not None and wire is not self._wire:
            return
        waiting, self._waiting, self._wire = self._waiting, {}, None
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(Lost("the connection was lost"))


def _time_out(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(Lost("no answer came in time"))


def _options(
    values: Values,
    consistency: int,
    page_size: int,
    paging_state: bytes | None,
    timestamp: int | None,
) -> bytes:
    flags, rest = 0x02, b""
    if values:
        flags |= 0x01
        rest += struct.pack(">H", len(values)) + b"".join(value(v) for v in values)
    if page_size:
        flags |= 0x04
        rest += struct.pack(">i", page_size)
    if paging_state is not None:
        flags |= 0x08
        rest += value(paging_state)
    if timestamp is not None:
        flags |= 0x20
        rest += struct.pack(">q", timestamp)
    return struct.pack(">HB", consistency, flags) + rest


def _rows(reply: bytes) -> Rows:
    """What a RESULT says; no rows unless it has some."""
    (kind,) = struct.unpack_from(">i", reply)
    if kind != 2:
        return Rows([])
    flags, columns = struct.unpack_from(">ii", reply, 4)
    at, state = 12, None
    if flags & 0x02:
        (size,) = struct.unpack_from(">i", reply, at)
        state = reply[at + 4 : at + 4 + size]
        at += 4 + size
    assert flags & 0x04, "metadata was to be skipped"
    (count,) = struct.unpack_from(">i", reply, at)
    rows, at = read_rows(reply, at + 4, columns, count)
    assert at == len(reply), "the answer ends behind its last row"
    return Rows(rows, state)


_PLAIN: dict[str, Any] = {
    "consistency": ONE,
    "page_size": 0,
    "paging_state": None,
    "timestamp": None,
}

"""A protocol client in plain Python, and a connection without a socket to talk to."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cql.moment import Moment
from cql.protocol.room import Room
from cql.protocol.segment import decode_segment
from cql.results import VOID, Result
from node.connection import Connection, Limits, Ports
from node.dispatch import Dispatch
from node.session import Session

STARTUP, OPTIONS, QUERY, PREPARE, EXECUTE, REGISTER, BATCH = 1, 5, 7, 9, 10, 11, 13
AUTH_RESPONSE = 15
SUPPORTED = {
    "PROTOCOL_VERSIONS": ["3/v3", "4/v4", "5/v5", "6/v6-beta"],
    "COMPRESSION": ["snappy", "lz4"],
    "CQL_VERSION": ["3.4.7"],
}


def string(text: str) -> bytes:
    return struct.pack(">H", len(text.encode())) + text.encode()


def long_string(text: str) -> bytes:
    return struct.pack(">i", len(text.encode())) + text.encode()


def short_bytes(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def value(data: bytes | None) -> bytes:
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def string_map(items: Mapping[str, str]) -> bytes:
    pairs = b"".join(string(key) + string(text) for key, text in items.items())
    return struct.pack(">H", len(items)) + pairs


def envelope(
    version: int, opcode: int, body: bytes = b"", *, stream: int = 0, flags: int = 0
) -> bytes:
    return struct.pack(">BBhBi", version, flags, stream, opcode, len(body)) + body


def startup(version: int, **options: str) -> bytes:
    return envelope(version, STARTUP, string_map({"CQL_VERSION": "3.0.0", **options}))


def options_of(version: int, flags: int = 0, rest: bytes = b"", consistency: int = 1) -> bytes:
    """Consistency, the flags as wide as the version wants them, and what follows."""
    return struct.pack(">HI" if version >= 5 else ">HB", consistency, flags) + rest


def query(version: int, text: str, flags: int = 0, rest: bytes = b"", *, stream: int = 0) -> bytes:
    body = long_string(text) + options_of(version, flags, rest)
    return envelope(version, QUERY, body, stream=stream)


@dataclass(frozen=True)
class Answer:
    """One envelope that came back."""

    version: int
    flags: int
    stream: int
    opcode: int
    body: bytes

    @property
    def code(self) -> int:
        """The code of an ERROR."""
        assert self.opcode == 0, self
        return int.from_bytes(self.body[:4], "big")

    @property
    def message(self) -> str:
        """The text of an ERROR."""
        assert self.opcode == 0, self
        return self.body[6 : 6 + int.from_bytes(self.body[4:6], "big")].decode()


def envelopes(data: bytes) -> Iterator[Answer]:
    """The envelopes in bytes that hold whole ones."""
    while data:
        version, flags, stream, opcode, length = struct.unpack(">BBhBi", data[:9])
        yield Answer(version & 0x7F, flags, stream, opcode, data[9 : 9 + length])
        assert len(data) >= 9 + length, "an envelope is cut short"
        data = data[9 + length :]


def unsegment(data: bytes, *, packed: bool = False) -> bytes:
    """The payloads of whole segments, one behind the other."""
    out = b""
    while data:
        segment = decode_segment(data, packed=packed)
        assert segment is not None, "a segment is cut short"
        out += segment[0]
        data = data[segment[2] :]
    return out


class Later:
    """An answer, or a refusal, that is given when it is awaited."""

    def __init__(self, outcome: Result | Exception) -> None:
        self._outcome = outcome

    def __await__(self) -> Iterator[Result]:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome
        yield


class LaterReply:
    """A future of the simplest kind, for connections without an event loop."""

    def __init__(self, awaitable: Any) -> None:
        self._awaitable = awaitable
        self._callbacks: list[Callable[[Any], None]] = []
        self._result: Any = None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self._result

    def drop(self) -> None:
        """Ends the coroutine without running it."""
        self._awaitable.close()

    def run(self) -> None:
        """Runs the coroutine, which must not wait for anything real, and tells who asked."""
        try:
            self._awaitable.send(None)
        except StopIteration as stop:
            self._result = stop.value
        else:
            raise AssertionError("the reply still waits")
        for callback in self._callbacks:
            callback(self)


@dataclass
class ScriptedExecutor:
    """Answers statements by their text, and prepared ones by their id; anything else is VOID."""

    script: Mapping[object, object] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def _answer(self, key: object, kind: str, request: Any) -> Any:
        self.asked.append((kind, request))
        answer = self.script.get(key, VOID)
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def query(
        self, text: str, options: Any, session: Any, moment: Moment
    ) -> Result | Awaitable[Result]:
        return self._answer(text, "query", (text, options))

    def prepare(self, text: str, keyspace: Any, session: Any, moment: Moment) -> Any:
        return self._answer(("prepare", text), "prepare", (text, keyspace))

    def execute(self, request: Any, session: Any, moment: Moment) -> Any:
        return self._answer(request.id, "execute", request)

    def batch(self, request: Any, session: Any, moment: Moment) -> Any:
        return self._answer(tuple(part[0] for part in request.parts), "batch", request)


class Wire:
    """A client and a connection in one process, without a socket or a loop."""

    def __init__(
        self,
        executor: Any = None,
        *,
        limits: Limits | None = None,
        requests: Room | None = None,
        replies: Room | None = None,
        ports: Ports | None = None,
        flush_later: Callable[[Connection], None] | None = None,
        supported: Mapping[str, Sequence[str]] = SUPPORTED,
        **dispatch: Any,
    ) -> None:
        """With `ports` it is one more connection of the shard that they belong to."""
        self.executor = executor or ScriptedExecutor()
        self.later: list[LaterReply] = []
        self.now = 0.0
        self.session = Session()
        handler = Dispatch(self.executor, lambda _session: supported, **dispatch)
        self.ports = ports or Ports(
            handle=handler.handle,
            moment=lambda: Moment(self.now, 1, 1),
            now=lambda: self.now,
            spawn=self._spawn,
            flush_later=flush_later,
            limits=limits,
            requests=requests,
            replies=replies,
        )
        self.connection = Connection(self.ports, self.session)

    def _spawn(self, awaitable: Any) -> Any:
        self.later.append(LaterReply(awaitable))
        return self.later[-1]

    def send(self, data: bytes) -> bytes:
        """Gives the connection bytes, and takes what it has to say at the end of the turn."""
        self.connection.feed(data)
        return self.take()

    def drop_waiting(self) -> None:
        """Forgets the replies that still wait."""
        for waiting in self.later:
            waiting.drop()

    def take(self) -> bytes:
        return bytes(self.connection.take_output() or b"")

    def ask(self, data: bytes) -> Answer:
        """Sends one bare envelope and gives its only answer."""
        (answer,) = envelopes(self.send(data))
        return answer

    def start(self, version: int = 4, **options: str) -> Wire:
        """Goes through STARTUP."""
        assert self.ask(startup(version, **options)).opcode in (2, 3)
        return self

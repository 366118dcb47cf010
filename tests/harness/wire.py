"""A tiny client that speaks protocol v4 itself: for loads and crash tests, where a driver would
hide what happens.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Callable, Iterator

OP_STARTUP, OP_QUERY, OP_PREPARE, OP_EXECUTE = 1, 7, 9, 10
OP_ERROR = 0
CONSISTENCY_ONE = 1
SOURCE_PORT_FIRST = 50_000
HEADER = struct.Struct(">BBhBi")


class ServerError(Exception):
    """The server answered ERROR; `code` is the protocol's."""

    def __init__(self, body: bytes) -> None:
        (self.code,) = struct.unpack_from(">i", body)
        super().__init__(f"0x{self.code:04x} {body[6:].decode(errors='replace')}")


class WireClient:
    """One v4 connection that keeps a fixed number of requests in flight."""

    def __init__(self, host: str, port: int, shard: tuple[int, int] | None = None) -> None:
        """`shard` (number, shards) chooses the shard, if `port` is the shard-aware one."""
        self._socket = _connect(host, port, shard)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        try:
            self.call(OP_STARTUP, _string_map({"CQL_VERSION": "3.0.0"}))
        except BaseException:
            self._socket.close()
            raise

    def call(self, opcode: int, body: bytes) -> bytes:
        """Sends one request and gives the body of its reply; an ERROR is raised."""
        self._socket.sendall(HEADER.pack(4, 0, 0, opcode, len(body)) + body)
        while True:
            self._fill()
            if len(self._buffer) >= HEADER.size:
                _, _, _, kind, length = HEADER.unpack_from(self._buffer)
                if len(self._buffer) >= HEADER.size + length:
                    reply = bytes(self._buffer[HEADER.size : HEADER.size + length])
                    del self._buffer[: HEADER.size + length]
                    if kind == OP_ERROR:
                        raise ServerError(reply)
                    return reply

    def _fill(self) -> None:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._buffer += data

    def send(self, frames: bytes) -> None:
        """Sends whole frames without waiting for replies."""
        self._socket.sendall(frames)

    def receive(self) -> list[tuple[int, int, bytes]]:
        """Waits for at least one reply: (stream, opcode, body) of all that are there."""
        replies: list[tuple[int, int, bytes]] = []
        while not replies:
            self._fill()
            while len(self._buffer) >= HEADER.size:
                _, _, stream, kind, length = HEADER.unpack_from(self._buffer)
                if len(self._buffer) < HEADER.size + length:
                    break
                body = bytes(self._buffer[HEADER.size : HEADER.size + length])
                replies.append((stream, kind, body))
                del self._buffer[: HEADER.size + length]
        return replies

    def fileno(self) -> int:
        """The socket's descriptor, to wait for several at once."""
        return self._socket.fileno()

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def query(self, text: str) -> bytes:
        return self.call(OP_QUERY, _long(text) + struct.pack(">HB", CONSISTENCY_ONE, 0))

    def rows(self, text: str, page_rows: int = 0) -> list[tuple[bytes | None, ...]]:
        """All rows of a SELECT as bytes, read in one page or in several; null is None."""
        found = []
        for columns, count, reply, position in self._pages(text, page_rows):
            found += read_rows(reply, position, columns, count)[0]
        return found

    def prepare(self, text: str) -> bytes:
        """The id of a prepared statement."""
        reply = self.call(OP_PREPARE, _long(text))
        (size,) = struct.unpack_from(">H", reply, 4)
        return reply[6 : 6 + size]

    def run(self, frames: list[bytes], in_flight: int, seconds: float) -> tuple[int, float]:
        """Keeps `in_flight` requests going for a time; gives how many were answered and how
        long.
        """
        start = time.perf_counter()
        until = start + seconds
        answered = self._run(frames, in_flight, lambda sent: time.perf_counter() < until)
        return answered, time.perf_counter() - start

    def run_all(self, frames: list[bytes], in_flight: int) -> None:
        """Sends every frame once, `in_flight` at a time, and waits for all replies."""
        self._run(frames, in_flight, lambda sent: sent < len(frames))

    def _run(self, frames: list[bytes], in_flight: int, goes_on: Callable[[int], bool]) -> int:
        place, answered, sent = self._socket, 0, min(in_flight, len(frames))
        total = len(frames)
        place.sendall(b"".join(frames[:sent]))
        buffer = self._buffer
        while answered < sent:
            self._fill()
            done, position, size = 0, 0, len(buffer)
            while size - position >= 9:
                length = 9 + int.from_bytes(buffer[position + 5 : position + 9], "big")
                if size - position < length:
                    break
                if buffer[position + 4] == OP_ERROR:
                    raise ServerError(bytes(buffer[position + 9 : position + length]))
                position += length
                done += 1
            del buffer[:position]
            answered += done
            if done and goes_on(sent):
                first = sent % total
                batch = frames[first : first + done]
                place.sendall(b"".join(batch))
                sent += len(batch)
        return answered

    def pages(self, text: str, page_rows: int) -> Iterator[int]:
        """Reads all pages of a SELECT and gives the number of rows in each."""
        for _, count, _, _ in self._pages(text, page_rows):
            yield count

    def _pages(self, text: str, page_rows: int) -> Iterator[tuple[int, int, bytes, int]]:
        """Columns, rows, body and where the rows begin in it, of each page; 0 is one page."""
        skip_metadata, page_size, with_state, more_pages = 2, 4, 8, 2
        state: bytes | None = b""
        while state is not None:
            flags = skip_metadata | (page_size if page_rows else 0) | (with_state if state else 0)
            body = _long(text) + struct.pack(">HB", CONSISTENCY_ONE, flags)
            body += struct.pack(">i", page_rows) if page_rows else b""
            reply = self.call(OP_QUERY, body + (_long_bytes(state) if state else b""))
            _, result_flags, columns = struct.unpack_from(">iii", reply)
            position = 12
            state = None
            if result_flags & more_pages:
                (size,) = struct.unpack_from(">i", reply, position)
                position += 4 + size
                state = reply[position - size : position]
            yield columns, struct.unpack_from(">i", reply, position)[0], reply, position + 4


def read_rows(
    reply: bytes, at: int, columns: int, count: int
) -> tuple[list[tuple[bytes | None, ...]], int]:
    """The rows that begin at a place of a RESULT's body, and where they end; null is None."""
    rows = []
    for _ in range(count):
        row: list[bytes | None] = []
        for _ in range(columns):
            (size,) = struct.unpack_from(">i", reply, at)
            at += 4
            row.append(None if size < 0 else reply[at : at + size])
            at += max(size, 0)
        rows.append(tuple(row))
    return rows, at


def _connect(host: str, port: int, shard: tuple[int, int] | None) -> socket.socket:
    if shard is None:
        return socket.create_connection((host, port))
    number, shards = shard
    for source in range(SOURCE_PORT_FIRST - SOURCE_PORT_FIRST % shards + number, 65536, shards):
        try:
            return socket.create_connection((host, port), source_address=(host, source))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                raise
    raise OSError("no free source port")


def _long(text: str) -> bytes:
    return _long_bytes(text.encode())


def _long_bytes(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _string_map(pairs: dict[str, str]) -> bytes:
    body = struct.pack(">H", len(pairs))
    for key, value in pairs.items():
        for text in (key.encode(), value.encode()):
            body += struct.pack(">H", len(text)) + text
    return body


def execute_frame(stream: int, statement: bytes, values: list[bytes]) -> bytes:
    body = struct.pack(">H", len(statement)) + statement
    body += struct.pack(">HBH", CONSISTENCY_ONE, 1, len(values))
    body += b"".join(struct.pack(">i", len(value)) + value for value in values)
    return HEADER.pack(4, 0, stream, OP_EXECUTE, len(body)) + body


def spread_key(number: int) -> bytes:
    return struct.pack(">IQ", number * 2654435761 % 2**32, number)

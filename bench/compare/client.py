"""A plain client of protocol v4 and v5 which shows answers as they are on the wire.

An answer becomes a JSON-able dictionary in which nothing is interpreted but its structure: values
stay bytes (hex), types stay the protocol's options. What is opaque by contract (paging states) is
left out.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cql.protocol.segment import decode_segment, encode_segment

ERROR, STARTUP, RESULT, QUERY, PREPARE, EXECUTE, BATCH = 0, 1, 8, 7, 9, 10, 13
VOID, ROWS, SET_KEYSPACE, PREPARED, SCHEMA_CHANGE = 1, 2, 3, 4, 5
FLAG_TRACING, FLAG_PAYLOAD, FLAG_WARNING = 2, 4, 8
GLOBAL_SPEC, MORE_PAGES, NO_METADATA, METADATA_CHANGED = 1, 2, 4, 8
CONSISTENCY_ONE, SERIAL = 1, 8
TIMEOUT_S = 60.0

Value = bytes | str | None
"""A bound value: bytes, None for null, or the string "unset"."""
Answer = dict[str, Any]


@dataclass
class Options:
    """What a QUERY or EXECUTE says beside its text or id."""

    values: Sequence[Value] = ()
    names: Sequence[str] = ()
    page_size: int = 0
    paging_state: bytes | None = None
    skip_metadata: bool = False
    timestamp: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def encode(self, version: int) -> bytes:
        flags, rest = 0x10, b""
        if self.values:
            flags |= 0x01
            rest += struct.pack(">H", len(self.values))
            for index, value in enumerate(self.values):
                if self.names:
                    flags |= 0x40
                    rest += short_string(self.names[index])
                rest += encode_value(value)
        if self.skip_metadata:
            flags |= 0x02
        if self.page_size:
            flags |= 0x04
            rest += struct.pack(">i", self.page_size)
        if self.paging_state is not None:
            flags |= 0x08
            rest += encode_value(self.paging_state)
        rest += struct.pack(">H", SERIAL)
        if self.timestamp is not None:
            flags |= 0x20
            rest += struct.pack(">q", self.timestamp)
        return struct.pack(">HI" if version >= 5 else ">HB", CONSISTENCY_ONE, flags) + rest


class Client:
    """One connection, one request at a time."""

    def __init__(self, host: str, port: int, version: int) -> None:
        self.version = version
        self.paging_state: bytes | None = None
        self._socket = socket.create_connection((host, port), TIMEOUT_S)
        self._input = b""
        self._segments = b""
        self._is_segmented = False
        opcode, _, body = self._call(STARTUP, struct.pack(">H", 1) + _pair("CQL_VERSION", "3.0.0"))
        assert opcode == 2, body
        self._is_segmented = version >= 5

    def close(self) -> None:
        self._socket.close()

    def query(self, text: str, options: Options | None = None) -> Answer:
        return self.ask(QUERY, long_string(text) + (options or Options()).encode(self.version))

    def prepare(self, text: str) -> Answer:
        flags = struct.pack(">I", 0) if self.version >= 5 else b""
        return self.ask(PREPARE, long_string(text) + flags)

    def execute(self, prepared: Answer, options: Options) -> Answer:
        body = short_bytes(bytes.fromhex(prepared["id"]))
        if self.version >= 5:
            body += short_bytes(bytes.fromhex(prepared["result_id"]))
        return self.ask(EXECUTE, body + options.encode(self.version))

    def batch(self, kind: int, parts: Sequence[tuple[str | bytes, Sequence[Value]]]) -> Answer:
        body = struct.pack(">BH", kind, len(parts))
        for statement, values in parts:
            if isinstance(statement, bytes):
                body += b"\1" + short_bytes(statement)
            else:
                body += b"\0" + long_string(statement)
            body += struct.pack(">H", len(values)) + b"".join(map(encode_value, values))
        return self.ask(BATCH, body + Options().encode(self.version))

    def ask(self, opcode: int, body: bytes) -> Answer:
        """Sends a request and reads its answer; a paging state is kept in `paging_state`."""
        kind, flags, reply = self._call(opcode, body)
        self.paging_state = None
        reader = Reader(reply)
        answer: Answer = {}
        if flags & FLAG_TRACING:
            reader.take(16)
        if flags & FLAG_WARNING:
            answer["warnings"] = [reader.string() for _ in range(reader.short())]
        if kind == ERROR:
            answer |= {"kind": "error", "code": reader.integer(), "message": reader.string()}
            answer["rest"] = reader.rest().hex()
        elif kind == RESULT:
            answer |= self._result(reader)
        else:
            answer |= {"kind": f"opcode {kind}", "body": reader.rest().hex()}
        return answer

    def _result(self, reader: Reader) -> Answer:
        kind = reader.integer()
        if kind == VOID:
            return {"kind": "void", "rest": reader.rest().hex()}
        if kind == SET_KEYSPACE:
            return {"kind": "set keyspace", "keyspace": reader.string()}
        if kind == SCHEMA_CHANGE:
            change, target = reader.string(), reader.string()
            names = [reader.string() for _ in range(1 if target == "KEYSPACE" else 2)]
            return {"kind": "schema change", "change": [change, target, *names]}
        if kind == PREPARED:
            return self._prepared(reader)
        assert kind == ROWS, kind
        answer = {"kind": "rows"} | self._metadata(reader)
        count = answer.pop("column_count")
        rows = [[reader.value() for _ in range(count)] for _ in range(reader.integer())]
        assert not reader.rest(), "bytes after the last row"
        return answer | {"rows": rows}

    def _prepared(self, reader: Reader) -> Answer:
        answer: Answer = {"kind": "prepared", "id": reader.take(reader.short()).hex()}
        if self.version >= 5:
            answer["result_id"] = reader.take(reader.short()).hex()
        flags, count = reader.integer(), reader.integer()
        indexes = [reader.short() for _ in range(reader.integer())]
        answer["bind"] = {
            "flags": flags,
            "key_indexes": indexes,
            "columns": columns_of(reader, flags, count),
        }
        answer["result"] = self._metadata(reader)
        return answer

    def _metadata(self, reader: Reader) -> Answer:
        flags, count = reader.integer(), reader.integer()
        answer: Answer = {"flags": flags, "column_count": count}
        if flags & MORE_PAGES:
            self.paging_state = bytes.fromhex(reader.value() or "")
        if flags & METADATA_CHANGED:
            answer["new_id"] = reader.take(reader.short()).hex()
        if not flags & NO_METADATA:
            answer["columns"] = columns_of(reader, flags, count)
        return answer

    def _call(self, opcode: int, body: bytes) -> tuple[int, int, bytes]:
        envelope = struct.pack(">BBhBi", self.version, 0, 0, opcode, len(body)) + body
        if self._is_segmented:
            self._socket.sendall(encode_segment(envelope))
        else:
            self._socket.sendall(envelope)
        _, flags, _, kind, length = struct.unpack(">BBhBi", self._receive(9))
        return kind, flags, self._receive(length)

    def _receive(self, size: int) -> bytes:
        while len(self._input) < size:
            data = self._socket.recv(1 << 18)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._segments += data
            if not self._is_segmented:
                self._input, self._segments = self._input + self._segments, b""
            while self._is_segmented and (segment := decode_segment(self._segments)):
                self._input += segment[0]
                self._segments = self._segments[segment[2] :]
        out, self._input = self._input[:size], self._input[size:]
        return out


class Reader:
    """The protocol's notations, read from a body."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, size: int) -> bytes:
        assert self._position + size <= len(self._data), "the body is cut short"
        self._position += size
        return self._data[self._position - size : self._position]

    def short(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def integer(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def string(self) -> str:
        return self.take(self.short()).decode()

    def value(self) -> str | None:
        size = self.integer()
        return None if size < 0 else self.take(size).hex()

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._position)


def columns_of(reader: Reader, flags: int, count: int) -> list[Any]:
    """[keyspace.table name, type] of each column."""
    table = [reader.string(), reader.string()] if flags & GLOBAL_SPEC else None
    columns = []
    for _ in range(count):
        owner = table or [reader.string(), reader.string()]
        columns.append([".".join(owner), reader.string(), type_of(reader)])
    return columns


def type_of(reader: Reader) -> Any:
    """A type option: its number, or a list that begins with it."""
    match reader.short():
        case 0:
            return [0, reader.string()]
        case 0x20 | 0x22 as kind:
            return [kind, type_of(reader)]
        case 0x21:
            return [0x21, type_of(reader), type_of(reader)]
        case 0x30:
            name = [reader.string(), reader.string()]
            return [
                0x30,
                *name,
                [[reader.string(), type_of(reader)] for _ in range(reader.short())],
            ]
        case 0x31:
            return [0x31, [type_of(reader) for _ in range(reader.short())]]
        case kind:
            return kind


def encode_value(value: Value) -> bytes:
    if isinstance(value, bytes):
        return struct.pack(">i", len(value)) + value
    return struct.pack(">i", -1 if value is None else -2)


def short_string(text: str) -> bytes:
    return short_bytes(text.encode())


def short_bytes(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def long_string(text: str) -> bytes:
    return struct.pack(">i", len(text.encode())) + text.encode()


def _pair(name: str, text: str) -> bytes:
    return short_string(name) + short_string(text)

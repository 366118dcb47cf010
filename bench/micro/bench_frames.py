"""What the protocol costs a core: requests parsed, dispatched and answered, in CPU time.

Run `python -m bench.micro.bench_frames`. The executor does nothing; the best of the rounds counts.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable

from cql.moment import Moment
from cql.protocol.segment import encode_segment
from cql.results import VOID, ColumnSpec, Rows, result_metadata_id
from cql.types.catalog import TEXT
from node.clock import Clock
from node.connection import Connection, Ports
from node.dispatch import Dispatch
from node.session import Session

BATCH = 64
ROUNDS = 7
REPEATS = 600
COLUMNS = tuple(ColumnSpec("ks", "standard1", f"C{i}", TEXT) for i in range(5))
METADATA_ID = result_metadata_id(COLUMNS)
CELL = struct.pack(">i", 34) + b"x" * 34
ROWS = Rows(COLUMNS, 1, CELL * 5, metadata_id=METADATA_ID)


class Nothing:
    """Answers at once."""

    def query(self, _text: object, _options: object, _session: object, _moment: Moment) -> object:
        return VOID

    def prepare(
        self, _text: object, _keyspace: object, _session: object, _moment: Moment
    ) -> object:
        return VOID

    def execute(self, request: object, _session: object, _moment: Moment) -> object:
        return VOID if request.id == b"w" * 16 else ROWS  # type: ignore[attr-defined]

    batch = execute


def envelope(version: int, opcode: int, body: bytes) -> bytes:
    return struct.pack(">BBhBi", version, 0, 1, opcode, len(body)) + body


def execute(version: int, statement: bytes, values: int) -> bytes:
    """EXECUTE as a driver sends it: values of 34 bytes, skip metadata, a timestamp."""
    metadata_id = struct.pack(">H", 16) + METADATA_ID if version >= 5 else b""
    flags = struct.pack(">I" if version >= 5 else ">B", 0x01 | 0x02 | 0x20)
    body = struct.pack(">H", 16) + statement + metadata_id + struct.pack(">H", 1) + flags
    body += struct.pack(">H", values) + CELL * values + struct.pack(">q", 1)
    return envelope(version, 10, body)


def query(version: int) -> bytes:
    text = b"SELECT * FROM standard1 WHERE key = 0x1234"
    flags = struct.pack(">I" if version >= 5 else ">B", 0)
    return envelope(version, 7, struct.pack(">i", len(text)) + text + b"\0\1" + flags)


def connection(version: int, compression: str = "") -> Connection:
    """A started connection to an executor that does nothing."""
    clock = Clock()
    dispatch = Dispatch(Nothing(), lambda _session: {})  # type: ignore[arg-type]
    ports = Ports(handle=dispatch.handle, moment=clock.moment, now=clock.now, spawn=_never)
    made = Connection(ports, Session())
    options = {"CQL_VERSION": "3.0.0"} | ({"COMPRESSION": compression} if compression else {})
    body = struct.pack(">H", len(options))
    for name, text in options.items():
        body += struct.pack(">H", len(name)) + name.encode()
        body += struct.pack(">H", len(text)) + text.encode()
    made.feed(envelope(version, 1, body))
    made.take_output()
    return made


def _never(_awaitable: object) -> object:
    raise AssertionError("every answer is there at once")


def cost_us(made: Connection, data: bytes) -> float:
    """CPU microseconds per request when BATCH requests arrive at once."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(REPEATS):
            made.feed(data)
            made.take_output()
        best = min(best, time.process_time() - started)
    return best / REPEATS / BATCH * 1e6


def main() -> None:
    cases: list[tuple[str, Callable[[int], bytes]]] = [
        ("EXECUTE, 6 values, VOID", lambda version: execute(version, b"w" * 16, 6)),
        ("EXECUTE, 1 value, a row of 5", lambda version: execute(version, b"r" * 16, 1)),
        ("QUERY, no values, VOID", query),
    ]
    for name, frame in cases:
        for version, compression in ((4, ""), (4, "lz4"), (5, ""), (5, "lz4")):
            data = frame(version) * BATCH
            if version == 5:
                data = encode_segment(data, packed=bool(compression))
            us = cost_us(connection(version, compression), data)
            print(f"{name:30} v{version} {compression:4} {us:6.2f} us  {1e6 / us:10,.0f}/s")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Feeds mutated conversations to a connection: `python -m tests.fuzz.fuzz_frames [count] [seed]`.

Every input must end without an exception, in bounded time and memory, and what comes back must be
whole envelopes. A failure prints the input's seed, with which it happens again.
"""

from __future__ import annotations

import gc
import random
import resource
import sys
import time
from dataclasses import dataclass, field
from functools import cache

from cql.errors import InvalidRequest, Unprepared
from cql.protocol.frame import compress_body
from cql.protocol.segment import encode_segment
from cql.results import VOID, ColumnSpec, Prepared, Rows, SetKeyspace
from cql.types.catalog import INT
from node.connection import Limits
from tests.harness.golden_frames import load
from tests.harness.protocol_client import (
    ScriptedExecutor,
    Wire,
    envelope,
    envelopes,
    startup,
    unsegment,
)

QUICK_COUNT = 20_000
FRAME_BYTES_MAX = 4096
HELD_BYTES_MAX = 512 * 1024
SLOW_S = 1.0
READY = 2
COLLECT_EVERY = 200  # each input's shard has a receive buffer of its own
GROWTH_BYTES_MAX = 64 * 1024 * 1024
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE)
LIMITS = Limits(frame_bytes_max=FRAME_BYTES_MAX, requests_in_flight_max=64)


@dataclass
class Tally:
    """What the inputs led to, to see that they reach something."""

    inputs: int = 0
    openings: int = 0
    """Those of which the STARTUP itself was mutated, and nothing else was sent."""
    requests: int = 0
    answers: int = 0
    errors: int = 0
    closed: int = 0
    opcodes: set[int] = field(default_factory=set)


class AnyExecutor(ScriptedExecutor):
    """Answers by the length of what it is asked, so that every kind of result occurs."""

    _columns = (ColumnSpec("ks", "t", "c", INT),)
    _outcomes = (
        VOID,
        SetKeyspace("ks"),
        Rows(_columns, 1, b"\0\0\0\4\0\0\0\7", b"state"),
        Prepared(b"id", b"m" * 16, _columns, (0,), _columns, warnings=("careful",)),
        InvalidRequest,
        Unprepared,
    )

    def _answer(self, key: object, kind: str, request: object) -> object:
        self.asked.append((kind, None))
        outcome = self._outcomes[len(repr(key)) % len(self._outcomes)]
        if isinstance(outcome, type):
            raise outcome(b"id" if outcome is Unprepared else "no")
        return outcome


@cache
def corpus() -> tuple[bytes, ...]:
    """Bare v4 envelopes to start from."""
    cases = [case.request for case in load("frames.json") if len(case.request) >= 9]
    return tuple(cases)


def fuzz_one(seed: int, tally: Tally) -> None:
    """One conversation under one seed."""
    rng = random.Random(seed)
    version = rng.choice((3, 4, 4, 5, 5))
    packs = rng.random() < 0.4
    wire = Wire(AnyExecutor(), limits=LIMITS)
    opening = startup(version, **({"COMPRESSION": "lz4"} if packs else {}))
    tally.inputs += 1
    if rng.random() < 0.1:
        tally.openings += 1
        out = _feed(wire, _mutate(rng, opening), rng)
        if wire.session.version == 5:
            bare, out = _until_ready(out)
            out = bare + unsegment(out, packed=wire.session.packs)
    else:
        wire.send(opening)
        out = _feed(wire, _conversation(rng, version, packs), rng)
        if version == 5:
            out = unsegment(out, packed=packs)
    _check_bare(out, tally)
    tally.requests += len(wire.executor.asked)
    tally.closed += wire.connection.is_closing


def _until_ready(data: bytes) -> tuple[bytes, bytes]:
    """The bare envelopes of v5, of which READY is the last, and what comes after them."""
    end, opcode = 0, -1
    while opcode != READY:
        opcode = data[end + 4]
        end += 9 + int.from_bytes(data[end + 5 : end + 9], "big")
    return data[:end], data[end:]


def _conversation(rng: random.Random, version: int, packs: bool) -> bytes:
    """A few requests of one version; mutated before or after they are put into segments."""
    frames = [_request(rng, version) for _ in range(rng.randint(1, 5))]
    mutates_inside = rng.random() < 0.7
    if mutates_inside:
        frames = [_mutate(rng, frame) if rng.random() < 0.6 else frame for frame in frames]
    if version == 5:
        data = b"".join(_segments(rng, frame, packs) for frame in frames)
    else:
        packing = packs and rng.random() < 0.5
        data = b"".join(_compressed(frame) if packing else frame for frame in frames)
    return data if mutates_inside else _mutate(rng, data)


def _request(rng: random.Random, version: int) -> bytes:
    """A golden request, as if it were of this version."""
    frame = bytearray(rng.choice(corpus()))
    frame[0] = version
    if rng.random() < 0.02:
        return envelope(version, 7, rng.randbytes(rng.choice((10, 5000, 20_000))))
    return bytes(frame)


def _segments(rng: random.Random, data: bytes, packs: bool) -> bytes:
    if rng.random() < 0.8:
        return encode_segment(data[:131071], packed=packs)
    piece = rng.randint(1, len(data) + 1)
    return b"".join(
        encode_segment(data[at : at + piece], is_self_contained=False, packed=packs)
        for at in range(0, len(data), piece)
    )


def _compressed(frame: bytes) -> bytes:
    if len(frame) < 9:
        return frame
    body = compress_body(frame[9:])
    return frame[:1] + bytes([frame[1] | 1]) + frame[2:5] + len(body).to_bytes(4, "big") + body


def _mutate(rng: random.Random, data: bytes) -> bytes:
    """Up to four small injuries."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(7)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at:at] = rng.randbytes(rng.randint(1, 8))
        elif kind == 2:
            del out[at : at + rng.randint(1, 8)]
        elif kind == 3:
            width = rng.choice((1, 2, 4))
            mask = (1 << (8 * width)) - 1
            out[at : at + width] = (rng.choice(INTERESTING) & mask).to_bytes(width, "big")
        elif kind == 4:
            del out[at:]
        elif kind == 5:
            out[at:at] = out[: rng.randint(0, 40)]
        elif len(out) >= 9:
            out[5:9] = (max(0, len(out) - 9) & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(out)


def _feed(wire: Wire, data: bytes, rng: random.Random) -> bytes:
    """Gives the bytes in a few pieces; the connection must never hold much."""
    out = b""
    pieces = rng.randint(1, 4)
    for index in range(pieces):
        start, end = len(data) * index // pieces, len(data) * (index + 1) // pieces
        wire.connection.feed(data[start:end])
        assert wire.connection.held_bytes <= HELD_BYTES_MAX, wire.connection.held_bytes
        out += wire.take()
    return out


def _check_bare(data: bytes, tally: Tally) -> None:
    """What came back is whole envelopes, the refusal of an old version apart."""
    if data[:1] and data[0] & 0x7F < 3:
        assert data[3] == 0, data
        return
    for answer in _until_old(data):
        tally.answers += 1
        tally.errors += answer.opcode == 0
        tally.opcodes.add(answer.opcode)


def _until_old(data: bytes) -> list[object]:
    """The envelopes up to the refusal of version 1 or 2, whose header is shorter."""
    found: list[object] = []
    while data and data[0] & 0x7F >= 3:
        end = 9 + int.from_bytes(data[5:9], "big")
        found += envelopes(data[:end])
        data = data[end:]
    return found


def fuzz(count: int, seed: int) -> Tally:
    """So many inputs, one seed each."""
    tally = Tally()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for number in range(seed, seed + count):
        started = time.process_time()
        try:
            fuzz_one(number, tally)
        except BaseException:
            print(f"seed {number} fails: python -m tests.fuzz.fuzz_frames 1 {number}")
            raise
        took = time.process_time() - started
        assert took < SLOW_S, f"seed {number} took {took:.1f} s"
        if number % COLLECT_EVERY == 0:
            gc.collect()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    assert grown < GROWTH_BYTES_MAX, f"{count} inputs from {seed} cost {grown} bytes"
    return tally


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else QUICK_COUNT
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    started = time.perf_counter()
    tally = fuzz(count, seed)
    print(f"{count} inputs from seed {seed} in {time.perf_counter() - started:.0f} s: {tally}")


if __name__ == "__main__":
    main()

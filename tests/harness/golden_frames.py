"""The golden frames, played against any connection, and where we differ from them on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.harness.protocol_client import Answer, envelopes, startup, unsegment

GOLDEN = Path(__file__).parents[1] / "golden"
OUR_VERSIONS = "3/v3, 4/v4, 5/v5"


class Peer(Protocol):
    """Something that answers bytes: a connection in this process, or a socket."""

    def send(self, data: bytes) -> bytes: ...


@dataclass(frozen=True)
class Case:
    """One request and what Cassandra answered."""

    name: str
    request: bytes
    response: bytes
    connection: str
    is_segmented: bool


def load(file: str) -> Iterator[Case]:
    """The cases of frames.json or frames_v5.json, in order."""
    for index, case in enumerate(json.loads((GOLDEN / file).read_text())["data"]):
        yield Case(
            case["name"],
            bytes.fromhex(case["request"]),
            bytes.fromhex(case.get("response", "")),
            case.get("connection", ""),
            "v5" in file and index >= 2,
        )


def _one_error(*, opcode: int = 0, code: int, stream: int = 0) -> Callable[[bytes], bool]:
    def check(data: bytes) -> bool:
        (answer,) = envelopes(data)
        return (answer.opcode, answer.code, answer.stream) == (opcode, code, stream)

    return check


def _old_version_is_refused(data: bytes) -> bool:
    text = b"Invalid or unsupported protocol version (1)"
    return data[:4] == b"\x81\x00\x00\x00" and data[8:12] == b"\x00\x00\x00\x0a" and text in data


def _unsupported(data: bytes) -> bool:
    (answer,) = envelopes(data)
    text = f"Invalid or unsupported protocol version (66); supported versions are ({OUR_VERSIONS})"
    return (answer.version, answer.code, answer.message) == (5, 0x000A, text)


DIFFERENT: dict[str, Callable[[bytes], bool]] = {
    # We have no v6 and do not name it.
    "OPTIONS with protocol version 0x42": _unsupported,
    # Cassandra waits for a body that never comes; drivers hang on that.
    "OPTIONS with protocol version 0x01": _old_version_is_refused,
    # Cassandra answers a server error with a Java exception's text.
    "QUERY with a body cut short": _one_error(code=0x000A),
}


def run_frames(
    connect: Callable[[], Peer],
    file: str = "frames.json",
    *,
    equal: Callable[[Case, list[Answer], list[Answer]], bool] = lambda _case, ours, theirs: (
        ours == theirs
    ),
) -> list[str]:
    """Plays a file's conversations and names the cases whose answer is not the golden one.

    `equal` compares the envelopes of an answer; the default wants every byte.
    """
    wrong = []
    main = connect()
    states: dict[bytes, bytes] = {}
    for case in load(file):
        peer = main if not case.connection else connect()
        if "after STARTUP" in case.connection:
            peer.send(startup(4))
        data = peer.send(_with_our_state(case.request, states))
        if case.name in DIFFERENT:
            good = DIFFERENT[case.name](data)
        elif case.is_segmented:
            good = equal(case, _segmented(data), _segmented(case.response))
        else:
            ours, theirs = list(envelopes(data)), list(envelopes(case.response))
            states |= _states_of(ours, theirs)
            good = equal(case, ours, theirs)
        if not good:
            wrong.append(f"{case.name}: {data.hex()} instead of {case.response.hex()}")
    return wrong


def _states_of(ours: list[Answer], theirs: list[Answer]) -> dict[bytes, bytes]:
    """Cassandra's paging state and ours, where both answered rows with more to come."""
    pairs = [(_state(theirs[0]), _state(ours[0]))] if ours and theirs else []
    return {golden: own for golden, own in pairs if golden and own}


def _state(answer: Answer) -> bytes:
    has_more = answer.opcode == 8 and answer.body[:4] == b"\0\0\0\2" and answer.body[7] & 2
    length = int.from_bytes(answer.body[12:16], "big") if has_more else 0
    return answer.body[16 : 16 + length]


def _with_our_state(request: bytes, states: dict[bytes, bytes]) -> bytes:
    """The request with Cassandra's paging state replaced by what we gave in its place."""
    for golden, own in states.items():
        old = len(golden).to_bytes(4, "big") + golden
        if old in request:
            body = request[9:].replace(old, len(own).to_bytes(4, "big") + own)
            return request[:5] + len(body).to_bytes(4, "big") + body
    return request


def _segmented(data: bytes) -> list[Answer]:
    return list(envelopes(unsegment(data)))

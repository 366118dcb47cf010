"""The bytes of requests and answers between shards and between nodes; see docs/formats/messages.md.

Every decoder raises `MalformedMessage` for bytes that no encoder of this module makes.
"""

from enum import IntEnum
from struct import Struct, error
from typing import Final

from cluster.errors import (
    ClusterError,
    DeadlinePassed,
    FailureReason,
    GrantLost,
    NotServing,
    Overloaded,
    ReplicaFailed,
)

PARTS_MAX: Final = 1 << 20
"""Mutations in one message; far above what a batch may hold."""


class Kind(IntEnum):
    """What a request wants."""

    WRITE = 1
    WRITE_ALL = 2
    READ = 3
    COUNT = 4
    TRUNCATE = 5
    GRANT = 6
    SETTLE = 7
    RELEASE = 8
    SCHEMA_ENTRY = 9
    SCHEMA_FETCH = 10
    PING = 11
    SERIAL_READ = 12
    SYNC = 13
    SETTLE_BATCHES = 14


class MalformedMessage(ClusterError):
    """Bytes that no shard sends: a mistake of ours, or a peer of another version."""


_DEADLINE = Struct(">d")
_READ = Struct(">dI")
_GRANTED = Struct(">Q")
_SETTLE = Struct(">dQ")
_COUNT = Struct(">I")
_ENTRY = Struct(">QB")


def encode_write(deadline: float, data: bytes) -> bytes:
    """Make a WRITE, COUNT or TRUNCATE: what must be done by when."""
    return _DEADLINE.pack(deadline) + data


def encode_deadline(deadline: float) -> bytes:
    """Make a SYNC or SETTLE_BATCHES: by when it must be done."""
    return _DEADLINE.pack(deadline)


def decode_deadline(payload: bytes) -> float:
    """Read a SYNC or SETTLE_BATCHES."""
    deadline, rest = decode_write(payload)
    if rest:
        raise MalformedMessage(f"{len(rest)} bytes follow a deadline that ends the message")
    return deadline


def decode_write(payload: bytes) -> tuple[float, bytes]:
    """Read a WRITE, COUNT or TRUNCATE."""
    (deadline,) = _unpack(_DEADLINE, payload)
    return deadline, payload[_DEADLINE.size :]


def encode_write_all(deadline: float, parts: list[bytes]) -> bytes:
    """Make a WRITE_ALL: mutations that are applied together."""
    return _DEADLINE.pack(deadline) + join_parts(parts)


def decode_write_all(payload: bytes) -> tuple[float, list[bytes]]:
    """Read a WRITE_ALL."""
    (deadline,) = _unpack(_DEADLINE, payload)
    return deadline, split_parts(payload, _DEADLINE.size)


def encode_read(deadline: float, wall_s: int, wanted: bytes) -> bytes:
    """Make a READ or a GRANT: an encoded slice, and the second for which expiry is decided."""
    return _READ.pack(deadline, wall_s) + wanted


def decode_read(payload: bytes) -> tuple[float, int, bytes]:
    """Read a READ or a GRANT."""
    deadline, wall_s = _unpack(_READ, payload)
    return deadline, wall_s, payload[_READ.size :]


def encode_granted(grant: int, page: bytes) -> bytes:
    """Make the answer to a GRANT: the number of the grant and the rows as they are now."""
    return _GRANTED.pack(grant) + page


def decode_granted(payload: bytes) -> tuple[int, bytes]:
    """Read the answer to a GRANT."""
    (grant,) = _unpack(_GRANTED, payload)
    return grant, payload[_GRANTED.size :]


def encode_settle(deadline: float, grant: int, data: bytes) -> bytes:
    """Make a SETTLE: the mutation decided under a grant."""
    return _SETTLE.pack(deadline, grant) + data


def decode_settle(payload: bytes) -> tuple[float, int, bytes]:
    """Read a SETTLE."""
    deadline, grant = _unpack(_SETTLE, payload)
    return deadline, grant, payload[_SETTLE.size :]


def encode_number(number: int) -> bytes:
    """Make a message that is one number: RELEASE, SCHEMA_FETCH and the answers that count."""
    return _GRANTED.pack(number)


def decode_number(payload: bytes) -> int:
    """Read a message that is one number."""
    if len(payload) != _GRANTED.size:
        raise MalformedMessage(f"a number has {_GRANTED.size} bytes, not {len(payload)}")
    (number,) = _GRANTED.unpack(payload)
    return int(number)


def encode_entry(number: int, is_snapshot: bool, data: bytes) -> bytes:
    """Make a SCHEMA_ENTRY, or one part of the answer to a SCHEMA_FETCH."""
    return _ENTRY.pack(number, is_snapshot) + data


def decode_entry(payload: bytes) -> tuple[int, bool, bytes]:
    """Read a SCHEMA_ENTRY."""
    number, is_snapshot = _unpack(_ENTRY, payload)
    if is_snapshot > 1:
        raise MalformedMessage(f"an entry is a snapshot (1) or a change (0), not {is_snapshot}")
    return number, bool(is_snapshot), payload[_ENTRY.size :]


def join_parts(parts: list[bytes]) -> bytes:
    """Put byte strings behind each other so that `split_parts` finds them."""
    assert len(parts) <= PARTS_MAX, "more parts than any message holds"
    pieces = [_COUNT.pack(len(parts))]
    for part in parts:
        pieces.append(_COUNT.pack(len(part)))
        pieces.append(part)
    return b"".join(pieces)


def split_parts(payload: bytes, offset: int = 0) -> list[bytes]:
    """Give back what `join_parts` joined, from `offset` to the end."""
    (count,) = _unpack(_COUNT, payload, offset)
    offset += _COUNT.size
    if count > PARTS_MAX or count * _COUNT.size > len(payload) - offset:
        raise MalformedMessage(f"{count} parts do not fit into {len(payload)} bytes")
    parts = []
    for _ in range(count):
        (length,) = _unpack(_COUNT, payload, offset)
        offset += _COUNT.size
        if length > len(payload) - offset:
            raise MalformedMessage(f"a part of {length} bytes ends after the message")
        parts.append(payload[offset : offset + length])
        offset += length
    if offset != len(payload):
        raise MalformedMessage(f"{len(payload) - offset} bytes follow the last part")
    return parts


_OVERLOADED, _FAILED, _LATE, _GRANT_LOST, _NOT_SERVING = 1, 2, 3, 4, 5


def encode_fault(fault: BaseException) -> bytes:
    """Make the answer of a handler that failed: a code, a reason and a text."""
    reason = FailureReason.UNKNOWN
    if isinstance(fault, DeadlinePassed):
        code = _LATE
    elif isinstance(fault, GrantLost):
        code = _GRANT_LOST
    elif isinstance(fault, NotServing):
        code = _NOT_SERVING
    elif isinstance(fault, Overloaded):
        code = _OVERLOADED
    else:
        code = _FAILED
        if isinstance(fault, ReplicaFailed):
            reason = fault.reason
    return bytes((code, reason)) + str(fault).encode()


def decode_fault(payload: bytes) -> ClusterError:
    """Read the answer of a handler that failed."""
    if len(payload) < 2:
        raise MalformedMessage("a fault has a code and a reason")
    code, reason, text = payload[0], payload[1], payload[2:].decode(errors="replace")
    if code == _LATE:
        return DeadlinePassed()
    if code == _GRANT_LOST:
        return GrantLost()
    if code == _NOT_SERVING:
        return NotServing()
    if code == _OVERLOADED:
        return Overloaded(text)
    known = reason if reason in FailureReason._value2member_map_ else FailureReason.UNKNOWN
    return ReplicaFailed(FailureReason(known), text)


def _unpack(shape: Struct, payload: bytes, offset: int = 0) -> tuple[int, ...]:
    try:
        return shape.unpack_from(payload, offset)
    except error:
        raise MalformedMessage(f"{len(payload)} bytes are too few") from None

"""Every payload makes the round trip, and arbitrary bytes are refused with a typed error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import messages
from cluster.errors import (
    ClusterError,
    DeadlinePassed,
    FailureReason,
    GrantLost,
    NotServing,
    Overloaded,
    ReplicaFailed,
)
from cluster.messages import MalformedMessage

DEADLINE = st.floats(allow_nan=False)
NUMBER = st.integers(0, 2**64 - 1)
SECOND = st.integers(0, 2**32 - 1)


@given(DEADLINE, st.binary())
def test_writes(deadline: float, data: bytes) -> None:
    assert messages.decode_write(messages.encode_write(deadline, data)) == (deadline, data)


@given(DEADLINE, st.lists(st.binary()))
def test_writes_of_many(deadline: float, parts: list[bytes]) -> None:
    payload = messages.encode_write_all(deadline, parts)
    assert messages.decode_write_all(payload) == (deadline, parts)


@given(DEADLINE, SECOND, st.binary())
def test_reads(deadline: float, wall_s: int, wanted: bytes) -> None:
    payload = messages.encode_read(deadline, wall_s, wanted)
    assert messages.decode_read(payload) == (deadline, wall_s, wanted)


@given(DEADLINE, NUMBER, st.binary())
def test_grants_and_settlements(deadline: float, grant: int, data: bytes) -> None:
    assert messages.decode_granted(messages.encode_granted(grant, data)) == (grant, data)
    payload = messages.encode_settle(deadline, grant, data)
    assert messages.decode_settle(payload) == (deadline, grant, data)
    assert messages.decode_number(messages.encode_number(grant)) == grant


@given(NUMBER, st.booleans(), st.binary())
def test_entries(number: int, is_snapshot: bool, data: bytes) -> None:
    payload = messages.encode_entry(number, is_snapshot, data)
    assert messages.decode_entry(payload) == (number, is_snapshot, data)


@pytest.mark.parametrize("kind", [Overloaded, ReplicaFailed])
def test_faults_keep_their_type_and_text(kind: type) -> None:
    fault = kind("why") if kind is Overloaded else kind(FailureReason.READ_SIZE, "why")
    decoded = messages.decode_fault(messages.encode_fault(fault))
    assert type(decoded) is kind
    assert str(decoded) == "why"
    assert getattr(decoded, "reason", None) == getattr(fault, "reason", None)


@pytest.mark.parametrize("fault", [DeadlinePassed(), GrantLost(), NotServing()])
def test_faults_without_content_keep_their_type(fault: ClusterError) -> None:
    decoded = messages.decode_fault(messages.encode_fault(fault))
    assert type(decoded) is type(fault)
    assert decoded.is_definite == fault.is_definite


def test_a_mistake_of_ours_arrives_as_a_failed_replica() -> None:
    decoded = messages.decode_fault(messages.encode_fault(KeyError("x")))
    assert isinstance(decoded, ReplicaFailed)
    assert decoded.reason is FailureReason.UNKNOWN


DECODERS: list[Callable[[bytes], object]] = [
    messages.decode_write,
    messages.decode_write_all,
    messages.decode_read,
    messages.decode_granted,
    messages.decode_settle,
    messages.decode_number,
    messages.decode_entry,
    messages.split_parts,
    messages.decode_fault,
]


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=64))
def test_arbitrary_bytes_are_a_message_or_malformed(
    decode: Callable[[bytes], object], data: bytes
) -> None:
    with suppress(MalformedMessage):
        decode(data)


def test_a_count_that_lies_allocates_nothing() -> None:
    with pytest.raises(MalformedMessage):
        messages.split_parts(b"\x00\x0f\xff\xff" + b"\x00" * 64)

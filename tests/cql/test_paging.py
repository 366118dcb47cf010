"""Paging states: signed, of one query, and taken by every node with the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cql.errors import ProtocolError
from cql.paging import NO_LIMIT, PagingStates, Position

QUERY = b"q" * 16
POSITIONS = st.builds(
    Position,
    st.binary(max_size=80),
    st.binary(max_size=80),
    st.integers(0, NO_LIMIT),
    st.integers(0, 2**32 - 1),
)


@given(POSITIONS)
def test_another_node_with_the_key_reads_a_state(position: Position) -> None:
    state = PagingStates(b"secret").encode(QUERY, position)
    assert PagingStates(b"secret").decode(QUERY, state) == position


@given(POSITIONS, st.integers(0), st.integers(1, 255))
def test_an_altered_state_is_refused(position: Position, at: int, change: int) -> None:
    states = PagingStates(b"secret")
    state = bytearray(states.encode(QUERY, position))
    state[at % len(state)] ^= change
    with pytest.raises(ProtocolError, match="Invalid value for the paging state"):
        states.decode(QUERY, bytes(state))


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(state: bytes) -> None:
    with pytest.raises(ProtocolError, match="Invalid value for the paging state"):
        PagingStates(b"secret").decode(QUERY, state)


def test_a_state_of_another_query_is_refused() -> None:
    states = PagingStates(b"secret")
    state = states.encode(QUERY, Position(b"k", b""))
    with pytest.raises(ProtocolError):
        states.decode(b"p" * 16, state)

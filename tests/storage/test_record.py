"""A commit log record's bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.record import (
    BROKEN,
    END,
    HEADER_BYTES,
    MARK,
    MORE,
    MUTATION,
    START_BYTES,
    RecordBuffer,
    RecordScanner,
    offset_of,
    position_of,
    segment_of,
)

BODIES = st.lists(st.binary(max_size=200), max_size=20)


def written(segment: int, bodies: list[bytes]) -> tuple[bytes, list[tuple[int, bytes]]]:
    """A segment with these mutations, and what a replay should give."""
    buffer = RecordBuffer()
    buffer.begin(segment, 0)
    expected = [(buffer.append(MUTATION, body), body) for body in bodies]
    return buffer.take(), expected


def scanned(data: bytes, segment: int, piece: int) -> tuple[list[tuple[int, bytes]], int]:
    """What a scanner finds when it is fed pieces of a size."""
    scanner = RecordScanner(segment)
    found: list[tuple[int, bytes]] = []
    kind = MORE
    for at in range(0, len(data), piece):
        scanner.feed(data[at : at + piece])
        batch, kind = scanner.mutations()
        found += batch
        if kind != MORE:
            break
    return found, kind


@given(st.integers(0, 2**31), st.integers(0, 2**32 - 1))
def test_a_position_is_a_segment_and_an_offset(segment: int, offset: int) -> None:
    position = position_of(segment, offset)
    assert (segment_of(position), offset_of(position)) == (segment, offset)


@given(BODIES, st.integers(1, 300), st.integers(1, 2**31))
def test_records_come_back_in_order_however_they_are_cut(
    bodies: list[bytes], piece: int, segment: int
) -> None:
    data, expected = written(segment, bodies)
    assert scanned(data, segment, piece) == (expected, MORE)


@given(BODIES)
def test_positions_are_where_the_records_are(bodies: list[bytes]) -> None:
    data, expected = written(9, bodies)
    at = START_BYTES
    for position, body in expected:
        assert position == position_of(9, at)
        at += HEADER_BYTES + len(body)
    assert at == len(data)


@given(st.binary(max_size=400), st.integers(1, 100))
def test_arbitrary_bytes_are_no_records(data: bytes, piece: int) -> None:
    found, kind = scanned(data, 1, piece)
    assert found == [] and kind in (MORE, BROKEN)
    scanner = RecordScanner(1)
    scanner.feed(data)
    assert scanner.last_mark() == 0


@settings(max_examples=50)
@given(BODIES, st.data())
def test_a_flipped_bit_ends_the_log_before_its_record(
    bodies: list[bytes], choice: st.DataObject
) -> None:
    data, expected = written(3, bodies)
    bit = choice.draw(st.integers(0, len(data) * 8 - 1))
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    found, kind = scanned(bytes(damaged), 3, 1 << 20)
    before = [r for r in expected if offset_of(r[0]) + HEADER_BYTES + len(r[1]) <= bit // 8]
    assert kind == BROKEN and found == before


def test_a_record_of_another_segment_or_place_is_none() -> None:
    data, _ = written(3, [b"x" * 50] * 3)
    assert scanned(data, 4, 1 << 20) == ([], BROKEN)
    moved = data[: START_BYTES + 63] + data[START_BYTES : START_BYTES + 63]
    found, kind = scanned(moved, 3, 1 << 20)
    assert (len(found), kind) == (1, BROKEN)


def test_nothing_is_read_after_the_end() -> None:
    buffer = RecordBuffer()
    buffer.begin(3, 0)
    position = buffer.append(MUTATION, b"a")
    buffer.append(END, b"")
    buffer.append(MUTATION, b"b")
    assert scanned(buffer.take(), 3, 7) == ([(position, b"a")], END)


def test_a_segment_must_start_with_its_start() -> None:
    buffer = RecordBuffer()
    buffer.begin(3, 100)
    buffer.append(MUTATION, b"a")
    assert scanned(buffer.take(), 3, 1 << 20) == ([], BROKEN)


@given(st.binary(max_size=100), st.binary(max_size=100), st.integers(1, 50))
def test_the_last_mark_is_found_among_rubbish(before: bytes, after: bytes, piece: int) -> None:
    buffer = RecordBuffer()
    buffer.begin(3, 1000)
    marks = []
    for durable in (77, 99, 88):
        buffer.mark(durable)
        marks.append(buffer.take())
    data = before.ljust(1000, b"\0") + b"".join(marks) + after
    scanner = RecordScanner(3, 0)
    durable = 0
    for at in range(0, len(data), piece):
        scanner.feed(data[at : at + piece])
        durable = max(durable, scanner.last_mark())
    assert durable == 99


def test_marks_are_passed_over() -> None:
    buffer = RecordBuffer()
    buffer.begin(3, 0)
    buffer.mark(5)
    position = buffer.append(MUTATION, b"a")
    buffer.mark(6)
    assert scanned(buffer.take(), 3, 1 << 20) == ([(position, b"a")], MORE)
    assert MARK not in (MORE, BROKEN)


def test_a_buffer_does_not_keep_the_memory_of_its_largest_turn() -> None:
    buffer = RecordBuffer()
    buffer.begin(3, 0)
    buffer.append(MUTATION, bytes(4 << 20))
    assert len(buffer.take()) > 4 << 20
    assert buffer.size == 0
    buffer.append(MUTATION, b"small")
    assert buffer.size == HEADER_BYTES + 5


def test_records_that_wait_belong_to_their_segment() -> None:
    buffer = RecordBuffer()
    buffer.begin(3, 0)
    with pytest.raises(AssertionError):
        buffer.begin(4, 0)

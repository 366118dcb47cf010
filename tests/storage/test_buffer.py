"""Tests of storage.buffer and storage.coding: integers and byte strings there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.buffer import Reader, Writer
from storage.coding import decode_uvarint, encode_uvarint
from storage.errors import CorruptData, Overloaded

U64 = st.integers(0, (1 << 64) - 1)


@given(U64)
def test_a_varint_survives(value: int) -> None:
    data = encode_uvarint(value)
    assert decode_uvarint(data) == (value, len(data))
    assert len(data) == max(1, -(-value.bit_length() // 7))


@given(st.binary(min_size=1, max_size=12))
def test_only_the_shortest_form_of_a_varint_is_read(data: bytes) -> None:
    try:
        value, size = decode_uvarint(data)
    except CorruptData:
        return
    assert encode_uvarint(value) == data[:size]


@given(
    st.integers(0, 255),
    st.integers(0, (1 << 32) - 1),
    st.integers(-(1 << 63), (1 << 63) - 1),
    U64,
    st.binary(),
)
def test_what_was_written_is_read(u8: int, u32: int, i64: int, number: int, text: bytes) -> None:
    writer = Writer()
    writer.u8(u8)
    writer.u32(u32)
    writer.i64(i64)
    writer.uvarint(number)
    writer.sized(text)
    writer.raw(text)
    reader = Reader(writer.take())
    assert (reader.read_u8(), reader.read_u32(), reader.read_i64()) == (u8, u32, i64)
    assert (reader.read_uvarint(), reader.read_sized()) == (number, text)
    assert reader.read_raw(len(text)) == text
    reader.finish()
    assert len(writer) == 0


def test_a_reader_never_looks_beyond_its_end() -> None:
    for read in (Reader.read_u8, Reader.read_u32, Reader.read_i64, Reader.read_uvarint):
        with pytest.raises(CorruptData):
            read(Reader(b"\x80\x80\x80\x80\x80", 2, 0))
    with pytest.raises(CorruptData):
        Reader(b"\x05abcd").read_sized()
    with pytest.raises(CorruptData):
        Reader(b"abc").read_raw(4)
    with pytest.raises(CorruptData):
        Reader(b"abc").finish()


def test_a_writer_stops_at_its_limit() -> None:
    writer = Writer(limit=1000)
    writer.raw(b"x" * 1000)
    with pytest.raises(Overloaded):
        writer.u8(1)
    assert writer.take() == b"x" * 1000

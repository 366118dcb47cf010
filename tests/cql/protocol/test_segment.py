"""Tests of cql/protocol/segment."""

from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cql.errors import ProtocolError
from cql.protocol.segment import crc24, crc32, decode_segment, encode_segment

PAYLOADS = st.binary(max_size=2000) | st.binary(max_size=8).map(lambda piece: piece * 3000)


def slow_crc24(data: bytes) -> int:
    """Bit by bit, as the protocol describes it."""
    crc = 0x875060
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1974F0B
    return crc


def test_the_published_vectors_hold() -> None:
    options = bytes.fromhex("050000010500000000")
    assert encode_segment(options).hex() == "090002a4c8c1050000010500000000b5557486"
    assert crc24(bytes.fromhex("000002")) == 0xC4366A
    assert crc24(bytes(3)) == 0x7DE777


@given(st.binary(min_size=3, max_size=5))
def test_crc24_is_the_slow_one(data: bytes) -> None:
    assert crc24(data) == slow_crc24(data)


@given(st.binary(max_size=100))
def test_crc32_is_seeded(data: bytes) -> None:
    assert crc32(data) == zlib.crc32(b"\xfa\x2d\x55\xca" + data)


@given(PAYLOADS, st.booleans(), st.booleans(), st.binary(max_size=20))
def test_a_segment_round_trips(payload: bytes, whole: bool, packed: bool, rest: bytes) -> None:
    segment = encode_segment(payload, is_self_contained=whole, packed=packed)
    decoded = decode_segment(segment + rest, packed=packed)
    assert decoded == (payload, whole, len(segment))


@given(PAYLOADS, st.booleans())
def test_a_segment_cut_short_asks_for_more(payload: bytes, packed: bool) -> None:
    segment = encode_segment(payload, packed=packed)
    for cut in {0, 1, 5, len(segment) // 2, len(segment) - 1}:
        assert decode_segment(segment[: min(cut, len(segment) - 1)], packed=packed) is None


@given(PAYLOADS, st.booleans(), st.data())
def test_a_flipped_bit_is_found(payload: bytes, packed: bool, data: st.DataObject) -> None:
    segment = bytearray(encode_segment(payload, packed=packed))
    at = data.draw(st.integers(0, len(segment) * 8 - 1))
    segment[at // 8] ^= 1 << (at % 8)
    with pytest.raises(ProtocolError):
        assert decode_segment(bytes(segment), packed=packed) is None
        raise ProtocolError("a longer segment is waited for, then its CRC is wrong")


def test_what_does_not_shrink_is_sent_raw() -> None:
    payload = bytes(zlib.crc32(bytes([i % 256, i // 256])) & 0xFF for i in range(1000))
    segment = encode_segment(payload, packed=True)
    assert payload in segment
    assert len(segment) == len(payload) + 12


def test_the_largest_payload_fits_and_one_byte_more_does_not() -> None:
    payload = bytes(131071)
    assert decode_segment(encode_segment(payload)) == (payload, True, 131071 + 10)
    with pytest.raises(AssertionError):
        encode_segment(bytes(131072))


@given(st.binary(max_size=64), st.booleans())
def test_arbitrary_bytes_are_survived(data: bytes, packed: bool) -> None:
    with contextlib.suppress(ProtocolError):
        decode_segment(data, packed=packed)


def test_a_payload_longer_than_declared_is_refused() -> None:
    packed = encode_segment(b"a" * 1000, packed=True)
    bits = int.from_bytes(packed[:5], "little") + (1 << 17)  # one byte more after decompression
    header = bits.to_bytes(5, "little")
    forged = header + crc24(header).to_bytes(3, "little") + packed[8:]
    with pytest.raises(ProtocolError):
        decode_segment(forged, packed=True)

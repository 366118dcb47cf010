"""Tests of cql/protocol/frame."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cql.errors import ProtocolError
from cql.protocol.frame import (
    BadFrame,
    Frame,
    FrameReader,
    FrameWriter,
    Reply,
    compress_body,
    decompress_body,
)
from cql.protocol.segment import encode_segment
from tests.harness.protocol_client import envelope, envelopes, unsegment

BODIES = st.binary(max_size=300) | st.binary(max_size=3).map(lambda piece: piece * 700)
FRAMES = st.lists(st.tuples(st.integers(0, 32767), BODIES), max_size=8)


def reader_of(version: int, *, packs: bool = False, **more: int) -> FrameReader:
    """A reader behind STARTUP."""
    reader = FrameReader(**more)
    reader.agree(version, packs=packs)
    reader.is_open = True
    return reader


def all_frames(reader: FrameReader) -> list[Frame]:
    found = []
    while (frame := reader.next_frame()) is not None:
        found.append(frame)
    return found


def fed(reader: FrameReader, data: bytes, cuts: list[int]) -> list[Frame]:
    """The frames of bytes that arrive in pieces."""
    found = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        reader.receive(data[start:end])
        found += all_frames(reader)
    return found


@given(FRAMES, st.sampled_from([3, 4]), st.booleans(), st.lists(st.integers(0), max_size=6))
def test_bare_frames_survive_any_cut(
    frames: list[tuple[int, bytes]], version: int, packs: bool, cuts: list[int]
) -> None:
    data = b""
    for stream, body in frames:
        sent = compress_body(body) if packs else body
        data += envelope(version, 7, sent, stream=stream, flags=1 if packs else 0)
    reader = reader_of(version, packs=packs)
    found = fed(reader, data, cuts)
    assert [(frame.stream, frame.body) for frame in found] == frames
    assert reader.kept_bytes == 0


@given(FRAMES, st.booleans(), st.integers(1, 400), st.lists(st.integers(0), max_size=6))
def test_segmented_frames_survive_any_cut(
    frames: list[tuple[int, bytes]], packed: bool, piece: int, cuts: list[int]
) -> None:
    data, together = b"", b""
    for stream, body in frames:
        one = envelope(5, 7, body, stream=stream)
        if len(one) > piece:
            data += encode_segment(together, packed=packed) if together else b""
            together = b""
            for at in range(0, len(one), piece):
                data += encode_segment(one[at : at + piece], is_self_contained=False, packed=packed)
        else:
            together += one
    data += encode_segment(together, packed=packed)
    found = fed(reader_of(5, packs=packed), data, cuts)
    assert sorted((f.stream, f.body) for f in found) == sorted(frames)


@given(
    st.lists(st.tuples(st.integers(-1, 32767), st.binary(max_size=300)), max_size=20),
    st.sampled_from([3, 4, 5]),
    st.booleans(),
)
def test_what_the_writer_writes_is_what_was_added(
    replies: list[tuple[int, bytes]], version: int, packs: bool
) -> None:
    writer = FrameWriter()
    writer.agree(version, packs=packs)
    for stream, body in replies:
        writer.add(version, stream, Reply(8, body))
    data = bytes(writer.take() or b"")
    if version == 5:
        data = unsegment(data, packed=packs)
    answers = list(envelopes(data))
    assert [(answer.stream, _plain(answer.flags, answer.body)) for answer in answers] == replies
    assert writer.take() is None
    assert writer.waiting_bytes == 0


def _plain(flags: int, body: bytes) -> bytes:
    return decompress_body(body, 1 << 24) if flags & 1 else body


@settings(max_examples=20)
@given(st.lists(st.integers(0, 400_000), max_size=5), st.booleans())
def test_large_replies_are_cut_over_segments(sizes: list[int], packs: bool) -> None:
    writer = FrameWriter()
    writer.agree(5, packs=packs)
    for size in sizes:
        writer.add(5, 1, Reply(8, bytes(size)))
    answers = list(envelopes(unsegment(bytes(writer.take() or b""), packed=packs)))
    assert [len(answer.body) for answer in answers] == sizes


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.one_of(st.integers(0, 60), st.integers(65_000, 66_000), st.just(200_000)),
                st.one_of(st.none(), st.integers(0, 60), st.integers(65_000, 140_000)),
            ),
            st.sampled_from([0, 1, 7, 40, 65_000, 65_536]),
        ),
        max_size=12,
    ),
    st.sampled_from([4, 5]),
    st.booleans(),
)
def test_pieces_are_bounded_and_together_what_was_written(
    steps: list[tuple[int, int | None] | int], version: int, packs: bool
) -> None:
    """Two sizes are one more reply and its rest, a number takes a piece of so many bytes."""
    writer = FrameWriter()
    writer.agree(version, packs=packs)
    sent, bodies = [], []
    for step in steps:
        before = writer.waiting_bytes
        if isinstance(step, tuple):
            size, more = step
            whole = random.Random(len(bodies)).randbytes(size + (more or 0))
            rest = None if more is None else whole[size:]
            writer.add(version, 1, Reply(8, whole[:size], rest=rest))
            bodies.append(whole)
        elif (piece := writer.take(step)) is None:
            assert before == 0
        else:
            assert 0 < len(piece) <= (step or len(piece))
            sent.append(bytes(piece))
    while (piece := writer.take(30_000)) is not None:
        sent.append(bytes(piece))
    assert writer.waiting_bytes == 0
    data = b"".join(sent)
    answers = envelopes(unsegment(data, packed=packs) if version == 5 else data)
    assert [_plain(answer.flags, answer.body) for answer in answers] == bodies


def test_small_bodies_are_not_compressed_and_large_ones_are() -> None:
    writer = FrameWriter()
    writer.agree(4, packs=True)
    writer.add(4, 1, Reply(8, b"a" * 511))
    writer.add(4, 2, Reply(8, b"a" * 512))
    small, large = envelopes(bytes(writer.take() or b""))
    assert (small.flags, large.flags) == (0, 1)
    assert decompress_body(large.body, 512) == b"a" * 512


def test_a_first_frame_that_is_too_long_ends_the_connection() -> None:
    reader = FrameReader()
    reader.receive(envelope(4, 1, b"")[:5] + (100_001).to_bytes(4, "big"))
    with pytest.raises(BadFrame) as caught:
        reader.next_frame()
    assert caught.value.is_fatal


@pytest.mark.parametrize(("length", "is_refused"), [(128 * 1024, False), (128 * 1024 + 1, True)])
def test_frames_before_startup_are_short(length: int, is_refused: bool) -> None:
    reader = FrameReader()
    reader.receive(envelope(4, 5))
    assert reader.next_frame() is not None
    reader.receive(envelope(4, 1)[:5] + length.to_bytes(4, "big"))
    if is_refused:
        with pytest.raises(BadFrame):
            reader.next_frame()
    else:
        assert reader.next_frame() is None


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_an_oversized_bare_frame_is_refused_and_skipped_without_being_kept(piece: int) -> None:
    reader = reader_of(4, frame_bytes_max=1000)
    data = envelope(4, 7, bytes(5000), stream=77) + envelope(4, 7, b"next", stream=78)
    found, refused, kept = [], [], 0
    for at in range(0, len(data), piece):
        reader.receive(data[at : at + piece])
        try:
            found += all_frames(reader)
        except BadFrame as bad:
            refused.append(bad)
            found += all_frames(reader)
        kept = max(kept, reader.kept_bytes)
    assert [(bad.stream, bad.error.code, bad.is_fatal) for bad in refused] == [(77, 0x2200, False)]
    assert [(frame.stream, frame.body) for frame in found] == [(78, b"next")]
    assert kept <= 1009 + piece


@pytest.mark.parametrize("piece", [100, 131071])
def test_an_oversized_segmented_frame_is_refused_and_skipped(piece: int) -> None:
    reader = reader_of(5, frame_bytes_max=200_000)
    large = envelope(5, 7, bytes(300_000), stream=77)
    data = b"".join(
        encode_segment(large[at : at + piece], is_self_contained=False)
        for at in range(0, len(large), piece)
    )
    reader.receive(data + encode_segment(envelope(5, 7, b"next", stream=78)))
    with pytest.raises(BadFrame) as caught:
        reader.next_frame()
    assert (caught.value.stream, caught.value.is_fatal) == (77, False)
    (frame,) = all_frames(reader)
    assert (frame.stream, frame.body) == (78, b"next")


def test_an_oversized_envelope_within_a_segment_is_passed_over() -> None:
    reader = reader_of(5, frame_bytes_max=100)
    both = envelope(5, 7, bytes(101), stream=1) + envelope(5, 7, bytes(100), stream=2)
    reader.receive(encode_segment(both))
    with pytest.raises(BadFrame) as caught:
        reader.next_frame()
    assert caught.value.stream == 1
    assert [frame.stream for frame in all_frames(reader)] == [2]


@pytest.mark.parametrize(
    "body", [b"", b"\0\0", b"\x7f\xff\xff\xff\0", b"\0\0\0\x05\0", b"\xff\xff\xff\xff" + bytes(9)]
)
def test_a_bad_compressed_body_fails_its_own_request_only(body: bytes) -> None:
    reader = reader_of(4, packs=True)
    reader.receive(envelope(4, 7, body, stream=9, flags=1) + envelope(4, 5))
    with pytest.raises(BadFrame) as caught:
        reader.next_frame()
    assert (caught.value.stream, caught.value.is_fatal) == (9, False)
    assert reader.next_frame() is not None


def test_a_bomb_is_refused_before_memory_is_taken_for_it() -> None:
    with pytest.raises(ProtocolError, match="claims"):
        decompress_body((16 * 1024 * 1024).to_bytes(4, "big") + bytes(20), 16 * 1024 * 1024)


def test_a_compressed_frame_without_agreement_is_refused() -> None:
    reader = reader_of(4)
    reader.receive(envelope(4, 7, compress_body(b"x" * 100), flags=1))
    with pytest.raises(BadFrame):
        reader.next_frame()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("at", [0, 4, 20, -1])
def test_a_damaged_segment_is_the_end(packed: bool, at: int) -> None:
    data = bytearray(encode_segment(envelope(5, 7, b"x" * 50), packed=packed))
    data[at] ^= 0x10
    reader = reader_of(5, packs=packed)
    reader.receive(bytes(data) + bytes(200_000))
    with pytest.raises(BadFrame) as caught:
        reader.next_frame()
    assert caught.value.is_fatal


def test_a_self_contained_segment_that_ends_within_an_envelope_is_the_end() -> None:
    reader = reader_of(5)
    reader.receive(encode_segment(envelope(5, 7, b"x" * 50)[:-1]))
    with pytest.raises(BadFrame) as caught:
        reader.next_frame()
    assert caught.value.is_fatal


def test_a_message_over_several_segments_before_authentication_is_the_end() -> None:
    reader = FrameReader()
    reader.agree(5, packs=False)
    reader.receive(encode_segment(envelope(5, 15, b"x" * 50)[:20], is_self_contained=False))
    with pytest.raises(BadFrame) as caught:
        reader.next_frame()
    assert caught.value.is_fatal


def test_another_version_on_a_started_connection_is_refused_with_the_agreed_one() -> None:
    reader = reader_of(4)
    reader.receive(envelope(3, 7, b"abc", stream=5) + envelope(4, 5))
    with pytest.raises(BadFrame, match=r"Got 3/v3 but previous .* had version 4/v4") as bad:
        reader.next_frame()
    assert (bad.value.version, bad.value.stream, bad.value.is_fatal) == (4, 5, False)
    assert reader.next_frame() is not None


@pytest.mark.parametrize(
    ("head", "version", "stream", "text"),
    [
        (b"\x42\x00\x00\x07\x05\0\0\0\0", 5, 7, "Invalid or unsupported protocol version (66)"),
        (
            b"\x41\x00\x7f\xff\x05\0\0\0\0",
            5,
            0x7FFF,
            "Invalid or unsupported protocol version (65)",
        ),
        (b"\x02\x00\x09\x05\0\0\0\0", 2, 9, "Invalid or unsupported protocol version (2)"),
        (b"\x01\x00\x80\x05\0\0\0\0", 1, -128, "Invalid or unsupported protocol version (1)"),
        (b"\x06\x00\x00\x03\x05\0\0\0\0", 6, 3, "Beta version of the protocol used (6/v6-beta)"),
        (b"\x06\x10\x00\x03\x05\0\0\0\0", 5, 3, "Invalid or unsupported protocol version (6)"),
        (b"\x00\x00\x00\x00\x05\0\0\0\0", 5, 0, "Invalid or unsupported protocol version (0)"),
        (b"\x47ET / HTTP", 5, 0x5420, "Invalid or unsupported protocol version (71)"),
    ],
)
def test_versions_we_do_not_speak_are_refused(
    head: bytes, version: int, stream: int, text: str
) -> None:
    reader = FrameReader()
    reader.receive(head)
    with pytest.raises(BadFrame) as caught:
        reader.next_frame()
    bad = caught.value
    assert (bad.version, bad.error.code, bad.is_fatal) == (version, 0x000A, True)
    assert bad.stream == stream or head.startswith(b"\x47")
    assert text in bad.error.message


def test_the_refusal_of_an_old_version_has_the_old_header() -> None:
    writer = FrameWriter()
    writer.add(2, 9, Reply(0, b"abc"))
    assert writer.take() == b"\x82\x00\x09\x00\x00\x00\x00\x03abc"


@given(st.binary(max_size=200), st.sampled_from([0, 3, 4, 5]), st.booleans())
def test_arbitrary_bytes_end_in_frames_or_a_refusal(data: bytes, version: int, packs: bool) -> None:
    reader = FrameReader() if not version else reader_of(version, packs=packs)
    reader.receive(data)
    for _ in range(len(data) + 1):
        try:
            if reader.next_frame() is None:
                break
        except BadFrame as bad:
            if bad.is_fatal:
                break
    else:
        raise AssertionError("the reader does not come to an end")

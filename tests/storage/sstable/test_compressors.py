"""The block compressors: everything comes back, damage is found, nothing grows beyond its bound."""

import contextlib
import zlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import CorruptData
from storage.sstable.compressors import (
    COMPRESSIONS,
    Compression,
    Compressor,
    compressor_of,
    decompress,
    usable,
)
from storage.sstable.frame import TRIES_IN_VAIN, UNTRIED_MAX, BlockPacker, Kind, pack, seal
from storage.sstable.opening import open_frame
from tests.storage.sstable.support import IDENTITY

NAMES = ["none", "lz4", "zstd", "deflate", "snappy"]
TEXT = b"the same words again and again, " * 500


def skip_if_missing(name: str) -> None:
    if usable(COMPRESSIONS[name]) is not COMPRESSIONS[name]:
        pytest.skip(f"the package for {name} is not installed")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(payload=st.binary(min_size=1, max_size=2000), repeat=st.integers(1, 20))
def test_every_payload_comes_back(name: str, payload: bytes, repeat: int) -> None:
    skip_if_missing(name)
    payload *= repeat
    packed = pack(payload, compressor_of((), name))
    frame = seal(IDENTITY, 8, Kind.DATA, packed) + packed.stored
    assert open_frame(IDENTITY, 8, Kind.DATA, memoryview(frame)) == payload


@pytest.mark.parametrize("name", NAMES[1:])
def test_what_shrinks_is_stored_compressed(name: str) -> None:
    skip_if_missing(name)
    packed = pack(TEXT, compressor_of((), name))
    assert packed.compression is COMPRESSIONS[name]
    assert len(packed.stored) < len(TEXT) // 8


@pytest.mark.parametrize("name", NAMES[1:])
@settings(max_examples=60, deadline=None)
@given(stored=st.binary(max_size=200), raw=st.integers(1, 5000))
def test_arbitrary_bytes_give_an_error_or_the_length_they_say(
    name: str, stored: bytes, raw: int
) -> None:
    skip_if_missing(name)
    with contextlib.suppress(CorruptData):
        assert len(decompress(COMPRESSIONS[name], memoryview(stored), raw)) == raw


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("raw", [len(TEXT) - 1, len(TEXT) + 1])
def test_another_length_than_the_frame_says_is_damage(name: str, raw: int) -> None:
    skip_if_missing(name)
    stored = compressor_of((), name).compress(TEXT)
    with pytest.raises(CorruptData):
        decompress(COMPRESSIONS[name], memoryview(stored), raw)


def test_a_bomb_is_given_up_at_the_length_it_should_have() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    with pytest.raises(CorruptData):
        decompress(Compression.DEFLATE, memoryview(bomb), 1000)


def test_an_unknown_compression_is_damage() -> None:
    with pytest.raises(CorruptData, match="99"):
        decompress(99, b"x", 1)


@pytest.mark.parametrize("name", NAMES[1:])
def test_damage_is_found_before_anything_is_decompressed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_if_missing(name)
    packed = pack(TEXT, compressor_of((), name))
    frame = bytearray(seal(IDENTITY, 0, Kind.DATA, packed) + packed.stored)
    frame[-1] ^= 1

    def refuse(*_: object) -> bytes:
        raise AssertionError("nothing damaged reaches a decompressor")

    monkeypatch.setattr("storage.sstable.opening.decompress", refuse)
    with pytest.raises(CorruptData, match="checksum"):
        open_frame(IDENTITY, 0, Kind.DATA, memoryview(frame))


def test_a_payload_that_shrinks_less_than_it_must_is_stored_as_it_is() -> None:
    stored = len(zlib.compress(TEXT, 6))
    ratio = len(TEXT) / stored
    for factor, expected in ((0.9, Compression.DEFLATE), (1.1, Compression.NONE)):
        options = (("min_compress_ratio", str(ratio * factor)),)
        assert pack(TEXT, compressor_of(options, "deflate")).compression is expected


def test_few_blocks_of_noise_are_tried_and_text_among_them_is_found_soon() -> None:
    compressor = compressor_of((), "lz4")
    tried: list[bytes] = []

    def compress(payload: bytes) -> bytes:
        tried.append(payload)
        return compressor.compress(payload)

    packer = BlockPacker(Compressor(Compression.LZ4, compress, compressor.stored_max))
    chance = Random(1)
    noise = [chance.randbytes(1000) for _ in range(TRIES_IN_VAIN + 10 * (UNTRIED_MAX + 1))]
    assert {packer.pack(block).compression for block in noise} == {Compression.NONE}
    assert len(tried) == TRIES_IN_VAIN + 10
    text = [packer.pack(TEXT).compression for _ in range(50)]
    assert text == [Compression.NONE] * UNTRIED_MAX + [Compression.LZ4] * (50 - UNTRIED_MAX)


def test_some_blocks_of_noise_hold_nothing_up() -> None:
    packer = BlockPacker(compressor_of((), "lz4"))
    chance = Random(2)
    for _ in range(5):
        for _ in range(TRIES_IN_VAIN - 1):
            assert packer.pack(chance.randbytes(1000)).compression is Compression.NONE
        assert packer.pack(TEXT).compression is Compression.LZ4


def test_options_reach_the_compressor() -> None:
    high = (("lz4_compressor_type", "high"), ("lz4_high_compressor_level", "12"))
    words = b"".join(b"%d %d " % (i * 7919 % 9001, i % 13) for i in range(3000))
    fast = len(compressor_of((), "lz4").compress(words))
    assert len(compressor_of(high, "lz4").compress(words)) < fast


def test_a_package_that_is_missing_leaves_lz4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.sstable.compressors.find_spec", lambda name: None)
    assert usable(Compression.ZSTD) is Compression.LZ4
    assert usable(Compression.DEFLATE) is Compression.DEFLATE

"""The block compressors: payload -> stored bytes and back, each with a bound on what comes out.

A package is imported when the first table needs it. Where one is missing, frames are written with
LZ4, so that a flush never waits for an installation; a frame that needs it cannot be read.
"""

import importlib
import zlib
from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final

import lz4.block

from storage.errors import CompressorMissing, CorruptData
from storage.values import value_class

DEFLATE_LEVEL: Final = 6
ZSTD_LEVEL: Final = 3
ZSTD_LEVEL_MAX: Final = 22
LZ4_HIGH_LEVEL: Final = 9
LZ4_HIGH_LEVEL_MAX: Final = 12

Buffer = bytes | memoryview
Compress = Callable[[bytes], bytes]


class Compression(IntEnum):
    """How a payload is stored; the numbers are those of the format."""

    NONE = 0
    LZ4 = 1
    ZSTD = 2
    DEFLATE = 3
    SNAPPY = 4


COMPRESSIONS: Final = {
    "none": Compression.NONE,
    "noop": Compression.NONE,
    "lz4": Compression.LZ4,
    "zstd": Compression.ZSTD,
    "deflate": Compression.DEFLATE,
    "snappy": Compression.SNAPPY,
}
"""The compressors by the names which a table's layout uses."""

_PACKAGES: Final = {Compression.ZSTD: "zstandard", Compression.SNAPPY: "cramjam"}


@value_class
class Compressor:
    """What a table's option asks for."""

    compression: Compression
    compress: Compress
    stored_max: Callable[[int], int]
    """The most bytes which a payload of a length may take to be stored compressed."""


@lru_cache(maxsize=256)
def compressor_of(options: tuple[tuple[str, str], ...], name: str) -> Compressor:
    """The compressor of a layout: its name, and the sub-options of `compression`."""
    given = dict(options)
    compression = usable(COMPRESSIONS[name])
    ratio = float(given.get("min_compress_ratio", 0.0))

    def stored_max(raw: int) -> int:
        least_gain = raw - raw // 8
        return min(int(raw / ratio), least_gain) if ratio > 0 else least_gain

    return Compressor(compression, _compress(compression, given), stored_max)


def usable(compression: Compression) -> Compression:
    """The compression, or LZ4 if the package for it is not installed."""
    package = _PACKAGES.get(compression)
    if package is None or find_spec(package) is not None:
        return compression
    return Compression.LZ4


def _compress(compression: Compression, given: dict[str, str]) -> Compress:
    if compression is Compression.LZ4:
        return _lz4(given)
    if compression is Compression.ZSTD:
        package = _package(compression)
        level = min(int(given.get("compression_level", ZSTD_LEVEL)), ZSTD_LEVEL_MAX)
        compress: Compress = package.ZstdCompressor(level=level, write_content_size=True).compress
        return compress
    if compression is Compression.DEFLATE:
        return lambda payload: zlib.compress(payload, DEFLATE_LEVEL)
    if compression is Compression.SNAPPY:
        raw = _package(compression).snappy.compress_raw
        return lambda payload: bytes(raw(payload))
    return lambda payload: payload


def _lz4(given: dict[str, str]) -> Compress:
    if given.get("lz4_compressor_type", "fast") == "high":
        wanted = int(given.get("lz4_high_compressor_level", LZ4_HIGH_LEVEL))
        level = min(max(wanted, 1), LZ4_HIGH_LEVEL_MAX)

        def compress_high(payload: bytes) -> bytes:
            stored: bytes = lz4.block.compress(
                payload, mode="high_compression", compression=level, store_size=False
            )
            return stored

        return compress_high

    def compress(payload: bytes) -> bytes:
        stored: bytes = lz4.block.compress(payload, store_size=False)
        return stored

    return compress


def decompress(compression: int, stored: Buffer, raw_bytes: int) -> bytes:
    """The payload, of exactly `raw_bytes` and never more; CorruptData if it is none."""
    if compression not in _DECOMPRESS:
        raise CorruptData(f"a frame with compression {compression}, which is not known")
    payload = _DECOMPRESS[compression](stored, raw_bytes)
    if len(payload) != raw_bytes:
        raise CorruptData("a frame whose raw length is not what it says")
    return payload


def _from_lz4(stored: Buffer, raw_bytes: int) -> bytes:
    try:
        payload: bytes = lz4.block.decompress(stored, uncompressed_size=raw_bytes)
    except lz4.block.LZ4BlockError as error:
        raise CorruptData("a frame that cannot be decompressed") from error
    return payload


def _from_zstd(stored: Buffer, raw_bytes: int) -> bytes:
    package = _package(Compression.ZSTD)
    try:
        # The package believes the frame's own length, so that one is asked first.
        if package.frame_content_size(stored) != raw_bytes:
            raise CorruptData("a frame whose raw length is not what it says")
        payload: bytes = package.ZstdDecompressor().decompress(stored)
    except package.ZstdError as error:
        raise CorruptData("a frame that cannot be decompressed") from error
    return payload


def _from_deflate(stored: Buffer, raw_bytes: int) -> bytes:
    inflate = zlib.decompressobj()
    try:
        payload = inflate.decompress(stored, raw_bytes)
        payload += inflate.decompress(inflate.unconsumed_tail, 1)
    except zlib.error as error:
        raise CorruptData("a frame that cannot be decompressed") from error
    if not inflate.eof or inflate.unused_data:
        raise CorruptData("a frame whose raw length is not what it says")
    return payload


def _from_snappy(stored: Buffer, raw_bytes: int) -> bytes:
    snappy = _package(Compression.SNAPPY).snappy
    try:
        # It believes the length in front of the stream, so that one is asked first.
        if snappy.decompress_raw_len(stored) != raw_bytes:
            raise CorruptData("a frame whose raw length is not what it says")
        return bytes(snappy.decompress_raw(stored))
    except _package(Compression.SNAPPY).DecompressionError as error:
        raise CorruptData("a frame that cannot be decompressed") from error


def _package(compression: Compression) -> Any:
    name = _PACKAGES[compression]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise CompressorMissing(f"a frame needs the package {name}, which is missing") from error


def _as_it_is(stored: Buffer, raw_bytes: int) -> bytes:
    return bytes(stored)


_DECOMPRESS: Final[dict[int, Callable[[Buffer, int], bytes]]] = {
    Compression.NONE: _as_it_is,
    Compression.LZ4: _from_lz4,
    Compression.ZSTD: _from_zstd,
    Compression.DEFLATE: _from_deflate,
    Compression.SNAPPY: _from_snappy,
}

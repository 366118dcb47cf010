"""A Bloom filter over partition keys."""

from typing import Final

BITS_MAX: Final[int]
HASHES_MAX: Final[int]

def key_hash(key: bytes) -> int:
    """The 64-bit hash of a decorated key which every filter is asked with."""

class BloomFilter:
    """Says of a key's hash that it is surely absent, or that it may be there."""

    hashes: int
    bits: int
    def __init__(self, hashes: int, bits: int, store: bytearray) -> None: ...
    @staticmethod
    def sized(keys: int, fp_chance: float) -> BloomFilter:
        """An empty filter for so many keys at this rate of false positives."""
    def add(self, hashed: int) -> None: ...
    def may_contain(self, hashed: int) -> bool: ...
    def encode(self) -> bytes:
        """What is written of the filter."""
    @staticmethod
    def decode(data: bytes) -> BloomFilter:
        """The filter of bytes whose checksum was right; CorruptData if they are none."""
    @property
    def memory_bytes(self) -> int:
        """What the filter holds of memory."""

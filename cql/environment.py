"""What statements draw on besides their values: chance, and time UUIDs that never repeat."""

from __future__ import annotations

from random import Random
from uuid import UUID

from cql.moment import Moment

UUID_EPOCH_TICKS = 0x01B21DD213814000
"""100-nanosecond ticks between 1582-10-15 and 1970-01-01."""

REFERENCE_US = 1_262_304_000_000_000
"""2010-01-01: paths of prepended elements run backwards from here."""

_VERSION_1 = 0x1000


def timeuuid(ticks: int, node: int) -> bytes:
    """A version 1 UUID: `ticks` since 1970 and 64 bits of clock sequence and node."""
    time = ticks + UUID_EPOCH_TICKS
    low, mid, high = time & 0xFFFFFFFF, (time >> 32) & 0xFFFF, (time >> 48) & 0x0FFF
    head = (low << 32) | (mid << 16) | _VERSION_1 | high
    return head.to_bytes(8, "big") + node.to_bytes(8, "big")


class Environment:
    """Chance and unique times of one shard.

    Times come from the moment given and are pushed forward when two are asked for in one tick, so
    that ids of one shard are ordered as they were made.
    """

    def __init__(self, chance: Random) -> None:
        self.random = chance
        self._node = (chance.getrandbits(64) & 0x3FFF_FFFF_FFFF_FFFF) | 1 << 63 | 1 << 40
        self._last_ticks = 0
        self._first_path = 1 << 62

    def timeuuid(self, moment: Moment) -> bytes:
        """A new time UUID of this moment."""
        return timeuuid(self._ticks(moment, 1), self._node)

    def uuid(self) -> bytes:
        """A new random UUID."""
        return UUID(int=self.random.getrandbits(128), version=4).bytes

    def list_paths(self, moment: Moment, count: int) -> list[bytes]:
        """Paths of elements appended to a list, in their order."""
        first = self._ticks(moment, count)
        return [timeuuid(first + i, self._node) for i in range(count)]

    def list_paths_before(self, moment: Moment, count: int) -> list[bytes]:
        """Paths which come before all that were made so far, in the order of the new elements."""
        wanted = (2 * REFERENCE_US - moment.timestamp_us) * 10
        self._first_path = min(self._first_path, wanted) - count
        return [timeuuid(self._first_path + i, self._node) for i in range(count)]

    def _ticks(self, moment: Moment, count: int) -> int:
        first = max(self._last_ticks + 1, moment.timestamp_us * 10)
        self._last_ticks = first + count - 1
        return first

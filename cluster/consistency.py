"""How many replicas must answer at each consistency level."""

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.replication import Replication


class Consistency(IntEnum):
    """The levels, by their codes in the native protocol."""

    ANY = 0x00
    ONE = 0x01
    TWO = 0x02
    THREE = 0x03
    QUORUM = 0x04
    ALL = 0x05
    LOCAL_QUORUM = 0x06
    EACH_QUORUM = 0x07
    SERIAL = 0x08
    LOCAL_SERIAL = 0x09
    LOCAL_ONE = 0x0A
    NODE_LOCAL = 0x0B

    @property
    def is_serial(self) -> bool:
        """Whether this level orders conditional writes."""
        return self in (Consistency.SERIAL, Consistency.LOCAL_SERIAL)

    @property
    def is_local(self) -> bool:
        """Whether only replicas of the coordinator's datacenter count."""
        return self in _LOCAL_LEVELS


_LOCAL_LEVELS = frozenset(
    {
        Consistency.LOCAL_ONE,
        Consistency.LOCAL_QUORUM,
        Consistency.LOCAL_SERIAL,
        Consistency.NODE_LOCAL,
    }
)
_FIXED = {
    Consistency.ANY: 1,
    Consistency.ONE: 1,
    Consistency.LOCAL_ONE: 1,
    Consistency.NODE_LOCAL: 1,
    Consistency.TWO: 2,
    Consistency.THREE: 3,
}


def quorum(replicas: int) -> int:
    """Give the smallest majority of `replicas`; zero replicas have the majority one, which nobody
    can give.
    """
    return replicas // 2 + 1


def block_for(level: Consistency, replication: "Replication", local_dc: str) -> int:
    """Give how many answers `level` waits for.

    It is computed from the replication factor, not from how many replicas the ring happens to
    have: QUORUM of a factor of three is two even on a single node, where it is unavailable.
    """
    fixed = _FIXED.get(level)
    if fixed is not None:
        return fixed
    if level is Consistency.ALL:
        return replication.factor()
    if level in (Consistency.LOCAL_QUORUM, Consistency.LOCAL_SERIAL):
        return quorum(replication.factor(local_dc if replication.counts_by_datacenter else None))
    if level is Consistency.EACH_QUORUM and replication.counts_by_datacenter:
        return sum(quorum(replication.factor(dc)) for dc in replication.datacenters())
    return quorum(replication.factor())

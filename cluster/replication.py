"""Token to replicas: the strategies of keyspaces."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property

from cluster.consistency import Consistency, block_for
from cluster.ring import Ring
from cluster.topology import Node, Topology

_CLASS = "class"
_FACTOR = "replication_factor"
FACTOR_MAX = 10_000
"""More replicas than this are a typing error."""


class ReplicationError(ValueError):
    """The options of a keyspace describe no replication."""


class Replication(ABC):
    """Where the rows of one keyspace lie on one ring. Values are computed once per range of the
    ring.

    `counts_by_datacenter` says whether each datacenter has a factor of its own.
    """

    counts_by_datacenter = False

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.topology = ring.topology
        self._by_position: dict[int, tuple[Node, ...]] = {}
        self._block_for: dict[int, int] = {}
        self.is_local_only = self.topology.is_alone
        """Whether every key has this node as its only replica."""

    def replicas(self, token: int) -> tuple[Node, ...]:
        """Give the nodes that hold `token`, the first owner first."""
        if self.is_local_only:
            return self.topology.nodes
        position = self.ring.position_of(token)
        found = self._by_position.get(position)
        if found is None:
            found = self._by_position[position] = self._place(position)
        return found

    def block_for(self, level: Consistency) -> int:
        """Give how many answers `level` needs, seen from the local datacenter."""
        needed = self._block_for.get(level)
        if needed is None:
            needed = self._block_for[level] = block_for(level, self, self.topology.local.dc)
        return needed

    @cached_property
    def local_levels(self) -> frozenset[Consistency]:
        """The levels, but for the serial ones, which the shard that owns a key satisfies alone."""
        if not self.is_local_only:
            return frozenset()
        return frozenset(
            level for level in Consistency if self.block_for(level) == 1 and not level.is_serial
        )

    @abstractmethod
    def factor(self, dc: str | None = None) -> int:
        """Give how many replicas a key should have, in all or in one datacenter."""

    def datacenters(self) -> tuple[str, ...]:
        """Give the datacenters that have replicas, sorted."""
        return self.topology.datacenters()

    @abstractmethod
    def _place(self, position: int) -> tuple[Node, ...]:
        """Choose the nodes for the range at `position` of the ring."""


class LocalStrategy(Replication):
    """Every node keeps its own rows: system tables."""

    def __init__(self, ring: Ring) -> None:
        super().__init__(ring)
        self._replicas = (self.topology.local,)

    def factor(self, dc: str | None = None) -> int:
        return 1

    def replicas(self, token: int) -> tuple[Node, ...]:
        return self._replicas

    def _place(self, position: int) -> tuple[Node, ...]:
        return self._replicas


class EverywhereStrategy(Replication):
    """Every node keeps every row."""

    def factor(self, dc: str | None = None) -> int:
        return len(self.topology.nodes if dc is None else self.topology.nodes_of(dc))

    def _place(self, position: int) -> tuple[Node, ...]:
        return tuple(self.ring.walk(position))


class SimpleStrategy(Replication):
    """The next nodes around the ring, wherever they stand."""

    def __init__(self, ring: Ring, factor: int) -> None:
        super().__init__(ring)
        self._factor = factor

    def factor(self, dc: str | None = None) -> int:
        return self._factor

    def _place(self, position: int) -> tuple[Node, ...]:
        walk = self.ring.walk(position)
        return tuple(node for node, _ in zip(walk, range(self._factor), strict=False))


class NetworkTopologyStrategy(Replication):
    """A number of replicas per datacenter, spread over its racks as evenly as the walk allows."""

    counts_by_datacenter = True

    def __init__(self, ring: Ring, factors: Mapping[str, int]) -> None:
        super().__init__(ring)
        self._factors = {dc: factors[dc] for dc in sorted(factors)}
        self.is_local_only = (
            self.topology.is_alone and self._factors.get(self.topology.local.dc, 0) > 0
        )

    def factor(self, dc: str | None = None) -> int:
        return sum(self._factors.values()) if dc is None else self._factors.get(dc, 0)

    def datacenters(self) -> tuple[str, ...]:
        return tuple(self._factors)

    def _place(self, position: int) -> tuple[Node, ...]:
        wanted = {
            dc: _Datacenter(self.topology.nodes_of(dc), factor)
            for dc, factor in self._factors.items()
        }
        replicas: list[Node] = []
        for node in self.ring.walk(position):
            datacenter = wanted.get(node.dc)
            if datacenter is not None and datacenter.takes(node):
                replicas.append(node)
        return tuple(replicas)


class _Datacenter:
    """What one datacenter still wants during a walk.

    A rack is used a second time only as often as there are more replicas than racks.
    """

    def __init__(self, nodes: tuple[Node, ...], factor: int) -> None:
        self._left = min(factor, len(nodes))
        self._racks: set[str] = set()
        self._repeats_left = factor - len({node.rack for node in nodes})

    def takes(self, node: Node) -> bool:
        """Say whether `node` becomes a replica, and remember that it does."""
        if self._left == 0:
            return False
        if node.rack in self._racks:
            if self._repeats_left <= 0:
                return False
            self._repeats_left -= 1
        self._racks.add(node.rack)
        self._left -= 1
        return True


def strategy_of(options: Mapping[str, str], topology: Topology) -> Replication:
    """Build the replication that a keyspace's options ask for.

    The class may be given with its package. Raises `ReplicationError` for what cannot be built;
    the texts that clients see for wrong statements are made where statements are checked.
    """
    name = options.get(_CLASS, "").rpartition(".")[2]
    ring = Ring(topology)
    if name == "LocalStrategy":
        return LocalStrategy(ring)
    if name == "EverywhereStrategy":
        return EverywhereStrategy(ring)
    if name == "SimpleStrategy":
        return SimpleStrategy(ring, _factor(options.get(_FACTOR, "")))
    if name == "NetworkTopologyStrategy":
        return NetworkTopologyStrategy(ring, _factors(options, topology))
    raise ReplicationError(f"there is no replication strategy {name!r}")


def _factors(options: Mapping[str, str], topology: Topology) -> dict[str, int]:
    named = {key: _factor(text) for key, text in options.items() if key not in (_CLASS, _FACTOR)}
    if _FACTOR in options:
        default = _factor(options[_FACTOR])
        named = dict.fromkeys(topology.datacenters(), default) | named
    return named


def _factor(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > FACTOR_MAX:
        raise ReplicationError(f"a replication factor is a number up to {FACTOR_MAX}, not {text!r}")
    return int(text)

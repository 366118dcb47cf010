"""Nodes, racks and datacenters, as one immutable snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from uuid import UUID


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One node of the ring. Its identity is the host id; everything else may change in a later
    snapshot.
    """

    host_id: UUID
    address: str
    port: int
    """Where peers reach it, not clients."""

    dc: str
    rack: str
    tokens: tuple[int, ...]
    """Ascending; each is the last token of a range that the node holds first."""

    shards: int

    def __post_init__(self) -> None:
        assert self.shards > 0, "a node has at least one shard"
        assert list(self.tokens) == sorted(set(self.tokens)), "tokens ascend and are distinct"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.host_id == other.host_id

    def __hash__(self) -> int:
        return self.host_id.int & 0x7FFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Topology:
    """Who is in the ring, seen from one node. Of two snapshots the one with the higher epoch is
    right.
    """

    epoch: int
    local: Node
    nodes: tuple[Node, ...]
    """All nodes with the local one, in order of host id."""

    _by_id: Mapping[UUID, Node] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id = {node.host_id: node for node in self.nodes}
        assert len(by_id) == len(self.nodes), "a node stands in the ring once"
        assert by_id.get(self.local.host_id) is self.local, "we are part of the ring we see"
        ids = [node.host_id for node in self.nodes]
        assert ids == sorted(ids), "nodes stand in order of host id"
        object.__setattr__(self, "_by_id", MappingProxyType(by_id))

    def find_node(self, host_id: UUID) -> Node | None:
        """Give the node with this identity, if it is in the ring."""
        return self._by_id.get(host_id)

    def datacenters(self) -> tuple[str, ...]:
        """Give the names of the datacenters, sorted."""
        return tuple(sorted({node.dc for node in self.nodes}))

    def nodes_of(self, dc: str) -> tuple[Node, ...]:
        """Give the nodes of one datacenter in order of host id."""
        return tuple(node for node in self.nodes if node.dc == dc)

    @property
    def is_alone(self) -> bool:
        """Whether the local node is the whole ring."""
        return len(self.nodes) == 1


def single_node(local: Node) -> Topology:
    """Give the ring of a node that has no peers."""
    return Topology(0, local, (local,))

"""Who holds which token: ranges of the ring and the order in which nodes follow each other."""

from bisect import bisect_left
from collections.abc import Iterator

from cluster.topology import Node, Topology
from storage.values import value_class

TOKEN_MIN = -(2**63)
"""The token of no key: the end of the ring, as `start` of its first range."""

TOKEN_MAX = 2**63 - 1


@value_class
class TokenRange:
    """Tokens greater than `start` and up to `end`; where `start >= end` the range goes over the
    end of the ring.
    """

    start: int
    end: int

    def contains(self, token: int) -> bool:
        """Say whether the range holds a token."""
        if self.start < self.end:
            return self.start < token <= self.end
        return token > self.start or token <= self.end


class Ring:
    """All tokens of a topology in order. A token belongs to the first node token that is not
    smaller.
    """

    __slots__ = ("_owners", "tokens", "topology")

    def __init__(self, topology: Topology) -> None:
        owned = sorted(
            ((token, node) for node in topology.nodes for token in node.tokens),
            key=lambda pair: pair[0],
        )
        self.topology = topology
        self.tokens = tuple(token for token, _ in owned)
        self._owners = tuple(node for _, node in owned)
        assert len(set(self.tokens)) == len(self.tokens), "a token belongs to one node"

    def __len__(self) -> int:
        return len(self.tokens)

    def position_of(self, token: int) -> int:
        """Give the index in `tokens` of the range that holds `token`; an empty ring has none."""
        assert self.tokens, "a ring without tokens holds nothing"
        position = bisect_left(self.tokens, token)
        return position if position < len(self.tokens) else 0

    def primary(self, token: int) -> Node:
        """Give the node whose range holds `token`."""
        return self._owners[self.position_of(token)]

    def walk(self, position: int) -> Iterator[Node]:
        """Give the nodes from `position` on around the ring, each once, in the order they are
        met.
        """
        met: set[Node] = set()
        count = len(self._owners)
        for step in range(count):
            node = self._owners[(position + step) % count]
            if node not in met:
                met.add(node)
                yield node

    def range_at(self, position: int) -> TokenRange:
        """Give the range that ends at the token of `position`."""
        return TokenRange(self.tokens[position - 1], self.tokens[position])

    def ranges(self) -> tuple[tuple[TokenRange, Node], ...]:
        """Give every range with the node that holds it first, ascending by end."""
        return tuple((self.range_at(i), node) for i, node in enumerate(self._owners))

    def ranges_of(self, node: Node) -> tuple[TokenRange, ...]:
        """Give the ranges that `node` holds first."""
        return tuple(held for held, owner in self.ranges() if owner == node)

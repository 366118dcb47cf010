"""Facts that every shard of a node has a part of, gathered for the tables that show them.

A shard that reads such a table asks its siblings for their parts; a sibling that does not answer
in time is left out.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from cluster.errors import ClusterError

if TYPE_CHECKING:
    from cluster.deadlines import Deadlines
    from cluster.transport import Siblings

KIND_FACTS: Final = 66
"""The mesh message that asks for a shard's part of the facts of one kind."""
TIMEOUT_S: Final = 1.0
FACTS_MAX: Final = 20_000
"""Of one kind and shard; what is more is not shown."""

Fact = list[Any]
"""What JSON can carry."""


class ShardFacts:
    """This shard's facts by kind, and the way to those of its siblings."""

    def __init__(self, siblings: Siblings, others: tuple[int, ...], deadlines: Deadlines) -> None:
        self._siblings = siblings
        self._others = others
        self._deadlines = deadlines
        self._sources: dict[str, Callable[[], Iterable[Fact]]] = {}
        siblings.register(KIND_FACTS, self._answer)

    def provide(self, kind: str, facts: Callable[[], Iterable[Fact]]) -> None:
        """This shard's facts of one kind come from `facts`."""
        self._sources[kind] = facts

    def own(self, kind: str) -> list[Fact]:
        """This shard's part."""
        return list(self._sources[kind]())[:FACTS_MAX]

    async def gather(self, kind: str) -> list[Fact]:
        """The parts of all shards that can be asked, in the order of the shards but ours first."""
        until = self._deadlines.now() + TIMEOUT_S
        asked: list[Awaitable[bytes]] = []
        for sibling in self._others:
            try:
                answer = self._siblings.call(sibling, KIND_FACTS, kind.encode())
            except ClusterError:
                continue
            asked.append(self._deadlines.wait(answer, until))
        facts = self.own(kind)
        for part in asked:
            try:
                facts += json.loads(await part)
            except ClusterError:
                continue
        return facts

    def _answer(self, payload: bytes, source: int) -> bytes:
        return json.dumps(self.own(payload.decode())).encode()

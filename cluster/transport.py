"""The ports between shards of one node (`Siblings`) and between nodes (`Transport`).

Promises that both keep:
- A call is sent at once, or it fails at once: `ShardDown` with `was_sent=False` and `Overloaded`
  mean that no byte of it left.
- Calls to one destination arrive in the order in which they were made. Answers come in any order.
- A call whose destination dies fails with `ShardDown`; nobody waits for the dead. A destination
  that lives may be slow: the caller brings its own deadline (`cluster.deadlines`), and the answer
  that comes after it is dropped.
- The result of a handler is the answer; its `ClusterError` reaches the caller as the same type.
"""

from asyncio import Future
from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import UUID

Handler = Callable[[bytes, int], bytes | Awaitable[bytes]]
"""Takes a payload and the shard it came from; gives the answer now, or an awaitable of it."""


class Siblings(Protocol):
    """The other shards of our node."""

    def call(self, shard: int, kind: int, payload: bytes) -> "Future[bytes]":
        """Send a request to a sibling."""

    def register(self, kind: int, handler: Handler) -> None:
        """Let `handler` answer the requests of one kind; one handler per kind, before any request
        comes.
        """

    def is_alive(self, shard: int) -> bool:
        """Say whether a call to this sibling can be sent now."""

    def on_change(self, listener: Callable[[int, bool], None]) -> None:
        """From now on, tell `listener(shard, is_alive)` when a sibling dies or comes back."""


class Transport(Protocol):
    """The shards of other nodes."""

    def call(self, host: UUID, shard: int, kind: int, payload: bytes) -> "Future[bytes]":
        """Send a request to one shard of a peer."""

    def register(self, kind: int, handler: Handler) -> None:
        """Let `handler` answer the requests of one kind."""

    def is_alive(self, host: UUID) -> bool:
        """Say whether a call to this peer can be sent now."""


class NoSiblings:
    """The port of a node with a single shard: there is nobody to call."""

    def call(self, shard: int, kind: int, payload: bytes) -> "Future[bytes]":
        """Never right: a single shard owns every token."""
        raise AssertionError(f"there is no shard {shard} to call")

    def register(self, kind: int, handler: Handler) -> None:
        """Nothing will ever come."""

    def is_alive(self, shard: int) -> bool:
        """Nobody is there."""
        return False

    def on_change(self, listener: Callable[[int, bool], None]) -> None:
        """Nothing will ever change."""

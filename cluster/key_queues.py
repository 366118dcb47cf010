"""Turns at a key: one holder at a time, the others in order of arrival, both bounded."""

from asyncio import AbstractEventLoop, Future
from collections import deque
from typing import Final

from cluster.deadlines import Deadlines
from cluster.errors import Overloaded

WAITING_PER_KEY_MAX: Final = 256
"""Who comes later is told to slow down: its turn would come after its deadline."""

WAITING_MAX: Final = 16_384
"""Over all keys of a shard."""


class KeyQueues:
    """The keys of one shard that somebody holds, each with those who wait for it.

    `take` gives `None` if the key is free, and it is then ours; or an awaitable that ends when it
    is ours. Who has taken a key must `give_back` it, once.
    """

    __slots__ = ("_deadlines", "_loop", "_queues", "_waiting")

    def __init__(self, loop: AbstractEventLoop, deadlines: Deadlines) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._queues: dict[bytes, deque[Future[None]]] = {}
        self._waiting = 0

    def is_held(self, key: bytes) -> bool:
        """Say whether somebody holds the key."""
        return key in self._queues

    def try_take(self, key: bytes) -> bool:
        """Take the key if nobody holds it."""
        if key in self._queues:
            return False
        self._queues[key] = deque()
        return True

    async def take(self, key: bytes, deadline: float) -> None:
        """Wait until the key is ours. Raises `Overloaded` at once and `DeadlinePassed` later;
        then it is not ours.
        """
        if self.try_take(key):
            return
        queue = self._queues[key]
        if len(queue) >= WAITING_PER_KEY_MAX or self._waiting >= WAITING_MAX:
            raise Overloaded(f"{len(queue)} requests wait for the same partition")
        turn: Future[None] = self._loop.create_future()
        queue.append(turn)
        self._waiting += 1
        try:
            await self._deadlines.wait(turn, deadline)
        except BaseException:
            self._leave(key, queue, turn)
            raise
        finally:
            self._waiting -= 1

    def give_back(self, key: bytes) -> None:
        """Hand the key to the next who waits for it."""
        queue = self._queues[key]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._queues[key]

    def _leave(self, key: bytes, queue: "deque[Future[None]]", turn: "Future[None]") -> None:
        """Give up a turn: out of the queue, or, if it came while we gave up, on to the next."""
        if turn in queue:
            queue.remove(turn)
        elif turn.done() and not turn.cancelled() and turn.exception() is None:
            self.give_back(key)

    def check(self) -> None:
        """Prove the invariants."""
        waiting = sum(len(queue) for queue in self._queues.values())
        assert waiting <= self._waiting, "every future in a queue belongs to one who waits"
        assert self._waiting <= WAITING_MAX + 1, "the queues are bounded"

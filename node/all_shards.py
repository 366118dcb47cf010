"""One request to every shard of the node and what each of them answers, as JSON.

The answering shard's own part is asked like the others', so that there is one way. What fails on a
shard comes back as text with the shard's number before it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from cluster.errors import ClusterError
from storage.errors import StorageError

if TYPE_CHECKING:
    from cluster.deadlines import Deadlines
    from cluster.transport import Siblings

NOTHING: Final = b'{"answer": null}'

Request = dict[str, Any]
Perform = Callable[[Request], Awaitable[Any]]
"""One shard's part; what it gives must be something that JSON can carry."""


class CommandFailed(Exception):
    """What an operator asked for cannot be done; on some shards it may have been. Says why."""


class AllShards:
    """Asks all shards for their parts of one kind of request."""

    def __init__(
        self,
        shard: int,
        shards: int,
        siblings: Siblings,
        deadlines: Deadlines,
        kind: int,
        timeout_s: float,
        perform: Perform,
    ) -> None:
        self._shard = shard
        self._shards = shards
        self._siblings = siblings
        self._deadlines = deadlines
        self._kind = kind
        self._timeout_s = timeout_s
        self._perform = perform
        siblings.register(kind, self._answer)

    async def ask(self, request: Request, timeout_s: float = 0.0) -> list[Any]:
        """The answers of all shards, by their numbers; CommandFailed if one of them fails.

        They may take `timeout_s`, if given, instead of what all requests may.
        """
        payload = json.dumps(request).encode()
        until = self._deadlines.now() + (timeout_s or self._timeout_s)
        others = [shard for shard in range(self._shards) if shard != self._shard]
        for shard in others:
            if not self._siblings.is_alive(shard):
                raise CommandFailed(f"shard {shard} does not answer now; try again")
        waits = [
            self._deadlines.wait(self._siblings.call(shard, self._kind, payload), until)
            for shard in others
        ]
        answers = await asyncio.gather(
            self._answer(payload, self._shard), *waits, return_exceptions=True
        )
        by_shard: dict[int, Any] = {}
        for shard, answer in zip([self._shard, *others], answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            by_shard[shard] = checked(answer)
        return [by_shard[shard] for shard in range(self._shards)]

    async def ask_one(self, shard: int, request: Request, deadline: float) -> Any:
        """The answer of one shard, which may be our own."""
        payload = json.dumps(request).encode()
        if shard == self._shard:
            return checked(await self._answer(payload, shard))
        asked = self._siblings.call(shard, self._kind, payload)
        return checked(await self._deadlines.wait(asked, deadline))

    async def _answer(self, payload: bytes, source: int) -> bytes:
        try:
            answer = await self._perform(json.loads(payload))
        except (ClusterError, StorageError, CommandFailed) as error:
            return json.dumps({"error": f"shard {self._shard}: {error}"}).encode()
        return NOTHING if answer is None else json.dumps({"answer": answer}).encode()


def checked(answer: bytes) -> Any:
    """What a shard answered; CommandFailed if that was an error."""
    fields = json.loads(answer)
    if "error" in fields:
        raise CommandFailed(fields["error"])
    return fields["answer"]

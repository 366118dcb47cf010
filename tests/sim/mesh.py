"""The messages between the shards of one simulated node: delayed, in order per link, cut by
death. As in node/mesh, what a shard says in one turn leaves at its end, after `before_flush`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field

from cluster.errors import Overloaded, ShardDown
from cluster.messages import decode_fault, encode_fault
from cluster.transport import Handler
from tests.sim.process import Process

DELAY_MAX_S = 0.002


@dataclass
class SimulatedMesh:
    """All links of a node. `call` of each endpoint is the port `cluster.transport.Siblings`."""

    loop: asyncio.AbstractEventLoop
    random: object
    endpoints: dict[int, Endpoint] = field(default_factory=dict)
    trace: Callable[[str], None] = lambda event: None
    slow: dict[tuple[int, int], float] = field(default_factory=dict)
    """Extra delay per (from, to)."""

    def endpoint(self, shard: int) -> Endpoint:
        """The port of a shard that starts now; the old one, if any, is dead."""
        born = Endpoint(self, shard)
        self.attach(born)
        return born

    def attach(self, born: Endpoint) -> None:
        """Link a shard, whose handlers are registered, with all that live."""
        if born.shard in self.endpoints:
            self.kill(born.shard)
        self.endpoints[born.shard] = born
        for other in self._others(born.shard):
            other.tell(born.shard, True)
            born.tell(other.shard, True)

    def kill(self, shard: int) -> None:
        """End a shard: what it has sent may still arrive, nothing arrives at it."""
        dead = self.endpoints.pop(shard, None)
        if dead is None:
            return
        dead.is_dead = True
        self.trace(f"kill {shard}")
        if dead.process is None:
            for future, _ in dead.pending.values():
                future.cancel()
            dead.pending.clear()
        for other in self._others(shard):
            other.lose(shard)
            other.tell(shard, False)

    def _others(self, shard: int) -> list[Endpoint]:
        return [e for number, e in sorted(self.endpoints.items()) if number != shard]

    def delay(self, source: int, target: int) -> float:
        return self.random.uniform(0.00001, DELAY_MAX_S) + self.slow.get((source, target), 0.0)  # type: ignore[attr-defined]


class Endpoint:
    """One shard's end of all its links."""

    def __init__(
        self,
        mesh: SimulatedMesh,
        shard: int,
        process: Process | None = None,
        before_flush: Callable[[], None] = lambda: None,
    ) -> None:
        self.mesh = mesh
        self.process = process
        self.before_flush = before_flush
        self.shard = shard
        self.is_dead = False
        self.calls_max = 1 << 30
        self.pending: dict[int, tuple[asyncio.Future[bytes], int]] = {}
        self._handlers: dict[int, Handler] = {}
        self._listeners: list[Callable[[int, bool], None]] = []
        self._last: dict[Endpoint, float] = {}
        self._outbox: list[tuple[Endpoint, Callable[[], None]]] = []
        self._next = 0
        self._sent_before = 0

    def register(self, kind: int, handler: Handler) -> None:
        assert kind not in self._handlers, "one handler per kind"
        self._handlers[int(kind)] = handler

    def is_alive(self, shard: int) -> bool:
        return shard in self.mesh.endpoints

    def on_change(self, listener: Callable[[int, bool], None]) -> None:
        self._listeners.append(listener)

    def tell(self, shard: int, is_alive: bool) -> None:
        for listener in self._listeners:
            self._as_process(listener, shard, is_alive)

    def lose(self, shard: int) -> None:
        for number in [n for n, (_, target) in self.pending.items() if target == shard]:
            future, _ = self.pending.pop(number)
            if not future.done():
                was_sent = number < self._sent_before
                self._as_process(future.set_exception, ShardDown(shard, was_sent=was_sent))

    def call(self, shard: int, kind: int, payload: bytes) -> asyncio.Future[bytes]:
        assert shard != self.shard, "a shard does not call itself"
        if shard not in self.mesh.endpoints:
            raise ShardDown(shard, was_sent=False)
        if len(self.pending) >= self.calls_max:
            raise Overloaded("too many calls")
        number = self._next
        self._next += 1
        future: asyncio.Future[bytes] = self.mesh.loop.create_future()
        self.pending[number] = (future, shard)
        target = self.mesh.endpoints[shard]
        self.mesh.trace(f"{self.shard}>{shard} #{number} {int(kind)} {len(payload)}")
        self._deliver(target, lambda: target._receive(self, number, int(kind), payload))
        return future

    def _deliver(self, target: Endpoint, arrive: Callable[[], None]) -> None:
        self._outbox.append((target, arrive))
        if self.process is None:
            # A shard without turns of its own: what it says leaves at once.
            self._flush()
        elif len(self._outbox) == 1:
            self.mesh.loop.call_soon(self._flush)

    def _flush(self) -> None:
        """The end of a turn."""
        self.before_flush()
        self._sent_before = self._next
        loop = self.mesh.loop
        outbox, self._outbox = self._outbox, []
        for target, arrive in outbox:
            at = loop.time() + self.mesh.delay(self.shard, target.shard)
            at = max(at, self._last.get(target, 0.0))
            self._last[target] = at
            loop.call_at(at, target._arrived, arrive, context=target._context())

    def _arrived(self, arrive: Callable[[], None]) -> None:
        if not self.is_dead:
            arrive()

    def _context(self) -> Context | None:
        return None if self.process is None else self.process.context

    def _as_process(self, function: Callable[..., None], *arguments: object) -> None:
        if self.process is None:
            function(*arguments)
        else:
            self.process.run(function, *arguments)

    def _receive(self, source: Endpoint, number: int, kind: int, payload: bytes) -> None:
        try:
            answer = self._handlers[kind](payload, source.shard)
        except Exception as error:
            self._answer(source, number, False, encode_fault(error))
            return
        if inspect.isawaitable(answer):
            self.mesh.loop.create_task(self._later(source, number, answer))
        else:
            self._answer(source, number, True, answer)

    async def _later(self, source: Endpoint, number: int, answer: Awaitable[bytes]) -> None:
        try:
            content = await answer
        except Exception as error:
            self._answer(source, number, False, encode_fault(error))
            return
        self._answer(source, number, True, content)

    def _answer(self, source: Endpoint, number: int, is_good: bool, content: bytes) -> None:
        if self.is_dead:
            return
        self.mesh.trace(f"{self.shard}<{source.shard} #{number} {is_good} {len(content)}")
        self._deliver(source, lambda: source._answered(number, is_good, content))

    def _answered(self, number: int, is_good: bool, content: bytes) -> None:
        future, _ = self.pending.pop(number, (None, 0))
        if future is None or future.done():
            return
        if is_good:
            future.set_result(content)
        else:
            future.set_exception(decode_fault(content))

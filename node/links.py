"""Fresh socket pairs between living shards, agreed over the pairs that the supervisor keeps.

The supervisor keeps both ends of one socket pair per two shards, so that a shard which is born
again finds its siblings. A stream that outlives the process at its other end cannot carry messages:
nobody notices the death, and the next incarnation would begin in the middle of what the dead one
left. So the kept pairs carry only this handshake, whose messages are one size, and the messages of
the mesh go through a *link*: a pair of its own that only the two living processes hold, and that
ends with either of them.

The lower shard makes the links, the higher one asks for them:

    lower   START             I am new; ask me.
    higher  HELLO n           I want a link; n grows with each request.
    lower   OFFER n + socket  The answer to HELLO n.
    higher  one byte          Through the offered socket, if n is its latest; others are closed.

The higher shard asks when it is born, after START, and when a link has ended; the lower one uses a
link when the byte has come through it.

What a dead incarnation left unread is harmless: an old HELLO gets an offer that is closed, an old
OFFER is closed.

For `node/shard`: build a `Mesh`, register all handlers, `Links(...).start()`, `await
links.wait_until_connected(timeout)`, then catch up with the schema, then accept clients.
`links.stop()` before `mesh.close()`. For `node/supervisor`: keep the pairs as they are.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Mapping

from node.mesh import Mesh

_MESSAGE = struct.Struct(">4sIQ")
_MAGIC = b"PLNK"
_START, _HELLO, _OFFER = 1, 2, 3
_TAKEN = b"\x01"
_INCARNATION_SHIFT = 32
RETRY_S = 0.05
"""How soon a message is tried again which a full socket did not take."""

_log = logging.getLogger("links")


class Links:
    """Keeps a shard linked to all its living siblings."""

    def __init__(
        self,
        shard: int,
        incarnation: int,
        ends: Mapping[int, socket.socket],
        mesh: Mesh,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._shard = shard
        self._ends = dict(ends)
        self._mesh = mesh
        self._loop = loop
        self._asked = dict.fromkeys(ends, incarnation << _INCARNATION_SHIFT)
        self._offered: dict[int, socket.socket] = {}
        self._connected: asyncio.Future[None] | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Begin to talk to the siblings, those who live and those who will."""
        self._mesh.on_change(self._link_changed)
        for sibling, end in self._ends.items():
            end.setblocking(False)
            self._loop.add_reader(end.fileno(), self._hear, sibling)
            if self._shard < sibling:
                self._say(sibling, _START, 0)
            else:
                self._ask(sibling)

    async def wait_until_connected(self, timeout_s: float) -> None:
        """Wait for a link to every sibling; `TimeoutError` if one does not come up."""
        if self._is_connected():
            return
        self._connected = self._loop.create_future()
        await asyncio.wait_for(self._connected, timeout_s)

    def stop(self) -> None:
        """Take and make no more links; those in use stay."""
        self._is_stopped = True
        for end in self._ends.values():
            self._loop.remove_reader(end.fileno())
            end.close()
        for sibling in list(self._offered):
            self._withdraw(sibling)

    def _is_connected(self) -> bool:
        return all(self._mesh.is_alive(sibling) for sibling in self._ends)

    def _link_changed(self, sibling: int, is_alive: bool) -> None:
        if self._is_stopped:
            return
        if not is_alive and sibling < self._shard:
            self._ask(sibling)
        waiting = self._connected
        if waiting is not None and not waiting.done() and self._is_connected():
            waiting.set_result(None)

    def _ask(self, sibling: int) -> None:
        self._asked[sibling] += 1
        self._say(sibling, _HELLO, self._asked[sibling])

    def _say(self, sibling: int, word: int, number: int, link: socket.socket | None = None) -> None:
        """Send one message, now or as soon as there is room."""
        if self._is_stopped:
            return
        message = _MESSAGE.pack(_MAGIC, word, number)
        end = self._ends[sibling]
        try:
            if link is None:
                end.send(message)
            else:
                socket.send_fds(end, [message], [link.fileno()])
        except BlockingIOError:
            if link is None:
                self._loop.call_later(RETRY_S, self._say, sibling, word, number)
            else:
                self._loop.call_later(RETRY_S, self._offer, sibling, number)

    def _hear(self, sibling: int) -> None:
        try:
            message, received, _, _ = socket.recv_fds(self._ends[sibling], _MESSAGE.size, 1)
        except BlockingIOError:
            return
        sockets = [socket.socket(fileno=descriptor) for descriptor in received]
        try:
            if not message:
                # Nobody keeps the other end: the supervisor is gone, and with it the node.
                self._loop.remove_reader(self._ends[sibling].fileno())
                return
            assert len(message) == _MESSAGE.size, "messages of the handshake come whole"
            magic, word, number = _MESSAGE.unpack(message)
            assert magic == _MAGIC, "only the handshake goes over the kept pairs"
            if word == _START and sibling < self._shard:
                self._ask(sibling)
            elif word == _HELLO and sibling > self._shard:
                self._offer(sibling, number)
            elif word == _OFFER and number == self._asked[sibling] and sockets:
                self._take(sibling, sockets.pop())
        finally:
            for unwanted in sockets:
                unwanted.close()

    def _offer(self, sibling: int, number: int) -> None:
        if self._is_stopped:
            return
        self._withdraw(sibling)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._offered[sibling] = ours
        self._loop.add_reader(ours.fileno(), self._offer_answered, sibling)
        self._say(sibling, _OFFER, number, theirs)
        theirs.close()

    def _offer_answered(self, sibling: int) -> None:
        ours = self._offered[sibling]
        try:
            answer = ours.recv(1)
        except BlockingIOError:
            return
        except OSError:
            answer = b""
        if answer != _TAKEN:
            self._withdraw(sibling)
            return
        self._loop.remove_reader(ours.fileno())
        del self._offered[sibling]
        _log.debug("shard %d is linked to shard %d", self._shard, sibling)
        self._mesh.attach(sibling, ours)

    def _withdraw(self, sibling: int) -> None:
        ours = self._offered.pop(sibling, None)
        if ours is not None:
            self._loop.remove_reader(ours.fileno())
            ours.close()

    def _take(self, sibling: int, link: socket.socket) -> None:
        try:
            link.send(_TAKEN)
        except OSError:
            # The one who offered it died meanwhile; its next incarnation will say START.
            link.close()
            return
        self._mesh.attach(sibling, link)

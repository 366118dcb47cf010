"""All client connections of a shard: their sockets, their deadlines, and who hears of events."""

from __future__ import annotations

from asyncio import BaseTransport, BufferedProtocol, Transport
from collections.abc import Iterator
from typing import Final, cast

from cql.protocol.events import Event, StatusChange, event_type
from node.connection import Connection, Ports
from node.session import Session

__all__ = ["Client", "Clients"]

WRITE_BYTES_HIGH: Final = 32 * 1024
"""Bytes the kernel has not taken yet at which no more replies are handed over."""


class Clients:
    """The connections in the order in which they came; `accept` is a listener's factory."""

    def __init__(self, ports: Ports, connections_max: int = 0) -> None:
        self._ports = ports
        self._connections_max = connections_max
        self._clients: dict[Client, None] = {}
        self._last_status: dict[tuple[str, int], str] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(tuple(self._clients))

    @property
    def is_full(self) -> bool:
        """True when no more may come; 0 means any number may."""
        return 0 < self._connections_max <= len(self._clients)

    def accept(self) -> Client:
        """A connection for a socket that was just accepted."""
        return Client(self._ports, Session(), self)

    def add(self, client: Client) -> None:
        self._clients[client] = None

    def remove(self, client: Client) -> None:
        self._clients.pop(client, None)

    def tick(self, now: float) -> None:
        """Ends connections whose deadline has passed; called by the shard's coarse timer."""
        for client in self:
            client.tick(now)

    def broadcast(self, event: Event) -> None:
        """Tells an event to all who registered for its type; a known status is not news."""
        if isinstance(event, StatusChange):
            place = (event.address, event.port)
            if self._last_status.get(place) == event.change:
                return
            self._last_status[place] = event.change
        kind = event_type(event)
        for client in self:
            if kind in client.session.registered:
                client.send_event(event)

    def close(self) -> None:
        """Ends all connections; what waits to be sent is dropped."""
        for client in self:
            client.abort()


class Client(Connection, BufferedProtocol):
    """A connection with a socket."""

    __slots__ = ("_clients",)

    def __init__(self, ports: Ports, session: Session, clients: Clients) -> None:
        super().__init__(ports, session)
        self._clients = clients

    def connection_made(self, transport: BaseTransport) -> None:
        """The socket is there; one too many is closed at once."""
        super().connection_made(transport)
        if self._clients.is_full:
            self.abort()
            return
        self._clients.add(self)
        cast(Transport, transport).set_write_buffer_limits(high=WRITE_BYTES_HIGH)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.session.address, self.session.port = peer[0], peer[1]

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(error)
        self._clients.remove(self)

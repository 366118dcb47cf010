"""Messages between the shards of one node: framed, batched, answered or failed."""

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from socket import socket
from typing import Any, Final

from cluster.transport import Handler
from node.stalls import Stalls

CALLS_MAX: Final[int]
QUEUE_BYTES_MAX: Final[int]

class Link:
    shard: int
    def __new__(cls, shard: int, sock: socket) -> Link: ...

class Mesh:
    shard: int
    frames_sent: int
    bytes_sent: int
    writes: int
    frames_received: int

    def __init__(
        self,
        shard: int,
        loop: AbstractEventLoop,
        *,
        before_flush: Callable[[], None],
        encode_fault: Callable[[BaseException], bytes],
        decode_fault: Callable[[bytes], Exception],
        calls_max: int = ...,
        queue_bytes_max: int = ...,
        stalls: Stalls | None = None,
    ) -> None: ...
    def call(self, shard: int, kind: int, payload: bytes) -> Future[bytes]: ...
    def register(self, kind: int, handler: Handler) -> None: ...
    def is_alive(self, shard: int) -> bool: ...
    def on_change(self, listener: Callable[[int, bool], None]) -> None: ...
    def in_flight(self, shard: int) -> int: ...
    def attach(self, shard: int, sock: socket) -> None: ...
    def detach(self, shard: int) -> None: ...
    def close(self) -> None: ...
    def flush(self) -> None: ...
    def writable(self, link: Link) -> None: ...
    def readable(self, link: Link) -> None: ...
    def finished(self, link: Link, number: int, work: Future[Any]) -> None: ...

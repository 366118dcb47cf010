"""Signed paging state: where a SELECT goes on, as bytes that a client cannot forge.

A state names the statement it belongs to, so that one taken from another query is refused instead
of answering nonsense. It holds nothing of the node which wrote it: any node with the same key takes
it, also after a restart.
"""

import hmac
import struct

from cql.errors import ProtocolError
from storage.values import value_class

VERSION = 1
MAC_BYTES = 16
NO_LIMIT = (1 << 63) - 1

_HEAD = struct.Struct(">BQII")


@value_class
class Position:
    """What has been given so far and where to go on.

    key: decorated key of the last partition touched. clustering: the last row given of it; empty
    when that partition is finished. remaining: rows which LIMIT still allows. in_partition: rows of
    the partition already given, for PER PARTITION LIMIT.
    """

    key: bytes
    clustering: bytes
    remaining: int = NO_LIMIT
    in_partition: int = 0


class PagingStates:
    """Writes and reads paging states under one secret key."""

    def __init__(self, secret: bytes) -> None:
        assert secret, "a paging state needs a key to be signed with"
        self._secret = secret

    def encode(self, query_id: bytes, position: Position) -> bytes:
        """The state which resumes the query `query_id` at `position`."""
        body = (
            _HEAD.pack(
                VERSION,
                position.remaining,
                position.in_partition,
                len(position.clustering),
            )
            + position.key
            + position.clustering
        )
        return self._sign(query_id, body) + body

    def decode(self, query_id: bytes, state: bytes) -> Position:
        """The position in `state`; ProtocolError when it is altered or of another query."""
        mac, body = state[:MAC_BYTES], state[MAC_BYTES:]
        if len(body) < _HEAD.size or not hmac.compare_digest(mac, self._sign(query_id, body)):
            raise ProtocolError("Invalid value for the paging state")
        version, remaining, in_partition, clustering_bytes = _HEAD.unpack_from(body)
        if version != VERSION:
            raise ProtocolError("Invalid value for the paging state")
        split = len(body) - clustering_bytes
        return Position(body[_HEAD.size : split], body[split:], remaining, in_partition)

    def _sign(self, query_id: bytes, body: bytes) -> bytes:
        return hmac.digest(self._secret, query_id + body, "sha256")[:MAC_BYTES]

"""What a shard says it can do, before a client has said who it is: the answer to OPTIONS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from cql.system.facts import CQL_VERSION, PARTITIONER

IGNORE_MSB = 12
"""Bits of a token that do not choose its shard; 0 would make some drivers ignore shards."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a connection came to: the shard, and how other shards are reached."""

    shard: int
    shards: int
    host_id: UUID
    shard_aware_port: int | None
    gateway: str | None
    """Connections from here came through address translation, such as a container's published
    port."""


def supported(seat: Seat, client_address: str) -> Mapping[str, Sequence[str]]:
    """The map of SUPPORTED.

    The keys that begin with SCYLLA_ let drivers open one connection for each shard. A client behind
    address translation is told its true shard, but not of the shard-aware port: its source ports do
    not arrive as they were chosen, and the port may not be published, for which drivers wait.
    """
    options: dict[str, Sequence[str]] = {
        "PROTOCOL_VERSIONS": ("3/v3", "4/v4", "5/v5"),
        "COMPRESSION": ("lz4",),
        "CQL_VERSION": (CQL_VERSION,),
        "CLIENT_OPTIONS": ("",),
        "SCYLLA_SHARD": (str(seat.shard),),
        "SCYLLA_NR_SHARDS": (str(seat.shards),),
        "SCYLLA_SHARDING_ALGORITHM": ("biased-token-round-robin",),
        "SCYLLA_SHARDING_IGNORE_MSB": (str(IGNORE_MSB),),
        "SCYLLA_PARTITIONER": (PARTITIONER,),
        "SCYLLA_LWT_ADD_METADATA_MARK": ("LWT_OPTIMIZATION_META_BIT_MASK=2147483648",),
        "SCYLLA_USE_METADATA_ID": ("",),
        "SCYLLA_HOST_ID": (str(seat.host_id),),
    }
    if seat.shard_aware_port is not None and client_address != seat.gateway:
        options["SCYLLA_SHARD_AWARE_PORT"] = (str(seat.shard_aware_port),)
    return options

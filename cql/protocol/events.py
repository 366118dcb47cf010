"""What the server tells without being asked: changes of topology, status and schema."""

from __future__ import annotations

from typing import TypeAlias

from cql.results import SchemaChange
from storage.values import value_class

__all__ = ["Event", "StatusChange", "TopologyChange", "event_type"]


@value_class
class TopologyChange:
    """NEW_NODE, REMOVED_NODE or MOVED_NODE; the address and port are those clients connect to."""

    change: str
    address: str
    port: int


@value_class
class StatusChange:
    """UP or DOWN, of the node at the address and port that clients connect to."""

    change: str
    address: str
    port: int


Event: TypeAlias = TopologyChange | StatusChange | SchemaChange

_TYPES: dict[type[Event], str] = {
    TopologyChange: "TOPOLOGY_CHANGE",
    StatusChange: "STATUS_CHANGE",
    SchemaChange: "SCHEMA_CHANGE",
}


def event_type(event: Event) -> str:
    """The name under which clients register for such events."""
    return _TYPES[type(event)]

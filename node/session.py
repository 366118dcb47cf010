"""What one client's connection remembers between requests."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

__all__ = ["NO_OPTIONS", "Session", "Stage"]

NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})


class Stage(IntEnum):
    """How far a conversation has come."""

    NEW = 0
    AUTHENTICATING = 1
    READY = 2


class Session:
    """One conversation: its stage, its keyspace, and what STARTUP and REGISTER agreed upon.

    `version` is 0 before STARTUP. `registered` holds names of event types.
    """

    __slots__ = (
        "address",
        "has_metadata_id",
        "keyspace",
        "knows_rate_limit",
        "marks_conditional",
        "options",
        "packs",
        "port",
        "registered",
        "role",
        "stage",
        "throws_on_overload",
        "version",
    )

    def __init__(self, address: str = "", port: int = 0) -> None:
        self.address = address
        self.port = port
        self.stage = Stage.NEW
        self.version = 0
        self.keyspace: str | None = None
        self.role: str | None = None
        self.options: Mapping[str, str] = NO_OPTIONS
        self.registered: frozenset[str] = frozenset()
        self.packs = False
        self.has_metadata_id = False
        self.marks_conditional = False
        self.knows_rate_limit = False
        self.throws_on_overload = False

    def start(self, version: int, options: Mapping[str, str]) -> None:
        """Takes what STARTUP says, with its option names in upper case."""
        self.version = version
        self.options = options
        self.packs = options.get("COMPRESSION", "").lower() == "lz4"
        self.throws_on_overload = options.get("THROW_ON_OVERLOAD", "") == "1"
        self.has_metadata_id = version == 4 and "SCYLLA_USE_METADATA_ID" in options
        self.marks_conditional = "SCYLLA_LWT_ADD_METADATA_MARK" in options
        self.knows_rate_limit = "SCYLLA_RATE_LIMIT_ERROR" in options

"""How a node's memory is divided: among its shards, and in each of them among those who use it.

Each part is a bound that its user keeps; together they and what a shard needs before it holds any
data are `--memory`. What is left over is for what lives for one turn only: a statement being
parsed, a block being compressed, what the allocator cannot use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from storage.budget import Budget

MIB: Final = 1024 * 1024
BASE_BYTES: Final = 48 * MIB
"""What a node with one shard needs before it holds any data."""
FURTHER_SHARD_BYTES: Final = 24 * MIB
"""And each further shard, which shares the code with the others."""
SHARD_BYTES_MIN: Final = 16 * MIB
"""What a shard needs to hold anything."""

MEMTABLES, ROWS, FILES, READS, CALLS, REQUESTS, REPLIES, RESULTS, STATEMENTS = (
    0.33,  # memtables
    0.18,  # the row cache
    0.12,  # cached blocks, filters and summaries of open files
    0.07,  # pages under construction, and what they read ahead
    0.015,  # what calls of the disk read into and write from
    0.08,  # requests that have not been answered, or not arrived whole, and connections
    0.05,  # replies that the clients have not taken
    0.03,  # results that are gathered from many pages
    0.03,  # prepared statements
)
CALLS_BYTES_MAX: Final = 4 * MIB
"""More than this is never in use at once."""
PAGES_AT_ONCE: Final = 4
CONNECTION_BYTES: Final = 4096
CONNECTIONS_SHARE: Final = 0.5
"""The part of the requests' memory that idle connections may take."""


@dataclass(frozen=True, slots=True)
class Division:
    """The parts of one shard's memory, in bytes."""

    memtables: int
    rows: int
    files: int
    reads: int
    calls: int
    requests: int
    replies: int
    results: int
    statements: int
    budget: Budget

    @property
    def page_bytes_max(self) -> int:
        """At which a page of a result ends, if not before: several have room as replies."""
        return self.replies // PAGES_AT_ONCE

    @property
    def connections_max(self) -> int:
        """More idle connections would take the memory of requests."""
        return max(1, int(self.requests * CONNECTIONS_SHARE) // CONNECTION_BYTES)


def base_bytes(shards: int) -> int:
    """What a node needs before it holds any data."""
    return BASE_BYTES + FURTHER_SHARD_BYTES * (shards - 1)


def memory_bytes_min(shards: int) -> int:
    """The least memory that a node with so many shards can keep."""
    return base_bytes(shards) + SHARD_BYTES_MIN * shards


def divide(memory_bytes: int, shards: int) -> Division:
    """The parts of each shard. The engine takes its own from the budget, the rest is taken here."""
    usable = max(SHARD_BYTES_MIN, (memory_bytes - base_bytes(shards)) // shards)
    budget = Budget(usable)
    parts = {
        "calls": min(int(usable * CALLS), CALLS_BYTES_MAX),
        "requests": int(usable * REQUESTS),
        "replies": int(usable * REPLIES),
        "results": int(usable * RESULTS),
        "statements": int(usable * STATEMENTS),
    }
    for name, size in parts.items():
        budget.account(name, size).charge(size)
    return Division(
        memtables=int(usable * MEMTABLES),
        rows=int(usable * ROWS),
        files=int(usable * FILES),
        reads=int(usable * READS),
        budget=budget,
        **parts,
    )

"""What becomes of the node when a shard's log or disk fails: the policies of cassandra.yaml."""

import os
from enum import Enum
from typing import Final

from cluster.schema_log import SchemaLogFailed
from storage.errors import (
    CommitLogFailed,
    CorruptCommitLog,
    CorruptFile,
    DiskError,
    ManifestFailed,
)


class Verdict(Enum):
    """What follows after a shard's process has ended."""

    AGAIN = "again"
    """The shard starts again and recovers from its log."""

    SHUT = "shut"
    """The shard starts again without a log: it answers reads and refuses writes."""

    HALT = "halt"
    """The node serves nobody any more; its process stays, so that nothing starts it again."""

    DIE = "die"
    """The node's process ends."""


_ADVICE: Final = {
    "schema": (
        "put back the directory `schema` of a copy of this node's data; without one, fill a new"
        " node from snapshots, each of which has its schema in schema.cql"
    ),
    "commitlog": (
        "start with `commit_failure_policy: ignore` to go on without what follows in that file,"
        " which is lost then"
    ),
    "manifest": "put back a copy of this shard's directory, or fill a new node from snapshots",
    "tables": "put back a copy of this file, or of the shard's directory",
}
"""What helps, by a part of the damaged file's path."""

_COMMIT: Final = {
    "stop": Verdict.HALT,
    "die": Verdict.DIE,
    "stop_commit": Verdict.SHUT,
    "ignore": Verdict.AGAIN,
}
_DISK: Final = {
    "stop": Verdict.HALT,
    "stop_paranoid": Verdict.HALT,
    "die": Verdict.DIE,
    "best_effort": Verdict.AGAIN,
    "ignore": Verdict.AGAIN,
}


def verdict_on(error: BaseException, commit_policy: str, disk_policy: str) -> Verdict:
    """What follows from an error that has ended a shard; our own mistakes are started over."""
    if isinstance(error, CommitLogFailed):
        return _COMMIT[commit_policy]
    if isinstance(error, CorruptCommitLog):
        # A log that cannot be replayed serves no reads either.
        return Verdict.DIE if commit_policy == "die" else Verdict.HALT
    if isinstance(error, DiskError | ManifestFailed | SchemaLogFailed | CorruptFile):
        return _DISK[disk_policy]
    return Verdict.AGAIN


def told(error: BaseException) -> str:
    """An error as the person reads it who started the node: the place and the system's words."""
    if isinstance(error, DiskError):
        return f"{error.path}: {os.strerror(error.errno)}"
    if advice := advice_on(error):
        return f"{error}. What helps: {advice}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def outlives_damage(damage: CorruptFile | DiskError, disk_policy: str) -> bool:
    """Whether a shard goes on beside an SSTable that is damaged or that the disk does not give.

    As in Cassandra, `stop` means errors of the disk, and one damaged file is none.
    """
    if isinstance(damage, DiskError):
        return disk_policy in ("best_effort", "ignore")
    return disk_policy not in ("stop_paranoid", "die")


def advice_on(error: BaseException) -> str:
    """What an operator can do about damage that keeps a shard from starting; "" is unknown."""
    if isinstance(error, CorruptFile):
        for part in reversed(error.path.split("/")):
            if part in _ADVICE:
                return _ADVICE[part]
    return ""

"""What can go wrong between a coordinator and its replicas, with the numbers that drivers act on.

Every error says whether it is *definite*: the operation has not happened and never will. An
indefinite one may have happened, now or later. The numbers are those of the native protocol: how
many answers the consistency level needs (`block_for`, `required`) and how many there were
(`received`, `alive`).
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import ClassVar

from cluster.consistency import Consistency

NO_FAILURES: Mapping[str, "FailureReason"] = MappingProxyType({})


class FailureReason(IntEnum):
    """Why a replica refused, in the codes of native protocol v5."""

    UNKNOWN = 0
    READ_TOO_MANY_TOMBSTONES = 1
    TIMEOUT = 2
    INCOMPATIBLE_SCHEMA = 3
    READ_SIZE = 4
    NODE_DOWN = 5


class WriteType:
    """The kinds of writes, in the words of the protocol."""

    SIMPLE = "SIMPLE"
    BATCH = "BATCH"
    UNLOGGED_BATCH = "UNLOGGED_BATCH"
    COUNTER = "COUNTER"
    BATCH_LOG = "BATCH_LOG"
    CAS = "CAS"


class ClusterError(Exception):
    """The root of everything the cluster floor raises on purpose."""

    is_definite: ClassVar[bool] = False


class Unavailable(ClusterError):
    """Too few replicas are alive for the consistency level; nothing was sent to any of them."""

    is_definite = True

    def __init__(self, level: Consistency, required: int, alive: int, datacenter: str = "") -> None:
        place = f" in DC {datacenter}" if datacenter else ""
        super().__init__(f"Cannot achieve consistency level {level.name}{place}")
        self.level = level
        self.required = required
        self.alive = alive


class Overloaded(ClusterError):
    """A bounded queue is full; nothing was sent."""

    is_definite = True


class TruncateFailed(ClusterError):
    """Some shard may still hold the rows of the table, or some of them."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Error during truncate: {reason}")


class RequestTimeout(ClusterError):
    """Too few replicas answered before the deadline."""

    def __init__(self, level: Consistency, received: int, block_for: int) -> None:
        super().__init__(f"Operation timed out - received only {received} responses.")
        self.level = level
        self.received = received
        self.block_for = block_for


class WriteTimeout(RequestTimeout):
    """Too few replicas confirmed a write in time. With `BATCH` the batch log holds it and it will
    be applied.
    """

    def __init__(
        self,
        level: Consistency,
        received: int,
        block_for: int,
        write_type: str,
        contentions: int = 0,
    ) -> None:
        super().__init__(level, received, block_for)
        self.write_type = write_type
        self.contentions = contentions


class CasWriteUnknown(WriteTimeout):
    """The owner of the key fell silent after the decided write was sent to it; a serial read
    tells what happened.
    """

    def __init__(self, level: Consistency, received: int, block_for: int) -> None:
        super().__init__(level, received, block_for, WriteType.CAS)
        self.args = (
            f"CAS operation result is unknown - proposal accepted by {received} but not a quorum.",
        )


class ReadTimeout(RequestTimeout):
    """Too few replicas gave their rows in time."""

    is_definite = True

    def __init__(
        self, level: Consistency, received: int, block_for: int, data_present: bool
    ) -> None:
        super().__init__(level, received, block_for)
        self.data_present = data_present


class RequestFailure(ClusterError):
    """So many replicas refused that the consistency level cannot be reached any more."""

    def __init__(
        self,
        level: Consistency,
        received: int,
        block_for: int,
        failures: Mapping[str, FailureReason],
    ) -> None:
        reasons = ", ".join(f"{reason.name} from {host}" for host, reason in failures.items())
        super().__init__(
            f"Operation failed - received {received} responses"
            f" and {len(failures)} failures: {reasons}"
        )
        self.level = level
        self.received = received
        self.block_for = block_for
        self.failures = failures


class WriteFailure(RequestFailure):
    """Replicas refused a write. It may have been applied, here or on other replicas."""

    def __init__(
        self,
        level: Consistency,
        received: int,
        block_for: int,
        write_type: str,
        failures: Mapping[str, FailureReason] = NO_FAILURES,
    ) -> None:
        super().__init__(level, received, block_for, failures)
        self.write_type = write_type


class ReadFailure(RequestFailure):
    """Replicas refused a read, mostly because of damaged data."""

    is_definite = True

    def __init__(
        self,
        level: Consistency,
        received: int,
        block_for: int,
        data_present: bool,
        failures: Mapping[str, FailureReason] = NO_FAILURES,
    ) -> None:
        super().__init__(level, received, block_for, failures)
        self.data_present = data_present


class ReplicaError(ClusterError):
    """What one replica answered, or that it does not; the coordinator turns it into one of the
    errors above.
    """


class ShardDown(ReplicaError):
    """The process of a shard is not there. Definite if the message never left our process."""

    def __init__(self, shard: int, was_sent: bool) -> None:
        super().__init__(f"shard {shard} is down")
        self.shard = shard
        self.was_sent = was_sent


class NotServing(ReplicaError):
    """The shard is there but still recovers what it has; it did nothing."""

    is_definite = True

    def __init__(self) -> None:
        super().__init__("the shard is starting")


class ReplicaFailed(ReplicaError):
    """The replica tried and failed, for the reason it gives."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DeadlinePassed(ReplicaError):
    """The answer of a replica did not come in time, or the request came to it too late."""

    def __init__(self) -> None:
        super().__init__("the deadline has passed")


class GrantLost(ReplicaError):
    """A key was granted for a conditional write and was taken back before the write came: it is
    not applied.
    """

    is_definite = True

    def __init__(self) -> None:
        super().__init__("the grant of the key was taken back")

"""One write's life after it was sent: what the client hears of what the replicas said."""

from collections.abc import Awaitable

from cluster.consistency import Consistency
from cluster.errors import (
    ClusterError,
    DeadlinePassed,
    FailureReason,
    GrantLost,
    NotServing,
    Overloaded,
    ReplicaFailed,
    ShardDown,
    Unavailable,
    WriteFailure,
    WriteTimeout,
)
from cluster.replica import abandon
from storage.values import value_class


@value_class
class WriteTerms:
    """What a client asked of a write, for the errors it may get."""

    level: Consistency
    block_for: int
    kind: str
    address: str
    """Of the node whose shard was asked; it names the failures."""

    def error(self, fault: ClusterError, *, has_left: bool = False) -> ClusterError:
        """Give the error for the client. `has_left` says that other messages of the same request
        were sent.

        Definite errors are given only if nothing was sent: then the client may safely send the
        request again.
        """
        if isinstance(fault, Overloaded) and not has_left:
            return fault
        if isinstance(fault, DeadlinePassed | GrantLost):
            return WriteTimeout(self.level, 0, self.block_for, self.kind)
        if isinstance(fault, NotServing) and not has_left:
            return Unavailable(self.level, self.block_for, 0)
        if isinstance(fault, ShardDown):
            if not fault.was_sent and not has_left:
                return Unavailable(self.level, self.block_for, 0)
            return self._failure(FailureReason.NODE_DOWN)
        reason = fault.reason if isinstance(fault, ReplicaFailed) else FailureReason.UNKNOWN
        return self._failure(reason)

    def _failure(self, reason: FailureReason) -> WriteFailure:
        return WriteFailure(self.level, 0, self.block_for, self.kind, {self.address: reason})


async def confirmed(written: Awaitable[None], terms: WriteTerms) -> None:
    """Wait until the replica has the write, or raise what the client must hear."""
    try:
        await written
    except ClusterError as fault:
        raise terms.error(fault) from fault


async def all_confirmed(
    written: list[Awaitable[None] | None], terms: WriteTerms, first_fault: ClusterError | None
) -> None:
    """Wait for all parts of a request, also when one has failed: no part is left behind
    unwatched.
    """
    fault = first_fault
    try:
        for part in written:
            if part is None:
                continue
            try:
                await part
            except ClusterError as error:
                fault = fault or error
    finally:
        abandon(written)
    if fault is not None:
        raise terms.error(fault, has_left=bool(written)) from fault

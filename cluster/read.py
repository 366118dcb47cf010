"""One read's life after it was sent: what the client hears of what the replicas said."""

from collections.abc import Awaitable
from typing import NoReturn

from cluster.consistency import Consistency
from cluster.errors import (
    ClusterError,
    DeadlinePassed,
    FailureReason,
    NotServing,
    Overloaded,
    ReadFailure,
    ReadTimeout,
    ReplicaFailed,
    ShardDown,
    Unavailable,
)
from cluster.replica import replica_error
from storage.errors import StorageError
from storage.slice import Page
from storage.values import value_class


@value_class
class ReadTerms:
    """What a client asked of a read, for the errors it may get."""

    level: Consistency
    block_for: int
    address: str

    def error(self, fault: ClusterError) -> ClusterError:
        """Give the error for the client. Reads change nothing, so all of these are definite."""
        if isinstance(fault, Overloaded):
            return fault
        if isinstance(fault, DeadlinePassed):
            return ReadTimeout(self.level, 0, self.block_for, False)
        if isinstance(fault, NotServing):
            return Unavailable(self.level, self.block_for, 0)
        if isinstance(fault, ShardDown):
            if not fault.was_sent:
                return Unavailable(self.level, self.block_for, 0)
            return self._failure(FailureReason.NODE_DOWN)
        reason = fault.reason if isinstance(fault, ReplicaFailed) else FailureReason.UNKNOWN
        return self._failure(reason)

    def told(self, error: BaseException) -> NoReturn:
        """Raise what the client must hear of an error."""
        if isinstance(error, StorageError):
            raise self.error(replica_error(error)) from error
        if isinstance(error, ClusterError):
            raise self.error(error) from error
        raise error

    def _failure(self, reason: FailureReason) -> ReadFailure:
        return ReadFailure(self.level, 0, self.block_for, False, {self.address: reason})


async def received(page: Awaitable[Page], terms: ReadTerms) -> Page:
    """Wait for rows, of a replica or of our own storage, or raise what the client must hear."""
    try:
        return await page
    except (StorageError, ClusterError) as error:
        terms.told(error)

"""Who is told what happens in storage."""

from typing import Protocol

from storage.errors import CorruptFile, DiskError


class Listener(Protocol):
    """Who wants to know what happens in storage."""

    def work_is_due(self) -> None:
        """`background` has something to do that should not wait for the next look."""

    def has_failed(self, error: BaseException) -> None:
        """Storage can promise nothing any more; the shard must stop."""

    def has_found_damage(self, damage: CorruptFile | DiskError) -> None:
        """A file is damaged, or the disk does not give it; told once for each.

        Reads that need the damaged place fail.
        """

    def tell(self, message: str) -> None:
        """Something happened that an operator should know."""


class SilentListener:
    """Wants to know nothing."""

    def work_is_due(self) -> None:
        """See `Listener`."""

    def has_failed(self, error: BaseException) -> None:
        """See `Listener`."""

    def has_found_damage(self, damage: CorruptFile | DiskError) -> None:
        """See `Listener`."""

    def tell(self, message: str) -> None:
        """See `Listener`."""

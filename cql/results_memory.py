"""What results hold that are gathered from many pages of the engine: one bound for the shard."""

from __future__ import annotations

from typing import Final

from cql.errors import InvalidRequest, Overloaded

BYTES_MAX: Final = 64 << 20
PAGE_BYTES_MAX: Final = 1 << 20
REST_BYTES: Final = 512 * 1024
REST_PAGES: Final = 2
"""After so much of one result others get their turn."""


class Results:
    """So many bytes for all results of a shard that are not ready yet."""

    def __init__(self, bytes_max: int = BYTES_MAX, page_bytes_max: int = PAGE_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.page_bytes_max = min(page_bytes_max, PAGE_BYTES_MAX)
        """A page ends at so many bytes, however many more rows the client would take."""
        self.used = 0


class Gathered:
    """What one result holds. `grow` says how much it is by now, `release` that it is done."""

    __slots__ = ("_held", "_pages", "_rested_at", "_results")

    def __init__(self, results: Results) -> None:
        self._results = results
        self._held = 0
        self._rested_at = 0
        self._pages = 0

    def grow(self, size: int) -> bool:
        """Charge what the result has grown by with one more page; refuses one that is too large.

        Gives whether others should get their turn now.
        """
        results = self._results
        if size > results.bytes_max:
            raise InvalidRequest(
                f"The result takes more than {results.bytes_max} bytes; read it in pages, or limit "
                "the number of rows"
            )
        if results.used + size - self._held > results.bytes_max:
            raise Overloaded("The memory for results is in use")
        results.used += size - self._held
        self._held = size
        self._pages += 1
        if self._pages < REST_PAGES and size < self._rested_at + REST_BYTES:
            return False
        self._pages, self._rested_at = 0, size
        return True

    def release(self) -> None:
        """The result is given away, or given up."""
        self._results.used -= self._held
        self._held = 0

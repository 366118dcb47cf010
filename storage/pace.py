"""Long work cut into slices, so that requests get their turns between them."""

import asyncio
from typing import Final

SLICE_BYTES: Final = 48 * 1024
"""About a millisecond; `bench.micro.compaction` measures the longest."""

STEP_BYTES: Final = 256
"""What a step costs beside its bytes, in bytes."""


class Pace:
    """Counts work and says when it is time to let others run."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = SLICE_BYTES

    def spend(self, amount: int, steps: int = 0) -> bool:
        """Count work; true if the slice is used up and the worker must `rest`."""
        self._left -= amount + steps * STEP_BYTES
        return self._left <= 0

    async def rest(self) -> None:
        """Let everything else that is ready run once."""
        self._left = SLICE_BYTES
        await asyncio.sleep(0)

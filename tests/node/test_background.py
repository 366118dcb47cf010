"""Background work: what its errors do to the shard."""

from __future__ import annotations

import errno
from collections.abc import Coroutine
from typing import Any

import pytest

from node.background import TICK_S, Background
from storage.errors import CorruptFile, DiskError, DiskFull, ManifestFailed
from tests.sim.loop import SimulatedLoop, simulate


class Work:
    """Work that is due until it has ended well; it fails with the errors given."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.began_at: list[float] = []
        self.is_due = True

    def due(self) -> list[Coroutine[Any, Any, None]]:
        return [self.do()] if self.is_due else []

    async def do(self) -> None:
        self.is_due = False
        if self.errors:
            self.is_due = True
            raise self.errors.pop()


def failures_of(*errors: BaseException) -> tuple[list[BaseException], Work, float]:
    """What the shard is told when work meets these errors, and how long the work took."""
    work = Work(*errors)
    failures: list[BaseException] = []

    async def main(loop: SimulatedLoop) -> float:
        began = loop.time()
        background = Background(loop, lambda: None, work.due, failures.append)
        background.start()
        background.look_soon()
        future = loop.create_future()
        loop.call_later(20 * TICK_S, future.set_result, None)
        await future
        await background.stop()
        return loop.time() - began

    return failures, work, simulate(main)


@pytest.mark.parametrize(
    "error",
    [
        DiskFull(errno.ENOSPC, "write", "a"),
        CorruptFile("a.sst", 0, "a checksum is wrong"),
    ],
)
def test_work_that_has_done_nothing_is_tried_again_and_the_shard_goes_on(
    error: BaseException,
) -> None:
    failures, work, _ = failures_of(error)
    assert failures == []
    assert not work.is_due, "it was tried again, and ended well"


@pytest.mark.parametrize(
    "error", [DiskError(errno.EIO, "write", "a"), ManifestFailed("a"), AssertionError("a")]
)
def test_any_other_error_stops_the_shard(error: BaseException) -> None:
    assert failures_of(error)[0] == [error]

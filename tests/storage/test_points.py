"""Tests of storage.points."""

import pytest

from storage.points import NO_POINTS, RecordedPoints


def test_points_of_production_do_nothing() -> None:
    NO_POINTS.reach("anything")


def test_recorded_points_count_and_call_their_hooks() -> None:
    points = RecordedPoints()
    seen: list[tuple[str, int]] = []
    points.on("flush.renamed", lambda name, count: seen.append((name, count)))
    points.reach("flush.renamed")
    points.reach("other")
    points.reach("flush.renamed")
    assert seen == [("flush.renamed", 1), ("flush.renamed", 2)]
    assert points.reached == {"flush.renamed": 2, "other": 1}


def test_a_hook_may_fail_the_step() -> None:
    def fail(_name: str, _count: int) -> None:
        raise RuntimeError("stopped here")

    points = RecordedPoints()
    points.on("*", fail)
    with pytest.raises(RuntimeError):
        points.reach("log.synced")

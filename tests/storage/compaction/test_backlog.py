"""Whose turn it is to be compacted, and what of a compaction fits."""

from storage.compaction.backlog import FREE_WORK, bytes_needed, smaller, urgency
from storage.compaction.run import Choice, SortedRun


def choice(*sizes: int, level: int = 0, drops: bool = False) -> Choice:
    runs = tuple(SortedRun(n, size, b"a", b"z") for n, size in enumerate(sizes))
    return Choice(runs, level, drops=drops)


def test_more_files_are_more_urgent() -> None:
    assert urgency(choice(1, 1, 1, 1), 0) > urgency(choice(100, 100), 0)


def test_a_table_that_was_passed_over_often_enough_comes_first() -> None:
    assert urgency(choice(1, 1), 32) > urgency(choice(*[1] * 32), 0)


def test_what_is_dropped_comes_first_and_needs_no_room() -> None:
    drop = choice(10, 10, drops=True)
    assert urgency(drop, 0) == FREE_WORK and bytes_needed(drop) == 0
    assert bytes_needed(choice(10, 20)) == 30


def test_a_smaller_choice_leaves_out_the_largest_files() -> None:
    part = smaller(choice(50, 10, 30, 20), 65)
    assert part is not None and sorted(run.file_bytes for run in part.runs) == [10, 20, 30]
    assert smaller(choice(50, 60), 100) is None


def test_a_compaction_into_a_level_is_not_divided() -> None:
    assert smaller(choice(10, 10, 10, level=1), 20) is None

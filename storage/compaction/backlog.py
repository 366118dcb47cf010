"""Which of several tables is compacted next, and how much of it at once: values only."""

from typing import Final

from storage.compaction.run import Choice, total_bytes
from storage.values import replace

FREE_WORK: Final = 1 << 40
"""More urgent than any merge: files that go, or change their level, without being read."""


def urgency(choice: Choice, passed_over: int) -> int:
    """How much a choice should come before those of other tables.

    Every file that a merge saves makes reads cheaper. A table that was passed over counts one more
    each time, so none waits for ever behind one which always has more to do.
    """
    if choice.drops or choice.moves:
        return FREE_WORK
    return len(choice.runs) - 1 + passed_over


def bytes_needed(choice: Choice) -> int:
    """How much the new files may take while the old ones are still there."""
    return 0 if choice.drops or choice.moves else total_bytes(choice.runs)


def smaller(choice: Choice, bytes_max: int) -> Choice | None:
    """The part of a choice that needs no more than so many bytes; None if it has none.

    Files of a level have to be merged with all that they overlap, so only what goes to level 0 can
    be divided: the largest files are left out, and at least two stay.
    """
    if choice.level:
        return None
    runs = sorted(choice.runs, key=lambda run: (run.file_bytes, run.generation))
    while len(runs) >= 2 and total_bytes(runs) > bytes_max:
        runs.pop()
    return replace(choice, runs=tuple(runs)) if len(runs) >= 2 else None

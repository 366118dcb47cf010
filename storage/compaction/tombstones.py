"""Files that are worth rewriting, or worth nothing any more, because of their tombstones."""

from collections.abc import Iterable, Sequence

from storage.compaction.options import CommonOptions
from storage.compaction.run import Choice, Situation, SortedRun

US_PER_S = 1_000_000


def choose_for_tombstones(situation: Situation, options: CommonOptions) -> Choice | None:
    """One file, the smallest, of which enough is tombstones that are due."""
    everything = (*situation.idle, *situation.busy)
    worthy = [run for run in situation.idle if _is_worth(run, everything, situation, options)]
    if not worthy:
        return None
    run = min(worthy, key=lambda run: (run.file_bytes, run.generation))
    return Choice((run,), level=run.level)


def droppable_fraction(run: SortedRun, gc_before_s: int) -> float:
    """Roughly which part of a file is tombstones, and expired data, that are due.

    The file knows when the first of them was made and when the last one can be due; between the
    two they are taken to lie evenly.
    """
    if run.tombstones == 0 or run.min_deletion_s >= gc_before_s:
        return 0.0
    last = max(run.max_timestamp // US_PER_S + run.max_ttl_s, run.min_deletion_s)
    if run.max_deletion_s < 2**32 - 1:
        last = min(last, run.max_deletion_s)
    span = last + 1 - run.min_deletion_s
    due = min((gc_before_s - run.min_deletion_s) / span, 1.0) if span > 0 else 1.0
    return due * run.tombstones / (run.rows + run.tombstones)


def _is_worth(
    run: SortedRun,
    everything: Sequence[SortedRun],
    situation: Situation,
    options: CommonOptions,
) -> bool:
    if situation.wall_s < run.created_s + options.tombstone_interval_s:
        return False
    fraction = droppable_fraction(run, situation.gc_before_s)
    if fraction <= options.tombstone_threshold:
        return False
    if options.is_unchecked:
        return True
    others = [other for other in everything if other is not run and other.overlaps(run)]
    return fraction * _part_alone(run, others) > options.tombstone_threshold


def _part_alone(run: SortedRun, others: Iterable[SortedRun]) -> float:
    """Roughly which part of the file's keys lies where no other file has any."""
    start, end = _position(run.first_key), _position(run.last_key) + 1
    alone = 0
    at = start
    for other in sorted(others, key=lambda other: other.first_key):
        alone += max(min(_position(other.first_key), end) - at, 0)
        at = max(at, min(_position(other.last_key) + 1, end))
    return (alone + end - at) / (end - start)


def _position(key: bytes) -> int:
    """The token of a decorated key, from 0."""
    return int.from_bytes(key[:8].ljust(8, b"\0"), "big")


def choose_expired(situation: Situation, ignores_overlaps: bool) -> Choice | None:
    """To drop what `find_expired` finds, if it is time to look."""
    expired = find_expired(situation, ignores_overlaps) if situation.looks_for_expired else []
    return Choice(tuple(expired), drops=True) if expired else None


def find_expired(situation: Situation, ignores_overlaps: bool = False) -> list[SortedRun]:
    """The files in which nothing is alive and which shadow nothing that is alive elsewhere.

    What a file shadows is no younger than its youngest timestamp, so a file must stay while one
    that overlaps it and is alive, or memory, has something as old. Expired ones do not count.
    """
    expired = [run for run in situation.idle if run.max_deletion_s < situation.gc_before_s]
    if ignores_overlaps or not expired:
        return expired
    gone = set(expired)
    alive = [run for run in (*situation.idle, *situation.busy) if run not in gone]
    return [
        run
        for run in expired
        if run.max_timestamp < situation.memory_min_timestamp
        and all(run.max_timestamp < other.min_timestamp for other in alive if other.overlaps(run))
    ]

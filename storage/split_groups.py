"""Which SSTables of several shards become files of the new shards together.

Files that a table's strategy keeps apart for a reason stay apart, so that what it has arranged is
not lost: the levels of leveled and unified compaction, the windows of time. Otherwise the n-th
largest files of all shards belong together, as keys are spread evenly: so no shard gets more files
than one had before, however often the number of shards changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storage.compaction.leveled import Leveled
from storage.compaction.run import Choice, SortedRun, Strategy
from storage.compaction.strategies import Pairs, strategy_of
from storage.compaction.time_window import TimeWindow
from storage.compaction.unified import Unified
from storage.values import replace


@dataclass(frozen=True, slots=True)
class Part:
    """One SSTable of one shard, closed."""

    path: str
    table_id: bytes
    run: SortedRun


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are merged, and how what comes out is written."""

    chains: tuple[tuple[Part, ...], ...]
    """Files whose keys follow each other, in order; they need not be open all at once."""

    choice: Choice
    target_bytes: int
    """How much each of the new shards gets, about."""


def groups_of(pairs: Pairs, shards: Sequence[Sequence[Part]], targets: int) -> list[Group]:
    """The groups of one table with this `compaction` option, from its files by shard."""
    strategy = strategy_of(pairs)
    name = _namer(strategy)
    groups: dict[tuple[int, int], list[list[Part]]] = {}
    for parts in shards:
        for where, mine in _by_group(parts, name).items():
            groups.setdefault(where, []).extend(chains_of(mine))
    return [_group(strategy, groups[where], targets) for where in sorted(groups)]


def chains_of(parts: Sequence[Part]) -> list[list[Part]]:
    """The files in as few rows as it takes for those in a row not to overlap."""
    chains: list[list[Part]] = []
    for part in sorted(parts, key=lambda part: (part.run.first_key, part.run.generation)):
        for chain in chains:
            if chain[-1].run.last_key < part.run.first_key:
                chain.append(part)
                break
        else:
            chains.append([part])
    return chains


def _by_group(
    parts: Sequence[Part], name: Callable[[SortedRun], int | None]
) -> dict[tuple[int, int], list[Part]]:
    """The files of one shard by what names their group."""
    groups: dict[tuple[int, int], list[Part]] = {}
    rank = 0
    for part in sorted(parts, key=lambda p: (-p.run.file_bytes, p.run.generation)):
        kept_apart = name(part.run)
        if kept_apart is None:
            groups[0, rank] = [part]
            rank += 1
        else:
            groups.setdefault((1, kept_apart), []).append(part)
    return groups


def _namer(strategy: Strategy) -> Callable[[SortedRun], int | None]:
    """What names the files that are kept apart from others; None for files that are not."""
    if isinstance(strategy, TimeWindow):
        return strategy.window_of
    if isinstance(strategy, Unified):
        return strategy.level_of
    if isinstance(strategy, Leveled):
        return lambda run: run.level or None
    return lambda run: None


def _group(strategy: Strategy, chains: Sequence[Sequence[Part]], targets: int) -> Group:
    parts = [part for chain in chains for part in chain]
    # A target gets its share of each file, and cuts it as it would cut a table of that size.
    runs = tuple(
        replace(part.run, file_bytes=max(part.run.file_bytes // targets, 1)) for part in parts
    )
    choice = strategy.choose_all(runs)
    if isinstance(strategy, Leveled):
        level = parts[0].run.level
        # Level 0 is the only one whose files may overlap, and they are not cut.
        choice = replace(choice, level=level, file_bytes_max=choice.file_bytes_max * bool(level))
    return Group(tuple(map(tuple, chains)), choice, sum(run.file_bytes for run in runs))

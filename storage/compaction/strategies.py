"""From a table's `compaction` option to the strategy that it names."""

from functools import lru_cache

from storage.compaction import leveled, size_tiered, time_window, unified
from storage.compaction.leveled import Leveled
from storage.compaction.options import PACKAGE, CommonOptions
from storage.compaction.run import Strategy
from storage.compaction.size_tiered import SizeTiered
from storage.compaction.time_window import EXPIRED_CHECK_S, TimeWindow
from storage.compaction.unified import Unified

Pairs = tuple[tuple[str, str], ...]


@lru_cache(maxsize=1024)
def strategy_of(pairs: Pairs) -> Strategy:
    """The strategy of a layout; the class may be named with or without its package.

    Options which an earlier version let pass and which make no sense leave the default strategy: a
    table must not stop its shard.
    """
    try:
        return _strategy_of(dict(pairs))
    except (KeyError, ValueError):
        return SizeTiered()


def _strategy_of(given: dict[str, str]) -> Strategy:
    name = given.get("class", "").removeprefix(PACKAGE)
    if name == "LeveledCompactionStrategy":
        return Leveled(leveled.Options.parse(given))
    if name == "TimeWindowCompactionStrategy":
        return TimeWindow(time_window.Options.parse(given))
    if name == "UnifiedCompactionStrategy":
        return Unified(unified.Options.parse(given))
    return SizeTiered(size_tiered.Options.parse(given))


@lru_cache(maxsize=1024)
def common_options_of(pairs: Pairs) -> CommonOptions:
    """What every strategy obeys."""
    return CommonOptions.parse(dict(pairs))


@lru_cache(maxsize=1024)
def expired_check_s(pairs: Pairs) -> int:
    """How often files in which nothing is alive are looked for."""
    return int(dict(pairs).get("expired_sstable_check_frequency_seconds", EXPIRED_CHECK_S))

"""Which SSTables to merge: those of similar size, when there are enough of them.

Pure: values in, a choice out. The rules and defaults are those of Cassandra's size-tiered strategy,
except that of several groups the one with the most files is taken, as nobody counts reads of files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from storage.compaction.options import MIB, CommonOptions
from storage.compaction.run import Choice, Situation, SortedRun, total_bytes
from storage.compaction.tombstones import choose_for_tombstones


@dataclass(frozen=True, slots=True)
class Options:
    """What makes sizes similar."""

    common: CommonOptions = field(default_factory=CommonOptions)
    bucket_low: float = 0.5
    bucket_high: float = 1.5
    min_sstable_bytes: int = 50 * MIB

    @staticmethod
    def parse(given: Mapping[str, str]) -> "Options":
        """The options of a table; what is not given has the default."""
        default = Options()
        return Options(
            CommonOptions.parse(given),
            float(given.get("bucket_low", default.bucket_low)),
            float(given.get("bucket_high", default.bucket_high)),
            int(given.get("min_sstable_size", default.min_sstable_bytes)),
        )


@dataclass(slots=True)
class _Bucket:
    """Files of similar size."""

    runs: list[SortedRun]
    average: float

    def takes(self, size: int, options: Options) -> bool:
        """Whether a file of this size is similar to those inside."""
        low, high = self.average * options.bucket_low, self.average * options.bucket_high
        are_small = max(size, self.average) < options.min_sstable_bytes
        return low < size < high or are_small

    def add(self, run: SortedRun) -> None:
        """Put one more file inside."""
        total = self.average * len(self.runs) + run.file_bytes
        self.runs.append(run)
        self.average = total / len(self.runs)


def buckets_of(runs: Sequence[SortedRun], options: Options) -> list[list[SortedRun]]:
    """The files grouped by similar size; each is in exactly one group."""
    buckets: list[_Bucket] = []
    for run in sorted(runs, key=lambda run: (run.file_bytes, run.generation)):
        for bucket in buckets:
            if bucket.takes(run.file_bytes, options):
                bucket.add(run)
                break
        else:
            buckets.append(_Bucket([run], float(run.file_bytes)))
    return [bucket.runs for bucket in buckets]


def choose_similar(runs: Sequence[SortedRun], options: Options) -> list[SortedRun]:
    """The files to merge now; none if there is no group of enough of them.

    Of several groups the one with the most files is taken, of equal ones the one with the least
    bytes: that frees most files for the least work.
    """
    common = options.common
    if len(runs) < common.min_threshold:
        return []
    candidates = [b for b in buckets_of(runs, options) if len(b) >= common.min_threshold]
    if not candidates:
        return []
    chosen = [bucket[: common.max_threshold] for bucket in candidates]
    return min(chosen, key=lambda runs: (-len(runs), total_bytes(runs)))


@dataclass(frozen=True, slots=True)
class SizeTiered:
    """Merges files of similar size."""

    options: Options = field(default_factory=Options)

    def choose(self, situation: Situation) -> Choice | None:
        """See `Strategy`."""
        chosen = choose_similar(situation.idle, self.options)
        if chosen:
            return Choice(tuple(chosen))
        return choose_for_tombstones(situation, self.options.common)

    def choose_all(self, runs: tuple[SortedRun, ...]) -> Choice:
        """See `Strategy`."""
        return Choice(runs)

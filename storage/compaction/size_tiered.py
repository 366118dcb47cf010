"""Which SSTables to merge: those of similar size, when there are enough of them.

Pure: values in, a choice out. The rules and defaults are those of Cassandra's size-tiered strategy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

MIB = 1024 * 1024


class Sized(Protocol):
    """What the choice depends on."""

    @property
    def generation(self) -> int:
        """A younger file has a higher one."""

    @property
    def file_bytes(self) -> int:
        """How large the file is."""


S = TypeVar("S", bound=Sized)


@dataclass(frozen=True, slots=True)
class Options:
    """The sub-options of the table's compaction option."""

    is_enabled: bool = True
    bucket_low: float = 0.5
    bucket_high: float = 1.5
    min_sstable_bytes: int = 50 * MIB
    min_threshold: int = 4
    max_threshold: int = 32

    @staticmethod
    def parse(pairs: Sequence[tuple[str, str]]) -> "Options":
        """The options of a layout; what is not given, or for other strategies, has the default.

        The statement which set them was validated, so a value that does not parse is our mistake.
        """
        given: Mapping[str, str] = dict(pairs)
        default = Options()
        min_threshold = max(int(given.get("min_threshold", default.min_threshold)), 2)
        return Options(
            given.get("enabled", "true").lower() == "true",
            float(given.get("bucket_low", default.bucket_low)),
            float(given.get("bucket_high", default.bucket_high)),
            int(given.get("min_sstable_size", default.min_sstable_bytes)),
            min_threshold,
            max(int(given.get("max_threshold", default.max_threshold)), min_threshold),
        )


@dataclass(slots=True)
class _Bucket(Generic[S]):
    """Files of similar size."""

    files: list[S]
    average: float

    def takes(self, size: int, options: Options) -> bool:
        """Whether a file of this size is similar to those inside."""
        low, high = self.average * options.bucket_low, self.average * options.bucket_high
        are_small = max(size, self.average) < options.min_sstable_bytes
        return low < size < high or are_small

    def add(self, file: S) -> None:
        """Put one more file inside."""
        total = self.average * len(self.files) + file.file_bytes
        self.files.append(file)
        self.average = total / len(self.files)


def buckets_of(files: Sequence[S], options: Options) -> list[list[S]]:
    """The files grouped by similar size; each is in exactly one group."""
    buckets: list[_Bucket[S]] = []
    for file in sorted(files, key=lambda file: (file.file_bytes, file.generation)):
        for bucket in buckets:
            if bucket.takes(file.file_bytes, options):
                bucket.add(file)
                break
        else:
            buckets.append(_Bucket([file], float(file.file_bytes)))
    return [bucket.files for bucket in buckets]


def choose(files: Sequence[S], options: Options) -> list[S]:
    """The files to merge now; none if nothing is worth it.

    Of several groups the one with the most files is taken, of equal ones the one with the least
    bytes: that frees most files for the least work.
    """
    if not options.is_enabled:
        return []
    candidates = [b for b in buckets_of(files, options) if len(b) >= options.min_threshold]
    if not candidates:
        return []
    chosen = [bucket[: options.max_threshold] for bucket in candidates]
    return min(chosen, key=lambda files: (-len(files), sum(f.file_bytes for f in files)))

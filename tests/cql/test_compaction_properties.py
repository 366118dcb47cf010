"""Values of compaction sub-options: what the strategies understand passes, the rest is refused."""

import pytest

from cql.compaction_properties import check_compaction_values
from cql.errors import ConfigurationError


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("sstable_size_in_mb", "0", "must be larger than 0"),
        ("fanout_size", "-1", "must be larger than 0"),
        ("fanout_size", "x", "not a parsable int"),
        ("single_sstable_uplevel", "yes", "is not 'true' or 'false'"),
        ("compaction_window_unit", "YEARS", "YEARS is not valid for compaction_window_unit"),
        ("compaction_window_size", "0", "must be greater than 1"),
        ("timestamp_resolution", "DAYS", "DAYS is not valid for timestamp_resolution"),
        ("expired_sstable_check_frequency_seconds", "-1", "must not be negative"),
        ("unsafe_aggressive_sstable_expiration", "1", "is not 'true' or 'false'"),
        ("base_shard_count", "0", "must be larger than 0"),
        ("target_sstable_size", "much", "not a valid size"),
        ("min_sstable_size", "-1", "not a valid size"),
        ("sstable_growth", "1.5", "between 0 and 1"),
        ("scaling_parameters", "T4,Q", "Scaling parameter Q must match"),
        ("scaling_parameters", "L1", "cannot be lower than 2"),
        ("overlap_inclusion_method", "SOME", "Invalid overlap inclusion method"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(key: str, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_compaction_values({key: text}, "UnifiedCompactionStrategy")


def test_what_strategies_understand_passes() -> None:
    unified = {
        "scaling_parameters": "T4, L10,N,-3",
        "target_sstable_size": "1GiB",
        "min_sstable_size": "100MiB",
        "sstable_growth": "33%",
        "base_shard_count": "8",
        "overlap_inclusion_method": "single",
    }
    check_compaction_values(unified, "UnifiedCompactionStrategy")
    windows = {"compaction_window_unit": "HOURS", "compaction_window_size": "2"}
    check_compaction_values(windows, "TimeWindowCompactionStrategy")

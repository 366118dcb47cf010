"""Tests cql/table_properties."""

from __future__ import annotations

import pytest

from cql.errors import ConfigurationError, CqlError, SyntaxException
from cql.parser import tree
from cql.parser.grammar import parse
from cql.table_options import COMPACTION_PACKAGE, COMPRESSION_PACKAGE, DEFAULT_OPTIONS, TableOptions
from cql.table_properties import build_options


def built(text: str, previous: TableOptions = DEFAULT_OPTIONS) -> TableOptions:
    statement = parse(f"ALTER TABLE t WITH {text}")
    assert isinstance(statement, tree.AlterTable)
    assert isinstance(statement.change, tree.SetProperties)
    return build_options(dict(statement.change.properties), previous)[0]


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("comment = 'it''s'", "comment", "it's"),
        ("gc_grace_seconds = 5", "gc_grace_seconds", 5),
        ("default_time_to_live = 630720000", "default_time_to_live", 630_720_000),
        ("bloom_filter_fp_chance = 1", "bloom_filter_fp_chance", 1.0),
        ("crc_check_chance = 0.5", "crc_check_chance", 0.5),
        ("cdc = true", "cdc", True),
        ("cdc = 'false'", "cdc", False),
        ("memtable = 'trie'", "memtable", "trie"),
        ("read_repair = 'none'", "read_repair", "NONE"),
        ("speculative_retry = '99PERCENTILE'", "speculative_retry", "99p"),
        ("speculative_retry = '99.50p'", "speculative_retry", "99.5p"),
        ("speculative_retry = '50MS'", "speculative_retry", "50ms"),
        ("speculative_retry = 'none'", "speculative_retry", "NEVER"),
        ("speculative_retry = 'min(99p, 50ms)'", "speculative_retry", "MIN(99p,50ms)"),
        ("additional_write_policy = 'always'", "additional_write_policy", "ALWAYS"),
        ("memtable_flush_period_in_ms = 10", "memtable_flush_period_in_ms", 10),
        ("allow_auto_snapshot = false", "allow_auto_snapshot", False),
        ("compression = {}", "compression", (("enabled", "false"),)),
        ("compression = {'enabled': false}", "compression", (("enabled", "false"),)),
        ("compression = {'sstable_compression': ''}", "compression", (("enabled", "false"),)),
        (
            "compression = {'class': 'ZstdCompressor', 'compression_level': 3, "
            "'chunk_length_in_kb': 64, 'min_compress_ratio': 2}",
            "compression",
            (
                ("chunk_length_in_kb", "64"),
                ("class", COMPRESSION_PACKAGE + "ZstdCompressor"),
                ("compression_level", "3"),
                ("min_compress_ratio", "2.0"),
            ),
        ),
        (
            "compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T4'}",
            "compaction",
            (
                ("class", COMPACTION_PACKAGE + "UnifiedCompactionStrategy"),
                ("scaling_parameters", "T4"),
            ),
        ),
        (
            "caching = {'keys': 'none', 'rows_per_partition': 10}",
            "caching",
            (("keys", "NONE"), ("rows_per_partition", "10")),
        ),
    ],
)
def test_values_are_stored_as_cassandra_shows_them(text: str, option: str, value: object) -> None:
    assert getattr(built(text), option) == value


def test_thresholds_are_filled_in() -> None:
    options = dict(built("compaction = {'class': 'LeveledCompactionStrategy'}").compaction)
    assert (options["min_threshold"], options["max_threshold"]) == ("4", "32")


def test_leveled_tables_get_smaller_filters_unless_told_otherwise() -> None:
    leveled = "compaction = {'class': 'LeveledCompactionStrategy'}"
    assert built(leveled).bloom_filter_fp_chance == 0.1
    assert built(leveled + " AND bloom_filter_fp_chance = 0.01").bloom_filter_fp_chance == 0.01
    altered = built(leveled, built("comment = 'x'"))
    assert altered.bloom_filter_fp_chance == 0.01


@pytest.mark.parametrize(
    ("caching", "caches_rows"),
    [
        ("{'keys': 'ALL', 'rows_per_partition': 'ALL'}", True),
        ("{'keys': 'NONE', 'rows_per_partition': '10'}", True),
        # As Cassandra describes every table.
        ("{'keys': 'ALL', 'rows_per_partition': 'NONE'}", True),
        ("{'keys': 'NONE', 'rows_per_partition': 'NONE'}", False),
        ("{'rows_per_partition': 'NONE'}", False),
        ("{'enabled': 'false'}", False),
        ("{'enabled': false, 'keys': 'ALL', 'rows_per_partition': 'ALL'}", False),
        ("{'enabled': true, 'keys': 'NONE', 'rows_per_partition': 'NONE'}", True),
    ],
)
def test_rows_are_cached_unless_it_was_refused_in_so_many_words(
    caching: str, caches_rows: bool
) -> None:
    assert built("comment = ''").row_cache
    assert built(f"caching = {caching}").row_cache == caches_rows


def test_options_which_are_not_named_stay() -> None:
    before = built("comment = 'x' AND gc_grace_seconds = 5")
    after = built("comment = 'y'", before)
    assert (after.comment, after.gc_grace_seconds) == ("y", 5)


@pytest.mark.parametrize("name", ["read_repair_chance", "dclocal_read_repair_chance"])
def test_obsolete_options_are_ignored_with_a_warning(name: str) -> None:
    options, warnings = build_options({name: "0.1"})
    assert options == DEFAULT_OPTIONS
    assert warnings == (f"Ignoring obsolete property {name}",)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("nosuch = 1", SyntaxException, "Unknown property 'nosuch'"),
        (
            "gc_grace_seconds = 'x'",
            SyntaxException,
            "Invalid integer value x for 'gc_grace_seconds'",
        ),
        (
            "bloom_filter_fp_chance = 'x'",
            SyntaxException,
            "Invalid double value x for 'bloom_filter_fp_chance'",
        ),
        (
            "comment = {}",
            SyntaxException,
            "Invalid value for property 'comment'. It should be a string",
        ),
        (
            "caching = 'ALL'",
            SyntaxException,
            "Invalid value for property 'caching'. It should be a map.",
        ),
        (
            "default_time_to_live = 630720001",
            ConfigurationError,
            "default_time_to_live must be less than or equal to 630720000 (got 630720001)",
        ),
        (
            "default_time_to_live = -1",
            ConfigurationError,
            "default_time_to_live must be greater than or equal to 0 (got -1)",
        ),
        (
            "bloom_filter_fp_chance = 0",
            ConfigurationError,
            "bloom_filter_fp_chance must be larger than 6.71E-5 and less than or equal to 1.0 "
            "(got 0.0)",
        ),
        (
            "min_index_interval = 5 AND max_index_interval = 4",
            ConfigurationError,
            "max_index_interval must be greater than or equal to min_index_interval (5) (got 4)",
        ),
        (
            "compression = {'class': 'X'}",
            ConfigurationError,
            "Could not create Compression for type org.apache.cassandra.io.compress.X",
        ),
        (
            "compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 3}",
            ConfigurationError,
            "chunk_length_in_kb must be a power of 2",
        ),
        (
            "compression = {'chunk_length_in_kb': 4}",
            ConfigurationError,
            "Missing sub-option 'class' for the 'compression' option.",
        ),
        (
            "compression = {'class': 'LZ4Compressor', 'nosuch': 4}",
            ConfigurationError,
            "Unknown compression options nosuch",
        ),
        (
            "compaction = {'class': 'DateTieredCompactionStrategy'}",
            ConfigurationError,
            "Unable to find compaction strategy class "
            "'org.apache.cassandra.db.compaction.DateTieredCompactionStrategy'",
        ),
        (
            "compaction = {'min_threshold': 4}",
            ConfigurationError,
            "Missing sub-option 'class' for the 'compaction' option",
        ),
        (
            "compaction = {'class': 'SizeTieredCompactionStrategy', 'sstable_size_in_mb': 1}",
            ConfigurationError,
            "Properties specified [sstable_size_in_mb] are not understood by "
            "SizeTieredCompactionStrategy",
        ),
        (
            "compaction = {'class': 'SizeTieredCompactionStrategy', 'min_threshold': 40}",
            ConfigurationError,
            "Min compaction threshold (got 40) cannot be greater than max compaction threshold "
            "(got 32)",
        ),
        (
            "caching = {'enabled': 'perhaps'}",
            ConfigurationError,
            "Invalid value 'perhaps' for caching sub-option 'enabled': "
            "only 'true' and 'false' are allowed",
        ),
        (
            "caching = {'keys': 'SOME'}",
            ConfigurationError,
            "Invalid value 'SOME' for caching sub-option 'keys': only 'ALL' and 'NONE' are allowed",
        ),
        (
            "speculative_retry = 'often'",
            ConfigurationError,
            "Invalid value often for option 'speculative_retry'",
        ),
    ],
)
def test_wrong_values_have_cassandras_code_and_words(
    text: str, kind: type[CqlError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        built(text)
    assert caught.value.message == message

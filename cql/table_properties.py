"""WITH of a table statement: property texts checked and made into TableOptions.

Values are normalised as Cassandra shows them afterwards: class names are written out, maps are
sorted, speculative retry has its short form. What is wrong is told with Cassandra's code and words:
a text that is no number is a syntax error, a number that is not allowed a configuration error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from cql.compaction_properties import check_compaction_values
from cql.errors import ConfigurationError, SyntaxException
from cql.table_options import (
    BYTES_PER_KB,
    COMPACTION_PACKAGE,
    COMPRESSION_PACKAGE,
    DEFAULT_OPTIONS,
    Pairs,
    TableOptions,
)
from storage.values import replace

Properties = Mapping[str, "str | tuple[tuple[str, str], ...]"]

TTL_MAX_S: Final = 630_720_000
BLOOM_FP_CHANCE_MIN: Final = 6.71e-5
LEVELED_BLOOM_FP_CHANCE: Final = 0.1
INT_MAX: Final = 2**31 - 1
ID: Final = "id"
OBSOLETE: Final = frozenset(
    (
        *("read_repair_chance", "dclocal_read_repair_chance", "index_interval"),
        *("replicate_on_write", "populate_io_cache_on_flush"),
    )
)
MEMTABLES: Final = frozenset(("default", "skiplist", "sharded_skiplist", "sharded", "trie"))


def build_options(
    properties: Properties, previous: TableOptions = DEFAULT_OPTIONS
) -> tuple[TableOptions, tuple[str, ...]]:
    """The options after a statement with these properties, and warnings about obsolete ones."""
    options, warnings = read_options(properties, previous)
    return checked(options), warnings


def read_options(
    properties: Properties, previous: TableOptions = DEFAULT_OPTIONS
) -> tuple[TableOptions, tuple[str, ...]]:
    """The same as `build_options`, but for the bounds that `checked` looks at."""
    warnings = []
    changes: dict[str, Any] = {}
    for name, value in properties.items():
        if name in OBSOLETE:
            warnings.append(f"Ignoring obsolete property {name}")
        elif name != ID:
            if name not in _READERS:
                raise SyntaxException(f"Unknown property '{name}'")
            changes[name] = _READERS[name](name, value)
    if "caching" in changes:
        changes["row_cache"] = _caches_rows(**dict(changes["caching"]))
    is_leveled = "Leveled" in dict(changes.get("compaction", ())).get("class", "")
    if is_leveled and previous is DEFAULT_OPTIONS and "bloom_filter_fp_chance" not in changes:
        changes["bloom_filter_fp_chance"] = LEVELED_BLOOM_FP_CHANCE
    return replace(previous, **changes), tuple(warnings)


def table_id_of(properties: Properties) -> UUID | None:
    """The id that `WITH id = ...` asks for."""
    value = properties.get(ID)
    if value is None:
        return None
    try:
        return UUID(_text(ID, value))
    except ValueError:
        raise ConfigurationError("Invalid table id") from None


def checked(options: TableOptions) -> TableOptions:
    """The options, if they keep to the bounds on them and between them."""
    chance = options.bloom_filter_fp_chance
    if not BLOOM_FP_CHANCE_MIN < chance <= 1:
        raise ConfigurationError(
            "bloom_filter_fp_chance must be larger than 6.71E-5 and less than or equal to 1.0 "
            f"(got {chance})"
        )
    if not 0 <= options.crc_check_chance <= 1:
        raise ConfigurationError(
            "crc_check_chance must be larger than or equal to 0 and smaller than or equal to 1.0 "
            f"(got {options.crc_check_chance})"
        )
    for name, least in _LEAST.items():
        value = getattr(options, name)
        if value < least:
            raise ConfigurationError(
                f"{name} must be greater than or equal to {least} (got {value})"
            )
    if options.default_time_to_live > TTL_MAX_S:
        raise ConfigurationError(
            f"default_time_to_live must be less than or equal to {TTL_MAX_S} "
            f"(got {options.default_time_to_live})"
        )
    if options.max_index_interval < options.min_index_interval:
        raise ConfigurationError(
            "max_index_interval must be greater than or equal to min_index_interval "
            f"({options.min_index_interval}) (got {options.max_index_interval})"
        )
    return options


_LEAST: Final = {
    "default_time_to_live": 0,
    "gc_grace_seconds": 0,
    "min_index_interval": 1,
    "memtable_flush_period_in_ms": 0,
}


# ---------------------------------------------------------------- plain values


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise SyntaxException(f"Invalid value for property '{name}'. It should be a string")
    return value


def _map(name: str, value: object) -> dict[str, str]:
    if not isinstance(value, tuple):
        raise SyntaxException(f"Invalid value for property '{name}'. It should be a map.")
    return dict(value)


def boolean_of(name: str, value: object) -> bool:
    """A property's yes or no; SyntaxException if it is neither."""
    text = _text(name, value).lower()
    if text in ("1", "true", "yes"):
        return True
    if text in ("0", "false", "no"):
        return False
    raise SyntaxException(
        f"Invalid boolean value {value} for '{name}'. "
        "Positive values can be '1', 'true' or 'yes'. Negative values can be '0', 'false' or 'no'."
    )


def _integer(name: str, value: object) -> int:
    text = _text(name, value)
    if re.fullmatch(r"[+-]?[0-9]{1,10}", text) and -INT_MAX - 1 <= int(text) <= INT_MAX:
        return int(text)
    raise SyntaxException(f"Invalid integer value {text} for '{name}'")


def _double(name: str, value: object) -> float:
    text = _text(name, value)
    try:
        return float(text)
    except ValueError:
        raise SyntaxException(f"Invalid double value {text} for '{name}'") from None


def _memtable(name: str, value: object) -> str:
    text = _text(name, value)
    if text not in MEMTABLES:
        raise ConfigurationError(f'Memtable configuration "{text}" not found.')
    return text


def _read_repair(name: str, value: object) -> str:
    text = _text(name, value).upper()
    if text not in ("BLOCKING", "NONE"):
        raise ConfigurationError(
            f"Invalid value '{value}' for read_repair: only 'BLOCKING' and 'NONE' are allowed"
        )
    return text


def _extensions(name: str, value: object) -> Pairs:
    return tuple(sorted(_map(name, value).items()))


# ---------------------------------------------------------------- speculative retry

_PERCENTILE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?:p|percentile)", re.IGNORECASE)
_FIXED: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)ms", re.IGNORECASE)
_HYBRID: Final = re.compile(r"(MIN|MAX)\s*\(\s*([^,]+?)\s*,\s*([^,]+?)\s*\)", re.IGNORECASE)


def _retry(name: str, value: object) -> str:
    text = _text(name, value)
    hybrid = _HYBRID.fullmatch(text)
    if hybrid:
        parts = sorted((_simple_retry(hybrid.group(2)), _simple_retry(hybrid.group(3))))
        percentile = [part for part in parts if part and part.endswith("p")]
        fixed = [part for part in parts if part and part.endswith("ms")]
        if len(percentile) == len(fixed) == 1:
            return f"{hybrid.group(1).upper()}({percentile[0]},{fixed[0]})"
        raise ConfigurationError(
            f"Invalid value {text} for option '{name}': "
            "specified speculative retry policies must be different"
        )
    simple = _simple_retry(text)
    if not simple:
        raise ConfigurationError(f"Invalid value {text} for option 'speculative_retry'")
    return simple


def _simple_retry(text: str) -> str:
    """The canonical form of a policy that is not MIN or MAX of two; empty if it is none."""
    word = {"ALWAYS": "ALWAYS", "NEVER": "NEVER", "NONE": "NEVER"}.get(text.upper())
    if word:
        return word
    percentile = _PERCENTILE.fullmatch(text)
    if percentile:
        number = float(percentile.group(1))
        if not 0 < number < 100:
            raise ConfigurationError(
                f"Invalid value {text} for PERCENTILE option 'speculative_retry': "
                "must be between (0.0 and 100.0)"
            )
        return f"{number:.4f}".rstrip("0").rstrip(".") + "p"
    fixed = _FIXED.fullmatch(text)
    return f"{int(float(fixed.group(1)))}ms" if fixed else ""


# ---------------------------------------------------------------- caching


def _caching(name: str, value: object) -> Pairs:
    given = _map(name, value)
    enabled = given.pop("enabled", "").lower()
    keys = given.pop("keys", "ALL" if enabled else "NONE")
    rows = given.pop("rows_per_partition", "NONE")
    if given:
        raise ConfigurationError(
            f"Invalid caching sub-options [{', '.join(given)}]: "
            "only 'keys' and 'rows_per_partition' are allowed"
        )
    if keys.upper() not in ("ALL", "NONE"):
        raise ConfigurationError(
            f"Invalid value '{keys}' for caching sub-option 'keys': "
            "only 'ALL' and 'NONE' are allowed"
        )
    if rows.upper() not in ("ALL", "NONE") and not (rows.isascii() and rows.isdigit()):
        raise ConfigurationError(
            f"Invalid value '{rows}' for caching sub-option 'rows_per_partition': "
            "only 'ALL', 'NONE', and integer values are allowed"
        )
    if enabled not in ("", "true", "false"):
        raise ConfigurationError(
            f"Invalid value '{enabled}' for caching sub-option 'enabled': "
            "only 'true' and 'false' are allowed"
        )
    shown = "NONE" if rows == "0" else rows.upper()
    pairs = (("keys", keys.upper()), ("rows_per_partition", shown))
    return (("enabled", enabled), *pairs) if enabled else pairs


def _caches_rows(keys: str, rows_per_partition: str, enabled: str = "") -> bool:
    """Whether rows are cached: `enabled` decides; without it only NONE and NONE refuses.

    Rows NONE beside keys ALL is what Cassandra shows for every table of which nobody has said
    anything, and comes back with its descriptions: that is no wish.
    """
    if enabled:
        return enabled == "true"
    return (keys, rows_per_partition) != ("NONE", "NONE")


# ---------------------------------------------------------------- compression

_COMPRESSORS: Final[dict[str, frozenset[str]]] = {
    "LZ4Compressor": frozenset(("lz4_compressor_type", "lz4_high_compressor_level")),
    "SnappyCompressor": frozenset(),
    "DeflateCompressor": frozenset(),
    "ZstdCompressor": frozenset(("compression_level",)),
    "NoopCompressor": frozenset(),
    "LZ4WithDictsCompressor": frozenset(),
    "ZstdWithDictsCompressor": frozenset(("compression_level",)),
    "ZstdDictionaryCompressor": frozenset(("compression_level",)),
}
NO_COMPRESSION: Final[Pairs] = (("enabled", "false"),)
_OLD_NAMES: Final = {"sstable_compression": "class", "chunk_length_kb": "chunk_length_in_kb"}


def _compression(name: str, value: object) -> Pairs:
    given = {_OLD_NAMES.get(key, key): text for key, text in _map(name, value).items()}
    is_enabled = given.pop("enabled", "true").lower() == "true"
    is_off = given == {"class": ""} and "sstable_compression" in _map(name, value)
    if not given or is_off:
        return NO_COMPRESSION
    if not is_enabled:
        raise ConfigurationError(
            "If the 'enabled' option is set to false no other options must be specified"
        )
    return _compression_of(given)


def _compression_of(given: dict[str, str]) -> Pairs:
    class_name = given.pop("class", None)
    if class_name is None:
        raise ConfigurationError("Missing sub-option 'class' for the 'compression' option.")
    if not class_name:
        raise ConfigurationError(
            "The 'class' option must not be empty. To disable compression use 'enabled' : false"
        )
    full = class_name if "." in class_name else COMPRESSION_PACKAGE + class_name
    supported = _COMPRESSORS.get(full.removeprefix(COMPRESSION_PACKAGE))
    if supported is None:
        raise ConfigurationError(f"Could not create Compression for type {full}")
    chunk_kb = _chunk_kb(given.pop("chunk_length_in_kb", "16"))
    ratio = _min_ratio(given.pop("min_compress_ratio", "0.0"))
    for key in given:
        if key not in supported and key != "crc_check_chance":
            raise ConfigurationError(f"Unknown compression options {key}")
    shown = {**given, "class": full, "chunk_length_in_kb": str(chunk_kb)}
    if ratio:
        shown["min_compress_ratio"] = str(ratio)
    return tuple(sorted(shown.items()))


def _chunk_kb(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", text):
        raise ConfigurationError("Invalid value for chunk_length_in_kb")
    kilobytes = int(text)
    if kilobytes > INT_MAX // BYTES_PER_KB:
        raise ConfigurationError(f"Value of chunk_length_in_kb is too large ({kilobytes})")
    if kilobytes <= 0:
        raise ConfigurationError("Invalid negative or null chunk_length_in_kb")
    if kilobytes & (kilobytes - 1):
        raise ConfigurationError("chunk_length_in_kb must be a power of 2")
    return kilobytes


def _min_ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        raise ConfigurationError(f"Invalid value {text} for min_compress_ratio") from None
    if ratio < 0:
        raise ConfigurationError("Invalid negative min_compress_ratio")
    if 0 < ratio < 1 or ratio != ratio:
        raise ConfigurationError("min_compress_ratio can either be 0 or greater than or equal to 1")
    return ratio


# ---------------------------------------------------------------- compaction

_COMMON: Final = frozenset(
    (
        *("enabled", "tombstone_threshold", "tombstone_compaction_interval", "log_all"),
        *("unchecked_tombstone_compaction", "only_purge_repaired_tombstones"),
        "provide_overlapping_tombstones",
    )
)
_THRESHOLDS: Final = frozenset(("min_threshold", "max_threshold"))
_TIERED: Final = _COMMON | _THRESHOLDS | {"bucket_low", "bucket_high", "min_sstable_size"}
_COMPACTORS: Final[dict[str, frozenset[str]]] = {
    "SizeTieredCompactionStrategy": _TIERED,
    "LeveledCompactionStrategy": _TIERED
    | {"sstable_size_in_mb", "fanout_size", "single_sstable_uplevel"},
    "TimeWindowCompactionStrategy": _TIERED
    | {
        *("compaction_window_unit", "compaction_window_size", "timestamp_resolution"),
        *("expired_sstable_check_frequency_seconds", "unsafe_aggressive_sstable_expiration"),
    },
    "UnifiedCompactionStrategy": _COMMON
    | {
        *("scaling_parameters", "target_sstable_size", "min_sstable_size", "base_shard_count"),
        *("flush_size_override", "sstable_growth", "overlap_inclusion_method"),
        *("max_sstables_to_compact", "parallelize_output_shards"),
        *("expired_sstable_check_frequency_seconds", "unsafe_aggressive_sstable_expiration"),
    },
    "IncrementalCompactionStrategy": _TIERED | {"sstable_size_in_mb", "space_amplification_goal"},
}
_OVERLAPPING: Final = ("NONE", "ROW", "CELL")


def _compaction(name: str, value: object) -> Pairs:
    given = _map(name, value)
    class_name = given.pop("class", None)
    if class_name is None:
        raise ConfigurationError("Missing sub-option 'class' for the 'compaction' option")
    full = class_name if "." in class_name else COMPACTION_PACKAGE + class_name
    short = full.removeprefix(COMPACTION_PACKAGE)
    supported = _COMPACTORS.get(short)
    if supported is None:
        raise ConfigurationError(f"Unable to find compaction strategy class '{full}'")
    unknown = [key for key in given if key not in supported]
    if unknown:
        raise ConfigurationError(
            f"Properties specified [{', '.join(unknown)}] are not understood by {short}"
        )
    overlapping = given.get("provide_overlapping_tombstones", "NONE").upper()
    if overlapping not in _OVERLAPPING:
        raise ConfigurationError(
            f"Invalid value {overlapping} for 'provide_overlapping_tombstones' compaction "
            "sub-option - must be one of the following [NONE, ROW, CELL]."
        )
    if supported >= _THRESHOLDS:
        given.setdefault("min_threshold", "4")
        given.setdefault("max_threshold", "32")
        _check_thresholds(given)
    _check_numbers(given)
    check_compaction_values(given, short)
    return tuple(sorted({**given, "class": full}.items()))


def _check_thresholds(given: dict[str, str]) -> None:
    least, most = (_threshold(key, given[key]) for key in ("min_threshold", "max_threshold"))
    if least == 0 or most == 0:
        raise ConfigurationError(
            "Disabling compaction by setting compaction thresholds to 0 has been removed, "
            "set the compaction option 'enabled' to false instead."
        )
    if least < 2:
        raise ConfigurationError(f"Min compaction threshold cannot be less than 2 (got {least})")
    if least > most:
        raise ConfigurationError(
            f"Min compaction threshold (got {least}) cannot be greater than max compaction "
            f"threshold (got {most})"
        )


def _threshold(key: str, text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise ConfigurationError(
            f"Invalid value {text} for '{key}' compaction sub-option - must be an integer"
        )
    return int(text)


_NUMBERS: Final[dict[str, type[int] | type[float]]] = {
    "tombstone_threshold": float,
    "tombstone_compaction_interval": int,
    "bucket_low": float,
    "bucket_high": float,
    "min_sstable_size": int,
    "sstable_size_in_mb": int,
    "fanout_size": int,
    "compaction_window_size": int,
    "expired_sstable_check_frequency_seconds": int,
    "space_amplification_goal": float,
}


_BUCKETS: Final = (("bucket_low", "0.5"), ("bucket_high", "1.5"))


def _check_numbers(given: dict[str, str]) -> None:
    """Numeric sub-options are numbers; sizes of the unified strategy may carry units."""
    for key, kind in _NUMBERS.items():
        text = given.get(key)
        if text is None or (key == "min_sstable_size" and text[-1:].isalpha()):
            continue
        try:
            kind(text)
        except ValueError:
            what = "int (base10)" if kind is int else "double"
            raise ConfigurationError(f"{text} is not a parsable {what} for {key}") from None
    threshold = float(given.get("tombstone_threshold", "0.2"))
    if threshold < 0:
        raise ConfigurationError(
            f"tombstone_threshold must be greater than 0, but was {threshold:.6f}"
        )
    low, high = (float(given.get(*edge)) for edge in _BUCKETS)
    if high <= low:
        raise ConfigurationError(
            f"bucket_high value ({high}) is less than or equal to the bucket_low value ({low})"
        )


_READERS: Final[dict[str, Callable[[str, object], Any]]] = {
    "additional_write_policy": _retry,
    "allow_auto_snapshot": boolean_of,
    "bloom_filter_fp_chance": _double,
    "caching": _caching,
    "cdc": boolean_of,
    "comment": _text,
    "compaction": _compaction,
    "compression": _compression,
    "memtable": _memtable,
    "crc_check_chance": _double,
    "default_time_to_live": _integer,
    "extensions": _extensions,
    "gc_grace_seconds": _integer,
    "incremental_backups": boolean_of,
    "max_index_interval": _integer,
    "memtable_flush_period_in_ms": _integer,
    "min_index_interval": _integer,
    "read_repair": _read_repair,
    "speculative_retry": _retry,
}

"""The values of the compaction sub-options, checked in Cassandra's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from cql.errors import ConfigurationError

WINDOW_UNITS: Final = ("MINUTES", "HOURS", "DAYS")
RESOLUTIONS: Final = ("SECONDS", "MILLISECONDS", "MICROSECONDS", "NANOSECONDS")
OVERLAP_METHODS: Final = ("NONE", "SINGLE", "TRANSITIVE")
SCALING_PATTERN: Final = r"(N)|L(\d+)|T(\d+)|([+-]?\d+)"

_SIZE = re.compile(r"[0-9]+(\.[0-9]+)?\s*([kmgtp]?i?b)?", re.IGNORECASE | re.ASCII)
_FRACTION = re.compile(r"[0-9]+(\.[0-9]+)?%?|\.[0-9]+%?", re.ASCII)
_SCALING = re.compile(SCALING_PATTERN, re.ASCII)


def check_compaction_values(given: Mapping[str, str], strategy: str) -> None:
    """Refuse what the strategy could not work with."""
    for key, check in _CHECKS.items():
        if key in given:
            check(key, given[key])
    if strategy == "UnifiedCompactionStrategy" and "min_sstable_size" in given:
        _size("min_sstable_size", given["min_sstable_size"])


def _one_of(*allowed: str) -> Callable[[str, str], None]:
    def check(key: str, text: str) -> None:
        if text not in allowed:
            raise ConfigurationError(f"{text} is not valid for {key}")

    return check


def _above_zero(key: str, text: str) -> None:
    if _integer(key, text) < 1:
        raise ConfigurationError(f"{key} must be larger than 0, but was {text}")


def _window(key: str, text: str) -> None:
    if _integer(key, text) < 1:
        raise ConfigurationError(f"{text} must be greater than 1 for {key}")


def _not_negative(key: str, text: str) -> None:
    if _integer(key, text) < 0:
        raise ConfigurationError(f"{key} must not be negative, but was {text}")


def _boolean(key: str, text: str) -> None:
    if text.lower() not in ("true", "false"):
        raise ConfigurationError(f"{key} is not 'true' or 'false' ({text})")


def _whole(key: str, text: str) -> None:
    _integer(key, text)


def _integer(key: str, text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", text):
        raise ConfigurationError(f"{text} is not a parsable int (base10) for {key}")
    return int(text)


def _size(key: str, text: str) -> None:
    if not _SIZE.fullmatch(text.strip()):
        raise ConfigurationError(f"{text} is not a valid size in bytes for {key}")


def _growth(key: str, text: str) -> None:
    number = text.removesuffix("%")
    if not _FRACTION.fullmatch(text) or float(number) > (100 if text != number else 1):
        raise ConfigurationError(f"{key} {text} must be between 0 and 1")


def _scaling(key: str, text: str) -> None:
    for part in text.split(","):
        parameter = part.strip().upper()
        if not _SCALING.fullmatch(parameter):
            raise ConfigurationError(f"Scaling parameter {part} must match {SCALING_PATTERN}")
        if parameter[0] in "LT" and int(parameter[1:]) < 2:
            raise ConfigurationError(f"Fan factor cannot be lower than 2 in {part}")


def _overlap(key: str, text: str) -> None:
    if text.upper() not in OVERLAP_METHODS:
        raise ConfigurationError(
            f"Invalid overlap inclusion method {text}. The valid options are "
            f"{list(OVERLAP_METHODS)}."
        )


_CHECKS: Final[dict[str, Callable[[str, str], None]]] = {
    "sstable_size_in_mb": _above_zero,
    "fanout_size": _above_zero,
    "single_sstable_uplevel": _boolean,
    "compaction_window_unit": _one_of(*WINDOW_UNITS),
    "compaction_window_size": _window,
    "timestamp_resolution": _one_of(*RESOLUTIONS),
    "expired_sstable_check_frequency_seconds": _not_negative,
    "unsafe_aggressive_sstable_expiration": _boolean,
    "base_shard_count": _above_zero,
    "max_sstables_to_compact": _whole,
    "target_sstable_size": _size,
    "flush_size_override": _size,
    "sstable_growth": _growth,
    "scaling_parameters": _scaling,
    "overlap_inclusion_method": _overlap,
}

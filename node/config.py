"""One frozen Config, the sole reader of configuration files and of the environment.

Names are cassandra.yaml's where a setting has one. A value is taken from, in rising order: the
default, the configuration file, the command line. An unknown name in the file is a warning that
names the nearest known one; a wrong value is a `ConfigError` with the key, the value and what is
allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from node.cgroup import cpu_limit, memory_limit
from node.memory import memory_bytes_min
from storage.values import value_class

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MEMORY_BYTES_MIN = 64 * MIB
SHARDS_MAX = 256
SNAPSHOT_TTL_S_MIN = 60
HOT_KEYS_MAX = 65_536
COMPACTORS_MAX = 64
YAML_BYTES_MAX = 4 * MIB

_SIZES = {"": 1, "b": 1, "kib": KIB, "mib": MIB, "gib": GIB, "k": KIB, "m": MIB, "g": GIB}
_DURATIONS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER_WITH_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*\Z")
_RATE = re.compile(r"\s*(?:(\d+)\s*(B|KiB|MiB|GiB)/s|0)\s*\Z", re.IGNORECASE)
_LOOPBACK = re.compile(r"(127(\.\d+){3}|::1|localhost)\Z")


class ConfigError(Exception):
    """A setting has a value that is not allowed; the text names the key, the value and the rule."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{key}: {value!r} is not allowed; {allowed}")
        self.key = key
        self.value = value


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set, with units in the names. Immutable after start."""

    data_directory: str = "data"
    io: str = "auto"
    cluster_name: str = "Test Cluster"
    data_center: str = "datacenter1"
    rack: str = "rack1"
    rpc_address: str = "127.0.0.1"
    native_transport_port: int = 9042
    native_shard_aware_transport_port: int = 19042
    port_file: str | None = None
    insecure_listen: bool = False
    shards: int = 1
    keeps_shards: bool = False
    """Nobody chose a number: a directory that has data keeps its own."""
    memory_bytes: int = 256 * MIB
    num_tokens: int = 16
    initial_token: tuple[int, ...] = ()
    dev: bool = False
    overprovisioned: bool = False
    """The machine has other work: shards are not pinned to cores."""
    commitlog_sync: str = "periodic"
    commitlog_sync_period_s: float = 10.0
    commitlog_sync_group_window_s: float = 1.0
    commitlog_segment_bytes: int = 32 * MIB
    commitlog_total_bytes: int = 1024 * MIB
    commit_failure_policy: str = "stop"
    disk_failure_policy: str = "stop"
    data_disk_usage_percentage_fail_threshold: int = -1
    read_request_timeout_s: float = 5.0
    range_request_timeout_s: float = 10.0
    write_request_timeout_s: float = 2.0
    counter_write_request_timeout_s: float = 5.0
    cas_contention_timeout_s: float = 1.8
    truncate_request_timeout_s: float = 60.0
    native_transport_max_frame_bytes: int = 16 * MIB
    native_transport_max_connections: int = 10_000
    native_transport_stalled_timeout_s: float = 60.0
    """How long a client may take no byte of its replies, or send no end of a frame."""
    batch_size_warn_bytes: int = 5 * KIB
    batch_size_fail_bytes: int = 50 * KIB
    auto_snapshot: bool = True
    auto_snapshot_ttl_s: float = 0.0
    """How long a snapshot that TRUNCATE or DROP left is kept; 0 is for ever."""
    concurrent_compactors: int = 1
    """Of each shard."""
    compaction_throughput_bytes: int = 0
    """A second, all shards together; 0 is no limit."""
    row_cache_keys_to_save: int = 16_384
    row_cache_save_period_s: float = 600.0
    log_level: str = "info"
    warnings: tuple[str, ...] = field(default=())


@value_class
class _Setting:
    """How one key of the file becomes one field of Config."""

    field_name: str
    parse: Callable[[str, object], object]


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(key, value, "a text that is not empty is expected")
    return value


def _choice(*allowed: str) -> Callable[[str, object], object]:
    def parse(key: str, value: object) -> object:
        if not isinstance(value, str) or value.lower() not in allowed:
            raise ConfigError(key, value, f"one of {', '.join(allowed)} is expected")
        return value.lower()

    return parse


def _integer(low: int, high: int) -> Callable[[str, object], object]:
    def parse(key: str, value: object) -> object:
        if isinstance(value, str) and re.fullmatch(r"-?\d+", value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(key, value, f"a whole number from {low} to {high} is expected")
        return value

    return parse


def parse_size(key: str, value: object) -> int:
    """Bytes of `16MiB`, `1G`, `4096`."""
    found = _NUMBER_WITH_UNIT.match(str(value))
    unit = found.group(2).lower() if found else ""
    if found is None or isinstance(value, bool) or unit not in _SIZES:
        raise ConfigError(key, value, "a size such as 512MiB or 4GiB is expected")
    return int(float(found.group(1)) * _SIZES[unit])


def _rate(key: str, value: object) -> int:
    """Bytes a second of `64MiB/s`; 0 is no limit."""
    found = _RATE.match(str(value))
    if found is None or isinstance(value, bool):
        raise ConfigError(key, value, "a rate such as 64MiB/s is expected, or 0 for no limit")
    return int(found.group(1) or 0) * _SIZES[(found.group(2) or "").lower()]


def _size(low: int, high: int = 1 << 50) -> Callable[[str, object], object]:
    def parse(key: str, value: object) -> object:
        size = parse_size(key, value)
        if not low <= size <= high:
            raise ConfigError(key, value, f"a size from {low} to {high} bytes is expected")
        return size

    return parse


def parse_duration(key: str, value: object, low_s: float, default_unit: str = "s") -> float:
    """Seconds of `500ms`, `7d`; a bare number is of the default unit."""
    found = _NUMBER_WITH_UNIT.match(str(value))
    unit = (found.group(2).lower() or default_unit) if found else ""
    if found is None or isinstance(value, bool) or unit not in _DURATIONS:
        raise ConfigError(key, value, "a duration such as 500ms or 10s is expected")
    seconds = float(found.group(1)) * _DURATIONS[unit]
    if seconds < low_s:
        raise ConfigError(key, value, f"at least {low_s} s is expected")
    return seconds


def _duration(default_unit: str, low_s: float = 0.0) -> Callable[[str, object], object]:
    return lambda key, value: parse_duration(key, value, low_s, default_unit)


def _boolean(key: str, value: object) -> object:
    words = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise ConfigError(key, value, "true or false is expected")
    return value


def _tokens(key: str, value: object) -> tuple[int, ...]:
    parts = str(value).split(",") if isinstance(value, str | int) else value
    try:
        tokens = tuple(int(str(part)) for part in parts)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ConfigError(key, value, "whole numbers separated by commas are expected") from None
    if any(not -(1 << 63) < token < 1 << 63 for token in tokens):
        raise ConfigError(key, value, "tokens lie between -2^63 and 2^63 - 1")
    return tokens


def _directory(key: str, value: object) -> str:
    if isinstance(value, list):
        if len(value) != 1:
            raise ConfigError(key, value, "exactly one data directory is expected")
        value = value[0]
    return _text(key, value)


_PORT = _integer(0, 65535)
_SETTINGS: Mapping[str, _Setting] = {
    "data_file_directories": _Setting("data_directory", _directory),
    "workdir": _Setting("data_directory", _directory),
    "io": _Setting("io", _choice("auto", "uring", "threads", "buffered")),
    "cluster_name": _Setting("cluster_name", _text),
    "dc": _Setting("data_center", _text),
    "rack": _Setting("rack", _text),
    "rpc_address": _Setting("rpc_address", _text),
    "native_transport_port": _Setting("native_transport_port", _PORT),
    "native_shard_aware_transport_port": _Setting("native_shard_aware_transport_port", _PORT),
    "shards": _Setting("shards", _integer(1, SHARDS_MAX)),
    "memory": _Setting("memory_bytes", _size(MEMORY_BYTES_MIN)),
    "num_tokens": _Setting("num_tokens", _integer(1, 1024)),
    "initial_token": _Setting("initial_token", _tokens),
    "commitlog_sync": _Setting("commitlog_sync", _choice("periodic", "batch", "group")),
    "commitlog_sync_period": _Setting("commitlog_sync_period_s", _duration("ms", 0.001)),
    "commitlog_sync_group_window": _Setting(
        "commitlog_sync_group_window_s", _duration("ms", 0.001)
    ),
    "commitlog_segment_size": _Setting("commitlog_segment_bytes", _size(MIB, GIB)),
    "commitlog_total_space": _Setting("commitlog_total_bytes", _size(4 * MIB)),
    "commit_failure_policy": _Setting(
        "commit_failure_policy", _choice("stop", "die", "stop_commit", "ignore")
    ),
    "disk_failure_policy": _Setting(
        "disk_failure_policy", _choice("stop", "stop_paranoid", "best_effort", "ignore", "die")
    ),
    "data_disk_usage_percentage_fail_threshold": _Setting(
        "data_disk_usage_percentage_fail_threshold", _integer(-1, 100)
    ),
    "read_request_timeout": _Setting("read_request_timeout_s", _duration("ms", 0.01)),
    "range_request_timeout": _Setting("range_request_timeout_s", _duration("ms", 0.01)),
    "write_request_timeout": _Setting("write_request_timeout_s", _duration("ms", 0.01)),
    "counter_write_request_timeout": _Setting(
        "counter_write_request_timeout_s", _duration("ms", 0.01)
    ),
    "cas_contention_timeout": _Setting("cas_contention_timeout_s", _duration("ms", 0.01)),
    "truncate_request_timeout": _Setting("truncate_request_timeout_s", _duration("ms", 0.01)),
    "native_transport_max_frame_size": _Setting(
        "native_transport_max_frame_bytes", _size(KIB, 256 * MIB)
    ),
    "native_transport_max_concurrent_connections": _Setting(
        "native_transport_max_connections", _integer(1, 1_000_000)
    ),
    "native_transport_stalled_timeout": _Setting(
        "native_transport_stalled_timeout_s", _duration("ms", 1.0)
    ),
    "batch_size_warn_threshold": _Setting("batch_size_warn_bytes", _size(0)),
    "batch_size_fail_threshold": _Setting("batch_size_fail_bytes", _size(0)),
    "auto_snapshot": _Setting("auto_snapshot", _boolean),
    "concurrent_compactors": _Setting("concurrent_compactors", _integer(1, COMPACTORS_MAX)),
    "compaction_throughput": _Setting("compaction_throughput_bytes", _rate),
    "row_cache_keys_to_save": _Setting("row_cache_keys_to_save", _integer(0, HOT_KEYS_MAX)),
    "row_cache_save_period": _Setting("row_cache_save_period_s", _duration("s")),
    "auto_snapshot_ttl": _Setting("auto_snapshot_ttl_s", _duration("s")),
    "overprovisioned": _Setting("overprovisioned", _boolean),
    "log_level": _Setting("log_level", _choice("debug", "info", "warning", "error")),
}


def build_config(overrides: Mapping[str, object], config_file: str | None = None) -> Config:
    """The Config of this start: defaults derived from the machine, then the file, then `overrides`.

    `overrides` has the field names of Config and values that are already checked.
    """
    values: dict[str, object] = {}
    warnings: list[str] = []
    if config_file is not None:
        values.update(_read_file(config_file, warnings))
    given = {name: value for name, value in overrides.items() if value is not None}
    values.update(given)
    if "shards" not in (given if values.get("dev") else values):
        values["shards"] = 1 if values.get("dev") else default_shards()
        values["keeps_shards"] = True
    values.setdefault("memory_bytes", default_memory_bytes(int(str(values["shards"]))))
    config = dataclasses.replace(Config(), warnings=tuple(warnings), **values)  # type: ignore[arg-type]
    _check_together(config)
    return config


def shown_settings(config: Config) -> list[tuple[str, str]]:
    """Every setting by the name it has in a file, with a value that a file might hold."""
    return [(key, _shown(config, key)) for key in sorted(_SETTINGS)]


def _shown(config: Config, key: str) -> str:
    field_name = _SETTINGS[key].field_name
    value = getattr(config, field_name)
    if field_name.endswith("_s"):
        return f"{value * 1000:.0f}ms" if value < 1 else f"{value:g}s"
    if field_name.endswith("_bytes"):
        unit, name = next((u, n) for u, n in _UNITS if value % u == 0)
        return f"{value // unit}{name}" + ("/s" if key == "compaction_throughput" else "")
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


_UNITS = ((MIB, "MiB"), (KIB, "KiB"), (1, "B"))


def parse_setting(key: str, value: object) -> object:
    """One value as the file would have it; used for command-line options too."""
    return _SETTINGS[key].parse(key, value)


def _read_file(path: str, warnings: list[str]) -> dict[str, object]:
    import yaml  # Imported only when there is a file to read: start-up time is a feature.

    try:
        text = Path(path).read_bytes()[: YAML_BYTES_MAX + 1]
    except OSError as error:
        raise ConfigError("--config", path, f"the file cannot be read: {error.strerror}") from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError("--config", path, f"the file is not valid YAML: {reason}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError("--config", path, "the file must map names to values")
    values: dict[str, object] = {}
    for key, value in content.items():
        setting = _SETTINGS.get(str(key))
        if setting is None:
            warnings.append(_unknown(str(key)))
        elif value is not None:
            values[setting.field_name] = setting.parse(str(key), value)
    return values


def _unknown(key: str) -> str:
    nearest = difflib.get_close_matches(key, _SETTINGS, n=1, cutoff=0.0)
    return f"unknown setting {key!r} is ignored; the nearest known one is {nearest[0]!r}"


def _check_together(config: Config) -> None:
    if not _LOOPBACK.match(config.rpc_address) and not config.insecure_listen:
        raise ConfigError(
            "rpc_address",
            config.rpc_address,
            "it is reachable by others and there is no authentication; see --insecure-listen",
        )
    if 0 < config.auto_snapshot_ttl_s < SNAPSHOT_TTL_S_MIN:
        raise ConfigError("auto_snapshot_ttl", config.auto_snapshot_ttl_s, "0 or at least 60s")
    needed = memory_bytes_min(config.shards)
    if config.memory_bytes < needed:
        raise ConfigError(
            "memory",
            f"{config.memory_bytes >> 20}MiB",
            f"{config.shards} shards need {needed >> 20}MiB at least",
        )
    if config.initial_token and len(config.initial_token) != config.num_tokens:
        raise ConfigError(
            "initial_token", config.initial_token, f"num_tokens asks for {config.num_tokens} tokens"
        )


def default_shards() -> int:
    """One shard per core that this process may use: affinity and the cgroup's CPU quota
    respected.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = cpu_limit()
    usable = cores or 1
    return max(1, min(SHARDS_MAX, usable if quota is None else min(usable, max(1, int(quota)))))


def default_memory_bytes(shards: int) -> int:
    """A quarter of the memory that the host or the cgroup gives, between 256 MiB and 64 GiB; more
    if so many shards need more.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    if limit is not None and limit < total:
        total = limit
    return max(memory_bytes_min(shards), min(64 * GIB, max(256 * MIB, total // 4)))

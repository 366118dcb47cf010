"""The options of a table as values, with their defaults and what storage makes of them."""

from __future__ import annotations

from typing import Any, TypeAlias

from storage.values import replace, value_class

Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""A map option: (key, value) pairs sorted by key."""

COMPACTION_PACKAGE = "org.apache.cassandra.db.compaction."
COMPRESSION_PACKAGE = "org.apache.cassandra.io.compress."

DEFAULT_CACHING: Pairs = (("keys", "ALL"), ("rows_per_partition", "NONE"))
DEFAULT_COMPACTION: Pairs = (
    ("class", COMPACTION_PACKAGE + "SizeTieredCompactionStrategy"),
    ("max_threshold", "32"),
    ("min_threshold", "4"),
)
DEFAULT_COMPRESSION: Pairs = (
    ("chunk_length_in_kb", "16"),
    ("class", COMPRESSION_PACKAGE + "LZ4Compressor"),
)
BYTES_PER_KB = 1024


@value_class
class TableOptions:
    """One field per option, named as in CQL, in the order in which DESCRIBE shows them."""

    additional_write_policy: str = "99p"
    allow_auto_snapshot: bool = True
    bloom_filter_fp_chance: float = 0.01
    caching: Pairs = DEFAULT_CACHING
    cdc: bool = False
    comment: str = ""
    compaction: Pairs = DEFAULT_COMPACTION
    compression: Pairs = DEFAULT_COMPRESSION
    """As shown: `(("enabled", "false"),)` when there is no compression."""
    memtable: str = "default"
    crc_check_chance: float = 1.0
    default_time_to_live: int = 0
    extensions: Pairs = ()
    gc_grace_seconds: int = 864_000
    incremental_backups: bool = True
    max_index_interval: int = 2048
    memtable_flush_period_in_ms: int = 0
    min_index_interval: int = 128
    read_repair: str = "BLOCKING"
    speculative_retry: str = "99p"
    row_cache: bool = True
    """What `caching` means for the row cache; not shown."""

    @property
    def compressor(self) -> str:
        """Short name of the block compressor, "none" without."""
        for key, value in self.compression:
            if key == "enabled" and value == "false":
                return "none"
        name = dict(self.compression).get("class", "").removeprefix(COMPRESSION_PACKAGE)
        name = name.removesuffix("Compressor").removesuffix("Dictionary").removesuffix("WithDicts")
        return {"": "none", "Noop": "none"}.get(name, name.lower())

    @property
    def chunk_bytes(self) -> int:
        """Uncompressed bytes of a compressed block."""
        return int(dict(self.compression).get("chunk_length_in_kb", "16")) * BYTES_PER_KB

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults: old entries stay readable when options come."""
        changed = {
            name: getattr(self, name)
            for name in OPTION_NAMES
            if getattr(self, name) != getattr(DEFAULT_OPTIONS, name)
        }
        return {
            name: [list(pair) for pair in value] if isinstance(value, tuple) else value
            for name, value in changed.items()
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> TableOptions:
        """The inverse of `to_json`; options that this version does not know are left out."""
        given: dict[str, Any] = {
            name: tuple((key, text) for key, text in value) if isinstance(value, list) else value
            for name, value in data.items()
            if name in OPTION_NAMES
        }
        return replace(DEFAULT_OPTIONS, **given)


OPTION_NAMES = TableOptions.__match_args__
DEFAULT_OPTIONS = TableOptions()
